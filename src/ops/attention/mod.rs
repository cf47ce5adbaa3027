//! Multi-head self-attention.

mod heads;
mod kernels;

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::composed::{dropped, rounded, softmax};
use super::dropout::{DropoutKey, draw_factors};
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use crate::random::Stream;
use crate::spec::Precision;
use heads::Heads;

/// Scaled dot-product attention (Vaswani et al., 2017) of `heads` heads over queries, keys and
/// values that lie side by side in `qkv`, `[N, T, 3 * W]`: `[N, T, W]`. Head `h` has columns
/// `h * D..(h + 1) * D` of each of the three, with `D = W / heads`, as in PyTorch's
/// `MultiheadAttention`, and weighs values by `softmax(q k^T / sqrt(D))`.
///
/// `dropout`, with its probability, is applied to the attention weights; to be left out in
/// evaluation. In a narrow format the weights are rounded before they meet the values, as in
/// PyTorch's fused kernels; the softmax is f32.
///
/// # Errors
/// A width that three times the number of heads does not divide, an empty dimension, a probability
/// outside of `[0, 1)`, or a key for another number of samples.
pub fn attention(
    qkv: &Tensor,
    heads: usize,
    dropout: Option<(f64, DropoutKey<'_>)>,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "attention";
    let [_, tokens, columns] = *qkv.dims() else {
        return Err(OpError::rank(OP, "[N, T, 3 * W]", qkv.shape()));
    };
    if heads == 0 || tokens == 0 || columns == 0 || !columns.is_multiple_of(3 * heads) {
        let problem = format!(
            "{tokens} tokens of {columns} columns (queries, keys and values) cannot be cut into {heads} heads"
        );
        return Err(OpError::shape(OP, problem));
    }
    let dropout = match dropout {
        Some((probability, _)) if !(0.0..1.0).contains(&probability) => {
            let problem = format!("the probability {probability} of dropout is not in [0, 1)");
            return Err(OpError::shape(OP, problem));
        }
        Some((probability, key)) if probability > 0.0 => {
            key.check(OP, qkv)?;
            Some(WeightDropout::new(probability, key, heads * tokens))
        }
        _ => None,
    };
    let op = SelfAttention {
        heads,
        dropout,
        precision,
    };
    run(op, &[qkv])
}

struct SelfAttention {
    heads: usize,
    dropout: Option<WeightDropout>,
    precision: Precision,
}

/// Attention and all that it depends on, the sizes of a batch too.
struct SizedAttention {
    heads: Heads,
    dropout: Option<WeightDropout>,
    precision: Precision,
}

impl SelfAttention {
    /// For queries, keys and values `[N, T, 3 * W]` of these dimensions.
    fn of(&self, dims: &[usize]) -> SizedAttention {
        let [batch, tokens, columns] = *dims else {
            unreachable!("tokens have three dimensions, not {dims:?}");
        };
        SizedAttention {
            heads: Heads {
                batch,
                tokens,
                heads: self.heads,
                width: columns / (3 * self.heads),
            },
            dropout: self.dropout.clone(),
            precision: self.precision,
        }
    }
}

/// Dropout of attention weights.
#[derive(Clone)]
pub(super) struct WeightDropout {
    probability: f64,
    /// For each sample, its draws.
    streams: Arc<[Stream]>,
    /// Queries of a sample: over all heads.
    queries: usize,
}

impl WeightDropout {
    fn new(probability: f64, key: DropoutKey<'_>, queries: usize) -> Self {
        Self {
            probability,
            streams: key.samples.iter().map(|&sample| key.stream(sample)).collect(),
            queries,
        }
    }

    /// What the weights of one query are multiplied by; `query` counts them over heads and samples.
    pub fn factors(&self, query: usize, factors: &mut [f32]) {
        let (sample, query) = (query / self.queries, query % self.queries);
        let blocks = query as u64 * factors.len().div_ceil(4) as u64;
        let mut stream = self.streams[sample].clone().skip(blocks);
        draw_factors(&mut stream, self.probability, factors);
    }
}

impl Operation for SelfAttention {
    fn name(&self) -> &'static str {
        "attention"
    }

    /// The products of queries and keys are divided by the root of a head's width.
    fn attributes(&self) -> Attributes {
        let attributes = Attributes::default().with("num_heads", self.heads);
        let attributes = match &self.dropout {
            Some(dropout) => attributes.with("ratio", dropout.probability),
            None => attributes,
        };
        attributes.with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let qkv = &operands[0];
        let sizes = self.of(qkv.dims()).heads;
        let (batch, tokens, heads) = (sizes.batch, sizes.tokens, sizes.heads);
        let parts = rounded(qkv, self.precision)?
            .reshape((batch, tokens, 3, heads, sizes.width))?
            .permute((2, 0, 3, 1, 4))?;
        let part = |index: usize| parts.narrow(0, index, 1)?.squeeze(0)?.contiguous();
        let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
        let scale = 1.0 / (sizes.width as f64).sqrt();
        let products = queries.matmul(&keys.transpose(2, 3)?.contiguous()?)?;
        let mut weights = softmax(&(products * scale)?)?;
        if let Some(dropout) = &self.dropout {
            let mut factors = vec![0.0; sizes.count() * tokens * tokens];
            for (query, factors) in factors.chunks_exact_mut(tokens).enumerate() {
                dropout.factors(query, factors);
            }
            let factors = Tensor::from_vec(factors, weights.shape(), weights.device())?;
            weights = dropped(&weights, &factors)?;
        }
        let y = rounded(&weights, self.precision)?.contiguous()?.matmul(&values)?;
        let y = y.transpose(1, 2)?.contiguous()?;
        rounded(&y.reshape((batch, tokens, sizes.columns()))?, self.precision)
    }
}

impl CpuKernel for SelfAttention {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let qkv = operands[0];
        let sized = self.of(qkv.dims);
        let Heads { batch, tokens, .. } = sized.heads;
        let shape = (batch, tokens, sized.heads.columns());
        (sized.forward(qkv.values), shape.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let qkv = operands[0];
        let of_qkv = || self.of(qkv.dims).backward(qkv.values, gradient);
        vec![OperandGradient::if_wanted(wanted[0], of_qkv)]
    }
}

#[cfg(test)]
mod tests;
