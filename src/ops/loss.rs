//! Losses.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::composed;
use super::error::OpError;
use super::tensor;

/// What is minimised.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
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
}

/// What outputs are compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Targets<'a> {
    /// The class of each sample, `[N]`.
    Classes(&'a [u32]),
    /// The probability of each class, `[N, classes]`.
    Probabilities(&'a [f32]),
    /// Labels between 0 and 1, or numbers, `[N, K]`.
    Values(&'a [f32]),
}

/// How the cross-entropy is formed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Share of the target distribution that is spread evenly over all classes, in `[0, 1]`.
    pub label_smoothing: f64,
    /// What the sum over the batch's samples is divided by: the batch's size for its mean, or that
    /// of the whole group of micro-batches that one optimizer step sums over.
    pub divisor: f64,
}

/// The softmax cross-entropy of `logits`, `[N, classes]`, against a label for each row, summed over
/// the rows and divided as asked for: a scalar.
///
/// # Errors
/// A label without a column, or as many labels as there are not rows.
pub fn cross_entropy(
    logits: &Tensor,
    labels: &[u32],
    options: CrossEntropy,
) -> std::result::Result<Tensor, OpError> {
    let classes = check(logits, labels, options.label_smoothing)?;
    if !options.divisor.is_finite() || options.divisor <= 0.0 {
        let problem = format!("the divisor {} is not over 0", options.divisor);
        return Err(OpError::shape("cross-entropy", problem));
    }
    if !logits.device().is_cpu() {
        return Ok(composed::cross_entropy(logits, labels, options)?);
    }
    let op = SoftmaxCrossEntropy {
        labels: labels.to_vec(),
        classes,
        options,
    };
    Ok(logits.contiguous()?.apply_op1(op)?)
}

/// The softmax cross-entropy of each row of `logits`, `[N, classes]`, in f64. Not differentiable.
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_per_sample(
    logits: &Tensor,
    labels: &[u32],
    label_smoothing: f64,
) -> std::result::Result<Vec<f64>, OpError> {
    let classes = check(logits, labels, label_smoothing)?;
    let logits = logits.detach().to_device(&candle_core::Device::Cpu)?;
    Ok(tensor::with_values(&logits, |logits| {
        Ok(losses(logits, labels, classes, label_smoothing))
    })?)
}

fn check(logits: &Tensor, labels: &[u32], label_smoothing: f64) -> std::result::Result<usize, OpError> {
    const OP: &str = "cross-entropy";
    let [rows, classes] = *logits.dims() else {
        return Err(OpError::rank(OP, "[N, classes]", logits.shape()));
    };
    if rows != labels.len() || classes == 0 {
        let problem = format!("logits of {rows} x {classes} for {} labels", labels.len());
        return Err(OpError::shape(OP, problem));
    }
    if !(0.0..=1.0).contains(&label_smoothing) {
        return Err(OpError::shape(
            OP,
            format!("label smoothing {label_smoothing} is not in [0, 1]"),
        ));
    }
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(index) => Err(OpError::Label {
            index,
            label: labels[index],
            classes,
        }),
        None => Ok(classes),
    }
}

struct SoftmaxCrossEntropy {
    labels: Vec<u32>,
    classes: usize,
    options: CrossEntropy,
}

/// The logarithm of the sum of exponentials, safe against overflow.
fn log_sum_exp(row: &[f32]) -> f64 {
    let largest = row
        .iter()
        .fold(f64::NEG_INFINITY, |largest, &value| largest.max(f64::from(value)));
    if !largest.is_finite() {
        // NaN where a logit is infinite or all are NaN: never a plausible loss.
        return f64::NAN;
    }
    largest
        + row
            .iter()
            .map(|&value| (f64::from(value) - largest).exp())
            .sum::<f64>()
            .ln()
}

fn losses(logits: &[f32], labels: &[u32], classes: usize, smoothing: f64) -> Vec<f64> {
    logits
        .par_chunks_exact(classes)
        .zip(labels)
        .map(|(row, &label)| {
            let log_sum = log_sum_exp(row);
            let of_label = log_sum - f64::from(row[label as usize]);
            if smoothing == 0.0 {
                return of_label;
            }
            let mean = log_sum - row.iter().map(|&value| f64::from(value)).sum::<f64>() / classes as f64;
            (1.0 - smoothing) * of_label + smoothing * mean
        })
        .collect()
}

impl CustomOp1 for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        "softmax-cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = tensor::values(logits, layout)?;
        let losses = losses(logits, &self.labels, self.classes, self.options.label_smoothing);
        let sum = losses.iter().sum::<f64>() / self.options.divisor;
        Ok(tensor::output(vec![sum as f32], ()))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let factor = f64::from(gradient.to_scalar::<f32>()?) / self.options.divisor;
        let smoothing = self.options.label_smoothing;
        let even = smoothing / self.classes as f64;
        let values = tensor::with_values(logits, |logits| {
            let mut target = vec![0.0; logits.len()];
            target
                .par_chunks_exact_mut(self.classes)
                .zip(logits.par_chunks_exact(self.classes))
                .zip(&self.labels)
                .for_each(|((target, row), &label)| {
                    let log_sum = log_sum_exp(row);
                    for (class, (target, &value)) in target.iter_mut().zip(row).enumerate() {
                        let wanted = if class == label as usize {
                            1.0 - smoothing + even
                        } else {
                            even
                        };
                        *target = (factor * ((f64::from(value) - log_sum).exp() - wanted)) as f32;
                    }
                });
            Ok(target)
        })?;
        Ok(Some(tensor::from_values(values, logits.shape())?))
    }
}

#[cfg(test)]
mod tests;
