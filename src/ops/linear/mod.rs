//! Fully connected layers.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::composed::{rounded, rounded_weight};
use super::conv::{ConvPlan, ConvWeight, KeptWeight, kept};
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use crate::spec::Precision;

/// `x * weight^T + bias` for `x` `[..., in]` of two dimensions or more, `weight` `[out, in]`, `bias`
/// `[out]`: `[..., out]`.
///
/// # Errors
/// Shapes that do not fit each other, or a weight without values.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    let fits = match (x.dims(), weight.dims()) {
        (&[_, .., inputs], &[outputs, columns]) => {
            x.rank() > 1 && inputs == columns && bias.is_none_or(|bias| bias.dims() == [outputs])
        }
        _ => false,
    };
    if weight.dims().contains(&0) {
        let problem = format!("the weight {:?} has no values", weight.dims());
        return Err(OpError::shape("linear", problem));
    }
    if !fits {
        let (x, weight) = (x.dims(), weight.dims());
        let problem = match bias.map(Tensor::dims) {
            Some(bias) => {
                format!("input {x:?}, weight {weight:?} and bias {bias:?} do not fit each other")
            }
            None => format!("input {x:?} and weight {weight:?} do not fit each other"),
        };
        return Err(OpError::shape("linear", problem));
    }
    let op = LinearMap {
        kept: kept(weight),
        precision,
    };
    match bias {
        None => run(op, &[x, weight]),
        Some(bias) => run(op, &[x, weight, bias]),
    }
}

struct LinearMap {
    kept: Option<Arc<KeptWeight>>,
    precision: Precision,
}

impl LinearMap {
    /// A fully connected layer is a convolution of images of one pixel.
    fn plan(&self, x: ArrayView, weight: ArrayView) -> ConvPlan {
        let (outputs, inputs) = (weight.dims[0], weight.dims[1]);
        ConvPlan::pointwise(x.values.len() / inputs, inputs, outputs, self.precision)
    }
}

impl Operation for LinearMap {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (x, weight) = (&operands[0], &operands[1]);
        let (outputs, inputs) = weight.dims2()?;
        let rows = x.elem_count() / inputs;
        let shape: Vec<usize> = x.dims()[..x.rank() - 1]
            .iter()
            .copied()
            .chain([outputs])
            .collect();
        let x = rounded(&x.contiguous()?.reshape((rows, inputs))?, self.precision)?;
        let weight = rounded_weight(weight, self.precision)?;
        let product = x.contiguous()?.matmul(&weight.t()?.contiguous()?)?;
        let y = match operands.get(2) {
            None => product,
            Some(bias) => product.broadcast_add(&rounded_weight(bias, self.precision)?)?,
        };
        rounded(&y, self.precision)?.reshape(shape)
    }
}

impl CpuKernel for LinearMap {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (x, weight) = (operands[0], operands[1]);
        let bias = operands.get(2).map(|bias| bias.values);
        let kept = ConvWeight {
            values: weight.values,
            kept: self.kept.as_deref(),
        };
        let y = self.plan(x, weight).forward_with_bias(x.values, kept, bias);
        let leading = x.dims[..x.dims.len() - 1].iter().copied();
        let dims: Vec<usize> = leading.chain([weight.dims[0]]).collect();
        (y, dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (x, weight) = (operands[0], operands[1]);
        self.plan(x, weight)
            .gradients(x.values, weight.values, gradient, wanted)
    }
}

#[cfg(test)]
mod tests;
