//! One epoch: micro-batches, and the optimizer steps that they form.

use std::time::{Duration, Instant};

use candle_core::{DType, Tensor};

use super::Trainer;
use super::clock::{Clock, EpochPhase};
use crate::event::Activity;
use crate::models::Pass;
use crate::ops::Tape;
use crate::spec::Precision;
use crate::train::error::TrainError;
use crate::train::gradients::{ClipLimits, Gradients, all_finite};
use crate::train::history::{EpochFigures, Exact, Scaling};
use crate::train::staging::Staged;

/// The shortest time between two reports on batches.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// The optimizer step under way.
#[derive(Default)]
struct StepGroup {
    gradients: Gradients,
    /// What the step's mean loss divides by: the weight of all its samples, whoever computes their gradients.
    divisor: f64,
    /// How many samples all its micro-batches have.
    samples: u64,
    /// The figures of micro-batches that are still where they were computed.
    pending: Vec<Pending>,
    /// In f16: a loss was not finite, so the gradients are of no use.
    overflown: bool,
}

/// A micro-batch's figures before the host has read them.
struct Pending {
    /// The micro-batch's index in the epoch.
    batch: u32,
    /// The batch's share in the step's mean loss, and the sum of its scores: f64 on the device.
    figures: Tensor,
    /// What the step's mean loss divides by.
    divisor: f64,
    /// What the batch adds to the divisor of the mean loss.
    weight: f64,
    /// What it adds to the divisor of the mean score.
    scored: u64,
}

