//! Where a training stands.

use serde::{Deserialize, Serialize};

use super::history::{EpochRow, Exact};
use crate::spec;

/// Where a training stands, beside its tensors: a plain record that goes into the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Finished epochs.
    pub epoch: u32,
    /// Finished micro-batches of the epoch under way.
    pub batch: u32,
    /// Samples of the epoch under way that have been seen.
    pub samples: u64,
    /// The sum of their losses.
    pub loss: Exact,
    /// How many of them were classified rightly.
    pub right: u64,
    /// Optimizer steps of the epoch under way that were skipped.
    pub skipped: u64,
    /// The learning rate of the last step.
    pub lr: Exact,
    /// The finished epochs' figures.
    pub history: Vec<EpochRow>,
    /// With `select: best`, the best epoch so far (from 1).
    pub best_epoch: Option<u32>,
}

impl Progress {
    /// The mean loss of the epoch under way.
    pub fn mean_loss(&self) -> f64 {
        self.loss.0 / self.samples as f64
    }

    /// Ends the epoch under way: its row joins the history. Says whether it is the best so far.
    pub fn finish_epoch(&mut self, validation: Option<(f64, f64)>, scaled: bool) -> bool {
        let accuracy = |row: &EpochRow| row.val_accuracy.map_or(f64::NEG_INFINITY, |value| value.0);
        let row = EpochRow {
            epoch: self.epoch + 1,
            lr: self.lr,
            train_loss: Exact(self.mean_loss()),
            train_accuracy: Exact(self.right as f64 / self.samples as f64),
            val_loss: validation.map(|(loss, _)| Exact(loss)),
            val_accuracy: validation.map(|(_, accuracy)| Exact(accuracy)),
            skipped_steps: scaled.then_some(self.skipped),
        };
        let best = self
            .history
            .iter()
            .all(|earlier| accuracy(earlier) < accuracy(&row));
        self.history.push(row);
        self.epoch += 1;
        (self.batch, self.samples, self.right, self.skipped) = (0, 0, 0, 0);
        self.loss = Exact(0.0);
        best
    }
}

/// How an epoch's micro-batches form optimizer steps.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    samples: u64,
    batch_size: u32,
    accumulate: u32,
}

impl Steps {
    /// The steps of an epoch over `samples` samples.
    pub fn new(recipe: &spec::Train, samples: u64) -> Self {
        Self {
            samples,
            batch_size: recipe.batch_size.get(),
            accumulate: recipe.accumulate.get(),
        }
    }

    /// Micro-batches an epoch; the last may be smaller than the others.
    pub fn batches(&self) -> u32 {
        let batches = self.samples.div_ceil(u64::from(self.batch_size));
        u32::try_from(batches).unwrap_or(u32::MAX)
    }

    /// Optimizer steps an epoch; the last may have fewer micro-batches than the others.
    pub fn per_epoch(&self) -> u32 {
        self.batches().div_ceil(self.accumulate)
    }

    /// The step that micro-batch `batch` belongs to.
    pub fn step_of(&self, batch: u32) -> u32 {
        batch / self.accumulate
    }

    /// Whether `batch` is the last micro-batch of its step.
    pub fn ends_with(&self, batch: u32) -> bool {
        (batch + 1).is_multiple_of(self.accumulate) || batch + 1 == self.batches()
    }

    /// How many samples step `step` has in all.
    pub fn samples_of(&self, step: u32) -> u64 {
        let full = u64::from(self.batch_size) * u64::from(self.accumulate);
        (self.samples - u64::from(step) * full).min(full)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn steps(samples: u64, batch_size: u32, accumulate: u32) -> Steps {
        let recipe = json!({
            "data": "data", "model": {"mlp": {}}, "epochs": 1, "optimizer": {"sgd": {"lr": 0.1}},
            "batch_size": batch_size, "accumulate": accumulate,
        });
        Steps::new(&serde_json::from_value(recipe).unwrap(), samples)
    }

    #[test]
    fn the_last_step_is_shorter() {
        let steps = steps(23, 4, 2);
        assert_eq!((steps.batches(), steps.per_epoch()), (6, 3));
        let ends: Vec<bool> = (0..6).map(|batch| steps.ends_with(batch)).collect();
        assert_eq!(ends, [false, true, false, true, false, true]);
        let samples: Vec<u64> = (0..3).map(|step| steps.samples_of(step)).collect();
        assert_eq!(samples, [8, 8, 7]);

        let steps = self::steps(20, 4, 3);
        assert_eq!((steps.batches(), steps.per_epoch(), steps.step_of(4)), (5, 2, 1));
        assert!(steps.ends_with(2) && !steps.ends_with(3) && steps.ends_with(4));
        assert_eq!((steps.samples_of(0), steps.samples_of(1)), (12, 8));
    }

    #[test]
    fn the_best_epoch_is_the_first_of_equals() {
        let mut progress = Progress::default();
        let best: Vec<bool> = [0.5, 0.4, 0.6, 0.6]
            .into_iter()
            .map(|accuracy| {
                progress.samples = 2;
                progress.loss = Exact(3.0);
                progress.finish_epoch(Some((1.0, accuracy)), false)
            })
            .collect();
        assert_eq!(best, [true, false, true, false]);
        assert_eq!((progress.epoch, progress.samples), (4, 0));
        assert_eq!(progress.history[3].train_loss, Exact(1.5));
        assert_eq!(progress.history[3].epoch, 4);
    }
}
