//! Average pooling over windows.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::composed;
use super::conv::Window;
use super::error::OpError;
use super::pool::{inside, pooled};
use super::round::{copy_rounded, round_in_place};
use super::tape;
use super::tensor::{self, Images};
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
    let (input, output) = pooled("average pooling", x, window)?;
    let op = AveragePool {
        window,
        count_include_pad,
        input,
        output,
        precision,
    };
    if !x.device().is_cpu() {
        return Ok(composed::avg_pool2d(x, &op)?);
    }
    Ok(tape::apply1(&x.contiguous()?, op)?)
}

/// Average pooling and its sizes.
pub(super) struct AveragePool {
    pub window: Window,
    count_include_pad: bool,
    input: Images,
    pub output: Images,
    pub precision: Precision,
}

impl AveragePool {
    /// What the sum under the window at an output pixel is divided by.
    pub fn divisor(&self, row: usize, column: usize) -> usize {
        let Window {
            size,
            stride,
            padding,
        } = self.window;
        if self.count_include_pad {
            return size * size;
        }
        let rows = inside(row * stride, size, padding, self.input.height);
        rows.len() * inside(column * stride, size, padding, self.input.width).len()
    }

    /// Visits each output pixel of an image, in order, with its divisor and the starts of the input
    /// pixels under its window.
    fn for_each_pixel(&self, mut visit: impl FnMut(usize, f64, &mut dyn Iterator<Item = usize>)) {
        let Window {
            size,
            stride,
            padding,
        } = self.window;
        let Images {
            height,
            width,
            channels,
            ..
        } = self.input;
        for row in 0..self.output.height {
            for column in 0..self.output.width {
                let mut starts = inside(row * stride, size, padding, height).flat_map(|y| {
                    inside(column * stride, size, padding, width).map(move |x| (y * width + x) * channels)
                });
                let pixel = row * self.output.width + column;
                visit(pixel, self.divisor(row, column) as f64, &mut starts);
            }
        }
    }
}

impl CustomOp1 for AveragePool {
    fn name(&self) -> &'static str {
        "avg-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, layout)?;
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
                round_in_place(y, self.precision);
            });
        Ok(tensor::output(y, self.output.shape()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let channels = self.input.channels;
        let values = tensor::with_values(gradient, |gradient| {
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
                            self.precision,
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
                    round_in_place(target, self.precision);
                });
            Ok(target)
        })?;
        Ok(Some(tensor::from_values(values, x.shape())?))
    }
}

#[cfg(test)]
mod tests;