impl Trainer<'_> {
    /// Trains from where the epoch under way stands to its end.
    pub(super) fn epoch(&mut self) -> Result<(), TrainError> {
        let mut clock = Clock::start();
        let mut reported = Instant::now();
        let mut seen = 0u64;
        let epoch = self.progress.epoch;
        let batches = self.setup.steps.batches_of(epoch);
        let mut group = StepGroup::default();
        // A validation may be due where an interruption left off.
        self.judge_within_epoch(&mut clock)?;
        while self.progress.batch < batches {
            let setup = self.setup;
            let at = setup.steps.place(epoch, self.progress.batch);
            let left = (batches - self.progress.batch).min(setup.steps.batches_of_pass() - at.index);
            let served = setup.feed.serve(at.pass, at.index, &self.task.device, false);
            let mut count = 0;
            for batch in served.take(left as usize) {
                let batch = batch?;
                count += 1;
                clock.tick(EpochPhase::Data);
                let at = setup.steps.place(epoch, self.progress.batch);
                if at.place == 0 {
                    let own = setup.steps.batches_of_step(at);
                    group.samples = setup.feed.samples_of(at.pass, own.clone());
                    let is_alone = own.len() == 1 && self.task.collective.size() == 1;
                    group.divisor = match is_alone && setup.criterion.weighs_as_served() {
                        // The whole step has been served.
                        true => setup.criterion.weight(&batch.targets),
                        false => setup.feed.weight(&*setup.criterion, at.pass, own)?,
                    };
                    if group.divisor == 0.0 && setup.text.is_some() {
                        return Err(TrainError::NothingToLearn { step: at.step + 1 });
                    }
                }
                seen += batch.samples as u64;
                let (loss, tape) = self.forward(batch, at.pass, &mut group)?;
                clock.tick(EpochPhase::Forward);
                let gradients = tape.backward(&loss)?;
                group
                    .gradients
                    .add(at.place, self.network.parameters(), gradients)?;
                clock.tick(EpochPhase::Backward);
                self.progress.batch += 1;
                if reported.elapsed() >= REPORT_EVERY {
                    reported = Instant::now();
                    self.read_figures(&mut group)?;
                    self.report_batch(seen as f64 / clock.training());
                }
                if at.ends_step {
                    self.step(std::mem::take(&mut group), at.step)?;
                    clock.tick(EpochPhase::Step);
                    self.log(seen as f64 / clock.training());
                    self.judge_within_epoch(&mut clock)?;
                    if self.monitor.stopped() {
                        return self.interrupt();
                    }
                    self.save_in_time()?;
                }
            }
            if count < left {
                return Err(TrainError::Incomplete {
                    what: "the training split",
                });
            }
        }
        self.finish_epoch(clock, seen)
    }

    /// The forward pass of a micro-batch of `pass` in the step that `group` is of: what to go backward
    /// from, the batch's share of the step's mean loss, times the loss scale, and the way.
    fn forward(
        &mut self,
        batch: Staged,
        pass: u32,
        group: &mut StepGroup,
    ) -> Result<(Tensor, Tape), TrainError> {
        let Staged {
            inputs,
            targets,
            keys,
            samples,
            ..
        } = batch;
        let (criterion, precision) = (&self.setup.criterion, self.task.recipe.precision);
        let divisor = group.divisor;
        let distillation = self.distillation;
        let wanted = distillation
            .map(|distillation| distillation.outputs(&inputs))
            .transpose()?;
        let pass = Pass {
            train: true,
            precision,
            seed: self.task.seed,
            epoch: pass,
            samples: &keys,
            sequences: None,
        };
        let is_sparing = self.task.recipe.checkpoint_activations;
        let (forward, tape) = Tape::record_as(is_sparing, || -> Result<_, TrainError> {
            let answer = self.network.answer(&inputs, &pass)?;
            let (own, score) = criterion.answer_loss(&answer, &targets, divisor, precision)?;
            let loss = match (distillation, &wanted) {
                (Some(distillation), Some(wanted)) => {
                    distillation.whole_loss(&own, &answer.outputs(precision)?, wanted, group.samples)?
                }
                _ => own,
            };
            Ok((answer, (loss, score)))
        });
        let (answer, (loss, score)) = forward?;
        let score = match score {
            Some(score) => score,
            None => criterion.score(&answer.outputs(precision)?, &targets)?,
        };
        let figures = [loss.detach().to_dtype(DType::F64)?, score];
        // The whole loss is a mean over samples, whatever its own part weighs them by.
        let (divisor, weight) = match distillation {
            Some(_) => (group.samples as f64, samples as f64),
            None => (divisor, criterion.weight(&targets)),
        };
        group.pending.push(Pending {
            batch: self.progress.batch,
            figures: Tensor::stack(&figures, 0)?,
            divisor,
            weight,
            scored: criterion.scored(&targets),
        });
        let loss = match &self.loss_scale {
            Some(scale) => loss.affine(scale.get(), 0.0)?,
            None => loss,
        };
        Ok((loss, tape))
    }

    /// Reads the figures of the micro-batches since the last time, all at once, and adds them up in
    /// their order.
    fn read_figures(&mut self, group: &mut StepGroup) -> Result<(), TrainError> {
        let pending = std::mem::take(&mut group.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let figures: Vec<&Tensor> = pending.iter().map(|pending| &pending.figures).collect();
        let figures = Tensor::stack(&figures, 0)?.to_vec2::<f64>()?;
        for (pending, figures) in pending.iter().zip(figures) {
            let (loss, score) = (figures[0], figures[1]);
            if !loss.is_finite() {
                if self.loss_scale.is_some() {
                    group.overflown = true;
                    continue;
                }
                return Err(TrainError::NonFiniteLoss {
                    epoch: self.progress.epoch + 1,
                    batch: pending.batch + 1,
                    loss,
                    lr: self.learning_rate(self.setup.steps.place(self.progress.epoch, pending.batch).step),
                    precision_hint: self.precision_hint(),
                });
            }
            let sums = &mut self.progress.sums;
            sums.loss = Exact(sums.loss.0 + loss * pending.divisor);
            sums.weight = Exact(sums.weight.0 + pending.weight);
            sums.score = Exact(sums.score.0 + score);
            sums.scored += pending.scored;
        }
        Ok(())
    }

    fn report_batch(&self, samples_per_second: f64) {
        let loss = self.progress.sums.mean_loss();
        // In f16 there may be no finite loss yet.
        if loss.is_finite() {
            self.monitor.emit(Activity::BatchFinished {
                epoch: self.progress.epoch + 1,
                batch: self.progress.batch,
                loss,
                samples_per_second,
            });
        }
    }

    /// The optimizer's step `step` of the epoch, or in f16 its omission.
    fn step(&mut self, mut group: StepGroup, step: u32) -> Result<(), TrainError> {
        self.read_figures(&mut group)?;
        let lr = self.learning_rate(step);
        self.progress.sums.lr = Exact(lr);
        let StepGroup {
            mut gradients,
            overflown,
            ..
        } = group;
        self.task.collective.sum(&mut gradients)?;
        let gradients = gradients.total()?;
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
        let limits = ClipLimits::new(&self.task.recipe.clip, &gradients, factor, norm)?;
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
        let row = EpochFigures {
            epoch,
            lr: sums.lr,
            score: self.setup.task.rules().score.to_owned(),
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
        let steps = self.setup.steps;
        let is_filled = steps.steps_of(self.progress.epoch) == steps.per_epoch();
        self.progress.unfilled = (!is_filled).then(|| self.progress.sums.clone());
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
                self.setup.steps.steps_of(self.progress.epoch),
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
        let within = steps.done_after(self.progress.epoch, self.progress.batch);
        let scale = self
            .loss_scale
            .map(|scale| format!(", loss scale {}", scale.get()))
            .unwrap_or_default();
        self.monitor.info(format!(
            "epoch {}, step {within}/{}: loss {:.4}, {} {:.4}, lr {:.4e}, gradient norm {:.3}{scale}, {:.0} samples/s",
            self.progress.epoch + 1,
            steps.steps_of(self.progress.epoch),
            sums.mean_loss(),
            self.setup.task.rules().score,
            sums.mean_score(),
            sums.lr.0,
            sums.mean_gradient_norm(),
            samples_per_second,
        ));
    }

    /// The learning rate of the optimizer step `step` of the epoch under way.
    fn learning_rate(&self, step: u32) -> f64 {
        let monitored = &self.setup.monitored;
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
