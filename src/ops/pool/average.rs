//! Average pooling over windows.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::{attributes_of, check_window, output_of};
use crate::ops::attributes::Attributes;
use crate::ops::composed::{rounded, sum_of, taps};
use crate::ops::conv::Window;
use crate::ops::error::OpError;
use crate::ops::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use crate::ops::round::{copy_rounded, round_in_place};
use crate::ops::tensor::Images;
use crate::spec::Precision;

/// The mean under each window of `x`, `[N, H, W, C]`: `[N, OH, OW, C]`. Padding counts as zeros
/// where `count_include_pad`, otherwise it does not count.
///
/// # Errors
/// A window that does not fit, or padding over half of it.
pub fn avg_pool2d(
    x: &Tensor,
    window: Window,
    count_include_pad: bool,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    check_window("average pooling", x, window)?;
    let op = AveragePooling {
        window,
        count_include_pad,
        precision,
    };
    run(op, &[x])
}

struct AveragePooling {
    window: Window,
    count_include_pad: bool,
    precision: Precision,
}

/// A pooling of images of known sizes.
struct SizedAveragePooling<'a> {
    options: &'a AveragePooling,
    input: Images,
    output: Images,
}

impl SizedAveragePooling<'_> {
    /// What the sum under the window at an output pixel is divided by.
    fn divisor(&self, row: usize, column: usize) -> usize {
        let window = self.options.window;
        if self.options.count_include_pad {
            return window.size * window.size;
        }
        let rows = window.inside(row * window.stride, self.input.height);
        rows.len() * window.inside(column * window.stride, self.input.width).len()
    }

    /// Visits each output pixel of an image, in order, with its divisor and the starts of the input
    /// pixels under its window.
    fn for_each_pixel(&self, mut visit: impl FnMut(usize, f64, &mut dyn Iterator<Item = usize>)) {
        let window = self.options.window;
        let Images {
            height,
            width,
            channels,
            ..
        } = self.input;
        for row in 0..self.output.height {
            for column in 0..self.output.width {
                let mut starts = window.inside(row * window.stride, height).flat_map(|y| {
                    let columns = window.inside(column * window.stride, width);
                    columns.map(move |x| (y * width + x) * channels)
                });
                let pixel = row * self.output.width + column;
                visit(pixel, self.divisor(row, column) as f64, &mut starts);
            }
        }
    }

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let channels = self.input.channels;
        let mut y = vec![0.0; self.output.len()];
        y.par_chunks_mut(self.output.image_len())
            .zip(x.par_chunks(self.input.image_len()))
            .for_each(|(y, x)| {
                let mut sums = vec![0.0f64; channels];
                self.for_each_pixel(|pixel, divisor, starts| {
                    sums.fill(0.0);
                    for start in starts {
                        for (sum, &value) in sums.iter_mut().zip(&x[start..start + channels]) {
                            *sum += f64::from(value);
                        }
                    }
                    for (y, sum) in y[pixel * channels..][..channels].iter_mut().zip(&sums) {
                        *y = (sum / divisor) as f32;
                    }
                });
                round_in_place(y, self.options.precision);
            });
        y
    }

    fn backward(&self, gradient: &[f32]) -> Vec<f32> {
        let channels = self.input.channels;
        let mut target = vec![0.0; self.input.len()];
        target
            .par_chunks_mut(self.input.image_len())
            .zip(gradient.par_chunks(self.output.image_len()))
            .for_each(|(target, gradient)| {
                let mut share = vec![0.0f32; channels];
                self.for_each_pixel(|pixel, divisor, starts| {
                    copy_rounded(
                        &gradient[pixel * channels..][..channels],
                        &mut share,
                        self.options.precision,
                    );
                    share
                        .iter_mut()
                        .for_each(|share| *share = (f64::from(*share) / divisor) as f32);
                    for start in starts {
                        for (target, share) in target[start..start + channels].iter_mut().zip(&share) {
                            *target += share;
                        }
                    }
                });
                round_in_place(target, self.options.precision);
            });
        target
    }
}

impl AveragePooling {
    fn of(&self, dims: &[usize]) -> SizedAveragePooling<'_> {
        let input = Images::of(dims);
        SizedAveragePooling {
            options: self,
            input,
            output: output_of(input, self.window),
        }
    }
}

impl Operation for AveragePooling {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn attributes(&self) -> Attributes {
        attributes_of(self.window)
            .with("count_include_pad", self.count_include_pad)
            .with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let Window {
            size,
            stride,
            padding,
        } = self.window;
        let x = &operands[0];
        let sized = self.of(x.dims());
        let (height, width) = (sized.output.height, sized.output.width);
        let x = x
            .contiguous()?
            .pad_with_zeros(1, padding, padding)?
            .pad_with_zeros(2, padding, padding)?;
        let sum = sum_of(taps(&x, size, (stride, 1), (height, width))?)?;
        let factors: Vec<f32> = (0..height * width)
            .map(|pixel| (1.0 / sized.divisor(pixel / width, pixel % width) as f64) as f32)
            .collect();
        let factors = Tensor::from_vec(factors, (height, width, 1), x.device())?;
        rounded(&sum.broadcast_mul(&factors)?, self.precision)
    }
}

impl CpuKernel for AveragePooling {
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
        let of_x = || self.of(operands[0].dims).backward(gradient);
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }
}
