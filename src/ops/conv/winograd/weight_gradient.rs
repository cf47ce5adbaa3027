//! The gradient of the weight of a convolution of 3x3 taps: outer products of transformed pixels and gradients.

use rayon::prelude::*;

use super::{BLOCK_VALUES, PRODUCTS, TILE, TileCut, Tiles, pixel};
use crate::ops::conv::geometry::{Geometry, Window};
use crate::ops::conv::plan::ConvPlan;
use crate::ops::conv::weight_gradient::{PartialSums, assemble};
use crate::ops::fill::in_places;
use crate::ops::microkernel::{Finish, Outer, OuterSteps, SharedValues, Tile, Transform, words_of};
use crate::ops::scratch::with_scratch;
use crate::ops::stored::{Stored, ZeroPixel};
use crate::spec::Precision;

/// Parts that the channels of a product's sums are cut into.
const PARTS: usize = 2;

/// The gradient of the weight, `[O, I, 3, 3]`, from input and the output's gradient.
pub(in crate::ops::conv) fn weight_gradient(plan: &ConvPlan, x: Stored, output_gradient: Stored) -> Vec<f32> {
    let ConvPlan {
        kernels,
        ref geometry,
        precision,
    } = *plan;
    let Geometry {
        input,
        output,
        window: Window { padding, .. },
        ..
    } = *geometry;
    let (inputs, outputs) = (input.channels, output.channels);
    let tiles = Tiles::of(output);
    let round = precision == Precision::Bf16;
    let cut = TileCut::new(kernels, tiles, (input, padding), round);
    let block = (BLOCK_VALUES / (PRODUCTS * (inputs + outputs))).clamp(1, tiles.len().max(1));
    let mut sums = vec![0.0; PRODUCTS * inputs * outputs];
    with_scratch(PRODUCTS * block * (inputs + outputs), |scratch| {
        for first in (0..tiles.len()).step_by(block) {
            let range = first..(first + block).min(tiles.len());
            let count = range.len();
            let (left, right) = scratch.split_at_mut(PRODUCTS * block * inputs);
            let (pixels, gradients) = (SharedValues::new(left), SharedValues::new(right));
            let zeros = ZeroPixel::new(outputs);
            range.clone().into_par_iter().with_min_len(8).for_each(|tile| {
                cut.transform(tile..tile + 1, x, &range, &pixels);
                let (image, row, column) = tiles.place(tile);
                let of_tile = Tile::new(outputs, TILE * TILE, |index| {
                    match pixel(&output, 0, image, row + index / TILE, column + index % TILE) {
                        Some(start) => output_gradient.part(start, outputs),
                        None => zeros.of(output_gradient.format()),
                    }
                });
                let place = |product| Some((product * count + tile - range.start) * outputs);
                // SAFETY: each tile has its own places, and is transformed once.
                unsafe {
                    of_tile.transform(
                        kernels,
                        Transform::Gradients,
                        &gradients,
                        place,
                        round,
                        Finish::default(),
                    );
                }
            });
            let (left, right) = (words_of(left), words_of(right));
            let part = inputs.div_ceil(PARTS);
            sums.par_chunks_mut(inputs * outputs)
                .enumerate()
                .flat_map(|(product, sums)| {
                    let parts = sums.par_chunks_mut(part * outputs).enumerate();
                    parts.map(move |(index, sums)| (product, index, sums))
                })
                .for_each(|(product, index, sums)| {
                    let outer = Outer {
                        kernels,
                        left,
                        left_stride: inputs,
                        right,
                        right_stride: outputs,
                    };
                    let steps = OuterSteps {
                        left: product * count * inputs + index * part,
                        right: product * count * outputs,
                        len: count,
                    };
                    outer.add(&[steps], sums.len() / outputs, outputs, sums);
                });
        }
    });

    let write = |taps: &SharedValues| {
        (0..inputs).into_par_iter().with_min_len(4).for_each(|channel| {
            let tile = Tile::new(outputs, PRODUCTS, |product| {
                &sums[(product * inputs + channel) * outputs..]
            });
            let place = |tap| Some((tap * inputs + channel) * outputs);
            // SAFETY: each channel has its own places.
            unsafe {
                tile.transform(
                    kernels,
                    Transform::WeightGradients,
                    taps,
                    place,
                    false,
                    Finish::default(),
                );
            }
        });
    };
    // SAFETY: each channel writes its places.
    let taps = unsafe { in_places(9 * inputs * outputs, write) };
    let part = PartialSums {
        taps: (0..9).collect(),
        words: 0..inputs,
        sums: &[taps],
    };
    assemble(&[part], geometry.weight_len(), outputs, |tap, channel| {
        channel * 9 + tap
    })
}
