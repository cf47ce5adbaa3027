//! How the numbers of a tensor lie in memory.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::attributes::Attributes;
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};

/// Images `[N, C, H, W]` as `[N, H, W, C]`.
///
/// # Errors
/// A tensor of another rank.
pub fn to_channels_last(images: &Tensor) -> std::result::Result<Tensor, OpError> {
    if images.rank() != 4 {
        return Err(OpError::rank("layout conversion", "[N, C, H, W]", images.shape()));
    }
    run(Transposition::ToChannelsLast, &[images])
}

/// Images `[N, H, W, C]` as `[N, C, H, W]`.
///
/// # Errors
/// A tensor of another rank.
pub fn to_channels_first(images: &Tensor) -> std::result::Result<Tensor, OpError> {
    if images.rank() != 4 {
        return Err(OpError::rank("layout conversion", "[N, H, W, C]", images.shape()));
    }
    run(Transposition::ToChannelsFirst, &[images])
}

/// Another order of the dimensions of images.
enum Transposition {
    ToChannelsLast,
    ToChannelsFirst,
}

impl Transposition {
    /// Which dimension of the operand each one of the result is.
    fn order(&self) -> [usize; 4] {
        match self {
            Self::ToChannelsLast => [0, 2, 3, 1],
            Self::ToChannelsFirst => [0, 3, 1, 2],
        }
    }

    /// Rows and columns of the operand's matrix for each image: channels by pixels, or the reverse.
    fn matrix(&self, dims: &[usize]) -> (usize, usize) {
        match self {
            Self::ToChannelsLast => (dims[1], dims[2] * dims[3]),
            Self::ToChannelsFirst => (dims[1] * dims[2], dims[3]),
        }
    }
}

/// Matrices of `rows` x `columns` values, one after another, with rows and columns exchanged.
fn exchanged(values: &[f32], (rows, columns): (usize, usize)) -> Vec<f32> {
    let mut target = vec![0.0; values.len()];
    let len = (rows * columns).max(1);
    target
        .par_chunks_mut(len)
        .zip(values.par_chunks(len))
        .for_each(|(target, matrix)| {
            for (row, values) in matrix.chunks_exact(columns).enumerate() {
                for (target, &value) in target[row..].iter_mut().step_by(rows).zip(values) {
                    *target = value;
                }
            }
        });
    target
}

impl Operation for Transposition {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("perm", self.order())
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let [first, second, third, fourth] = self.order();
        operands[0].permute((first, second, third, fourth))?.contiguous()
    }
}

impl CpuKernel for Transposition {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let ArrayView { values, dims, .. } = operands[0];
        let y = exchanged(values, self.matrix(dims));
        (y, self.order().map(|dimension| dims[dimension]).to_vec().into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (rows, columns) = self.matrix(operands[0].dims);
        let of_images = || exchanged(gradient, (columns, rows));
        vec![OperandGradient::if_wanted(wanted[0], of_images)]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::ops::testing::{gradient_of, host, random};

    #[test]
    fn the_values_are_those_of_the_permutation() {
        let images = random(&[3, 4, 5, 2], 1);
        let converted = to_channels_last(&images).expect("runs");
        let permuted = images
            .permute((0, 2, 3, 1))
            .expect("valid")
            .contiguous()
            .expect("valid");
        assert_eq!(converted.dims(), [3, 5, 2, 4]);
        assert_eq!(host(&converted), host(&permuted));
        let back = to_channels_first(&converted).expect("runs");
        assert_eq!(back.dims(), images.dims());
        assert_eq!(host(&back), host(&images));
        assert!(to_channels_first(&random(&[3, 4, 5], 1)).is_err());
    }

    #[test]
    fn the_gradient_of_a_value_is_its_weight() {
        let images = random(&[3, 4, 5, 2], 1);
        let x = Var::from_tensor(&to_channels_last(&images).expect("runs")).expect("valid");
        let weights = random(&[3, 4, 5, 2], 2);
        let expected = host(&to_channels_last(&weights).expect("runs"));
        let y = to_channels_first(&x).expect("runs");
        assert_eq!(gradient_of(&y, &host(&weights), &x), expected);
    }
}
