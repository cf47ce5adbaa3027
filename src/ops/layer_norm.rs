//! Layer normalisation (Ba et al., 2016).

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::composed;
use super::error::OpError;
use super::tape;
use super::tensor;
use super::vectors::{sum, with_wide_vectors};

/// Normalises each row along the last dimension of `x`, `[..., C]`, to mean 0 and (biased) variance
/// 1, with `epsilon` added to the variance, scales by `weight` and shifts by `bias`, both `[C]`.
///
/// In every precision the arithmetic and the result are f32, as under PyTorch's autocast.
///
/// # Errors
/// Shapes that do not fit each other.
pub fn layer_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
) -> std::result::Result<Tensor, OpError> {
    let columns = match x.dims() {
        [.., columns] if *columns > 0 && weight.dims() == [*columns] && bias.dims() == [*columns] => *columns,
        x => {
            let (weight, bias) = (weight.dims(), bias.dims());
            let problem = format!("input {x:?}, weight {weight:?} and bias {bias:?} do not fit each other");
            return Err(OpError::shape("layer norm", problem));
        }
    };
    if !x.device().is_cpu() {
        return Ok(composed::layer_norm(x, weight, bias, epsilon)?);
    }
    let op = LayerNorm { columns, epsilon };
    Ok(tape::apply3(
        &x.contiguous()?,
        &weight.contiguous()?,
        &bias.contiguous()?,
        op,
    )?)
}

struct LayerNorm {
    columns: usize,
    epsilon: f64,
}

/// Rows that are handled together, and whose parts of the weight's gradient are summed first.
const ROWS: usize = 64;

impl LayerNorm {
    /// The mean of a row, and one over the root of its variance.
    #[inline(always)]
    fn moments(&self, row: &[f32]) -> (f64, f64) {
        let columns = row.len() as f64;
        let mean = sum(row.len(), |index| f64::from(row[index])) / columns;
        let squares = sum(row.len(), |index| {
            let centred = f64::from(row[index]) - mean;
            centred * centred
        });
        (mean, 1.0 / (squares / columns + self.epsilon).sqrt())
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        with_wide_vectors(
            #[inline(always)]
            || {
                for (x, y) in x.chunks_exact(self.columns).zip(y.chunks_exact_mut(self.columns)) {
                    let (mean, inverse) = self.moments(x);
                    for (((y, &x), &weight), &bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                        let normalised = (f64::from(x) - mean) * inverse;
                        *y = (normalised * f64::from(weight) + f64::from(bias)) as f32;
                    }
                }
            },
        );
    }

    /// Writes the gradient of some rows to `target`, and adds those of weight and bias.
    fn backward(
        &self,
        (x, gradient): (&[f32], &[f32]),
        weight: &[f32],
        target: &mut [f32],
        (for_weight, for_bias): (&mut [f64], &mut [f64]),
    ) {
        let columns = self.columns;
        with_wide_vectors(
            #[inline(always)]
            || {
                let rows = x.chunks_exact(columns).zip(gradient.chunks_exact(columns));
                for ((x, gradient), target) in rows.zip(target.chunks_exact_mut(columns)) {
                    let (mean, inverse) = self.moments(x);
                    let scaled = |index: usize| f64::from(gradient[index]) * f64::from(weight[index]);
                    let normalised = |index: usize| (f64::from(x[index]) - mean) * inverse;
                    let shift = sum(columns, scaled) / columns as f64;
                    let slope = sum(columns, |index| scaled(index) * normalised(index)) / columns as f64;
                    for (index, target) in target.iter_mut().enumerate() {
                        *target = (inverse * (scaled(index) - shift - normalised(index) * slope)) as f32;
                    }
                    for (index, for_weight) in for_weight.iter_mut().enumerate() {
                        *for_weight += f64::from(gradient[index]) * normalised(index);
                    }
                    for (for_bias, &gradient) in for_bias.iter_mut().zip(gradient) {
                        *for_bias += f64::from(gradient);
                    }
                }
            },
        );
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
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
        let mut y = vec![0.0; x.len()];
        let block = ROWS * self.columns;
        y.par_chunks_mut(block)
            .zip(x.par_chunks(block))
            .for_each(|(y, x)| self.forward(x, weight, bias, y));
        Ok(tensor::output(y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let columns = self.columns;
        let block = ROWS * columns;
        let backward = |x: &[f32], weight: &[f32], gradient: &[f32]| {
            let mut target = vec![0.0; x.len()];
            let parts: Vec<(Vec<f64>, Vec<f64>)> = target
                .par_chunks_mut(block)
                .zip(x.par_chunks(block).zip(gradient.par_chunks(block)))
                .map(|(target, rows)| {
                    let (mut for_weight, mut for_bias) = (vec![0.0; columns], vec![0.0; columns]);
                    self.backward(rows, weight, target, (&mut for_weight, &mut for_bias));
                    (for_weight, for_bias)
                })
                .collect();
            let (mut for_weight, mut for_bias) = (vec![0.0; columns], vec![0.0; columns]);
            for (weights, biases) in parts {
                for (sum, part) in for_weight.iter_mut().zip(weights) {
                    *sum += part;
                }
                for (sum, part) in for_bias.iter_mut().zip(biases) {
                    *sum += part;
                }
            }
            (target, for_weight, for_bias)
        };
        let (for_x, for_weight, for_bias) = tensor::with_values(x, |x| {
            tensor::with_values(weight, |weight| {
                tensor::with_values(gradient, |gradient| Ok(backward(x, weight, gradient)))
            })
        })?;
        let narrow = |operand: &Tensor, sums: Vec<f64>| {
            let values = sums.into_iter().map(|sum| sum as f32).collect();
            operand
                .track_op()
                .then(|| tensor::from_values(values, operand.shape()))
                .transpose()
        };
        Ok((
            Some(tensor::from_values(for_x, x.shape())?),
            narrow(weight, for_weight)?,
            narrow(bias, for_bias)?,
        ))
    }
}

#[cfg(test)]
mod tests;
