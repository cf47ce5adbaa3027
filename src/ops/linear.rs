//! Fully connected layers.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::composed;
use super::conv::Pointwise;
use super::error::OpError;
use super::tape;
use super::tensor;
use crate::spec::Precision;

/// `x * weight^T + bias` for `x` `[..., in]` of two dimensions or more, `weight` `[out, in]`, `bias`
/// `[out]`: `[..., out]`.
///
/// # Errors
/// Shapes that do not fit each other, or a weight without values.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    match (x.dims(), weight.dims(), bias.dims()) {
        (&[_, .., inputs], &[outputs, columns], &[biases])
            if x.rank() > 1 && inputs == columns && outputs == biases && inputs * outputs > 0 =>
        {
            let leading = &x.dims()[..x.rank() - 1];
            let shape: Vec<usize> = leading.iter().copied().chain([outputs]).collect();
            let rows = leading.iter().product::<usize>();
            if !x.device().is_cpu() {
                let x = x.contiguous()?.reshape((rows, inputs))?;
                return Ok(composed::linear(&x, weight, bias, precision)?.reshape(shape)?);
            }
            let weight = weight.contiguous()?;
            let op = Linear {
                product: Pointwise::new(rows, inputs, outputs, &weight),
                shape,
                precision,
            };
            Ok(tape::apply3(&x.contiguous()?, &weight, &bias.contiguous()?, op)?)
        }
        (_, weight, _) if weight.contains(&0) => Err(OpError::shape(
            "linear",
            format!("the weight {weight:?} has no values"),
        )),
        (x, weight, bias) => {
            let problem = format!("input {x:?}, weight {weight:?} and bias {bias:?} do not fit each other");
            Err(OpError::shape("linear", problem))
        }
    }
}

struct Linear {
    product: Pointwise,
    /// Of the result.
    shape: Vec<usize>,
    precision: Precision,
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, x_layout)?;
        let weight = tensor::values(weight, weight_layout)?;
        let bias = tensor::values(bias, bias_layout)?;
        let y = self.product.forward(x, weight, bias, self.precision);
        Ok(tensor::output(y, self.shape.clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (product, precision) = (&self.product, self.precision);
        tensor::with_values(gradient, |gradient| {
            let for_x = x.track_op().then(|| {
                let values = tensor::with_values(weight, |weight| {
                    Ok(product.input_gradient(weight, gradient, precision))
                })?;
                tensor::from_values(values, x.shape())
            });
            let for_weight = weight.track_op().then(|| {
                let values = tensor::with_values(x, |x| Ok(product.weight_gradient(x, gradient, precision)))?;
                tensor::from_values(values, weight.shape())
            });
            let for_bias = bias
                .track_op()
                .then(|| tensor::from_values(product.bias_gradient(gradient, precision), bias.shape()));
            Ok((for_x.transpose()?, for_weight.transpose()?, for_bias.transpose()?))
        })
    }
}

#[cfg(test)]
mod tests;
