//! The largest value under a window.

use std::mem::MaybeUninit;

use candle_core::{Result, Shape, Tensor};

use super::{attributes_of, check_window, output_of};
use crate::ops::attributes::Attributes;
use crate::ops::composed::taps;
use crate::ops::conv::Window;
use crate::ops::error::OpError;
use crate::ops::fill::in_blocks;
use crate::ops::operation::{ArrayView, CpuKernel, OperandGradient, Operation, StoredPasses, run};
use crate::ops::scratch::with_scratch;
use crate::ops::stored::{Stored, StoredNumber, Values};
use crate::ops::tensor::Images;
use crate::ops::vectors::with_wide_vectors;

/// The largest value under each window of `x`, `[N, H, W, C]`: `[N, OH, OW, C]`. Padding never
/// wins; of equal values the first wins and gets the whole gradient, and a NaN wins over all, as in
/// PyTorch.
///
/// # Errors
/// A window that does not fit, or padding over half of it.
pub fn max_pool2d(x: &Tensor, window: Window) -> std::result::Result<Tensor, OpError> {
    check_window("max pooling", x, window)?;
    run(MaxPooling { window }, &[x])
}

struct MaxPooling {
    window: Window,
}

/// A pooling of images of known sizes.
struct SizedMaxPooling {
    window: Window,
    input: Images,
    output: Images,
}

impl SizedMaxPooling {
    /// The pixels of the input image under each window, with the output's pixels in their order.
    fn windows(&self) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone> + '_ {
        (0..self.output.height).flat_map(|row| self.windows_of(row))
    }

    /// The same for the pixels of one row.
    fn windows_of(&self, row: usize) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone> + '_ {
        let window = self.window;
        let Images { height, width, .. } = self.input;
        let rows = window.inside(row * window.stride, height);
        (0..self.output.width).map(move |column| {
            let columns = window.inside(column * window.stride, width);
            let pixels = move |y: usize| columns.clone().map(move |x| y * width + x);
            rows.clone().flat_map(pixels)
        })
    }

    /// The largest values under the windows.
    fn forward<E: StoredNumber>(&self, x: &[E]) -> Vec<E> {
        let channels = self.input.channels;
        let row = |index: usize, y: &mut [MaybeUninit<E>]| {
            let (image, row) = (index / self.output.height, index % self.output.height);
            let x = &x[image * self.input.image_len()..][..self.input.image_len()];
            with_scratch(channels, |largest| {
                with_wide_vectors(
                    #[inline(always)]
                    || {
                        for (y, mut pixels) in y.chunks_exact_mut(channels).zip(self.windows_of(row)) {
                            let first = pixels.next().expect("padding is under half of the window");
                            let first = &x[first * channels..][..channels];
                            for (largest, value) in largest.iter_mut().zip(first) {
                                *largest = value.widen();
                            }
                            for pixel in pixels {
                                for (largest, value) in largest.iter_mut().zip(&x[pixel * channels..]) {
                                    let value = value.widen();
                                    *largest = if wins(value, *largest) { value } else { *largest };
                                }
                            }
                            for (y, &largest) in y.iter_mut().zip(&*largest) {
                                y.write(E::nearest(largest));
                            }
                        }
                    },
                );
            });
        };
        // SAFETY: there is a window for each pixel of the output.
        unsafe { in_blocks(self.output.len(), self.output.width * channels, row) }
    }

    /// Adds the gradient of one image to what is there.
    #[inline(always)]
    fn add_image_gradient<E: StoredNumber>(
        &self,
        input_gradient: &mut [f32],
        x: &[E],
        y: &[E],
        gradient: &[E],
    ) {
        let channels = self.input.channels;
        // What no winner has got yet.
        let mut left = vec![0.0f32; channels];
        let rows = y.chunks_exact(channels).zip(gradient.chunks_exact(channels));
        for ((y, gradient), pixels) in rows.zip(self.windows()) {
            for (left, gradient) in left.iter_mut().zip(gradient) {
                *left = gradient.widen();
            }
            // Of equal values the first wins, of NaNs the last.
            if y.iter().fold(false, |any, y| any | y.widen().is_nan()) {
                give_in_turn(input_gradient, x, (y, &mut left), pixels);
                continue;
            }
            for pixel in pixels {
                let targets = input_gradient[pixel * channels..][..channels].iter_mut();
                let values = x[pixel * channels..][..channels].iter().zip(y);
                for ((target, left), (x, y)) in targets.zip(&mut left).zip(values) {
                    let wins = x.widen() == y.widen();
                    *target += if wins { *left } else { 0.0 };
                    *left = if wins { 0.0 } else { *left };
                }
            }
        }
    }

    /// The gradient of the images, of which each winner gets that of its window.
    fn backward<E: StoredNumber>(&self, x: &[E], y: &[E], gradient: &[E]) -> Vec<E> {
        let (input, output) = (self.input.image_len(), self.output.image_len());
        let image = |index: usize, target: &mut [MaybeUninit<E>]| {
            with_scratch(input, |sums| {
                with_wide_vectors(
                    #[inline(always)]
                    || {
                        sums.fill(0.0);
                        let [y, gradient] = [y, gradient].map(|values| &values[index * output..][..output]);
                        self.add_image_gradient(sums, &x[index * input..][..input], y, gradient);
                        for (target, &sum) in target.iter_mut().zip(&*sums) {
                            target.write(E::nearest(sum));
                        }
                    },
                );
            });
        };
        // SAFETY: each image has as many sums as values.
        unsafe { in_blocks(x.len(), input, image) }
    }
}

