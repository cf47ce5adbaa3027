//! Fully connected layers.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::composed;
use super::error::OpError;
use super::matmul::{Matrix, multiply_in_parallel};
use super::round::{copy_rounded, round_in_place};
use super::tape;
use super::tensor;
use crate::spec::Precision;

/// `x * weight^T + bias` for `x` `[..., in]` of two dimensions or more, `weight` `[out, in]`, `bias`
/// `[out]`: `[..., out]`.
///
/// # Errors
/// Shapes that do not fit each other.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    match (x.dims(), weight.dims(), bias.dims()) {
        (&[_, _, .., inputs], &[outputs, columns], &[biases]) if inputs == columns && outputs == biases => {
            let leading = &x.dims()[..x.rank() - 1];
            let shape: Vec<usize> = leading.iter().copied().chain([outputs]).collect();
            let rows = leading.iter().product::<usize>();
            let x = x.contiguous()?.reshape((rows, inputs))?;
            Ok(linear(&x, weight, bias, precision)?.reshape(shape)?)
        }
        (&[rows, inputs], &[outputs, columns], &[biases]) if inputs == columns && outputs == biases => {
            if !x.device().is_cpu() {
                return Ok(composed::linear(x, weight, bias, precision)?);
            }
            let op = Linear {
                rows,
                inputs,
                outputs,
                precision,
            };
            Ok(tape::apply3(
                &x.contiguous()?,
                &weight.contiguous()?,
                &bias.contiguous()?,
                op,
            )?)
        }
        (x, weight, bias) => {
            let problem = format!("input {x:?}, weight {weight:?} and bias {bias:?} do not fit each other");
            Err(OpError::shape("linear", problem))
        }
    }
}

struct Linear {
    rows: usize,
    inputs: usize,
    outputs: usize,
    precision: Precision,
}

impl Linear {
    fn rounded<'a>(&self, values: &'a [f32]) -> std::borrow::Cow<'a, [f32]> {
        if self.precision == Precision::F32 {
            return values.into();
        }
        let mut rounded = vec![0.0; values.len()];
        copy_rounded(values, &mut rounded, self.precision);
        rounded.into()
    }
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
        let x = self.rounded(tensor::values(x, x_layout)?);
        let weight = self.rounded(tensor::values(weight, weight_layout)?);
        let bias = self.rounded(tensor::values(bias, bias_layout)?);
        let x = Matrix::row_major(&x, self.rows, self.inputs);
        let weight = Matrix::row_major(&weight, self.outputs, self.inputs);
        let mut y = multiply_in_parallel(x, weight.transposed());
        if self.outputs > 0 {
            for row in y.chunks_exact_mut(self.outputs) {
                for (y, bias) in row.iter_mut().zip(&*bias) {
                    *y += bias;
                }
            }
        }
        round_in_place(&mut y, self.precision);
        Ok(tensor::output(y, (self.rows, self.outputs)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        tensor::with_values(gradient, |gradient| {
            let gradient = self.rounded(gradient);
            let matrix = Matrix::row_major(&gradient, self.rows, self.outputs);
            let for_x = x.track_op().then(|| {
                tensor::with_values(weight, |weight| {
                    let weight = self.rounded(weight);
                    let weight = Matrix::row_major(&weight, self.outputs, self.inputs);
                    let mut values = multiply_in_parallel(matrix, weight);
                    round_in_place(&mut values, self.precision);
                    tensor::from_values(values, x.shape())
                })
            });
            let for_weight = weight.track_op().then(|| {
                tensor::with_values(x, |x| {
                    let x = self.rounded(x);
                    let x = Matrix::row_major(&x, self.rows, self.inputs);
                    tensor::from_values(multiply_in_parallel(matrix.transposed(), x), weight.shape())
                })
            });
            let for_bias = bias.track_op().then(|| {
                let mut sums = vec![0.0f64; self.outputs];
                if self.outputs > 0 {
                    for row in gradient.chunks_exact(self.outputs) {
                        for (sum, &value) in sums.iter_mut().zip(row) {
                            *sum += f64::from(value);
                        }
                    }
                }
                tensor::from_values(sums.iter().map(|&sum| sum as f32).collect(), bias.shape())
            });
            Ok((for_x.transpose()?, for_weight.transpose()?, for_bias.transpose()?))
        })
    }
}

#[cfg(test)]
mod tests;
