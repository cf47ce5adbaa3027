//! The mean over all pixels.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use crate::ops::attributes::Attributes;
use crate::ops::composed::rounded;
use crate::ops::error::OpError;
use crate::ops::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use crate::ops::round::round_in_place;
use crate::ops::tensor::{Images, channels_last};
use crate::ops::vectors::with_wide_vectors;
use crate::spec::Precision;

/// The mean over all pixels of `x`, `[N, H, W, C]`: `[N, C]`.
///
/// # Errors
/// A tensor of another rank.
pub fn global_average_pool(x: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    channels_last("global average pooling", x)?;
    run(GlobalAveragePooling { precision }, &[x])
}

struct GlobalAveragePooling {
    precision: Precision,
}

impl Operation for GlobalAveragePooling {
    fn name(&self) -> &'static str {
        "global_average_pool"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let x = operands[0].contiguous()?;
        let (batch, height, width, channels) = x.dims4()?;
        rounded(
            &x.reshape((batch, height * width, channels))?.mean(1)?,
            self.precision,
        )
    }
}

impl CpuKernel for GlobalAveragePooling {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let x = operands[0].values;
        let images = Images::of(operands[0].dims);
        let Images {
            batch,
            height,
            width,
            channels,
        } = images;
        let mut y = vec![0.0; batch * channels];
        y.par_chunks_mut(channels)
            .zip(x.par_chunks(images.image_len()))
            .for_each(|(y, x)| {
                let mut sums = vec![0.0f64; channels];
                with_wide_vectors(
                    #[inline(always)]
                    || {
                        for pixel in x.chunks_exact(channels) {
                            for (sum, &value) in sums.iter_mut().zip(pixel) {
                                *sum += f64::from(value);
                            }
                        }
                        for (y, &sum) in y.iter_mut().zip(&sums) {
                            *y = (sum / (height * width) as f64) as f32;
                        }
                    },
                );
                round_in_place(y, self.precision);
            });
        (y, (batch, channels).into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let images = Images::of(operands[0].dims);
        let pixels = (images.height * images.width) as f32;
        let of_x = || {
            let mut input_gradient = vec![0.0; images.len()];
            input_gradient
                .par_chunks_mut(images.image_len())
                .zip(gradient.par_chunks(images.channels))
                .for_each(|(target, gradient)| {
                    let mut share: Vec<f32> = gradient.iter().map(|gradient| gradient / pixels).collect();
                    round_in_place(&mut share, self.precision);
                    target
                        .chunks_exact_mut(images.channels)
                        .for_each(|pixel| pixel.copy_from_slice(&share));
                });
            input_gradient
        };
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }
}
