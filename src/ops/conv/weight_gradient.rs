//! The gradient of a convolution's weight: sums of outer products over pixels. Parallel over slices of
//! the batch, each with a sum of its own, and over parts of the weight where such sums are too large. Where
//! images are a matrix of pixels, its columns are multiplied by those of the gradient.

use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

use super::correlate::pad;
use super::geometry::{Geometry, Window};
use super::plan::ConvPlan;
use crate::ops::microkernel::{
    ColumnProducts, Kernels, Outer, OuterSteps, WordFormat, interleave_pairs, words_of,
};
use crate::ops::stored::Stored;
use crate::ops::tensor::Images;
use crate::spec::Precision;

/// The gradient of the weight, `[O, I, K, K]`, from input and the output's gradient.
pub(super) fn weight_gradient(plan: &ConvPlan, x: Stored, output_gradient: Stored) -> Vec<f32> {
    let ConvPlan {
        kernels,
        ref geometry,
        precision,
    } = *plan;
    let Window { size, padding, .. } = geometry.window;
    let channels = geometry.input.channels;
    let outputs = geometry.output.channels;
    if geometry.is_pointwise() && outputs >= MATRIX_OUTPUTS {
        return column_products(kernels, (output_gradient, outputs), (x, channels), precision);
    }
    let shallow = geometry.is_shallow();
    let padded = shallow.then(|| {
        let Images {
            batch, height, width, ..
        } = geometry.input;
        let images = Images {
            batch,
            height: height + 2 * padding,
            width: width + 2 * padding,
            channels,
        };
        let mut values = vec![0.0; images.len()];
        let image = geometry.input.image_len();
        values
            .par_chunks_mut(images.image_len())
            .enumerate()
            .for_each(|(index, target)| {
                let pad = |image: &[f32]| pad(image, &geometry.input, padding, target, precision);
                x.part(index * image, image).with_rounded(precision, pad);
            });
        (images, values)
    });
    let (input_images, x) = match &padded {
        Some((images, values)) => (*images, Stored::F32(values)),
        None => (geometry.input, x),
    };
    let sums = OuterSums {
        kernels,
        geometry,
        input: input_images,
        // With few channels, a row of the kernel is one run of words.
        run: if shallow { size * channels } else { channels },
        x: &operand(kernels, x, input_images.image_len(), precision),
        output_gradient: &operand(kernels, output_gradient, geometry.output.image_len(), precision),
    };
    let taps = if shallow { sums.padded_taps() } else { sums.taps() };
    let order = |tap: usize, index: usize| {
        if shallow {
            // The tap is a row of the kernel.
            index % channels * size * size + tap * size + index / channels
        } else {
            index * size * size + tap
        }
    };
    sums.run(&taps, order)
}

/// Outputs from which on there are tasks enough without slices of the batch.
const MATRIX_OUTPUTS: usize = 128;
/// Rows that are packed at the same time: a multiple of the steps that tiles sum, so that it does not change them.
const PACKED_ROWS: usize = 1 << 13;

/// `left^T right` for two matrices, given with their columns.
fn column_products(
    kernels: &'static Kernels,
    (left, left_columns): (Stored, usize),
    (right, right_columns): (Stored, usize),
    precision: Precision,
) -> Vec<f32> {
    let rows = left.len() / left_columns.max(1);
    let of_rows = |first: usize| {
        let count = PACKED_ROWS.min(rows - first);
        let left = left.part(first * left_columns, count * left_columns);
        let right = right.part(first * right_columns, count * right_columns);
        ColumnProducts::new(kernels, (left, left_columns), (right, right_columns), precision)
    };
    if rows == 0 {
        return vec![0.0; left_columns * right_columns];
    }
    let mut products = of_rows(0).products();
    for first in (PACKED_ROWS..rows).step_by(PACKED_ROWS) {
        of_rows(first).add_to(&mut products);
    }
    products
}

/// An operand in the kernels' words: pairs of images, or rounded values.
fn operand<'a>(
    kernels: &Kernels,
    values: Stored<'a>,
    image_len: usize,
    precision: Precision,
) -> Cow<'a, [u32]> {
    match kernels.format {
        WordFormat::Bf16Pair => interleave_pairs(values, image_len).into(),
        WordFormat::F32 => match values.rounded(precision) {
            Cow::Borrowed(values) => words_of(values).into(),
            Cow::Owned(values) => values.into_iter().map(f32::to_bits).collect(),
        },
    }
}

