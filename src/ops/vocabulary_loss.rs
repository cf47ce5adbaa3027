//! Cross-entropy over a vocabulary, from hidden states, without ever holding the logits of all of them.

mod blocks;
mod composed;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::tensor::with_arrays;
use crate::spec::Precision;
use blocks::{BlockGradients, VocabularyBlocks};

pub use blocks::RowVerdict;

/// The cross-entropy of the logits `hidden * weight^T + bias` of each row, summed over the rows that have a
/// target and divided by `divisor`: a scalar in the graph. `hidden` is `[N, D]`, `weight` `[V, D]`, which may be
/// the embedding's too, `bias` `[V]`, `targets` one a row, or nothing where the row does not count.
///
/// With the number of targets as the divisor it is PyTorch's mean; with that of a whole group of micro-batches
/// the batch's share in the group's mean. A divisor of 0 stands for a group without targets: loss and gradient are
/// 0. Logits are made for some rows at a time. In a narrow format operands, logits and the logits' gradients are
/// rounded; the softmax is f32.
///
/// # Errors
/// Shapes that do not fit each other, a target that is not under V, or a divisor that is not 0 or more.
pub fn vocabulary_loss(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    targets: &[Option<u32>],
    divisor: f64,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    let (loss, _) = vocabulary_loss_with_score(hidden, weight, bias, targets, divisor, precision)?;
    Ok(loss)
}

/// The same, and how many targets have the largest logit (the first of equals): a scalar of f64 beside the graph. To
/// find that costs little while the logits are there.
///
/// # Errors
/// As [`vocabulary_loss`].
pub fn vocabulary_loss_with_score(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    targets: &[Option<u32>],
    divisor: f64,
    precision: Precision,
) -> std::result::Result<(Tensor, Tensor), OpError> {
    check(hidden, weight, bias, targets)?;
    if !divisor.is_finite() || divisor < 0.0 {
        return Err(OpError::shape(
            OP,
            format!("the divisor {divisor} is not 0 or more"),
        ));
    }
    let operands: Vec<&Tensor> = [hidden, weight].into_iter().chain(bias).collect();
    let op = VocabularyLoss {
        targets: targets.into(),
        scale: if divisor > 0.0 { 1.0 / divisor } else { 0.0 },
        precision,
        trained: operands.iter().map(|operand| operand.track_op()).collect(),
        gradients: Mutex::default(),
        likeliest: Arc::default(),
    };
    let likeliest = Arc::clone(&op.likeliest);
    let loss = run(op, &operands)?;
    let found = likeliest.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Every way to the loss finds the number first.
    let likeliest = match found {
        Some(found) => found,
        None => Tensor::new(0.0, loss.device())?,
    };
    Ok((loss, likeliest))
}

/// What is found of each row, the loss before any division, on the host; nothing for rows without a target. Not
/// differentiable. For evaluation, with the arguments of [`vocabulary_loss`].
///
/// # Errors
/// As [`vocabulary_loss`].
pub fn vocabulary_verdicts(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    targets: &[Option<u32>],
    precision: Precision,
) -> std::result::Result<Vec<Option<RowVerdict>>, OpError> {
    check(hidden, weight, bias, targets)?;
    let cpu = candle_core::Device::Cpu;
    let operands: Vec<Tensor> = [hidden, weight]
        .into_iter()
        .chain(bias)
        .map(|operand| operand.detach().to_device(&cpu))
        .collect::<Result<_>>()?;
    let verdicts = with_arrays(&operands, |operands| {
        VocabularyBlocks::new(operands, targets, precision).verdicts()
    })?;
    let mut verdicts = verdicts.into_iter();
    let of_row = |target: &Option<u32>| target.and_then(|_| verdicts.next());
    Ok(targets.iter().map(of_row).collect())
}

const OP: &str = "vocabulary loss";

fn check(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    targets: &[Option<u32>],
) -> std::result::Result<(), OpError> {
    let fits = match (hidden.dims(), weight.dims()) {
        (&[rows, width], &[vocabulary, columns]) => {
            rows == targets.len()
                && width == columns
                && width * vocabulary > 0
                && bias.is_none_or(|bias| bias.dims() == [vocabulary])
        }
        _ => false,
    };
    if !fits {
        let problem = format!(
            "hidden states {:?}, weight {:?}, bias {:?} and {} targets do not fit each other",
            hidden.dims(),
            weight.dims(),
            bias.map(Tensor::dims).unwrap_or_default(),
            targets.len()
        );
        return Err(OpError::shape(OP, problem));
    }
    let vocabulary = weight.dims()[0];
    let wrong = |target: &Option<u32>| target.is_some_and(|target| target as usize >= vocabulary);
    match targets.iter().position(wrong) {
        Some(index) => {
            let target = targets[index].unwrap_or_default();
            let problem = format!(
                "the target {target} of row {index} is not under {vocabulary}, the vocabulary's size"
            );
            Err(OpError::shape(OP, problem))
        }
        None => Ok(()),
    }
}

struct VocabularyLoss {
    targets: Arc<[Option<u32>]>,
    scale: f64,
    precision: Precision,
    /// Which operands a gradient will be asked of.
    trained: Vec<bool>,
    /// The gradients of the loss: they are found with it, while the logits are there.
    gradients: Mutex<Option<BlockGradients>>,
    /// How many targets have the largest logit, once that is known.
    likeliest: Arc<Mutex<Option<Tensor>>>,
}

impl VocabularyLoss {
    fn find(&self, operands: &[ArrayView], wanted: &[bool]) -> (f64, u64, BlockGradients) {
        VocabularyBlocks::new(operands, &self.targets, self.precision).run(self.scale, wanted)
    }
}

impl Operation for VocabularyLoss {
    fn name(&self) -> &'static str {
        "vocabulary_loss"
    }

    /// Of the targets nothing: a loss is no part of a network that is exported.
    fn attributes(&self) -> Attributes {
        Attributes::default()
            .with("scale", self.scale)
            .with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (loss, likeliest) = composed::loss(operands, &self.targets, self.scale, self.precision)?;
        *self.likeliest.lock().unwrap_or_else(PoisonError::into_inner) = Some(likeliest);
        Ok(loss)
    }
}

impl CpuKernel for VocabularyLoss {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (loss, likeliest, gradients) = self.find(operands, &self.trained);
        let likeliest = Tensor::new(likeliest as f64, &candle_core::Device::Cpu).ok();
        *self.likeliest.lock().unwrap_or_else(PoisonError::into_inner) = likeliest;
        *self.gradients.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradients);
        (vec![loss as f32], Shape::from(()))
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _loss: &[f32],
        upstream: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let found = self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // They are gone where another walk through the same pass took them.
        let found = match found {
            Some(found) if found.has(wanted) => found,
            _ => self.find(operands, wanted).2,
        };
        let mut found = found.scaled(upstream[0]).into_iter();
        let of = |&wanted: &bool| {
            let found = found.next().flatten();
            found
                .filter(|_| wanted)
                .map(|values| OperandGradient::Values(values.into()))
        };
        wanted.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests;
