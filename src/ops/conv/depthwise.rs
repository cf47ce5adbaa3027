//! The three products of a depthwise convolution, straight from the definition: each channel has one
//! kernel of its own. Channels lie side by side, so a handful of them is summed at a time in registers.
//! Parallel over blocks of rows of pixels; the weight's gradient over slices of the batch.

use std::mem::MaybeUninit;
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::geometry::{Geometry, Window};
use super::groups::finish_pixels;
use super::packed_weights::ConvWeight;
use super::plan::ConvPlan;
use crate::ops::HAS_GRADIENTS;
use crate::ops::fill::{in_blocks, in_zeroed_blocks};
use crate::ops::microkernel::Finish;
use crate::ops::round::round_in_place;
use crate::ops::scratch::with_scratch;
use crate::ops::stored::{Stored, ValueFormat, Values, narrow_to};
use crate::ops::vectors::with_wide_vectors;
use crate::spec::Precision;

/// Channels that are summed together where there are that many, so that one addition does not wait for
/// the one before it; and otherwise.
const MANY: usize = 64;
const FEW: usize = 16;
/// Results that a thread makes at a time, in whole rows of pixels.
const BLOCK: usize = 1 << 12;

/// The output `[N, OH, OW, C]` of input `[N, H, W, C]` and weight `[C, 1, K, K]`, finished as asked for and rounded to the
/// format, stored in one. The input is rounded.
pub(super) fn forward(
    plan: &ConvPlan,
    x: &[f32],
    weight: ConvWeight,
    finish: &Finish,
    format: ValueFormat,
) -> Values {
    let ConvPlan {
        ref geometry,
        precision,
        ..
    } = *plan;
    let (channels, size) = (geometry.input.channels, geometry.window.size);
    let weight = weight.depthwise(precision, |values| pack_weight(geometry, values, precision));
    let row_len = geometry.output.width * channels;
    let rows = (BLOCK / row_len).max(1);
    in_summed_blocks(format, geometry.output.len(), rows * row_len, |block, y| {
        let mut terms = Vec::with_capacity(size * size);
        for (index, y) in y.chunks_exact_mut(row_len).enumerate() {
            let index = block * rows + index;
            let (image, row) = (index / geometry.output.height, index % geometry.output.height);
            let x = &x[image * geometry.input.image_len()..][..geometry.input.image_len()];
            let tap_rows = geometry.taps_inside(row, geometry.input.height);
            for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                terms.clear();
                for tap_row in tap_rows.clone() {
                    let start = geometry.pixel_under(row, tap_row) * geometry.input.width;
                    for tap_column in geometry.taps_inside(column, geometry.input.width) {
                        terms.push(Term {
                            pixel: start + geometry.pixel_under(column, tap_column),
                            tap: tap_row * size + tap_column,
                        });
                    }
                }
                sum_products(y, x, &weight, &terms);
            }
            finish_pixels(y, channels, finish, index * row_len, precision);
        }
    })
}

