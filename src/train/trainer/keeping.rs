//! What a training keeps: checkpoints on the way, the selected weights at the end.

use candle_core::Device;

use super::{Trained, Trainer, count};
use crate::event::Activity;
use crate::train::checkpoint::Checkpoint;
use crate::train::error::TrainError;
use crate::train::history::EpochRow;
use crate::train::model_file::Card;
use crate::train::tensor_file::{to_device, to_host};

impl Trainer<'_> {
    /// Puts everything where `checkpoint` stands. On an error the training is of no more use.
    pub(super) fn restore(&mut self, checkpoint: Checkpoint) -> Result<(), String> {
        let tensors = to_device(&checkpoint.model, &Device::Cpu)?;
        self.network
            .load_state(&tensors)
            .map_err(|error| error.to_string())?;
        self.optimizer.load_state(&checkpoint.optimizer)?;
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
        let values: Vec<f64> = self
            .progress
            .history
            .iter()
            .map(|row| row.metrics().get(&limits.metric).copied().unwrap_or(f64::NAN))
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
            model: to_host(&self.network.state()?)?,
            optimizer: self.optimizer.state()?,
            best: self.best.clone(),
        };
        checkpoint.write(self.task.scratch)?;
        self.saved = Some(here);
        self.monitor.emit(Activity::CheckpointWritten {
            epoch: here.0,
            batch: here.1,
        });
        Ok(())
    }

    /// The weights that the recipe selects, with their card.
    pub(super) fn finish(self) -> Result<Trained, TrainError> {
        let recipe = self.task.recipe;
        let selected = self.progress.best_epoch.unwrap_or(self.progress.epoch);
        let weights = match self.best {
            Some(best) => best,
            None => to_host(&self.network.state()?)?,
        };
        let row = self.progress.history.iter().find(|row| row.epoch == selected);
        let mut metrics = row.map(EpochRow::metrics).unwrap_or_default();
        metrics.retain(|name, _| name.starts_with("train_") || name.starts_with("val_"));
        let card = Card {
            card_version: Card::VERSION,
            architecture: recipe.model.clone(),
            input: self.task.dataset.shape(),
            classes: self.task.dataset.classes().to_vec(),
            normalization: self.normalization,
            precision: recipe.precision,
            batch_size: recipe.batch_size.get(),
            seed: self.task.seed,
            parameters: count(&self.network),
            epochs: self.progress.epoch,
            selected_epoch: selected,
            metrics,
        };
        Ok(Trained {
            card,
            weights,
            history: self.progress.history,
        })
    }
}
