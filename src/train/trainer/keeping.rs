//! What a training keeps: checkpoints on the way, the selected weights at the end.

use std::time::Instant;

use super::{Trained, Trainer};
use crate::event::Activity;
use crate::metric::EpochSplit;
use crate::train::checkpoint::Checkpoint;
use crate::train::ema::Ema;
use crate::train::error::TrainError;
use crate::train::huggingface::PretrainedFolder;
use crate::train::low_rank::split;
use crate::train::model_file::Card;
use crate::train::tensor_file::{NamedTensors, to_device, to_host};

impl Trainer<'_> {
    /// Puts everything where `checkpoint` stands. On an error the training is of no more use.
    pub(super) fn restore(&mut self, checkpoint: Checkpoint) -> Result<(), String> {
        let mut tensors = to_device(&checkpoint.model, &self.task.device)?;
        if self.task.recipe.lora.is_some() {
            // What stays as it is stands there already.
            for (name, tensor) in self.network.state().map_err(|error| error.to_string())? {
                tensors.entry(name).or_insert(tensor);
            }
        }
        self.network
            .load_state(&tensors)
            .map_err(|error| error.to_string())?;
        self.optimizer.load_state(&checkpoint.optimizer)?;
        match (&mut self.ema, &checkpoint.ema) {
            (Some(ema), Some(state)) => ema.load_state(state)?,
            (None, None) => {}
            _ => return Err("it has averaged weights where none are kept, or the other way round".into()),
        }
        self.loss_scale = checkpoint.loss_scale;
        self.saved = Some((checkpoint.progress.epoch, checkpoint.progress.batch));
        self.progress = checkpoint.progress;
        self.best = checkpoint.best;
        Ok(())
    }

    /// Stops: with a checkpoint, and always with [`TrainError::Interrupted`] or what kept it from
    /// being written.
    pub(super) fn interrupt(&mut self) -> Result<(), TrainError> {
        self.save()?;
        Err(TrainError::Interrupted)
    }

    /// Stops, with a checkpoint, if the task's limits end at or before the epochs finished so far.
    pub(super) fn pause_at_limits(&mut self) -> Result<(), TrainError> {
        let Some(limits) = self.task.limits else {
            return Ok(());
        };
        // An epoch without a validation is judged by the one before.
        let mut latest = f64::NAN;
        let values: Vec<f64> = self
            .progress
            .history
            .iter()
            .map(|row| {
                latest = row.metrics().number(&limits.metric).unwrap_or(latest);
                latest
            })
            .collect();
        // A checkpoint of an earlier call may stand beyond: what counts is where the limits end.
        let end = (1..=values.len()).find(|&epochs| limits.pause(&values[..epochs]));
        match end {
            None => Ok(()),
            Some(epochs) => {
                self.save()?;
                Err(TrainError::Paused {
                    curve: values[..epochs].to_vec(),
                })
            }
        }
    }

    /// Writes a checkpoint within an epoch, where the last one is old enough.
    pub(super) fn save_in_time(&mut self) -> Result<(), TrainError> {
        match self.task.recipe.checkpoint.minutes {
            Some(minutes) if self.saved_at.elapsed().as_secs_f64() >= 60.0 * minutes.get() => self.save(),
            _ => Ok(()),
        }
    }

    /// Writes a checkpoint, unless the latest one stands here already.
    pub(super) fn save(&mut self) -> Result<(), TrainError> {
        let here = (self.progress.epoch, self.progress.batch);
        if self.saved == Some(here) {
            return Ok(());
        }
        let checkpoint = Checkpoint {
            identity: self.task.identity.clone(),
            progress: self.progress.clone(),
            loss_scale: self.loss_scale,
            model: self.changing_state()?,
            optimizer: self.optimizer.state()?,
            ema: self.ema.as_ref().map(Ema::state).transpose()?,
            best: self.best.clone(),
        };
        checkpoint.write(self.task.scratch, self.task.recipe.checkpoint.keep.get())?;
        self.saved = Some(here);
        self.saved_at = Instant::now();
        self.monitor.emit(Activity::CheckpointWritten {
            epoch: here.0,
            batch: here.1,
        });
        Ok(())
    }

    /// What of the network's state a training changes: all of it, unless low-rank changes are trained.
    pub(super) fn changing_state(&self) -> Result<NamedTensors, TrainError> {
        let state = to_host(&self.network.state()?)?;
        Ok(match self.task.recipe.lora {
            Some(_) => split(&self.network, state).1,
            None => state,
        })
    }

    /// The weights that the recipe selects, with their card.
    pub(super) fn finish(mut self) -> Result<Trained, TrainError> {
        let (recipe, setup) = (self.task.recipe, self.setup);
        let weights = match self.best.take() {
            Some(best) => best,
            None => {
                self.exchange_averages()?;
                self.changing_state()?
            }
        };
        let base = match recipe.lora {
            Some(_) => Some(split(&self.network, to_host(&self.network.state()?)?).0),
            None => None,
        };
        let last = self.progress.judgements.last();
        let judgement = self.progress.best.as_ref().or(last);
        let epoch = match &self.progress.best {
            Some(best) => best.epoch,
            None => self.progress.epoch,
        };
        let row = self.progress.history.iter().find(|row| row.epoch == epoch);
        let mut metrics = row
            .map(|row| {
                let row = crate::train::history::EpochFigures {
                    validation: judgement.cloned(),
                    ..row.clone()
                };
                row.metrics()
            })
            .unwrap_or_default();
        metrics.retain(|name| EpochSplit::of_column(name).is_some());
        let card = Card {
            card_version: Card::VERSION,
            architecture: setup.model.clone(),
            input: setup.input,
            inputs: Some(self.task.dataset.schema().inputs()),
            text: setup.text,
            target: setup.target.clone(),
            transforms: recipe.eval_transforms.clone(),
            normalization: setup.normalization.clone(),
            reported_loss: setup.reported_loss.clone(),
            precision: recipe.precision,
            kernels: self.progress.kernels.clone(),
            ends: self
                .task
                .pretrained
                .map(PretrainedFolder::told_ends)
                .unwrap_or_default(),
            batch_size: recipe.batch_size.get(),
            seed: self.task.seed,
            parameters: self.parameters(),
            epochs: self.progress.epoch,
            selected_epoch: epoch,
            selected_step: match &self.progress.best {
                Some(best) => best.step,
                None => self.progress.steps(setup.steps),
            },
            metrics,
            lora: recipe.lora.clone(),
            quantization: None,
        };
        let validations = recipe
            .validate
            .steps
            .and(setup.validation.as_ref())
            .map(|_| self.progress.judgements.clone());
        Ok(Trained {
            card,
            weights,
            base,
            score: setup.task.rules().score,
            history: self.progress.history,
            validations,
        })
    }
}
