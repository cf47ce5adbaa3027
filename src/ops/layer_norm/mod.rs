//! Layer normalisation (Ba et al., 2016).

use candle_core::{D, Result, Shape, Tensor};
use rayon::prelude::*;

use super::attributes::Attributes;
use super::error::OpError;
use super::fill::in_zeroed_blocks;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::vectors::{sum_over, with_wide_vectors};

/// Normalises each row along the last dimension of `x`, `[..., C]`, to mean 0 and (biased) variance
/// 1, with `epsilon` added to the variance, scales by `weight` and shifts by `bias`, both `[C]`.
///
/// In every precision the arithmetic and the result are f32, as under PyTorch's autocast on CUDA (on the
/// CPU its result is bf16).
///
/// # Errors
/// Shapes that do not fit each other.
pub fn layer_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
) -> std::result::Result<Tensor, OpError> {
    match x.dims() {
        [.., columns] if *columns > 0 && weight.dims() == [*columns] && bias.dims() == [*columns] => {
            run(LayerNormalization { epsilon }, &[x, weight, bias])
        }
        x => {
            let (weight, bias) = (weight.dims(), bias.dims());
            let problem = format!("input {x:?}, weight {weight:?} and bias {bias:?} do not fit each other");
            Err(OpError::shape("layer norm", problem))
        }
    }
}

struct LayerNormalization {
    epsilon: f64,
}

/// Rows that are handled together, and whose parts of the weight's gradient are summed first.
const ROWS: usize = 64;

impl LayerNormalization {
    /// The mean of each row, and one over the root of its variance.
    #[inline(always)]
    fn moments<const SIDE_BY_SIDE: usize>(&self, rows: [&[f32]; SIDE_BY_SIDE]) -> [(f64, f64); SIDE_BY_SIDE] {
        let columns = rows[0].len() as f64;
        let mut moments = [(0.0, 0.0); SIDE_BY_SIDE];
        for (row, (mean, _)) in rows.iter().zip(&mut moments) {
            *mean = sum_over([row], |[x]| x) / columns;
        }
        for (row, (mean, inverse)) in rows.iter().zip(&mut moments) {
            let squares = sum_over([row], |[x]| (x - *mean) * (x - *mean));
            *inverse = 1.0 / (squares / columns + self.epsilon).sqrt();
        }
        moments
    }

    fn normalize(&self, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        /// Rows whose sums run side by side: those of one wait for each other.
        const SIDE_BY_SIDE: usize = 4;
        let columns = weight.len();
        with_wide_vectors(
            #[inline(always)]
            || {
                let scale = |x: &[f32], y: &mut [f32], (mean, inverse): (f64, f64)| {
                    for (((y, &x), &weight), &bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                        let normalised = (f64::from(x) - mean) * inverse;
                        *y = (normalised * f64::from(weight) + f64::from(bias)) as f32;
                    }
                };
                let block = SIDE_BY_SIDE * columns;
                let (mut blocks, mut targets) = (x.chunks_exact(block), y.chunks_exact_mut(block));
                for (x, y) in blocks.by_ref().zip(targets.by_ref()) {
                    let rows: [&[f32]; SIDE_BY_SIDE] =
                        std::array::from_fn(|row| &x[row * columns..(row + 1) * columns]);
                    let moments = self.moments(rows);
                    for ((x, y), moments) in rows.into_iter().zip(y.chunks_exact_mut(columns)).zip(moments) {
                        scale(x, y, moments);
                    }
                }
                let rest = blocks.remainder().chunks_exact(columns);
                for (x, y) in rest.zip(targets.into_remainder().chunks_exact_mut(columns)) {
                    scale(x, y, self.moments([x])[0]);
                }
            },
        );
    }

    /// Writes the gradient of some rows to `target`, and adds those of weight and bias.
    fn gradients(
        &self,
        (x, gradient): (&[f32], &[f32]),
        weight: &[f32],
        target: &mut [f32],
        (for_weight, for_bias): (&mut [f64], &mut [f64]),
    ) {
        let columns = weight.len();
        let (for_weight, for_bias) = (&mut for_weight[..columns], &mut for_bias[..columns]);
        with_wide_vectors(
            #[inline(always)]
            || {
                let rows = x.chunks_exact(columns).zip(gradient.chunks_exact(columns));
                for ((x, gradient), target) in rows.zip(target.chunks_exact_mut(columns)) {
                    let (mean, inverse) = self.moments([x])[0];
                    let normalised = |x: f64| (x - mean) * inverse;
                    let shift = sum_over([gradient, weight], |[g, w]| g * w) / columns as f64;
                    let slope = sum_over([gradient, weight, x], |[g, w, x]| g * w * normalised(x));
                    let slope = slope / columns as f64;
                    let operands = gradient.iter().zip(weight).zip(x);
                    let sums = for_weight.iter_mut().zip(for_bias.iter_mut());
                    let targets = target.iter_mut().zip(sums);
                    for (((&g, &w), &x), (target, (for_weight, for_bias))) in operands.zip(targets) {
                        let (g, w, normalised) = (f64::from(g), f64::from(w), normalised(f64::from(x)));
                        *target = (inverse * (g * w - shift - normalised * slope)) as f32;
                        *for_weight += g * normalised;
                        *for_bias += g;
                    }
                }
            },
        );
    }
}

impl Operation for LayerNormalization {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default()
            .with("axis", -1i64)
            .with("epsilon", self.epsilon)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (x, weight, bias) = (&operands[0], &operands[1], &operands[2]);
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        centred
            .broadcast_div(&(variance + self.epsilon)?.sqrt()?)?
            .broadcast_mul(weight)?
            .broadcast_add(bias)
    }
}

impl CpuKernel for LayerNormalization {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let [x, weight, bias] = [0, 1, 2].map(|index: usize| operands[index].values);
        let block = ROWS * weight.len();
        let y = in_zeroed_blocks(x.len(), block, |index, y| {
            self.normalize(&x[index * block..][..y.len()], weight, bias, y);
        });
        (y, operands[0].dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (x, weight) = (operands[0].values, operands[1].values);
        let columns = weight.len();
        let block = ROWS * columns;
        let mut for_x = vec![0.0; x.len()];
        let parts: Vec<[Vec<f64>; 2]> = for_x
            .par_chunks_mut(block)
            .zip(x.par_chunks(block).zip(gradient.par_chunks(block)))
            .map(|(target, rows)| {
                let (mut for_weight, mut for_bias) = (vec![0.0; columns], vec![0.0; columns]);
                self.gradients(rows, weight, target, (&mut for_weight, &mut for_bias));
                [for_weight, for_bias]
            })
            .collect();
        let sum_of = |operand: usize| {
            let mut sums = vec![0.0; columns];
            for part in &parts {
                for (sum, part) in sums.iter_mut().zip(&part[operand]) {
                    *sum += part;
                }
            }
            sums.into_iter().map(|sum| sum as f32).collect::<Vec<f32>>()
        };
        let for_weight = OperandGradient::if_wanted(wanted[1], || sum_of(0));
        let for_bias = OperandGradient::if_wanted(wanted[2], || sum_of(1));
        let for_x = OperandGradient::if_wanted(wanted[0], || for_x);
        vec![for_x, for_weight, for_bias]
    }
}

#[cfg(test)]
mod tests;
