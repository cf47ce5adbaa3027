//! Pooling.

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::composed;
use super::conv::Window;
use super::error::OpError;
use super::fill::in_blocks;
use super::round::round_in_place;
use super::tape;
use super::tensor::{self, Images, channels_last};
use super::vectors::with_wide_vectors;
use crate::spec::Precision;

/// The largest value under each window of `x`, `[N, H, W, C]`: `[N, OH, OW, C]`. Padding never
/// wins; of equal values the first wins and gets the whole gradient, and a NaN wins over all, as in
/// PyTorch.
///
/// # Errors
/// A window that does not fit, or padding over half of it.
pub fn max_pool2d(x: &Tensor, window: Window) -> std::result::Result<Tensor, OpError> {
    let (input, output) = pooled("max pooling", x, window)?;
    if !x.device().is_cpu() {
        return Ok(composed::max_pool2d(x, window, (output.height, output.width))?);
    }
    Ok(tape::apply1(
        &x.contiguous()?,
        MaxPool {
            window,
            input,
            output,
        },
    )?)
}

/// The dimensions before and after pooling.
pub(super) fn pooled(
    op: &'static str,
    x: &Tensor,
    window: Window,
) -> std::result::Result<(Images, Images), OpError> {
    let input = channels_last(op, x)?;
    let Window { size, padding, .. } = window;
    if size == 0 || padding > size / 2 {
        let problem = format!("padding {padding} is over half of the window of {size}x{size}");
        return Err(OpError::shape(op, problem));
    }
    let (Some(height), Some(width)) = (window.positions(input.height), window.positions(input.width)) else {
        let Images { height, width, .. } = input;
        let problem = format!("a {size}x{size} window does not fit in an image of {height}x{width}");
        return Err(OpError::shape(op, problem));
    };
    let output = Images {
        height,
        width,
        ..input
    };
    Ok((input, output))
}

/// The mean over all pixels of `x`, `[N, H, W, C]`: `[N, C]`.
///
/// # Errors
/// A tensor of another rank.
pub fn global_average_pool(x: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    let input = channels_last("global average pooling", x)?;
    if !x.device().is_cpu() {
        return Ok(composed::global_average_pool(x, precision)?);
    }
    Ok(tape::apply1(
        &x.contiguous()?,
        GlobalAveragePool { input, precision },
    )?)
}

struct MaxPool {
    window: Window,
    input: Images,
    output: Images,
}

impl MaxPool {
    /// The pixels of the input image under each window, with the output's pixels in their order.
    fn windows(&self) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone> + '_ {
        let Window {
            size,
            stride,
            padding,
        } = self.window;
        let Images { height, width, .. } = self.input;
        (0..self.output.height).flat_map(move |row| {
            (0..self.output.width).map(move |column| {
                let columns = inside(column * stride, size, padding, width);
                inside(row * stride, size, padding, height)
                    .flat_map(move |y| columns.clone().map(move |x| y * width + x))
            })
        })
    }
}

/// Whether a value wins over the largest before it.
#[inline(always)]
fn wins(value: f32, largest: f32) -> bool {
    value > largest || value.is_nan()
}

/// The pixels under a window that starts at `start`, counted from the padded edge.
pub(super) fn inside(start: usize, size: usize, padding: usize, extent: usize) -> std::ops::Range<usize> {
    start.saturating_sub(padding)..(start + size).saturating_sub(padding).min(extent)
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, layout)?;
        let channels = self.input.channels;
        let image = |index: usize, y: &mut [MaybeUninit<f32>]| {
            let x = &x[index * self.input.image_len()..][..self.input.image_len()];
            with_wide_vectors(
                #[inline(always)]
                || {
                    for (y, mut pixels) in y.chunks_exact_mut(channels).zip(self.windows()) {
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
        let y = unsafe { in_blocks(self.output.len(), self.output.image_len(), image) };
        Ok(tensor::output(y, self.output.shape()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
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
        let values = tensor::with_values(x, |x| {
            tensor::with_values(gradient, |gradient| {
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
                Ok(input_gradient)
            })
        })?;
        Ok(Some(tensor::from_values(values, x.shape())?))
    }
}

struct GlobalAveragePool {
    input: Images,
    precision: Precision,
}

impl CustomOp1 for GlobalAveragePool {
    fn name(&self) -> &'static str {
        "global-average-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, layout)?;
        let Images {
            batch,
            height,
            width,
            channels,
        } = self.input;
        let mut y = vec![0.0; batch * channels];
        y.par_chunks_mut(channels)
            .zip(x.par_chunks(self.input.image_len()))
            .for_each(|(y, x)| {
                let mut sums = vec![0.0f64; channels];
                for pixel in x.chunks_exact(channels) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += f64::from(value);
                    }
                }
                for (y, sum) in y.iter_mut().zip(sums) {
                    *y = (sum / (height * width) as f64) as f32;
                }
                round_in_place(y, self.precision);
            });
        Ok(tensor::output(y, (batch, channels)))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let channels = self.input.channels;
        let pixels = (self.input.height * self.input.width) as f32;
        let values = tensor::with_values(gradient, |gradient| {
            let mut input_gradient = vec![0.0; self.input.len()];
            input_gradient
                .par_chunks_mut(self.input.image_len())
                .zip(gradient.par_chunks(channels))
                .for_each(|(target, gradient)| {
                    let mut share: Vec<f32> = gradient.iter().map(|gradient| gradient / pixels).collect();
                    round_in_place(&mut share, self.precision);
                    target
                        .chunks_exact_mut(channels)
                        .for_each(|pixel| pixel.copy_from_slice(&share));
                });
            Ok(input_gradient)
        })?;
        Ok(Some(tensor::from_values(values, x.shape())?))
    }
}

#[cfg(test)]
mod tests;
