//! Losses.

mod check;
mod composed;
mod kernel;

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use self::check::check;
use self::kernel::{SampleTarget, gradient, value};
use super::attributes::Attributes;
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};

/// What is minimised.
#[derive(Clone, Debug, PartialEq)]
pub enum LossFunction {
    /// Softmax cross-entropy, as `torch.nn.CrossEntropyLoss`.
    CrossEntropy {
        /// Share of the target distribution that is spread evenly over all classes, in `[0, 1]`.
        label_smoothing: f64,
        /// A weight for each class, `[classes]`.
        class_weights: Option<Vec<f32>>,
        /// A class whose samples do not count.
        ignore_index: Option<u32>,
    },
    /// Binary cross-entropy of logits, as `torch.nn.BCEWithLogitsLoss`.
    BinaryCrossEntropy {
        /// How much more a positive weighs than a negative, `[K]`.
        pos_weight: Option<Vec<f32>>,
    },
    /// The squared error, as `torch.nn.MSELoss`.
    Mse,
    /// Huber's loss, as `torch.nn.HuberLoss`.
    Huber {
        /// The error at which the parabola becomes a line.
        delta: f64,
    },
    /// How far softened probabilities of classes are from those of other logits, the targets: `T^2 * KL(softmax(targets /
    /// T) || softmax(outputs / T))` of each sample (Hinton, Vinyals and Dean, 2015), as `T^2` times
    /// `torch.nn.KLDivLoss(reduction="batchmean")`. The factor keeps gradients as large whatever the temperature.
    Distillation {
        /// What logits are divided by.
        temperature: f64,
    },
}

/// What outputs are compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossTargets<'a> {
    /// The class of each sample, `[N]`.
    Classes(&'a [u32]),
    /// The probability of each class, `[N, classes]`.
    Probabilities(&'a [f32]),
    /// Labels between 0 and 1, numbers, or logits, `[N, K]`.
    Values(&'a [f32]),
}

/// The loss of `outputs`, `[N, K]`, summed over the batch and divided by `divisor`: a scalar in the
/// graph.
///
/// With [`loss_weight`] as the divisor it is PyTorch's mean. With the weight of a whole group of
/// micro-batches it is the batch's share in the group's mean. A divisor of 0 stands for a group in
/// which nothing counts, such as one of ignored samples only: then loss and gradient are 0, where
/// PyTorch gives NaN.
///
/// # Errors
/// Outputs, targets and the loss's options do not fit each other; the message says how.
pub fn loss(
    outputs: &Tensor,
    targets: LossTargets<'_>,
    loss: &LossFunction,
    divisor: f64,
) -> std::result::Result<Tensor, OpError> {
    let [samples, width] = *outputs.dims() else {
        return Err(OpError::rank(loss.name(), "[N, outputs]", outputs.shape()));
    };
    check(samples, width, targets, loss)?;
    if !divisor.is_finite() || divisor < 0.0 {
        let problem = format!("the divisor {divisor} is not 0 or more");
        return Err(OpError::shape(loss.name(), problem));
    }
    let scale = if divisor > 0.0 { 1.0 / divisor } else { 0.0 };
    let op = LossOp {
        targets: OwnedTargets::from(targets),
        loss: loss.clone(),
        width,
        scale,
    };
    run(op, &[outputs])
}

/// What the mean over these targets divides by, as PyTorch has it.
///
/// For classes, the sum of the class weights of the samples that are not ignored, each 1 without
/// weights; for probabilities and logits, N; for element-wise losses, N times `outputs`.
pub fn loss_weight(targets: LossTargets<'_>, loss: &LossFunction, outputs: usize) -> f64 {
    match targets {
        LossTargets::Classes(classes) => classes.iter().map(|&class| class_weight(class, loss)).sum(),
        LossTargets::Values(values) if loss.is_element_wise() => values.len() as f64,
        LossTargets::Probabilities(values) | LossTargets::Values(values) => {
            (values.len() / outputs.max(1)) as f64
        }
    }
}

/// The loss of each sample before any division, with what it adds to the divisor of the mean: in
/// f64, for evaluation. Not differentiable. `outputs` are `[N, outputs_per_sample]`.
///
/// The mean loss of a split is the sum of the first numbers over the sum of the second.
///
/// # Errors
/// As [`loss`].
pub fn loss_per_sample(
    outputs: &[f32],
    targets: LossTargets<'_>,
    loss: &LossFunction,
    outputs_per_sample: usize,
) -> std::result::Result<Vec<(f64, f64)>, OpError> {
    let width = outputs_per_sample;
    if width == 0 || !outputs.len().is_multiple_of(width) {
        let problem = format!("{} outputs do not make rows of {width}", outputs.len());
        return Err(OpError::shape(loss.name(), problem));
    }
    check(outputs.len() / width, width, targets, loss)?;
    let judged = outputs.par_chunks_exact(width).enumerate().map(|(index, row)| {
        let target = targets.of(index, width);
        let weight = match target {
            SampleTarget::Class(class) => class_weight(class, loss),
            SampleTarget::Values(values) if loss.is_element_wise() => values.len() as f64,
            SampleTarget::Probabilities(_) | SampleTarget::Values(_) => 1.0,
        };
        (value(row, target, loss), weight)
    });
    Ok(judged.collect())
}

/// What a sample of `class` adds to the divisor of the mean cross-entropy.
fn class_weight(class: u32, loss: &LossFunction) -> f64 {
    match loss {
        LossFunction::CrossEntropy { ignore_index, .. } if *ignore_index == Some(class) => 0.0,
        LossFunction::CrossEntropy {
            class_weights: Some(weights),
            ..
        } => weights
            .get(class as usize)
            .map_or(0.0, |&weight| f64::from(weight)),
        _ => 1.0,
    }
}

impl LossFunction {
    /// The field's name for it.
    fn name(&self) -> &'static str {
        match self {
            Self::CrossEntropy { .. } => "cross-entropy",
            Self::BinaryCrossEntropy { .. } => "binary cross-entropy",
            Self::Mse => "mean squared error",
            Self::Huber { .. } => "Huber loss",
            Self::Distillation { .. } => "distillation",
        }
    }

    /// Whether outputs count one by one.
    fn is_element_wise(&self) -> bool {
        !matches!(self, Self::CrossEntropy { .. } | Self::Distillation { .. })
    }
}

impl<'a> LossTargets<'a> {
    /// The target of a sample that has `width` outputs.
    fn of(self, sample: usize, width: usize) -> SampleTarget<'a> {
        let row = |values: &'a [f32]| &values[sample * width..(sample + 1) * width];
        match self {
            Self::Classes(classes) => SampleTarget::Class(classes[sample]),
            Self::Probabilities(values) => SampleTarget::Probabilities(row(values)),
            Self::Values(values) => SampleTarget::Values(row(values)),
        }
    }
}