/// Gives each channel's gradient to its winner under a window of which some results are NaN: the last NaN there, elsewhere
/// the first that is equal to the result.
#[cold]
fn give_in_turn<E: StoredNumber>(
    input_gradient: &mut [f32],
    x: &[E],
    (y, gradient): (&[E], &mut [f32]),
    pixels: impl Iterator<Item = usize> + Clone,
) {
    let channels = y.len();
    for (channel, (y, gradient)) in y.iter().zip(gradient).enumerate() {
        let value = |pixel: &usize| x[pixel * channels + channel].widen();
        let winner = match y.widen() {
            y if y.is_nan() => pixels.clone().filter(|pixel| value(pixel).is_nan()).last(),
            y => pixels.clone().find(|pixel| value(pixel) == y),
        };
        if let Some(winner) = winner {
            input_gradient[winner * channels + channel] += *gradient;
        }
    }
}

/// Whether a value wins over the largest before it.
#[inline(always)]
fn wins(value: f32, largest: f32) -> bool {
    value > largest || value.is_nan()
}

impl MaxPooling {
    fn of(&self, dims: &[usize]) -> SizedMaxPooling {
        let input = Images::of(dims);
        SizedMaxPooling {
            window: self.window,
            input,
            output: output_of(input, self.window),
        }
    }
}

impl Operation for MaxPooling {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn attributes(&self) -> Attributes {
        attributes_of(self.window)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let Window {
            size,
            stride,
            padding,
        } = self.window;
        let mut x = operands[0].contiguous()?;
        let Images { height, width, .. } = self.of(x.dims()).output;
        if padding > 0 {
            for axis in [1, 2] {
                let mut edge = x.dims().to_vec();
                edge[axis] = padding;
                let edge = Tensor::full(f32::NEG_INFINITY, edge, x.device())?;
                x = Tensor::cat(&[&edge, &x, &edge], axis)?;
            }
        }
        let taps = Tensor::stack(&taps(&x, size, (stride, 1), (height, width))?, 0)?;
        let winners = taps.detach().argmax_keepdim(0)?;
        taps.gather(&winners.contiguous()?, 0)?.squeeze(0)
    }
}

impl CpuKernel for MaxPooling {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let sized = self.of(operands[0].dims);
        (sized.forward(operands[0].values), sized.output.shape().into())
    }

    fn stored_passes(&self) -> Option<&dyn StoredPasses> {
        Some(self)
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let x = operands[0];
        let of_x = || self.of(x.dims).backward(x.values, output, gradient);
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }
}

impl StoredPasses for MaxPooling {
    /// In the format of the images: nothing is computed.
    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape) {
        let sized = self.of(operands[0].dims);
        let y = match operands[0].stored() {
            Stored::F32(x) => Values::F32(sized.forward(x)),
            Stored::Bf16(x) => Values::Bf16(sized.forward(x)),
        };
        (y, sized.output.shape().into())
    }

    fn backward_stored(
        &self,
        operands: &[ArrayView],
        output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let sized = self.of(operands[0].dims);
        let of_x = || match (operands[0].stored(), output, gradient) {
            (Stored::Bf16(x), Stored::Bf16(y), Stored::Bf16(gradient)) => {
                Values::Bf16(sized.backward(x, y, gradient))
            }
            (x, y, gradient) => {
                Values::F32(sized.backward::<f32>(&x.widened(), &y.widened(), &gradient.widened()))
            }
        };
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::testing::*;

    /// As PyTorch has it: `val > max || isnan(val)`, pixel after pixel.
    #[test]
    fn the_first_of_equal_values_wins_and_the_last_nan() {
        let nan = f32::NAN;
        // Three channels of one window of 2x2 pixels.
        let values = vec![1.0, 3.0, -0.0, nan, 3.0, 0.0, nan, 1.0, -1.0, 2.0, 0.0, 0.0];
        let x = Var::from_vec(values, (1, 2, 2, 3), &Device::Cpu).expect("as many values");
        let window = Window {
            size: 2,
            stride: 2,
            padding: 0,
        };
        let y = max_pool2d(&x, window).expect("fits");
        let largest = host(&y);
        assert!(largest[0].is_nan());
        assert_eq!(largest[1..], [3.0, 0.0]);
        let gradient = gradient_of(&y, &[5.0, 7.0, 9.0], &x);
        assert_eq!(
            gradient,
            [0.0, 7.0, 9.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        );
    }
}
