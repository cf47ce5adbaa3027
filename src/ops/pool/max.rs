//! The largest value under a window.

use std::mem::MaybeUninit;

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::{attributes_of, check_window, output_of};
use crate::ops::attributes::Attributes;
use crate::ops::composed::taps;
use crate::ops::conv::Window;
use crate::ops::error::OpError;
use crate::ops::fill::in_blocks;
use crate::ops::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
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
    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let channels = self.input.channels;
        let row = |index: usize, y: &mut [MaybeUninit<f32>]| {
            let (image, row) = (index / self.output.height, index % self.output.height);
            let x = &x[image * self.input.image_len()..][..self.input.image_len()];
            with_wide_vectors(
                #[inline(always)]
                || {
                    for (y, mut pixels) in y.chunks_exact_mut(channels).zip(self.windows_of(row)) {
                        let first = pixels.next().expect("padding is under half of the window");
                        let first = &x[first * channels..][..channels];
                        for (y, &value) in y.iter_mut().zip(first) {
                            y.write(value);
                        }
                        // SAFETY: the loop above has written all channels.
                        let y = unsafe { &mut *(std::ptr::from_mut(y) as *mut [f32]) };
                        for pixel in pixels {
                            for (y, &value) in y.iter_mut().zip(&x[pixel * channels..]) {
                                *y = if wins(value, *y) { value } else { *y };
                            }
                        }
                    }
                },
            );
        };
        // SAFETY: there is a window for each pixel of the output.
        unsafe { in_blocks(self.output.len(), self.output.width * channels, row) }
    }

    /// The gradient of the images, of which each winner gets that of its window.
    fn backward(&self, x: &[f32], gradient: &[f32]) -> Vec<f32> {
        let channels = self.input.channels;
        let of_image = |input_gradient: &mut [f32], x: &[f32], gradient: &[f32]| {
            let mut largest = vec![0.0f32; channels];
            // The pixel that has it.
            let mut winner = vec![0u32; channels];
            for (gradient, pixels) in gradient.chunks_exact(channels).zip(self.windows()) {
                for (index, pixel) in pixels.clone().enumerate() {
                    let values = &x[pixel * channels..][..channels];
                    if index == 0 {
                        largest.copy_from_slice(values);
                        winner.fill(pixel as u32);
                        continue;
                    }
                    for ((largest, winner), &value) in largest.iter_mut().zip(&mut winner).zip(values) {
                        let wins = wins(value, *largest);
                        *largest = if wins { value } else { *largest };
                        *winner = if wins { pixel as u32 } else { *winner };
                    }
                }
                for pixel in pixels {
                    let targets = input_gradient[pixel * channels..][..channels].iter_mut();
                    for ((target, &winner), &gradient) in targets.zip(&winner).zip(gradient) {
                        *target += if winner == pixel as u32 { gradient } else { 0.0 };
                    }
                }
            }
        };
        let mut input_gradient = vec![0.0; x.len()];
        input_gradient
            .par_chunks_mut(self.input.image_len())
            .zip(x.par_chunks(self.input.image_len()))
            .zip(gradient.par_chunks(self.output.image_len()))
            .for_each(|((input_gradient, x), gradient)| {
                with_wide_vectors(
                    #[inline(always)]
                    || of_image(input_gradient, x, gradient),
                );
            });
        input_gradient
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

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let x = operands[0];
        let of_x = || self.of(x.dims).backward(x.values, gradient);
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }
}
