//! The losses that a recipe can choose, as a criterion.

use candle_core::Tensor;

use super::Task;
use crate::data::{Array, DataError};
use crate::ops;
use crate::spec::{Loss, Mistake};
use crate::train::error::TrainError;

/// One of the losses that a recipe can choose: what the criteria of tasks that use them have in common.
#[derive(Clone, Debug)]
pub struct LossCriterion {
    /// The loss.
    pub loss: ops::LossFunction,
    /// Outputs a sample.
    pub outputs: usize,
}

impl LossCriterion {
    /// `loss`, or else the default of `task`, for samples of so many outputs.
    ///
    /// # Errors
    /// There is neither.
    pub fn new(task: &dyn Task, loss: Option<&Loss>, outputs: usize) -> Result<Self, TrainError> {
        let Some(loss) = loss.cloned().or_else(|| task.default_loss()) else {
            let message = format!("the task `{}` needs one", task.rules().name);
            return Err(Mistake::new(["loss"], message).into());
        };
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        let loss = match &loss {
            Loss::CrossEntropy(given) => ops::LossFunction::CrossEntropy {
                label_smoothing: given.label_smoothing.get(),
                class_weights: given
                    .class_weights
                    .as_ref()
                    .map(|weights| narrow(weights.of(&[], &[]))),
                ignore_index: given.ignore_index.and_then(|index| u32::try_from(index).ok()),
            },
            Loss::BinaryCrossEntropy(given) => ops::LossFunction::BinaryCrossEntropy {
                pos_weight: given
                    .pos_weight
                    .as_ref()
                    .map(|weights| narrow(weights.iter().map(|weight| weight.get()).collect())),
            },
            Loss::Mse(_) => ops::LossFunction::Mse,
            Loss::Huber(given) => ops::LossFunction::Huber {
                delta: given.delta.get(),
            },
        };
        Ok(Self { loss, outputs })
    }

    /// As [`Criterion::loss`](super::Criterion::loss).
    pub fn loss(
        &self,
        outputs: &Tensor,
        targets: ops::LossTargets<'_>,
        divisor: f64,
    ) -> Result<Tensor, TrainError> {
        Ok(ops::loss(outputs, targets, &self.loss, divisor)?)
    }

    /// As [`Criterion::weight`](super::Criterion::weight).
    pub fn weight(&self, targets: ops::LossTargets<'_>) -> f64 {
        ops::loss_weight(targets, &self.loss, self.outputs)
    }

    /// As [`Criterion::sample_losses`](super::Criterion::sample_losses).
    pub fn sample_losses(
        &self,
        outputs: &[f32],
        targets: ops::LossTargets<'_>,
    ) -> Result<Vec<(f64, f64)>, TrainError> {
        Ok(ops::loss_per_sample(outputs, targets, &self.loss, self.outputs)?)
    }
}

/// The values of a batch's targets, one for each output of each sample.
///
/// # Errors
/// They are of another type; `what` they should be.
pub fn target_values<'a>(targets: &'a Array, what: &str) -> Result<&'a [f32], TrainError> {
    targets.f32().ok_or_else(|| not(what))
}

/// The batch's targets are not `what` they should be.
pub(super) fn not(what: &str) -> TrainError {
    DataError::Options(format!("the batch's targets are not {what}")).into()
}
