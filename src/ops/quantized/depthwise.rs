//! Convolutions of each channel by itself.

use super::finish::{PanelFinish, ResultElement};
use super::kernels::LANES;
use super::lanes::{Lanes, PanelWork, with_lanes};
use crate::ops::conv::Geometry;
use crate::ops::fill::in_places;
use crate::ops::microkernel::SharedValues;
use rayon::prelude::*;

/// The weights of a convolution of each channel by itself.
pub(super) struct DepthwiseTaps {
    /// Of each panel of channels, of each tap, those of the channels; 0 for channels that there are not.
    values: Vec<[i16; LANES]>,
    taps: usize,
}

impl DepthwiseTaps {
    /// Of weights `[channels, 1, K, K]`.
    pub fn of(weights: &[i8], channels: usize, taps: usize) -> Self {
        let mut values = vec![[0; LANES]; channels.div_ceil(LANES) * taps];
        for (channel, weights) in weights.chunks_exact(taps.max(1)).enumerate() {
            for (tap, &weight) in weights.iter().enumerate() {
                values[channel / LANES * taps + tap][channel % LANES] = weight.into();
            }
        }
        Self { values, taps }
    }

    /// The convolution of the images `x`, whose byte of 0 is `zero`.
    pub fn run<'a, T: ResultElement + 'a>(
        &self,
        x: &[u8],
        geometry: &Geometry,
        zero: u8,
        finish: impl Fn(usize) -> PanelFinish<'a, T> + Sync,
    ) -> Vec<T> {
        let output = geometry.output;
        let lines = output.batch * output.height;
        let write = |target: &SharedValues<T>| {
            (0..lines).into_par_iter().for_each(|line| {
                with_lanes(&DepthwiseLine {
                    taps: self,
                    x,
                    geometry,
                    zero,
                    line,
                    finish: &finish,
                    target,
                });
            });
        };
        // SAFETY: every line of the result is of one task.
        unsafe { in_places(output.len(), write) }
    }
}

/// A line of the result.
struct DepthwiseLine<'a, T, F> {
    taps: &'a DepthwiseTaps,
    x: &'a [u8],
    geometry: &'a Geometry,
    zero: u8,
    line: usize,
    finish: &'a F,
    target: &'a SharedValues<'a, T>,
}

impl<'a, T: ResultElement + 'a, F: Fn(usize) -> PanelFinish<'a, T>> PanelWork for DepthwiseLine<'_, T, F> {
    #[inline(always)]
    fn run<L: Lanes>(&self) {
        let Geometry {
            input,
            output,
            window,
            dilation,
            ..
        } = *self.geometry;
        let channels = input.channels;
        let image = &self.x[self.line / output.height * input.image_len()..][..input.image_len()];
        let top = self.line % output.height * window.stride;
        for panel in 0..channels.div_ceil(LANES) {
            let finish = (self.finish)(panel);
            let taps = &self.taps.values[panel * self.taps.taps..][..self.taps.taps];
            let first = panel * LANES;
            let width = LANES.min(channels - first);
            for column in 0..output.width {
                let left = column * window.stride;
                let mut sums = [0i32; LANES];
                for (tap, weights) in taps.iter().enumerate() {
                    let y = (top + tap / window.size * dilation).wrapping_sub(window.padding);
                    let x = (left + tap % window.size * dilation).wrapping_sub(window.padding);
                    let mut bytes = [self.zero; LANES];
                    if y < input.height && x < input.width {
                        let pixel = &image[(y * input.width + x) * channels + first..][..width];
                        match pixel.try_into() {
                            Ok(whole) => bytes = whole,
                            Err(_) => bytes[..width].copy_from_slice(pixel),
                        }
                    }
                    for ((sum, byte), weight) in sums.iter_mut().zip(bytes).zip(weights) {
                        // At most 255 x 127, which 16 bits hold.
                        *sum += i32::from(i16::from(byte) * weight);
                    }
                }
                let place = (self.line * output.width + column) * channels + first;
                // SAFETY: a task writes its own line; the processor is what `L` was chosen for.
                unsafe { finish.write::<L>(&sums, self.target, place, width) };
            }
        }
    }
}
