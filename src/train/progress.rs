//! Where a training stands.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::history::{EpochFigures, Exact, Judgement};
use crate::spec::{Train, TrainingLength};

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
    /// The figures of the last epoch, where the training ended before that was full: a longer one goes on with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfilled: Option<EpochSums>,
    /// What multiplied, in the order in which it did.
    #[serde(default)]
    pub kernels: Vec<String>,
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
        u64::from(self.epoch) * u64::from(steps.per_epoch())
            + u64::from(steps.done_after(self.epoch, self.batch))
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

/// How micro-batches form optimizer steps, and steps the epochs of a training.
///
/// Micro-batches come in passes over the data; a step has those of one pass alone. An epoch is a pass, or, of a training
/// that is measured in steps, as many steps as its length says, wherever passes begin and end.
#[derive(Clone, Copy, Debug)]
pub struct EpochSteps {
    /// Micro-batches of a pass, at least 1.
    pass: u32,
    accumulate: u32,
    /// Steps of an epoch; the last epoch may have fewer.
    per_epoch: u32,
    /// All steps.
    total: u64,
}

/// Which micro-batch one of an epoch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    /// The pass that it is of.
    pub pass: u32,
    /// Its index in that.
    pub index: u32,
    /// The optimizer step of the epoch that it belongs to.
    pub step: u32,
    /// Its place among the micro-batches of the step.
    pub place: u32,
    /// Whether it is the last of these.
    pub ends_step: bool,
}

impl EpochSteps {
    /// The steps of a training with `passes` of so many micro-batches.
    pub fn new(recipe: &Train, batches: u32) -> Self {
        let pass = batches.max(1);
        let accumulate = recipe.accumulate.get();
        let per_pass = pass.div_ceil(accumulate);
        let (per_epoch, total) = match recipe.length() {
            TrainingLength::Epochs(epochs) => (per_pass, u64::from(epochs) * u64::from(per_pass)),
            TrainingLength::Steps { steps, per_epoch } => (per_epoch.max(1), u64::from(steps)),
        };
        Self {
            pass,
            accumulate,
            per_epoch,
            total,
        }
    }

    /// All steps.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// All epochs.
    pub fn epochs(&self) -> u32 {
        u32::try_from(self.total.div_ceil(u64::from(self.per_epoch))).unwrap_or(u32::MAX)
    }

    /// Optimizer steps an epoch; the last epoch may have fewer.
    pub fn per_epoch(&self) -> u32 {
        self.per_epoch
    }

    /// Optimizer steps of `epoch`.
    pub fn steps_of(&self, epoch: u32) -> u32 {
        let left = self.total.saturating_sub(self.before_epoch(epoch));
        u32::try_from(left).unwrap_or(u32::MAX).min(self.per_epoch)
    }

    /// Micro-batches of `epoch`; the last of a pass may be smaller than the others.
    pub fn batches_of(&self, epoch: u32) -> u32 {
        let first = self.before_epoch(epoch);
        let end = first + u64::from(self.steps_of(epoch));
        u32::try_from(self.batches_before(end) - self.batches_before(first)).unwrap_or(u32::MAX)
    }

    /// Micro-batches of `epoch` that its first `steps` steps have.
    pub fn batches_within(&self, epoch: u32, steps: u32) -> u32 {
        let first = self.before_epoch(epoch);
        let batches = self.batches_before(first + u64::from(steps)) - self.batches_before(first);
        u32::try_from(batches).unwrap_or(u32::MAX)
    }

    /// The micro-batch `batch` of `epoch`.
    pub fn place(&self, epoch: u32, batch: u32) -> BatchPlace {
        let first = self.before_epoch(epoch);
        let all = self.batches_before(first) + u64::from(batch);
        let (pass, index) = (all / u64::from(self.pass), (all % u64::from(self.pass)) as u32);
        let step = pass * u64::from(self.steps_per_pass()) + u64::from(index / self.accumulate);
        BatchPlace {
            pass: u32::try_from(pass).unwrap_or(u32::MAX),
            index,
            step: u32::try_from(step.saturating_sub(first)).unwrap_or(u32::MAX),
            place: index % self.accumulate,
            ends_step: (index + 1).is_multiple_of(self.accumulate) || index + 1 == self.pass,
        }
    }