/// Targets that the graph keeps for the backward pass.
enum OwnedTargets {
    Classes(Vec<u32>),
    Probabilities(Vec<f32>),
    Values(Vec<f32>),
}

impl From<LossTargets<'_>> for OwnedTargets {
    fn from(targets: LossTargets<'_>) -> Self {
        match targets {
            LossTargets::Classes(classes) => Self::Classes(classes.to_vec()),
            LossTargets::Probabilities(values) => Self::Probabilities(values.to_vec()),
            LossTargets::Values(values) => Self::Values(values.to_vec()),
        }
    }
}

impl OwnedTargets {
    fn view(&self) -> LossTargets<'_> {
        match self {
            Self::Classes(classes) => LossTargets::Classes(classes),
            Self::Probabilities(values) => LossTargets::Probabilities(values),
            Self::Values(values) => LossTargets::Values(values),
        }
    }
}

/// Samples are judged one by one, and their losses are summed in f64 in their order.
struct LossOp {
    targets: OwnedTargets,
    loss: LossFunction,
    width: usize,
    scale: f64,
}

impl Operation for LossOp {
    fn name(&self) -> &'static str {
        match self.loss {
            LossFunction::CrossEntropy { .. } => "cross_entropy",
            LossFunction::BinaryCrossEntropy { .. } => "binary_cross_entropy",
            LossFunction::Mse => "mse",
            LossFunction::Huber { .. } => "huber",
            LossFunction::Distillation { .. } => "distillation",
        }
    }

    /// Of the targets nothing: a loss is no part of a network that is exported.
    fn attributes(&self) -> Attributes {
        let attributes = Attributes::default().with("scale", self.scale);
        match self.loss {
            LossFunction::CrossEntropy { label_smoothing, .. } => {
                attributes.with("label_smoothing", label_smoothing)
            }
            LossFunction::Huber { delta } => attributes.with("delta", delta),
            LossFunction::Distillation { temperature } => attributes.with("temperature", temperature),
            LossFunction::BinaryCrossEntropy { .. } | LossFunction::Mse => attributes,
        }
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        composed::loss(&operands[0], self.targets.view(), &self.loss, self.scale)
    }
}

impl CpuKernel for LossOp {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let targets = self.targets.view();
        let losses: Vec<f64> = operands[0]
            .values
            .par_chunks_exact(self.width)
            .enumerate()
            .map(|(index, row)| value(row, targets.of(index, self.width), &self.loss))
            .collect();
        let sum = if self.scale > 0.0 {
            losses.iter().sum::<f64>() * self.scale
        } else {
            0.0
        };
        (vec![sum as f32], Shape::from(()))
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _loss: &[f32],
        upstream: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let outputs = operands[0].values;
        let factor = f64::from(upstream[0]) * self.scale;
        let targets = self.targets.view();
        let of_outputs = || {
            let mut gradients = vec![0.0; outputs.len()];
            if self.scale > 0.0 {
                gradients
                    .par_chunks_exact_mut(self.width)
                    .zip(outputs.par_chunks_exact(self.width))
                    .enumerate()
                    .for_each(|(index, (gradients, row))| {
                        gradient(row, targets.of(index, self.width), &self.loss, factor, gradients);
                    });
            }
            gradients
        };
        vec![OperandGradient::if_wanted(wanted[0], of_outputs)]
    }
}

#[cfg(test)]
mod tests;