/// `len` values of a format, made in blocks of `block` that run in parallel: `write` is given the index of each block and
/// its values, which are 0 yet.
fn in_summed_blocks(
    format: ValueFormat,
    len: usize,
    block: usize,
    write: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> Values {
    match format {
        ValueFormat::Bf16 if HAS_GRADIENTS => {
            let narrow = |index: usize, target: &mut [MaybeUninit<bf16>]| {
                with_scratch(target.len(), |values| {
                    values.fill(0.0);
                    write(index, values);
                    narrow_to(values, target);
                });
            };
            // SAFETY: each block is written.
            Values::Bf16(unsafe { in_blocks(len, block, narrow) })
        }
        _ => Values::F32(in_zeroed_blocks(len, block, write)),
    }
}

/// The gradient of the input, `[N, H, W, C]`, from that of the output, which is rounded, stored in a format.
pub(super) fn input_gradient(
    geometry: &Geometry,
    weight: &[f32],
    output_gradient: &[f32],
    precision: Precision,
    format: ValueFormat,
) -> Values {
    let (channels, size) = (geometry.input.channels, geometry.window.size);
    let output = geometry.output;
    let weight = pack_weight(geometry, weight, precision);
    let row_len = geometry.input.width * channels;
    in_summed_blocks(format, geometry.input.len(), row_len, |index, gradient| {
        let (image, row) = (index / geometry.input.height, index % geometry.input.height);
        let output_gradient = &output_gradient[image * output.image_len()..][..output.image_len()];
        let mut terms = Vec::with_capacity(size * size);
        for (column, gradient) in gradient.chunks_exact_mut(channels).enumerate() {
            terms.clear();
            for (tap_row, y) in geometry.positions_over(row, output.height) {
                for (tap_column, x) in geometry.positions_over(column, output.width) {
                    terms.push(Term {
                        pixel: y * output.width + x,
                        tap: tap_row * size + tap_column,
                    });
                }
            }
            sum_products(gradient, output_gradient, &weight, &terms);
        }
        round_in_place(gradient, precision);
    })
}

/// The gradient of the weight, `[C, 1, K, K]`, from that of the output. Sums run in f32 within an
/// image and in f64 across images, in their order.
pub(super) fn weight_gradient(
    geometry: &Geometry,
    x: Stored,
    output_gradient: Stored,
    precision: Precision,
) -> Vec<f32> {
    let channels = geometry.input.channels;
    let taps = geometry.window.size * geometry.window.size;
    let batch = geometry.input.batch;
    let slice = batch.div_ceil(SLICES).max(1);
    let partial_sums: Vec<Vec<f64>> = (0..batch.div_ceil(slice))
        .into_par_iter()
        .map(|index| {
            let mut sum = vec![0.0f64; taps * channels];
            for image in index * slice..((index + 1) * slice).min(batch) {
                let (input, output) = (geometry.input.image_len(), geometry.output.image_len());
                let x = x.part(image * input, input);
                let output_gradient = output_gradient.part(image * output, output);
                let of_image = x.with_rounded(precision, |x| {
                    output_gradient.with_rounded(precision, |output_gradient| {
                        image_weight_gradient(geometry, x, output_gradient)
                    })
                });
                for (sum, value) in sum.iter_mut().zip(of_image) {
                    *sum += f64::from(value);
                }
            }
            sum
        })
        .collect();
    let mut gradient = vec![0.0; channels * taps];
    for (channel, gradient) in gradient.chunks_exact_mut(taps).enumerate() {
        for (tap, gradient) in gradient.iter_mut().enumerate() {
            let sum: f64 = partial_sums.iter().map(|sum| sum[tap * channels + channel]).sum();
            *gradient = sum as f32;
        }
    }
    gradient
}

/// Slices of the batch that have a partial sum each; never a function of the number of threads.
const SLICES: usize = 16;

/// What one image contributes to the weight's gradient, `[K, K, C]`.
fn image_weight_gradient(geometry: &Geometry, x: &[f32], output_gradient: &[f32]) -> Vec<f32> {
    let channels = geometry.input.channels;
    let size = geometry.window.size;
    let mut sums = vec![0.0f32; size * size * channels];
    let rows = output_gradient.chunks_exact(geometry.output.width * channels);
    for (row, output_gradient) in rows.enumerate() {
        for tap_row in geometry.taps_inside(row, geometry.input.height) {
            let x = &x[geometry.pixel_under(row, tap_row) * geometry.input.width * channels..]
                [..geometry.input.width * channels];
            for tap_column in 0..size {
                let columns = geometry.columns_inside(tap_column);
                let sum = &mut sums[(tap_row * size + tap_column) * channels..][..channels];
                let term = |column| {
                    let pixel = geometry.pixel_under(column, tap_column);
                    (pixel * channels, column * channels)
                };
                add_products(sum, x, output_gradient, columns.map(term));
            }
        }
    }
    sums
}

/// A pixel and the tap that it is multiplied by.
struct Term {
    pixel: usize,
    tap: usize,
}

/// Adds the sum of the terms to each channel of `target`.
fn sum_products(target: &mut [f32], images: &[f32], weight: &[f32], terms: &[Term]) {
    let channels = target.len();
    let places = terms
        .iter()
        .map(|term| (term.pixel * channels, term.tap * channels));
    add_products(target, images, weight, places);
}

/// Adds, for each channel of `target`, the sum of the products of `left` and `right` over all places.
#[inline(always)]
fn add_products(
    target: &mut [f32],
    left: &[f32],
    right: &[f32],
    places: impl Iterator<Item = (usize, usize)> + Clone,
) {
    with_wide_vectors(
        #[inline(always)]
        || {
            let (many, rest) = target.as_chunks_mut::<MANY>();
            let (few, last) = rest.as_chunks_mut::<FEW>();
            let mut start = 0;
            for target in many {
                add_to_lanes(target, &left[start..], &right[start..], places.clone());
                start += MANY;
            }
            for target in few {
                add_to_lanes(target, &left[start..], &right[start..], places.clone());
                start += FEW;
            }
            for (lane, target) in last.iter_mut().enumerate() {
                let product = |(a, b): (usize, usize)| left[a + start + lane] * right[b + start + lane];
                *target += places
                    .clone()
                    .map(product)
                    .fold(0.0, |sum, product| sum + product);
            }
        },
    );
}

/// [`add_products`] for as many channels as there are lanes.
#[inline(always)]
fn add_to_lanes<const LANES: usize>(
    target: &mut [f32; LANES],
    left: &[f32],
    right: &[f32],
    places: impl Iterator<Item = (usize, usize)>,
) {
    let mut total = [0.0f32; LANES];
    for (a, b) in places {
        let (Some(left), Some(right)) = (
            left[a..].first_chunk::<LANES>(),
            right[b..].first_chunk::<LANES>(),
        ) else {
            unreachable!("each place has all channels");
        };
        for lane in 0..LANES {
            total[lane] += left[lane] * right[lane];
        }
    }
    for lane in 0..LANES {
        target[lane] += total[lane];
    }
}

/// `[C, 1, K, K]` as `[K, K, C]`, rounded to the format.
fn pack_weight(geometry: &Geometry, weight: &[f32], precision: Precision) -> Vec<f32> {
    let channels = geometry.input.channels;
    let taps = geometry.window.size * geometry.window.size;
    let mut packed = vec![0.0; taps * channels];
    for (channel, kernel) in weight.chunks_exact(taps).enumerate() {
        for (packed, &value) in packed[channel..].iter_mut().step_by(channels).zip(kernel) {
            *packed = value;
        }
    }
    round_in_place(&mut packed, precision);
    packed
}

impl Geometry {
    /// The columns of the output at which a column of taps lies on the image.
    fn columns_inside(&self, tap: usize) -> Range<usize> {
        let Window { stride, padding, .. } = self.window;
        let before = |place: usize| place.saturating_sub(tap * self.dilation).div_ceil(stride);
        let first = before(padding);
        let end = before(padding + self.input.width);
        first..end.min(self.output.width).max(first)
    }

    /// The taps that ever lie on a pixel, and at which of `positions` positions of the window.
    fn positions_over(&self, pixel: usize, positions: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.window.size).filter_map(move |tap| Some((tap, self.output_over(positions, pixel, tap)?)))
    }
}
