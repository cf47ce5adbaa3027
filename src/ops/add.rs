//! The sum of two tensors.

use candle_core::{Result, Shape, Tensor};

use super::error::OpError;
use super::fill::in_blocks;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::prepared::ResultTail;

/// `x + y`, of one shape.
///
/// # Errors
/// Shapes that differ.
pub fn add(x: &Tensor, y: &Tensor) -> std::result::Result<Tensor, OpError> {
    if x.dims() != y.dims() {
        let problem = format!("cannot add {:?} to {:?}", y.dims(), x.dims());
        return Err(OpError::shape("addition", problem));
    }
    run(Addition, &[x, y])
}

struct Addition;

const BLOCK: usize = 1 << 14;

impl Operation for Addition {
    fn name(&self) -> &'static str {
        "add"
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        &operands[0] + &operands[1]
    }
}

impl CpuKernel for Addition {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (x, y) = (operands[0].values, operands[1].values);
        // SAFETY: both have as many values as there are sums.
        let sums = unsafe {
            in_blocks(x.len(), BLOCK, |index, sums| {
                let start = index * BLOCK;
                for (sum, (x, y)) in sums.iter_mut().zip(x[start..].iter().zip(&y[start..])) {
                    sum.write(x + y);
                }
            })
        };
        (sums, operands[0].dims.into())
    }

    fn tail(&self) -> Option<ResultTail> {
        Some(ResultTail::Sum)
    }

    fn backward(
        &self,
        _operands: &[ArrayView],
        _output: &[f32],
        _gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        wanted
            .iter()
            .map(|wanted| wanted.then_some(OperandGradient::OfOutput))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    #[test]
    fn both_get_the_whole_gradient() {
        let (x, y) = (random_var(&[3, 5], 1), random_var(&[3, 5], 2));
        let sum = add(&x, &y).expect("fits");
        assert_eq!(host(&sum), host(&(x.as_tensor() + y.as_tensor()).expect("fits")));
        let weights = host(&random(&[15], 3));
        assert_eq!(
            gradients_of(&sum, &weights, &[&x, &y]),
            [weights.clone(), weights]
        );
        let error = add(&x, &random(&[5, 3], 1)).expect_err("refused").to_string();
        assert_eq!(error, "addition: cannot add [5, 3] to [3, 5]");
    }
}
