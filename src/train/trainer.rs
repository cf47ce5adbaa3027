//! The training loop.

use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use super::checkpoint::Checkpoint;
use super::error::TrainError;
use super::evaluate::{Evaluation, evaluate, filled_split};
use super::gradients::{Gradients, all_finite};
use super::history::{EpochRow, Exact};
use super::loss_scale::LossScale;
use super::metrics::argmax;
use super::model_file::{Card, build};
use super::optimizer::Optimizer;
use super::progress::{Progress, Steps};
use super::schedule::LearningRate;
use super::tensor_file::{NamedTensors, input_tensor, to_host};
use crate::data::{Batch, Dataset, Loader, LoaderConfig, Normalization, Split, Targets};
use crate::event::{Activity, Monitor};
use crate::models::{Network, Pass};
use crate::ops::{CrossEntropy, cross_entropy};
use crate::spec::{self, Precision, Select, SplitName};

mod keeping;

/// The shortest time between two reports on batches.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What is to be trained.
#[derive(Clone)]
pub struct Task<'a> {
    /// How.
    pub recipe: &'a spec::Train,
    /// On what.
    pub dataset: &'a Dataset,
    /// The seed of everything drawn.
    pub seed: u64,
    /// What names this training: only a checkpoint with the same name is continued.
    pub identity: String,
    /// Where checkpoints are kept.
    pub scratch: &'a Path,
    /// How far to go for now; nothing means to the end.
    pub limits: Option<&'a spec::EpochLimits>,
}

/// A training's result.
#[derive(Clone, Debug)]
pub struct Trained {
    /// What the model is.
    pub card: Card,
    /// The selected epoch's weights and running statistics.
    pub weights: NamedTensors,
    /// What each epoch gave.
    pub history: Vec<EpochRow>,
}

/// Trains, from the latest checkpoint where there is one. The result is the same to the bit whether
/// or not it was interrupted on the way.
///
/// Run it on a thread with a large stack: the backward pass recurses over the network's depth.
///
/// # Errors
/// [`TrainError::Interrupted`], with a checkpoint written, soon after the monitor asks to stop;
/// [`TrainError::Paused`], likewise, after the epoch at which the task's limits end; the training
/// diverges; data cannot be read; a checkpoint cannot be written.
pub fn train(task: &Task<'_>, monitor: &Monitor) -> Result<Trained, TrainError> {
    let recipe = task.recipe;
    let split = filled_split(task.dataset, SplitName::Train)?;
    let validation = task
        .dataset
        .split(SplitName::Val)
        .filter(|split| !split.is_empty());
    if recipe.select == Select::Best && validation.is_none() {
        return Err(TrainError::NoValidation);
    }
    let normalization = match &recipe.normalize {
        Some(given) => Normalization::from_spec(given, task.dataset.shape())?,
        None => Normalization::measure(&split)?,
    };
    let samples = split.len() as u64;
    let config = LoaderConfig {
        batch_size: recipe.batch_size.get() as usize,
        augment: recipe.augment.clone(),
        normalization: normalization.clone(),
        target_scale: None,
        shuffle: true,
        seed: task.seed,
        prefetch: 2,
    };
    let loader = Loader::new(split, config)?;
    let steps = Steps::new(recipe, samples);
    let mut trainer = Trainer::resume(task, monitor, validation, normalization, steps)?;
    trainer.announce(samples);
    while trainer.progress.epoch < recipe.epochs.get() {
        trainer.pause_at_limits()?;
        trainer.epoch(&loader)?;
    }
    trainer.finish()
}

struct Trainer<'a> {
    task: &'a Task<'a>,
    monitor: &'a Monitor,
    validation: Option<Split>,
    normalization: Normalization,
    steps: Steps,
    rates: LearningRate,
    network: Network,
    optimizer: Optimizer,
    loss_scale: Option<LossScale>,
    progress: Progress,
    best: Option<NamedTensors>,
    /// Where the latest checkpoint stands: finished epochs, and batches within the next.
    saved: Option<(u32, u32)>,
}

