//! The losses as compositions of candle's operations, for devices without a kernel of ours.
//!
//! Value and gradient are both formed outside the graph, from operations without corners, and
//! joined to it as `value + (x · gradient - the same number)`: so nothing depends on how candle
//! differentiates a maximum or an absolute value.

use candle_core::{Result, Tensor};

use super::kernel::{coefficients, positive_weight};
use super::{LossFunction, LossTargets};

/// The sum of the losses of `outputs`, `[N, K]`, times `scale`.
pub(super) fn loss(
    outputs: &Tensor,
    targets: LossTargets<'_>,
    loss: &LossFunction,
    scale: f64,
) -> Result<Tensor> {
    let x = outputs.detach();
    let (values, gradient) = match loss {
        LossFunction::CrossEntropy { .. } => cross_entropy(&x, targets, loss)?,
        LossFunction::BinaryCrossEntropy { pos_weight } => {
            binary_cross_entropy(&x, &numbers(&x, targets)?, pos_weight.as_deref())?
        }
        LossFunction::Mse => {
            let error = (&x - numbers(&x, targets)?)?;
            (error.sqr()?, (&error * 2.0)?)
        }
        LossFunction::Huber { delta } => {
            let error = (&x - numbers(&x, targets)?)?;
            let limited = error.clamp(-*delta as f32, *delta as f32)?;
            // d²/2 within the limits, delta (|d| - delta / 2) beyond.
            (((&limited * &error)? - (limited.sqr()? * 0.5)?)?, limited)
        }
        LossFunction::Distillation { temperature } => {
            let softened = |logits: &Tensor| candle_nn::ops::log_softmax(&(logits / *temperature)?, 1);
            let (own, wanted) = (softened(&x)?, softened(&numbers(&x, targets)?)?);
            let probabilities = wanted.exp()?;
            let values = (&probabilities * (wanted - &own)?)?;
            let gradient = ((own.exp()? - probabilities)? * *temperature)?;
            ((values * (temperature * temperature))?, gradient)
        }
    };
    let along = (outputs * gradient.detach())?.sum_all()?;
    let nothing = (&along - along.detach())?;
    (values.detach().sum_all()? + nothing)? * scale
}

/// Losses and their gradients, `[N, K]`.
fn cross_entropy(x: &Tensor, targets: LossTargets<'_>, loss: &LossFunction) -> Result<(Tensor, Tensor)> {
    let (samples, classes) = x.dims2()?;
    let mut weights = Vec::with_capacity(samples * classes);
    for sample in 0..samples {
        coefficients(classes, targets.of(sample, classes), loss, |_, coefficient| {
            weights.push(coefficient as f32);
        });
    }
    let weights = Tensor::from_vec(weights, (samples, classes), x.device())?;
    let log_probabilities = candle_nn::ops::log_softmax(x, 1)?;
    let totals = weights.sum_keepdim(1)?;
    let gradient = (log_probabilities.exp()?.broadcast_mul(&totals)? - &weights)?;
    Ok((((log_probabilities * weights)? * -1.0)?, gradient))
}

fn binary_cross_entropy(
    x: &Tensor,
    targets: &Tensor,
    pos_weight: Option<&[f32]>,
) -> Result<(Tensor, Tensor)> {
    let (_, labels) = x.dims2()?;
    let weights: Vec<f32> = (0..labels)
        .map(|index| positive_weight(pos_weight, index, 1.0) as f32)
        .collect();
    // 1 + (pos_weight - 1) target
    let more = Tensor::from_vec(weights, (1, labels), x.device())?.affine(1.0, -1.0)?;
    let weights = targets.broadcast_mul(&more)?.affine(1.0, 1.0)?;
    let negatives = targets.affine(-1.0, 1.0)?;
    let softplus = (x.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()? + x.neg()?.relu()?)?;
    let values = ((&negatives * x)? + (&weights * softplus)?)?;
    let sigmoid_of_minus_x = x.exp()?.affine(1.0, 1.0)?.recip()?;
    let gradient = (negatives - (weights * sigmoid_of_minus_x)?)?;
    Ok((values, gradient))
}

/// The targets as a tensor like `x`.
fn numbers(x: &Tensor, targets: LossTargets<'_>) -> Result<Tensor> {
    match targets {
        LossTargets::Values(values) | LossTargets::Probabilities(values) => {
            Tensor::from_slice(values, x.shape(), x.device())
        }
        LossTargets::Classes(_) => candle_core::bail!("numbers are expected as targets"),
    }
}
