//! Channels of several images side by side.

use candle_core::{D, Result, Shape, Tensor};

use super::attributes::Attributes;
use super::error::OpError;
use super::fill::in_zeroed_blocks;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};

/// The channels of `parts`, each `[..., C]` with the same dimensions before, one after another: `[..., sum of C]`.
///
/// # Errors
/// Nothing to put together, or dimensions that do not fit each other.
pub fn concat_channels(parts: &[&Tensor]) -> std::result::Result<Tensor, OpError> {
    let leading = |part: &Tensor| Some(part.dims().split_last()?.1.to_vec());
    let fits = |part: &&Tensor| leading(part).is_some() && leading(part) == leading(parts[0]);
    if parts.is_empty() || !parts.iter().all(fits) {
        let shapes: Vec<&[usize]> = parts.iter().map(|part| part.dims()).collect();
        let problem = format!(
            "tensors {shapes:?} cannot lie side by side: all but their last dimensions must be equal"
        );
        return Err(OpError::shape("concat", problem));
    }
    run(ChannelConcatenation, parts)
}

struct ChannelConcatenation;

/// Values that a thread copies at a time, about.
const BLOCK: usize = 1 << 14;

/// The last dimension.
fn channels(operand: &ArrayView) -> usize {
    operand.dims.last().copied().unwrap_or(1)
}

impl Operation for ChannelConcatenation {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("axis", -1i64)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        Tensor::cat(operands, D::Minus1)?.contiguous()
    }
}

impl CpuKernel for ChannelConcatenation {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let width = operands.iter().map(channels).sum::<usize>();
        let len = operands.iter().map(|operand| operand.values.len()).sum();
        let rows = (BLOCK / width.max(1)).max(1);
        let y = in_zeroed_blocks(len, rows * width, |block, y| {
            let mut first = 0;
            for operand in operands {
                let channels = channels(operand);
                if channels == 0 {
                    continue;
                }
                let pixels = operand.values[block * rows * channels..].chunks_exact(channels);
                for (y, pixel) in y.chunks_exact_mut(width).zip(pixels) {
                    y[first..first + channels].copy_from_slice(pixel);
                }
                first += channels;
            }
        });
        let mut dims = operands[0].dims.to_vec();
        if let Some(last) = dims.last_mut() {
            *last = width;
        }
        (y, dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let width = operands.iter().map(channels).sum::<usize>();
        let mut first = 0;
        let of = |(operand, &wanted): (&ArrayView, &bool)| {
            let (start, channels) = (first, channels(operand));
            first += channels;
            OperandGradient::if_wanted(wanted, || {
                let rows = (BLOCK / channels.max(1)).max(1);
                in_zeroed_blocks(operand.values.len(), rows * channels, |block, target| {
                    let pixels = gradient[block * rows * width..].chunks_exact(width);
                    for (target, pixel) in target.chunks_exact_mut(channels).zip(pixels) {
                        target.copy_from_slice(&pixel[start..start + channels]);
                    }
                })
            })
        };
        operands.iter().zip(wanted).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    #[test]
    fn channels_lie_side_by_side_and_get_their_gradients() {
        for (pixels, widths) in [
            (6, &[3, 1, 2][..]),
            (1, &[4]),
            (700, &[20, 17]),
            (5, &[2, 2, 1, 3, 1]),
        ] {
            let parts: Vec<_> = widths
                .iter()
                .zip(1..)
                .map(|(&width, seed)| random_var(&[1, pixels, 1, width], seed))
                .collect();
            let operands: Vec<&Tensor> = parts.iter().map(|part| part.as_tensor()).collect();
            let width: usize = widths.iter().sum();
            let weights = host(&random(&[pixels * width], 9));
            for y in [
                concat_channels(&operands),
                composing(|| concat_channels(&operands)),
            ] {
                let y = y.expect("fits");
                assert_eq!(y.dims(), [1, pixels, 1, width]);
                let gradients = gradients_of(&y, &weights, &parts.iter().collect::<Vec<_>>());
                let values = host(&y);
                let mut first = 0;
                for ((part, &channels), gradient) in parts.iter().zip(widths).zip(gradients) {
                    let cut = |values: &[f32]| -> Vec<f32> {
                        let pixels = values.chunks_exact(width);
                        pixels
                            .flat_map(|pixel| pixel[first..first + channels].to_vec())
                            .collect()
                    };
                    assert_eq!(cut(&values), host(part));
                    assert_eq!(cut(&weights), gradient);
                    first += channels;
                }
            }
        }
    }

    #[test]
    fn misfits_are_told() {
        let error = concat_channels(&[&random(&[2, 3, 4], 1), &random(&[2, 4, 4], 1)]);
        assert_eq!(
            error.expect_err("3 is not 4").to_string(),
            "concat: tensors [[2, 3, 4], [2, 4, 4]] cannot lie side by side: all but their last dimensions must be equal"
        );
        assert!(concat_channels(&[]).is_err());
    }
}
