//! Multi-head self-attention.

mod heads;
mod kernels;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::composed;
use super::dropout::{DropoutKey, draw_factors};
use super::error::OpError;
use super::tape;
use super::tensor;
use crate::random::{Purpose, Stream};
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
/// A width that three times the number of heads does not divide, an empty dimension, or a
/// probability outside of `[0, 1)`.
pub fn attention(
    qkv: &Tensor,
    heads: usize,
    dropout: Option<(f64, DropoutKey)>,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "attention";
    let [batch, tokens, columns] = *qkv.dims() else {
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
        Some((probability, key)) if probability > 0.0 => Some(WeightDropout { probability, key }),
        _ => None,
    };
    let op = Attention {
        heads: Heads {
            batch,
            tokens,
            heads,
            width: columns / (3 * heads),
        },
        dropout,
        precision,
    };
    if !qkv.device().is_cpu() {
        return Ok(composed::attention(qkv, &op)?);
    }
    Ok(tape::apply1(&qkv.contiguous()?, op)?)
}

/// Attention and all that it depends on.
pub(super) struct Attention {
    pub heads: Heads,
    pub dropout: Option<WeightDropout>,
    pub precision: Precision,
}

/// Dropout of attention weights.
#[derive(Clone, Copy)]
pub(super) struct WeightDropout {
    probability: f64,
    key: DropoutKey,
}

impl WeightDropout {
    /// What the weights of one query are multiplied by; `query` counts them over heads and samples.
    pub fn factors(&self, query: usize, factors: &mut [f32]) {
        let blocks = query as u64 * factors.len().div_ceil(4) as u64;
        let DropoutKey { seed, step, layer } = self.key;
        let mut stream = Stream::new(seed, Purpose::Dropout, step, layer).skip(blocks);
        draw_factors(&mut stream, self.probability, factors);
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.forward(tensor::values(qkv, layout)?);
        let Heads { batch, tokens, .. } = self.heads;
        Ok(tensor::output(y, (batch, tokens, self.heads.columns())))
    }

    fn bwd(&self, qkv: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let values = tensor::with_values(qkv, |qkv| {
            tensor::with_values(gradient, |gradient| Ok(self.backward(qkv, gradient)))
        })?;
        Ok(Some(tensor::from_values(values, qkv.shape())?))
    }
}

#[cfg(test)]
mod tests;
