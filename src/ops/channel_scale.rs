//! A factor for each channel of each image, as squeeze and excitation (Hu et al., 2018) needs it.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::attributes::Attributes;
use super::composed::rounded;
use super::error::OpError;
use super::operation::{ArrayView, ChangeInPlace, CpuKernel, OperandGradient, Operation, StoredPasses, run};
use super::round::round_in_place;
use super::stored::{Stored, ValueFormat, Values, changed_in};
use super::tensor::{Images, channels_last};
use super::vectors::with_wide_vectors;
use crate::spec::Precision;

/// `x`, `[N, H, W, C]`, times `scale`, `[N, C]`, at every pixel: the shape of `x`.
///
/// # Errors
/// Shapes that do not fit each other.
pub fn scale_channels(
    x: &Tensor,
    scale: &Tensor,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "channel scale";
    let images = channels_last(OP, x)?;
    if scale.dims() != [images.batch, images.channels] {
        let problem = format!(
            "images {:?} need factors [N, C], got {:?}",
            x.dims(),
            scale.dims()
        );
        return Err(OpError::shape(OP, problem));
    }
    run(ChannelScale { precision }, &[x, scale])
}

struct ChannelScale {
    precision: Precision,
}

impl ChannelScale {
    fn scaled(&self, images: Images, x: Stored, scale: &[f32], format: ValueFormat) -> Values {
        changed_in(format, x, images.image_len(), |image, y| {
            self.scale_image(y, &scale[image * images.channels..][..images.channels]);
        })
    }

    fn scale_image(&self, pixels: &mut [f32], scale: &[f32]) {
        with_wide_vectors(
            #[inline(always)]
            || {
                for pixel in pixels.chunks_exact_mut(scale.len()) {
                    pixel.iter_mut().zip(scale).for_each(|(y, scale)| *y *= scale);
                }
            },
        );
        round_in_place(pixels, self.precision);
    }

    /// The gradient of the factors: for each channel of each image the sum of `x * gradient`, in f64.
    fn scale_gradient(&self, images: Images, x: Stored, gradient: Stored) -> Vec<f32> {
        let channels = images.channels;
        let mut result = vec![0.0; images.batch * channels];
        result
            .par_chunks_mut(channels)
            .enumerate()
            .for_each(|(image, result)| {
                let len = images.image_len();
                let sums = x.part(image * len, len).with_wide(|x| {
                    let gradient = gradient.part(image * len, len);
                    gradient.with_wide(|gradient| sums_of_products(x, gradient, channels))
                });
                for (result, sum) in result.iter_mut().zip(sums) {
                    *result = sum as f32;
                }
                round_in_place(result, self.precision);
            });
        result
    }

    fn gradients(
        &self,
        operands: &[ArrayView],
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (x, scale) = (operands[0].stored(), operands[1].stored().widened());
        let images = Images::of(operands[0].dims);
        let of_x = || self.scaled(images, gradient, &scale, gradient.format());
        let of_scale = || self.scale_gradient(images, x, gradient);
        vec![
            OperandGradient::if_wanted(wanted[0], of_x),
            OperandGradient::if_wanted(wanted[1], of_scale),
        ]
    }
}

/// For each channel the sum over pixels of the products of both, in f64.
fn sums_of_products(x: &[f32], gradient: &[f32], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0f64; channels];
    with_wide_vectors(
        #[inline(always)]
        || {
            let pixels = x.chunks_exact(channels).zip(gradient.chunks_exact(channels));
            for (x, gradient) in pixels {
                for ((sum, &x), &gradient) in sums.iter_mut().zip(x).zip(gradient) {
                    *sum += f64::from(x) * f64::from(gradient);
                }
            }
        },
    );
    sums
}

impl Operation for ChannelScale {
    fn name(&self) -> &'static str {
        "scale_channels"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (x, scale) = (&operands[0], &operands[1]);
        let (batch, _, _, channels) = x.dims4()?;
        let scale = scale.contiguous()?.reshape((batch, 1, 1, channels))?;
        rounded(&x.broadcast_mul(&scale)?, self.precision)
    }
}

impl ChangeInPlace for ChannelScale {
    fn change(&self, values: &mut [f32], operands: &[ArrayView]) {
        let images = Images::of(operands[0].dims);
        values
            .par_chunks_mut(images.image_len())
            .zip(operands[1].values.par_chunks(images.channels))
            .for_each(|(image, scale)| self.scale_image(image, scale));
    }
}

impl CpuKernel for ChannelScale {
    fn as_change(&self) -> Option<&dyn ChangeInPlace> {
        Some(self)
    }

    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (x, scale) = (operands[0], operands[1]);
        let y = self.scaled(Images::of(x.dims), x.stored(), scale.values, ValueFormat::F32);
        (y.into_f32(), x.dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        self.gradients(operands, gradient.into(), wanted)
    }

    fn stored_passes(&self) -> Option<&dyn StoredPasses> {
        Some(self)
    }
}

impl StoredPasses for ChannelScale {
    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape) {
        let (x, scale) = (operands[0], operands[1].stored().widened());
        let format = ValueFormat::smallest(self.precision);
        let y = self.scaled(Images::of(x.dims), x.stored(), &scale, format);
        (y, x.dims.into())
    }

    fn backward_stored(
        &self,
        operands: &[ArrayView],
        _output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        self.gradients(operands, gradient, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    /// The definition, in f64.
    fn naive(x: &[f64], scale: &[f64], pixels: usize, channels: usize) -> Vec<f64> {
        x.iter()
            .enumerate()
            .map(|(index, x)| x * scale[index / (pixels * channels) * channels + index % channels])
            .collect()
    }

    #[test]
    fn agrees_with_the_definition_and_its_differences() {
        for [batch, height, width, channels] in [[2, 3, 4, 5], [3, 1, 1, 2], [1, 2, 2, 9]] {
            let (x, scale) = (
                random_var(&[batch, height, width, channels], 1),
                random_var(&[batch, channels], 2),
            );
            let weights = host(&random(&[batch * height * width * channels], 3));
            let y = scale_channels(&x, &scale, Precision::F32).expect("runs");
            let gradients = gradients_of(&y, &weights, &[&x, &scale]);
            let of = |x: &[f64], scale: &[f64]| naive(x, scale, height * width, channels);
            let (x, scale) = (host64(&x), host64(&scale));
            assert_close(&host(&y), &of(&x, &scale), 1e-6);
            let expected = differences(&x, |x| weighted(&of(x, &scale), &weights));
            assert_close(&gradients[0], &expected, 1e-6);
            let expected = differences(&scale, |scale| weighted(&of(&x, scale), &weights));
            assert_close(&gradients[1], &expected, 1e-6);
        }
    }

    #[test]
    fn threads_do_not_matter() {
        let (x, scale) = (random_var(&[9, 7, 6, 10], 1), random_var(&[9, 10], 2));
        let weights = host(&random(&[9 * 7 * 6 * 10], 3));
        for precision in [Precision::F32, Precision::Bf16] {
            same_for_any_number_of_threads(|| {
                let y = scale_channels(&x, &scale, precision).expect("runs");
                (host(&y), gradients_of(&y, &weights, &[&x, &scale]))
            });
        }
    }

    #[test]
    fn misfits_are_told() {
        let error = scale_channels(&random(&[2, 3, 3, 4], 1), &random(&[2, 3], 2), Precision::F32);
        assert_eq!(
            error.expect_err("refused").to_string(),
            "channel scale: images [2, 3, 3, 4] need factors [N, C], got [2, 3]"
        );
    }
}