/// A tap that meets the image, and where it does in one image.
struct Tap {
    tap: usize,
    /// Steps from the first words of an image.
    steps: Vec<OuterSteps>,
}

struct OuterSums<'a> {
    kernels: &'static Kernels,
    geometry: &'a Geometry,
    input: Images,
    /// Words that a tap meets at a position.
    run: usize,
    x: &'a [u32],
    output_gradient: &'a [u32],
}

/// Values that the partial sums may have together.
const PARTIAL_VALUES: usize = 1 << 22;
/// Tasks, where the weight is large enough for so many.
const TASKS: usize = 16;
/// Words of both operands that are gone through before all sums have taken them in.
const BLOCK_WORDS: usize = 1 << 17;

impl OuterSums<'_> {
    /// The taps that ever meet the image.
    fn taps(&self) -> Vec<Tap> {
        let (input_images, output) = (self.input, self.geometry.output);
        let (geometry, size) = (self.geometry, self.geometry.window.size);
        let columns: Vec<Option<(usize, usize, usize)>> = (0..size)
            .map(|tap| {
                let meets = |column: &usize| geometry.input_under(input_images.width, *column, tap).is_some();
                let first = (0..output.width).find(meets)?;
                let last = (0..output.width).rfind(meets)?;
                Some((
                    first,
                    geometry.input_under(input_images.width, first, tap)?,
                    last + 1 - first,
                ))
            })
            .collect();
        let mut taps = Vec::new();
        for tap_row in 0..size {
            for (tap_column, columns) in columns.iter().enumerate() {
                let Some((first, pixel, len)) = *columns else {
                    continue;
                };
                let steps: Vec<OuterSteps> = (0..output.height)
                    .filter_map(|row| {
                        let y = geometry.input_under(input_images.height, row, tap_row)?;
                        Some(OuterSteps {
                            left: (y * input_images.width + pixel) * input_images.channels,
                            right: (row * output.width + first) * output.channels,
                            len,
                        })
                    })
                    .collect();
                if !steps.is_empty() {
                    let tap = tap_row * size + tap_column;
                    taps.push(Tap { tap, steps });
                }
            }
        }
        taps
    }

    /// Rows of the kernel over padded images.
    fn padded_taps(&self) -> Vec<Tap> {
        let (images, output) = (self.input, self.geometry.output);
        let Window { size, stride, .. } = self.geometry.window;
        let tap = |tap: usize| Tap {
            tap,
            steps: (0..output.height)
                .map(|row| OuterSteps {
                    left: (row * stride + tap) * images.width * images.channels,
                    right: row * output.width * output.channels,
                    len: output.width,
                })
                .collect(),
        };
        (0..size).map(tap).collect()
    }

    /// All sums, as the weight's gradient: `order(tap, word)` is a value's place within an output.
    fn run(&self, taps: &[Tap], order: impl Fn(usize, usize) -> usize + Sync) -> Vec<f32> {
        let outputs = self.geometry.output.channels;
        let images = self.x.len() / self.input.image_len();
        let per_tap = self.run * outputs;
        let affordable = (PARTIAL_VALUES / (taps.len() * per_tap).max(1)).clamp(1, TASKS);
        let slice = images.div_ceil(1 << affordable.ilog2()).max(1);
        // Of little, each task goes through all slices and has one sum of what they give, in their order: the sum of
        // their sums, without keeping those.
        let is_little = self.x.len() + self.output_gradient.len() <= BLOCK_WORDS;
        let at_once = if is_little { images } else { slice };
        let slices = images.div_ceil(at_once.max(1));
        let parts = self.parts(taps.len(), TASKS.div_ceil(slices.max(1)));

        let tasks: Vec<(&WeightPart, usize)> = parts
            .iter()
            .flat_map(|part| (0..slices).map(move |slice| (part, slice)))
            .collect();
        let partial_sums: Vec<Vec<f32>> = tasks
            .into_par_iter()
            .map(|(part, index)| {
                let images = index * at_once..((index + 1) * at_once).min(images);
                let taps = &taps[part.taps.clone()];
                let mut sums = vec![0.0; taps.len() * part.words.len() * outputs];
                for first in images.clone().step_by(slice) {
                    self.add(part, taps, first..(first + slice).min(images.end), &mut sums);
                }
                sums
            })
            .collect();

        let partial_sums = parts.into_iter().zip(partial_sums.chunks(slices.max(1)));
        let parts: Vec<PartialSums> = partial_sums
            .map(|(part, sums)| PartialSums {
                taps: taps[part.taps].iter().map(|tap| tap.tap).collect(),
                words: part.words,
                sums,
            })
            .collect();
        assemble(&parts, self.geometry.weight_len(), outputs, order)
    }

    /// The weight cut into so many parts, if it is large enough.
    fn parts(&self, taps: usize, count: usize) -> Vec<WeightPart> {
        let whole = |words: Range<usize>, taps: Range<usize>| WeightPart { taps, words };
        if count <= 1 {
            return vec![whole(0..self.run, 0..taps)];
        }
        let blocks = count.div_ceil(taps.max(1));
        let block = self
            .run
            .div_ceil(blocks)
            .next_multiple_of(self.kernels.outer_tile_for(self.geometry.output.channels).0);
        (0..taps)
            .flat_map(|tap| {
                let starts = (0..self.run).step_by(block);
                starts.map(move |start| whole(start..(start + block).min(self.run), tap..tap + 1))
            })
            .collect()
    }

    /// Adds the sums over some images to `sums`, `[taps][words][O]`.
    fn add(&self, part: &WeightPart, taps: &[Tap], images: Range<usize>, sums: &mut [f32]) {
        let (left_image, right_image) = (self.input.image_len(), self.geometry.output.image_len());
        let outer = Outer {
            kernels: self.kernels,
            left: self.x,
            left_stride: self.geometry.window.stride * self.input.channels,
            right: self.output_gradient,
            right_stride: self.geometry.output.channels,
        };
        let outputs = self.geometry.output.channels;
        let block = (BLOCK_WORDS / (left_image + right_image)).max(1);
        let mut steps = Vec::new();
        for first in images.clone().step_by(block) {
            let images = first..(first + block).min(images.end);
            for (tap, sums) in taps.iter().zip(sums.chunks_exact_mut(part.words.len() * outputs)) {
                steps.clear();
                for image in images.clone() {
                    for of_image in &tap.steps {
                        let next = OuterSteps {
                            left: of_image.left + image * left_image + part.words.start,
                            right: of_image.right + image * right_image,
                            len: of_image.len,
                        };
                        match steps.last_mut() {
                            Some(last) if outer.continues(last, &next) => last.len += next.len,
                            _ => steps.push(next),
                        }
                    }
                }
                outer.add(&steps, part.words.len(), outputs, sums);
            }
        }
    }
}