    /// The micro-batches, in their pass, of the step that a micro-batch is of.
    pub fn batches_of_step(&self, at: BatchPlace) -> Range<u32> {
        let start = at.index - at.place;
        start..self.pass.min(start + self.accumulate)
    }

    /// Micro-batches of a pass.
    pub fn batches_of_pass(&self) -> u32 {
        self.pass
    }

    /// Finished steps of `epoch` after `batches` of its micro-batches, the last of which ended a step.
    pub fn done_after(&self, epoch: u32, batches: u32) -> u32 {
        match batches.checked_sub(1) {
            None => 0,
            Some(last) => self.place(epoch, last).step + 1,
        }
    }

    /// Steps of a pass; the last may have fewer micro-batches than the others.
    fn steps_per_pass(&self) -> u32 {
        self.pass.div_ceil(self.accumulate)
    }

    /// Steps before `epoch`.
    fn before_epoch(&self, epoch: u32) -> u64 {
        u64::from(epoch) * u64::from(self.per_epoch)
    }

    /// Micro-batches before the step `step` of the training.
    fn batches_before(&self, step: u64) -> u64 {
        let per_pass = u64::from(self.steps_per_pass());
        let within = (step % per_pass) * u64::from(self.accumulate);
        step / per_pass * u64::from(self.pass) + within.min(u64::from(self.pass))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn steps(batches: u32, accumulate: u32, more: Value) -> EpochSteps {
        let mut recipe = json!({
            "data": "data", "model": {"mlp": {}}, "optimizer": {"sgd": {"lr": 0.1}}, "accumulate": accumulate,
        });
        for (key, value) in more.as_object().unwrap() {
            recipe[key] = value.clone();
        }
        EpochSteps::new(&serde_json::from_value(recipe).unwrap(), batches)
    }

    #[test]
    fn the_last_step_of_a_pass_is_shorter() {
        let steps = steps(5, 3, json!({"epochs": 2}));
        assert_eq!((steps.batches_of(1), steps.per_epoch(), steps.total()), (5, 2, 4));
        let ends: Vec<bool> = (0..5).map(|batch| steps.place(1, batch).ends_step).collect();
        assert_eq!(ends, [false, false, true, false, true]);
        let place = steps.place(1, 4);
        assert_eq!((place.pass, place.index, place.step, place.place), (1, 4, 1, 1));
        assert_eq!(steps.batches_of_step(place), 3..5);
        assert_eq!([0, 3, 5].map(|batches| steps.done_after(1, batches)), [0, 1, 2]);
    }

    #[test]
    fn epochs_of_steps_begin_anywhere_in_a_pass() {
        // Passes of 5 micro-batches have two steps; an epoch has three.
        let steps = steps(5, 3, json!({"steps": 8, "validate": {"steps": 3}}));
        assert_eq!((steps.epochs(), steps.steps_of(0), steps.steps_of(2)), (3, 3, 2));
        assert_eq!([0, 1, 2].map(|epoch| steps.batches_of(epoch)), [8, 7, 5]);
        let mut all = Vec::new();
        for epoch in 0..3 {
            for batch in 0..steps.batches_of(epoch) {
                let at = steps.place(epoch, batch);
                all.push((at.pass, at.index, epoch * 3 + at.step));
                assert_eq!(
                    at.ends_step,
                    steps.done_after(epoch, batch + 1) == at.step + 1 && at.ends_step
                );
            }
            assert_eq!(
                steps.done_after(epoch, steps.batches_of(epoch)),
                steps.steps_of(epoch)
            );
        }
        let expected: Vec<(u32, u32, u32)> = (0..4)
            .flat_map(|pass| (0..5).map(move |index| (pass, index, pass * 2 + index / 3)))
            .collect();
        assert_eq!(all, expected);
        assert_eq!(steps.batches_within(1, 1), 2);
    }
}