impl<'a> Trainer<'a> {
    /// A training at its start.
    fn new(
        task: &'a Task<'a>,
        monitor: &'a Monitor,
        validation: Option<Split>,
        normalization: Normalization,
        steps: Steps,
    ) -> Result<Self, TrainError> {
        let (recipe, dataset) = (task.recipe, task.dataset);
        let network = build(
            &recipe.model,
            dataset.shape(),
            dataset.classes().len(),
            task.seed,
            &Device::Cpu,
        )?;
        Ok(Self {
            optimizer: Optimizer::new(&recipe.optimizer, network.parameters()),
            loss_scale: (recipe.precision == Precision::F16).then(LossScale::default),
            rates: LearningRate::new(recipe),
            progress: Progress::default(),
            best: None,
            saved: None,
            task,
            monitor,
            validation,
            normalization,
            steps,
            network,
        })
    }

    /// A training where its latest checkpoint left it, or at its start.
    fn resume(
        task: &'a Task<'a>,
        monitor: &'a Monitor,
        validation: Option<Split>,
        normalization: Normalization,
        steps: Steps,
    ) -> Result<Self, TrainError> {
        let new = || Self::new(task, monitor, validation.clone(), normalization.clone(), steps);
        let mut trainer = new()?;
        let warn = |warning| monitor.warn(warning);
        let Some(checkpoint) = Checkpoint::read(task.scratch, &task.identity, warn) else {
            return Ok(trainer);
        };
        match trainer.restore(checkpoint) {
            Ok(()) => Ok(trainer),
            Err(problem) => {
                monitor.warn(format!(
                    "the checkpoint in `{}` does not fit the model ({problem}); training starts anew",
                    task.scratch.display()
                ));
                new()
            }
        }
    }

    fn announce(&self, samples: u64) {
        self.monitor.emit(Activity::TrainingStarted {
            parameters: count(&self.network),
            samples,
            epochs: self.task.recipe.epochs.get(),
            batches: self.steps.batches(),
            threads: rayon::current_num_threads(),
            resumed_from: self.saved,
        });
        let name = match self.task.recipe.precision {
            Precision::F32 => return,
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        };
        self.monitor.info(format!(
            "on the CPU, `precision: {name}` is computed no faster than f32"
        ));
    }

    /// Trains from where the epoch under way stands to its end.
    fn epoch(&mut self, loader: &Loader) -> Result<(), TrainError> {
        let started = Instant::now();
        let mut reported = started;
        let seen_before = self.progress.samples;
        let speed = |seen: u64| (seen - seen_before) as f64 / started.elapsed().as_secs_f64();
        let mut gradients = Gradients::default();
        if self.progress.batch < self.steps.batches() {
            for batch in loader.epoch(self.progress.epoch, self.progress.batch as usize) {
                let index = self.progress.batch;
                let loss = self.loss(batch?)?;
                gradients.add(self.network.parameters(), loss.backward()?)?;
                self.progress.batch += 1;
                if reported.elapsed() >= REPORT_EVERY {
                    reported = Instant::now();
                    self.report_batch(speed(self.progress.samples));
                }
                if self.steps.ends_with(index) {
                    self.step(std::mem::take(&mut gradients), self.steps.step_of(index))?;
                    if self.monitor.stopped() {
                        return self.interrupt();
                    }
                }
            }
        }
        self.finish_epoch(started, speed(self.progress.samples))
    }

