//! Where a training stands.

use serde::{Deserialize, Serialize};

use super::history::{EpochFigures, Exact, Judgement};

/// Where a training stands, beside its tensors: a plain record that goes into the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingState {
    /// Finished epochs.
    pub epoch: u32,
    /// Finished micro-batches of the epoch under way.
    pub batch: u32,
    /// The figures of the epoch under way.
    pub sums: EpochSums,
    /// The finished epochs' figures.
    pub history: Vec<EpochFigures>,
    /// The validations so far.
    pub judgements: Vec<Judgement>,
    /// With `select: best`, the best of them.
    pub best: Option<Judgement>,
    /// Whether the training ends although there are epochs left.
    pub stopped_early: bool,
}

/// Sums over the finished micro-batches of the epoch under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochSums {
    /// Losses, times their weights.
    pub loss: Exact,
    /// What the mean loss divides by.
    pub weight: Exact,
    /// The score: samples or labels that are right, or absolute errors.
    pub score: Exact,
    /// What the mean score divides by.
    pub scored: u64,
    /// Optimizer steps that were skipped.
    pub skipped: u64,
    /// Norms of the gradients of the steps that were not skipped.
    pub gradient_norm: Exact,
    /// Optimizer steps that were not skipped.
    pub stepped: u64,
    /// The learning rate of the last step.
    pub lr: Exact,
}

impl EpochSums {
    /// The mean loss.
    pub fn mean_loss(&self) -> f64 {
        self.loss.0 / self.weight.0
    }

    /// The mean score.
    pub fn mean_score(&self) -> f64 {
        self.score.0 / self.scored as f64
    }

    /// The mean norm of the gradients.
    pub fn mean_gradient_norm(&self) -> f64 {
        self.gradient_norm.0 / self.stepped as f64
    }
}

impl TrainingState {
    /// Optimizer steps so far, skipped ones included; between two steps.
    pub fn steps(&self, steps: EpochSteps) -> u64 {
        u64::from(self.epoch) * u64::from(steps.per_epoch()) + u64::from(steps.done_after(self.batch))
    }

    /// The validation at this very place, if it has been made.
    pub fn judged_at(&self, step: u64) -> Option<&Judgement> {
        self.judgements.last().filter(|last| last.step == step)
    }

    /// Ends the epoch under way: its row joins the history, and the next one begins.
    pub fn finish_epoch(&mut self, row: EpochFigures) {
        self.history.push(row);
        self.epoch += 1;
        self.batch = 0;
        self.sums = EpochSums::default();
    }
}

/// How an epoch's micro-batches form optimizer steps.
#[derive(Clone, Copy, Debug)]
pub struct EpochSteps {
    samples: u64,
    batch_size: u32,
    accumulate: u32,
    batches: u32,
}

impl EpochSteps {
    /// The steps of an epoch over `samples` samples.
    pub fn new(recipe: &crate::spec::Train, samples: u64) -> Self {
        Self {
            samples,
            batch_size: recipe.batch_size.get(),
            accumulate: recipe.accumulate.get(),
            batches: recipe.batches(samples),
        }
    }

    /// Micro-batches an epoch; the last may be smaller than the others.
    pub fn batches(&self) -> u32 {
        self.batches
    }

    /// Samples of the last micro-batch.
    pub fn last_batch(&self) -> u64 {
        self.used() - u64::from(self.batches().saturating_sub(1)) * u64::from(self.batch_size)
    }

    /// Samples an epoch that are trained on.
    pub fn used(&self) -> u64 {
        self.samples
            .min(u64::from(self.batches()) * u64::from(self.batch_size))
    }

    /// Optimizer steps an epoch; the last may have fewer micro-batches than the others.
    pub fn per_epoch(&self) -> u32 {
        self.batches().div_ceil(self.accumulate)
    }

    /// The step that micro-batch `batch` belongs to.
    pub fn step_of(&self, batch: u32) -> u32 {
        batch / self.accumulate
    }

    /// The place of micro-batch `batch` within its step.
    pub fn place_in_step(&self, batch: u32) -> u32 {
        batch % self.accumulate
    }

    /// Finished steps after `batches` micro-batches, the last of which ended a step.
    pub fn done_after(&self, batches: u32) -> u32 {
        batches.div_ceil(self.accumulate)
    }

    /// Whether `batch` is the last micro-batch of its step.
    pub fn ends_with(&self, batch: u32) -> bool {
        (batch + 1).is_multiple_of(self.accumulate) || batch + 1 == self.batches()
    }

    /// The samples of step `step`, as places in the epoch's order.
    pub fn samples_of(&self, step: u32) -> std::ops::Range<u64> {
        let full = u64::from(self.batch_size) * u64::from(self.accumulate);
        let start = u64::from(step) * full;
        start..self.used().min(start + full)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn steps(samples: u64, batch_size: u32, accumulate: u32, drop_last: bool) -> EpochSteps {
        let recipe = json!({
            "data": "data", "model": {"mlp": {}}, "epochs": 1, "optimizer": {"sgd": {"lr": 0.1}},
            "batch_size": batch_size, "accumulate": accumulate, "drop_last": drop_last,
        });
        EpochSteps::new(&serde_json::from_value(recipe).unwrap(), samples)
    }

    #[test]
    fn the_last_step_is_shorter() {
        let steps = steps(23, 4, 2, false);
        assert_eq!(
            (steps.batches(), steps.per_epoch(), steps.last_batch()),
            (6, 3, 3)
        );
        let ends: Vec<bool> = (0..6).map(|batch| steps.ends_with(batch)).collect();
        assert_eq!(ends, [false, true, false, true, false, true]);
        let samples: Vec<_> = (0..3).map(|step| steps.samples_of(step)).collect();
        assert_eq!(samples, [0..8, 8..16, 16..23]);

        let steps = self::steps(20, 4, 3, false);
        assert_eq!((steps.batches(), steps.per_epoch(), steps.step_of(4)), (5, 2, 1));
        assert!(steps.ends_with(2) && !steps.ends_with(3) && steps.ends_with(4));
        assert_eq!((steps.samples_of(0), steps.samples_of(1)), (0..12, 12..20));
        assert_eq!([0, 3, 5].map(|batches| steps.done_after(batches)), [0, 1, 2]);
    }

    #[test]
    fn the_last_batch_can_be_left_out() {
        let steps = steps(23, 4, 2, true);
        assert_eq!((steps.batches(), steps.per_epoch(), steps.used()), (5, 3, 20));
        assert_eq!((steps.samples_of(2), steps.last_batch()), (16..20, 4));
    }
}