/// A part of the weight: of some of the live taps some words.
struct WeightPart {
    taps: Range<usize>,
    words: Range<usize>,
}

/// Sums of some taps and words, `[taps][words][O]`, of all slices of the batch.
pub(super) struct PartialSums<'a> {
    pub taps: Vec<usize>,
    pub words: Range<usize>,
    pub sums: &'a [Vec<f32>],
}

/// Outputs, and values of each, whose sums are put in their places together: rows of sums are read in pieces that are worth
/// it, and what is made of them is written where a near cache holds it.
const OUTPUTS: usize = 32;
const PLACES: usize = 64;

/// The weight's gradient, outputs first, from its parts: `order(tap, word)` is a value's place within
/// an output.
pub(super) fn assemble(
    parts: &[PartialSums],
    len: usize,
    outputs: usize,
    order: impl Fn(usize, usize) -> usize + Sync,
) -> Vec<f32> {
    let per_output = len / outputs;
    let mut gradient = vec![0.0; len];
    gradient
        .par_chunks_mut(OUTPUTS * per_output)
        .enumerate()
        .for_each(|(block, gradient)| {
            let first = block * OUTPUTS;
            let count = gradient.len() / per_output;
            let (mut places, mut rows) = (Vec::new(), Vec::new());
            for part in parts {
                let taps = part.taps.len();
                let step = (PLACES / taps.max(1)).max(1);
                for start in (0..part.words.len()).step_by(step) {
                    places.clear();
                    rows.clear();
                    for index in start..(start + step).min(part.words.len()) {
                        for (tap_index, &tap) in part.taps.iter().enumerate() {
                            let row = tap_index * part.words.len() + index;
                            let mut sums = [0.0; OUTPUTS];
                            for partial in part.sums {
                                let values = &partial[row * outputs + first..][..count];
                                for (sum, value) in sums.iter_mut().zip(values) {
                                    *sum += value;
                                }
                            }
                            places.push(order(tap, part.words.start + index));
                            rows.push(sums);
                        }
                    }
                    for (output, gradient) in gradient.chunks_exact_mut(per_output).enumerate() {
                        for (&place, sums) in places.iter().zip(&rows) {
                            gradient[place] = sums[output];
                        }
                    }
                }
            }
        });
    gradient
}
