//! One epoch: micro-batches, and the optimizer steps that they form.

use std::time::{Duration, Instant};

use candle_core::Tensor;

use super::Trainer;
use super::clock::{Clock, Phase};
use crate::event::Activity;
use crate::models::Pass;
use crate::ops::{self, Tape};
use crate::spec::Precision;
use crate::train::error::TrainError;
use crate::train::evaluate::wanted;
use crate::train::gradients::{Gradients, Limits, all_finite};
use crate::train::history::{EpochRow, Exact, Scaling};
use crate::train::metrics::argmax;
use crate::train::staging::{Staged, stage};

/// The shortest time between two reports on batches.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// The gradients of the optimizer step under way.
#[derive(Default)]
struct Group {
    gradients: Gradients,
    /// In f16: a loss was not finite, so the gradients are of no use.
    overflown: bool,
}

/// The forward pass of a micro-batch.
enum Forward {
    /// What to go backward from, the batch's share of the step's mean loss, times the loss scale, and
    /// the way.
    Loss(Tensor, Tape),
    /// In f16, the loss overflowed.
    Overflow,
}

impl Trainer<'_> {
    /// Trains from where the epoch under way stands to its end.
    pub(super) fn epoch(&mut self) -> Result<(), TrainError> {
        let mut clock = Clock::start();
        let mut reported = Instant::now();
        let mut seen = 0u64;
        let (epoch, batches) = (self.progress.epoch, self.setup.steps.batches());
        let weights = self.step_weights(epoch);
        let mut group = Group::default();
        // A validation may be due where an interruption left off.
        self.judge_within_epoch(&mut clock)?;
        if self.progress.batch < batches {
            let setup = self.setup;
            let left = (batches - self.progress.batch) as usize;
            let served = setup.loader.epoch(epoch, self.progress.batch as usize).take(left);
            for batch in stage(served, setup.loader.schema(), &self.task.device, false) {
                let batch = batch?;
                clock.tick(Phase::Data);
                let index = self.progress.batch;
                let step = self.setup.steps.step_of(index);
                seen += batch.samples as u64;
                match self.forward(batch, weights[step as usize])? {
                    Forward::Loss(loss, tape) => {
                        clock.tick(Phase::Forward);
                        let gradients = tape.backward(&loss)?;
                        group.gradients.add(self.network.parameters(), gradients)?;
                        clock.tick(Phase::Backward);
                    }
                    Forward::Overflow => {
                        group.overflown = true;
                        clock.tick(Phase::Forward);
                    }
                }
                self.progress.batch += 1;
                let loss = self.progress.sums.mean_loss();
                // In f16 there may be no finite loss yet.
                if reported.elapsed() >= REPORT_EVERY && loss.is_finite() {
                    reported = Instant::now();
                    self.monitor.emit(Activity::BatchFinished {
                        epoch: epoch + 1,
                        batch: self.progress.batch,
                        loss,
                        samples_per_second: seen as f64 / clock.training(),
                    });
                }
                if self.setup.steps.ends_with(index) {
                    self.step(std::mem::take(&mut group), step)?;
                    clock.tick(Phase::Step);
                    self.log(seen as f64 / clock.training());
                    self.judge_within_epoch(&mut clock)?;
                    if self.monitor.stopped() {
                        return self.interrupt();
                    }
                    self.save_in_time()?;
                }
            }
            if self.progress.batch < batches {
                return Err(TrainError::Incomplete {
                    what: "the training split",
                });
            }
        }
        self.finish_epoch(clock, seen)
    }

    /// What the mean loss of each step of `epoch` divides by.
    fn step_weights(&self, epoch: u32) -> Vec<f64> {
        let (steps, loss) = (self.setup.steps, &self.setup.loss);
        let outputs = self.setup.target.outputs();
        let labels = match loss {
            // Samples weigh differently, so what a step weighs depends on its samples.
            ops::Loss::CrossEntropy {
                class_weights,
                ignore_index,
                ..
            } if (class_weights.is_some() || ignore_index.is_some()) && !self.setup.loader.mixes() => {
                Some(self.setup.loader.labels(epoch))
            }
            _ => None,
        };
        let weight = |step| {
            let range = steps.samples_of(step);
            match &labels {
                Some(labels) => {
                    let labels = &labels[range.start as usize..range.end as usize];
                    ops::loss_weight(ops::Targets::Classes(labels), loss, outputs)
                }
                None => {
                    let samples = (range.end - range.start) as f64;
                    match loss {
                        ops::Loss::CrossEntropy { .. } => samples,
                        _ => samples * outputs as f64,
                    }
                }
            }
        };
        (0..steps.per_epoch()).map(weight).collect()
    }

    /// The forward pass of a micro-batch of a step whose mean divides by `divisor`.
    fn forward(&mut self, batch: Staged, divisor: f64) -> Result<Forward, TrainError> {
        let Staged { inputs, targets, .. } = batch;
        let (epoch, index) = (self.progress.epoch, self.progress.batch);
        let pass = Pass {
            train: true,
            precision: self.task.recipe.precision,
            seed: self.task.seed,
            step: epoch.wrapping_mul(self.setup.steps.batches()).wrapping_add(index),
        };
        let wanted = wanted(&targets, self.setup.target.task)?;
        let (forward, tape) = Tape::record(|| -> Result<_, TrainError> {
            let outputs = self.network.forward(&inputs, &pass)?;
            let loss = ops::loss(&outputs, wanted, &self.setup.loss, divisor)?;
            Ok((outputs, loss))
        });
        let (outputs, loss) = forward?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            if self.loss_scale.is_some() {
                return Ok(Forward::Overflow);
            }
            return Err(TrainError::NonFiniteLoss {
                epoch: epoch + 1,
                batch: index + 1,
                loss: value,
                lr: self.learning_rate(self.setup.steps.step_of(index)),
                precision_hint: self.precision_hint(),
            });
        }
        let width = self.setup.target.outputs();
        let sums = &mut self.progress.sums;
        sums.loss = Exact(sums.loss.0 + value * divisor);
        sums.weight = Exact(sums.weight.0 + ops::loss_weight(wanted, &self.setup.loss, width));
        let (score, scored) = self.score(&outputs.flatten_all()?.to_vec1::<f32>()?, wanted);
        let sums = &mut self.progress.sums;
        sums.score = Exact(sums.score.0 + score);
        sums.scored += scored;
        let loss = match &self.loss_scale {
            Some(scale) => loss.affine(scale.get(), 0.0)?,
            None => loss,
        };
        Ok(Forward::Loss(loss, tape))
    }

    /// The sum of the scores of a micro-batch's samples, and what their mean divides by.
    fn score(&self, outputs: &[f32], targets: ops::Targets<'_>) -> (f64, u64) {
        let width = self.setup.target.outputs();
        let rows = outputs.chunks_exact(width);
        match targets {
            ops::Targets::Classes(classes) => {
                let counts = |class: u32| !self.ignores(class);
                let right = rows
                    .zip(classes)
                    .filter(|&(row, &class)| counts(class) && argmax(row) == class as usize);
                let scored = classes.iter().filter(|&&class| counts(class)).count();
                (right.count() as f64, scored as u64)
            }
            ops::Targets::Probabilities(wanted) => {
                let right = rows
                    .zip(wanted.chunks_exact(width))
                    .filter(|(row, wanted)| argmax(row) == argmax(wanted));
                (right.count() as f64, (outputs.len() / width) as u64)
            }
            ops::Targets::Values(wanted) => match &self.setup.target.task {
                crate::spec::Task::Regression => {
                    let scale = self.setup.target.scale.as_ref();
                    let error = |(index, (output, wanted)): (usize, (&f32, &f32))| {
                        let unit = scale.map_or(1.0, |scale| f64::from(scale.std[index % width]));
                        (f64::from(*output) - f64::from(*wanted)).abs() * unit
                    };
                    let errors = outputs.iter().zip(wanted).enumerate().map(error);
                    (errors.sum(), wanted.len() as u64)
                }
                _ => {
                    let right = outputs
                        .iter()
                        .zip(wanted)
                        .filter(|&(&output, &wanted)| (output >= 0.0) == (wanted >= 0.5));
                    (right.count() as f64, wanted.len() as u64)
                }
            },
        }
    }

    fn ignores(&self, class: u32) -> bool {
        matches!(&self.setup.loss, ops::Loss::CrossEntropy { ignore_index: Some(index), .. } if *index == class)
    }

    /// The optimizer's step `step` of the epoch, or in f16 its omission.
    fn step(&mut self, group: Group, step: u32) -> Result<(), TrainError> {
        let lr = self.learning_rate(step);
        self.progress.sums.lr = Exact(lr);
        let Group { gradients, overflown } = group;
        let factor = self.loss_scale.map_or(1.0, |scale| (1.0 / scale.get()) as f32);
        let norm = gradients.norm(factor, None)?;
        if let Some(scale) = &mut self.loss_scale {
            // Squares of f32 do not overflow an f64: the norm is finite where every element is.
            let finite = !overflown && norm.is_finite();
            scale.update(finite)?;
            if !finite {
                self.progress.sums.skipped += 1;
                return Ok(());
            }
        }
        let limits = Limits::new(&self.task.recipe.clip, &gradients, factor, norm)?;
        let sums = &mut self.progress.sums;
        sums.gradient_norm = Exact(sums.gradient_norm.0 + norm);
        sums.stepped += 1;
        self.optimizer.step(
            self.network.parameters(),
            gradients.sums(),
            lr,
            limits.gradient_factor,
            limits.clip_value,
        )?;
        if let Some(ema) = &mut self.ema {
            ema.update(self.network.parameters())?;
        }
        Ok(())
    }

    fn finish_epoch(&mut self, mut clock: Clock, seen: u64) -> Result<(), TrainError> {
        for parameter in self.network.parameters() {
            if !all_finite(&parameter.var)? {
                return Err(TrainError::NonFiniteWeights {
                    name: parameter.name.clone(),
                    epoch: self.progress.epoch + 1,
                    precision_hint: self.precision_hint(),
                });
            }
        }
        let training = clock.training();
        self.judge_epoch(&mut clock)?;
        let sums = &self.progress.sums;
        let epoch = self.progress.epoch + 1;
        let scaling = self.loss_scale.map(|scale| Scaling {
            loss_scale: Exact(scale.get()),
            skipped_steps: sums.skipped,
        });
        let row = EpochRow {
            epoch,
            lr: sums.lr,
            score: self.setup.target.score(),
            train_loss: Exact(sums.mean_loss()),
            train_score: Exact(sums.mean_score()),
            validation: self
                .progress
                .judgements
                .last()
                .filter(|last| last.epoch == epoch)
                .cloned(),
            gradient_norm: Exact(sums.mean_gradient_norm()),
            scaling,
        };
        self.tell_skipped();
        self.monitor.emit(Activity::EpochFinished {
            epoch,
            metrics: row.metrics(),
            samples_per_second: seen as f64 / training,
            seconds: clock.total(),
            phases: clock.phases(),
        });
        self.progress.finish_epoch(row);
        self.tell_early_stop();
        let last = !self.goes_on();
        if !last && self.monitor.stopped() {
            return self.interrupt();
        }
        let due = self.progress.epoch % self.task.recipe.checkpoint.every;
        if last || due == 0 {
            self.save()?;
        }
        Ok(())
    }

    fn tell_skipped(&self) {
        let skipped = self.progress.sums.skipped;
        if let Some(scale) = &self.loss_scale
            && skipped > 0
        {
            self.monitor.info(format!(
                "epoch {}: {skipped} of {} steps skipped because f16 overflowed; the loss scale is now {}",
                self.progress.epoch + 1,
                self.setup.steps.per_epoch(),
                scale.get()
            ));
        }
    }

    /// A line in the log after every so many steps.
    fn log(&self, samples_per_second: f64) {
        let Some(every) = self.task.recipe.log_every else {
            return;
        };
        let steps = self.setup.steps;
        let done = self.progress.steps(steps);
        if !done.is_multiple_of(u64::from(every.get())) {
            return;
        }
        let sums = &self.progress.sums;
        let within = steps.done_after(self.progress.batch);
        let scale = self
            .loss_scale
            .map(|scale| format!(", loss scale {}", scale.get()))
            .unwrap_or_default();
        self.monitor.info(format!(
            "epoch {}, step {within}/{}: loss {:.4}, {} {:.4}, lr {:.4e}, gradient norm {:.3}{scale}, {:.0} samples/s",
            self.progress.epoch + 1,
            steps.per_epoch(),
            sums.mean_loss(),
            self.setup.target.score().as_str(),
            sums.mean_score(),
            sums.lr.0,
            sums.mean_gradient_norm(),
            samples_per_second,
        ));
    }

    /// The learning rate of the optimizer step `step` of the epoch under way.
    fn learning_rate(&self, step: u32) -> f64 {
        let monitored = self.setup.monitored;
        let judged: Vec<f64> = self
            .progress
            .history
            .iter()
            .map(|row| {
                let judgement = row.validation.as_ref();
                judgement.map_or(f64::NAN, |judgement| judgement.monitored(monitored))
            })
            .collect();
        self.rates
            .at(self.progress.epoch, step, self.setup.steps.per_epoch(), &judged)
    }

    fn precision_hint(&self) -> &'static str {
        match self.task.recipe.precision {
            Precision::F32 => "",
            Precision::Bf16 | Precision::F16 => ", or use `precision: f32`",
        }
    }
}
