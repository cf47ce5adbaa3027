//! Losses of pairs of embeddings, by their cosines: those that sentence-transformers trains by.

mod composed;
mod kernel;

use candle_core::{Result, Shape, Tensor};

use self::kernel::{UnitPairs, losses};
use super::attributes::Attributes;
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};

/// What cosines are multiplied by before exponentials are taken of them: sentence-transformers' default.
const SCALE: f64 = 20.0;

/// What is known of pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PairTargets<'a> {
    /// Their two belong together, and are to be nearer than the second ones of all other pairs of the batch: the mean of
    /// the cross-entropies over these (`MultipleNegativesRankingLoss`).
    Matches,
    /// How alike their two are: `ln(1 + sum exp(20 (cos_i - cos_j)))` over the pairs `i` and `j` of the batch of which `i` has
    /// the smaller number (`CoSENTLoss`).
    Numbers(&'a [f32]),
}

/// The mean loss of a batch of pairs, times its pairs, divided by `divisor`: a scalar in the graph. `embeddings` are
/// `[2 pairs, W]`, the two of each pair one behind the other, of any length but 0.
///
/// # Errors
/// Embeddings that are no pairs, or another number of numbers than of pairs.
pub fn pair_loss(
    embeddings: &Tensor,
    targets: PairTargets<'_>,
    divisor: f64,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "loss of pairs";
    let [rows, width] = *embeddings.dims() else {
        return Err(OpError::rank(OP, "[2 pairs, W]", embeddings.shape()));
    };
    check(rows, width, targets)?;
    if !divisor.is_finite() || divisor <= 0.0 {
        return Err(OpError::shape(OP, format!("the divisor {divisor} is not over 0")));
    }
    let op = PairLoss {
        numbers: match targets {
            PairTargets::Matches => None,
            PairTargets::Numbers(numbers) => Some(numbers.to_vec()),
        },
        width,
        factor: 1.0 / divisor,
    };
    run(op, &[embeddings])
}

/// The same for each pair before any division, in f64: of pairs with numbers each has the batch's. Not differentiable.
///
/// # Errors
/// As [`pair_loss`].
pub fn loss_per_pair(
    embeddings: &[f32],
    width: usize,
    targets: PairTargets<'_>,
) -> std::result::Result<Vec<f64>, OpError> {
    check(embeddings.len() / width.max(1), width, targets)?;
    Ok(losses(&UnitPairs::of(embeddings, width), numbers_of(&targets)))
}

/// Embeddings of length 1 in the place of those given, row by row.
pub fn normalize_rows(values: &mut [f32], width: usize) {
    for row in values.chunks_exact_mut(width.max(1)) {
        let length = kernel::length(row);
        row.iter_mut()
            .for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}

fn check(rows: usize, width: usize, targets: PairTargets<'_>) -> std::result::Result<(), OpError> {
    const OP: &str = "loss of pairs";
    if rows == 0 || !rows.is_multiple_of(2) || width == 0 {
        return Err(OpError::shape(OP, format!("{rows} rows of {width} are no pairs")));
    }
    match targets {
        PairTargets::Numbers(numbers) if numbers.len() != rows / 2 => {
            let problem = format!("{} numbers for {} pairs", numbers.len(), rows / 2);
            Err(OpError::shape(OP, problem))
        }
        _ => Ok(()),
    }
}

fn numbers_of<'a>(targets: &PairTargets<'a>) -> Option<&'a [f32]> {
    match targets {
        PairTargets::Matches => None,
        PairTargets::Numbers(numbers) => Some(numbers),
    }
}

/// Rows are worked on one by one, and sums have the order of the pairs: so there may be any number of threads.
struct PairLoss {
    /// How alike the two of each pair are, where that is known.
    numbers: Option<Vec<f32>>,
    width: usize,
    factor: f64,
}

impl Operation for PairLoss {
    fn name(&self) -> &'static str {
        "pair_loss"
    }

    /// Of the targets nothing: a loss is no part of a network that is exported.
    fn attributes(&self) -> Attributes {
        Attributes::default().with("scale", self.factor)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        composed::loss(&operands[0], self.numbers.as_deref(), self.factor)
    }
}

impl CpuKernel for PairLoss {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let pairs = UnitPairs::of(operands[0].values, self.width);
        let sum: f64 = losses(&pairs, self.numbers.as_deref()).iter().sum();
        (vec![(sum * self.factor) as f32], Shape::from(()))
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _loss: &[f32],
        upstream: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let factor = f64::from(upstream[0]) * self.factor;
        let of_embeddings = || {
            let pairs = UnitPairs::of(operands[0].values, self.width);
            pairs.gradients(self.numbers.as_deref(), factor)
        };
        vec![OperandGradient::if_wanted(wanted[0], of_embeddings)]
    }
}

#[cfg(test)]
mod tests;
