//! Activation functions.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::composed;
use super::error::OpError;
use super::tensor;

/// `max(x, 0)` of each value, of any shape. The derivative at 0 is 0, as in PyTorch, and a NaN
/// stays one.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn relu(x: &Tensor) -> std::result::Result<Tensor, OpError> {
    if !x.device().is_cpu() {
        return Ok(composed::relu(x)?);
    }
    Ok(x.contiguous()?.apply_op1(Relu)?)
}

struct Relu;

const BLOCK: usize = 1 << 14;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, layout)?;
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(BLOCK)
            .zip(x.par_chunks(BLOCK))
            .for_each(|(y, x)| {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = if x <= 0.0 { 0.0 } else { x };
                }
            });
        Ok(tensor::output(y, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let values = tensor::with_values(y, |y| {
            tensor::with_values(gradient, |gradient| {
                let mut masked = vec![0.0; y.len()];
                masked
                    .par_chunks_mut(BLOCK)
                    .zip(y.par_chunks(BLOCK).zip(gradient.par_chunks(BLOCK)))
                    .for_each(|(masked, (y, gradient))| {
                        for ((masked, &y), &gradient) in masked.iter_mut().zip(y).zip(gradient) {
                            *masked = if y <= 0.0 { 0.0 } else { gradient };
                        }
                    });
                Ok(masked)
            })
        })?;
        Ok(Some(tensor::from_values(values, y.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::testing::{gradient_of, host, random, same_for_any_number_of_threads};

    #[test]
    fn values_and_derivative_at_and_around_zero() {
        let x = [-1.0f32, -0.0, 0.0, 1e-30, 2.0, f32::NAN, f32::NEG_INFINITY];
        let x = Var::new(&x, &Device::Cpu).expect("valid");
        let y = relu(&x).expect("runs");
        let values = host(&y);
        assert_eq!(values[..5], [0.0, 0.0, 0.0, 1e-30, 2.0]);
        assert!(values[5].is_nan() && values[6] == 0.0);
        let gradient = gradient_of(&y, &[3.0; 7], &x);
        assert_eq!(gradient, [0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 0.0]);
    }

    #[test]
    fn composition_agrees_and_threads_do_not_matter() {
        let x = Var::from_tensor(&random(&[40, 33, 31], 1)).expect("valid");
        let weights = host(&random(&[40, 33, 31], 2));
        let run = || {
            let y = relu(&x).expect("runs");
            (host(&y), gradient_of(&y, &weights, &x))
        };
        let (y, gradient) = same_for_any_number_of_threads(run);
        let composed = composed::relu(&x).expect("runs");
        assert_eq!(y, host(&composed));
        assert_eq!(gradient, gradient_of(&composed, &weights, &x));
    }
}
