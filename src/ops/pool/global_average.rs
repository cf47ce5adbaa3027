//! The mean over all pixels.

use std::mem::MaybeUninit;

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use crate::ops::attributes::Attributes;
use crate::ops::composed::rounded;
use crate::ops::error::OpError;
use crate::ops::fill::in_blocks;
use crate::ops::operation::{ArrayView, CpuKernel, OperandGradient, Operation, StoredPasses, run};
use crate::ops::round::round_in_place;
use crate::ops::stored::{Stored, StoredNumber, ValueFormat, Values};
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

impl GlobalAveragePooling {
    fn means<E: StoredNumber>(&self, images: Images, x: &[E]) -> Vec<f32> {
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
                            for (sum, value) in sums.iter_mut().zip(pixel) {
                                *sum += f64::from(value.widen());
                            }
                        }
                        for (y, &sum) in y.iter_mut().zip(&sums) {
                            *y = (sum / (height * width) as f64) as f32;
                        }
                    },
                );
                round_in_place(y, self.precision);
            });
        y
    }

    fn input_gradient<E: StoredNumber>(&self, images: Images, gradient: &[f32]) -> Vec<E> {
        let pixels = (images.height * images.width) as f32;
        let image = |index: usize, target: &mut [MaybeUninit<E>]| {
            let gradient = &gradient[index * images.channels..][..images.channels];
            let mut share: Vec<f32> = gradient.iter().map(|gradient| gradient / pixels).collect();
            round_in_place(&mut share, self.precision);
            let share: Vec<E> = share.into_iter().map(E::nearest).collect();
            for pixel in target.chunks_exact_mut(images.channels) {
                pixel.write_copy_of_slice(&share);
            }
        };
        // SAFETY: each image is whole pixels.
        unsafe { in_blocks(images.len(), images.image_len(), image) }
    }
}

impl CpuKernel for GlobalAveragePooling {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let images = Images::of(operands[0].dims);
        let y = self.means(images, operands[0].values);
        (y, (images.batch, images.channels).into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let of_x = || self.input_gradient(Images::of(operands[0].dims), gradient);
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }

    fn stored_passes(&self) -> Option<&dyn StoredPasses> {
        Some(self)
    }
}

impl StoredPasses for GlobalAveragePooling {
    /// In f32: means are few.
    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape) {
        let images = Images::of(operands[0].dims);
        let y = match operands[0].stored() {
            Stored::F32(x) => self.means(images, x),
            Stored::Bf16(x) => self.means(images, x),
        };
        (Values::F32(y), (images.batch, images.channels).into())
    }

    fn backward_stored(
        &self,
        operands: &[ArrayView],
        _output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (images, gradient) = (Images::of(operands[0].dims), gradient.widened());
        let of_x = || match operands[0].stored().format() {
            ValueFormat::F32 => Values::F32(self.input_gradient(images, &gradient)),
            ValueFormat::Bf16 => Values::Bf16(self.input_gradient(images, &gradient)),
        };
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }
}