    /// The forward pass of a micro-batch. Gives the loss to go backward from: the batch's share of
    /// the mean over its step's samples, times the loss scale.
    fn loss(&mut self, batch: Batch) -> Result<Tensor, TrainError> {
        let recipe = self.task.recipe;
        let Batch { inputs, targets, .. } = batch;
        let Targets::Classes(labels) = targets else { unreachable!() };
        let inputs = input_tensor(inputs, labels.len(), self.task.dataset.shape(), &Device::Cpu)?;
        let (epoch, index) = (self.progress.epoch, self.progress.batch);
        let pass = Pass {
            train: true,
            precision: recipe.precision,
            seed: self.task.seed,
            step: epoch.wrapping_mul(self.steps.batches()).wrapping_add(index),
        };
        let logits = self.network.forward(&inputs, &pass)?;
        let Some(spec::Loss::CrossEntropy(options)) = &recipe.loss else { unreachable!() };
        let divisor = self.steps.samples_of(self.steps.step_of(index)) as f64;
        let loss = cross_entropy(
            &logits,
            &labels,
            CrossEntropy {
                label_smoothing: options.label_smoothing.get(),
                divisor,
            },
        )?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(TrainError::NonFiniteLoss {
                epoch: epoch + 1,
                batch: index + 1,
                loss: value,
                lr: self.learning_rate(index),
                precision_hint: self.precision_hint(),
            });
        }
        let rows = logits.flatten_all()?.to_vec1::<f32>()?;
        let right = rows
            .chunks_exact(self.task.dataset.classes().len())
            .zip(&labels)
            .filter(|&(row, &label)| argmax(row) == label as usize);
        self.progress.right += right.count() as u64;
        self.progress.samples += labels.len() as u64;
        self.progress.loss = Exact(self.progress.loss.0 + value * divisor);
        Ok(match &self.loss_scale {
            Some(scale) => loss.affine(scale.get(), 0.0)?,
            None => loss,
        })
    }

    /// The optimizer's step `step` of the epoch, or in f16 its omission.
    fn step(&mut self, gradients: Gradients, step: u32) -> Result<(), TrainError> {
        let lr = self.rates.at(self.progress.epoch, step, self.steps.per_epoch());
        self.progress.lr = Exact(lr);
        let mut factor = 1.0;
        if let Some(scale) = &mut self.loss_scale {
            factor = (1.0 / scale.get()) as f32;
            let finite = gradients.all_finite()?;
            scale.update(finite)?;
            if !finite {
                self.progress.skipped += 1;
                return Ok(());
            }
        }
        let parameters = self.network.parameters();
        Ok(self.optimizer.step(parameters, gradients.sums(), lr, factor)?)
    }

    /// Validates, writes the epoch down, and keeps what is to be kept.
    fn finish_epoch(&mut self, started: Instant, samples_per_second: f64) -> Result<(), TrainError> {
        for parameter in self.network.parameters() {
            if !all_finite(&parameter.var)? {
                return Err(TrainError::NonFiniteWeights {
                    name: parameter.name.clone(),
                    epoch: self.progress.epoch + 1,
                    precision_hint: self.precision_hint(),
                });
            }
        }
        let validation = match self.validate() {
            Err(TrainError::Interrupted) => return self.interrupt(),
            other => other?,
        };
        let is_best = self.progress.finish_epoch(validation, self.loss_scale.is_some());
        if is_best && self.task.recipe.select == Select::Best {
            self.progress.best_epoch = Some(self.progress.epoch);
            self.best = Some(to_host(&self.network.state()?)?);
        }
        if let Some(row) = self.progress.history.last() {
            self.monitor.emit(Activity::EpochFinished {
                epoch: row.epoch,
                metrics: row.metrics(),
                samples_per_second,
                seconds: started.elapsed().as_secs_f64(),
            });
        }
        let last = self.progress.epoch == self.task.recipe.epochs.get();
        if !last && self.monitor.stopped() {
            return self.interrupt();
        }
        let due = self.progress.epoch % self.task.recipe.checkpoint.every;
        if last || due == 0 {
            self.save()?;
        }
        Ok(())
    }

    /// Loss and accuracy on the validation split, where there is one.
    fn validate(&self) -> Result<Option<(f64, f64)>, TrainError> {
        let Some(split) = &self.validation else {
            return Ok(None);
        };
        let options = Evaluation {
            precision: self.task.recipe.precision,
            normalization: self.normalization.clone(),
            batch_size: self.task.recipe.batch_size.get() as usize,
        };
        let tally = evaluate(&self.network, split, &options, self.monitor, |_, _, _| Ok(()))?;
        Ok(Some((tally.loss(), tally.accuracy())))
    }

    fn report_batch(&self, samples_per_second: f64) {
        self.monitor.emit(Activity::BatchFinished {
            epoch: self.progress.epoch + 1,
            batch: self.progress.batch,
            loss: self.progress.mean_loss(),
            samples_per_second,
        });
    }

    fn learning_rate(&self, batch: u32) -> f64 {
        let step = self.steps.step_of(batch);
        self.rates.at(self.progress.epoch, step, self.steps.per_epoch())
    }

    fn precision_hint(&self) -> &'static str {
        match self.task.recipe.precision {
            Precision::F32 => "",
            Precision::Bf16 | Precision::F16 => ", or use `precision: f32`",
        }
    }
}

/// The number of trained parameters.
fn count(network: &Network) -> u64 {
    let sizes = network
        .parameters()
        .iter()
        .map(|parameter| parameter.var.elem_count());
    sizes.sum::<usize>() as u64
}
