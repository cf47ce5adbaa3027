//! The three products of a convolution of one group, as matrix products over columns. Parallel over
//! groups of images, serial within.

use rayon::prelude::*;

use super::columns::{gather, scatter_add};
use super::geometry::{Geometry, Taps};
use crate::ops::matmul::{Matrix, multiply};
use crate::ops::round::{copy_rounded, round_in_place};
use crate::ops::scratch::with_scratch;
use crate::spec::Precision;

/// The output `[N, OH, OW, O]` of input `[N, H, W, I]`, weight `[O, I, K, K]` and bias `[O]`, which is
/// already rounded to the format.
pub(super) fn forward(
    geometry: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    precision: Precision,
) -> Vec<f32> {
    let taps = geometry.live_taps();
    let inner = taps.len() * geometry.input.channels;
    let outputs = geometry.output.channels;
    let weight = pack_weight(geometry, &taps, weight, precision);
    let weight = Matrix::row_major(&weight, outputs, inner).transposed();
    let group = geometry.group(inner);

    let mut y = vec![0.0; geometry.output.len()];
    y.par_chunks_mut(group * geometry.output.image_len())
        .zip(x.par_chunks(group * geometry.input.image_len()))
        .for_each(|(y, x)| {
            let rows = y.len() / outputs;
            if geometry.is_pointwise() && precision == Precision::F32 {
                multiply(y, Matrix::row_major(x, rows, inner), weight, false);
            } else {
                with_scratch(rows * inner, |columns| {
                    gather(geometry, &taps, x, columns, precision);
                    multiply(y, Matrix::row_major(columns, rows, inner), weight, false);
                });
            }
            if let Some(bias) = bias {
                for pixel in y.chunks_exact_mut(outputs) {
                    pixel.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                }
            }
            round_in_place(y, precision);
        });
    y
}

/// The gradient of the input, `[N, H, W, I]`, from that of the output.
pub(super) fn input_gradient(
    geometry: &Geometry,
    weight: &[f32],
    output_gradient: &[f32],
    precision: Precision,
) -> Vec<f32> {
    let taps = geometry.live_taps();
    let inner = taps.len() * geometry.input.channels;
    let outputs = geometry.output.channels;
    let weight = pack_weight(geometry, &taps, weight, precision);
    let weight = Matrix::row_major(&weight, outputs, inner);
    let group = geometry.group(inner);

    let mut gradient = vec![0.0; geometry.input.len()];
    gradient
        .par_chunks_mut(group * geometry.input.image_len())
        .zip(output_gradient.par_chunks(group * geometry.output.image_len()))
        .for_each(|(gradient, output_gradient)| {
            let rows = output_gradient.len() / outputs;
            with_rounded(output_gradient, precision, |output_gradient| {
                let output_gradient = Matrix::row_major(output_gradient, rows, outputs);
                if geometry.is_pointwise() {
                    multiply(gradient, output_gradient, weight, false);
                } else {
                    with_scratch(rows * inner, |columns| {
                        multiply(columns, output_gradient, weight, false);
                        scatter_add(geometry, &taps, columns, gradient);
                    });
                }
            });
            round_in_place(gradient, precision);
        });
    gradient
}

/// The gradient of the weight, `[O, I, K, K]`, from that of the output.
pub(super) fn weight_gradient(
    geometry: &Geometry,
    x: &[f32],
    output_gradient: &[f32],
    precision: Precision,
) -> Vec<f32> {
    let taps = geometry.live_taps();
    let channels = geometry.input.channels;
    let outputs = geometry.output.channels;
    let (slices, tap_blocks) = weight_tasks(geometry, &taps);
    let slice = geometry.input.batch.div_ceil(slices).max(1);
    let slices = geometry.input.batch.div_ceil(slice);

    // One partial sum for each (block of taps, slice of the batch).
    let tasks: Vec<(usize, usize)> = (0..tap_blocks.len())
        .flat_map(|block| (0..slices).map(move |slice| (block, slice)))
        .collect();
    let partial_sums: Vec<Vec<f32>> = tasks
        .into_par_iter()
        .map(|(block, index)| {
            let images = index * slice..((index + 1) * slice).min(geometry.input.batch);
            let x = &x[images.start * geometry.input.image_len()..images.end * geometry.input.image_len()];
            let output_gradient = &output_gradient
                [images.start * geometry.output.image_len()..images.end * geometry.output.image_len()];
            let mut sum = vec![0.0; outputs * tap_blocks[block].len() * channels];
            add_weight_gradient(
                geometry,
                &tap_blocks[block],
                x,
                output_gradient,
                precision,
                &mut sum,
            );
            sum
        })
        .collect();

    let size = geometry.window.size;
    let mut gradient = vec![0.0; outputs * channels * size * size];
    gradient
        .par_chunks_mut(channels * size * size)
        .enumerate()
        .for_each(|(output, gradient)| {
            for (block, partial_sums) in tap_blocks.iter().zip(partial_sums.chunks_exact(slices.max(1))) {
                let len = block.len() * channels;
                for partial_sum in partial_sums {
                    let mut values = partial_sum[output * len..][..len].iter();
                    for row in block.rows.clone() {
                        for column in block.columns.clone() {
                            let taps = gradient[row * size + column..].iter_mut().step_by(size * size);
                            for (gradient, value) in taps.zip(&mut values.by_ref().take(channels)) {
                                *gradient += value;
                            }
                        }
                    }
                }
            }
        });
    gradient
}

/// Adds what some images contribute to the gradient of some taps, `[O, taps, I]`.
fn add_weight_gradient(
    geometry: &Geometry,
    taps: &Taps,
    x: &[f32],
    output_gradient: &[f32],
    precision: Precision,
    sum: &mut [f32],
) {
    let inner = taps.len() * geometry.input.channels;
    let outputs = geometry.output.channels;
    let group = geometry.group(inner);
    let images = x.chunks(group * geometry.input.image_len());
    for (x, output_gradient) in images.zip(output_gradient.chunks(group * geometry.output.image_len())) {
        let rows = output_gradient.len() / outputs;
        with_rounded(output_gradient, precision, |output_gradient| {
            let output_gradient = Matrix::row_major(output_gradient, rows, outputs).transposed();
            if geometry.is_pointwise() && precision == Precision::F32 {
                multiply(sum, output_gradient, Matrix::row_major(x, rows, inner), true);
            } else {
                with_scratch(rows * inner, |columns| {
                    gather(geometry, taps, x, columns, precision);
                    multiply(
                        sum,
                        output_gradient,
                        Matrix::row_major(columns, rows, inner),
                        true,
                    );
                });
            }
        });
    }
}

/// How the weight's gradient is cut: into slices of the batch where the weight is small enough to
/// have a partial sum for each, else into single taps.
fn weight_tasks(geometry: &Geometry, taps: &Taps) -> (usize, Vec<Taps>) {
    let weights = taps.len() * geometry.input.channels * geometry.output.channels;
    let affordable = (PARTIAL_SUM_VALUES / weights.max(1)).clamp(1, 16);
    let slices = 1 << affordable.ilog2();
    let blocks = if slices >= 4 {
        vec![taps.clone()]
    } else {
        let rows = taps.rows.clone();
        rows.flat_map(|row| {
            let columns = taps.columns.clone();
            columns.map(move |column| Taps {
                rows: row..row + 1,
                columns: column..column + 1,
            })
        })
        .collect()
    };
    (slices, blocks)
}

/// Values that the partial sums of a weight's gradient may hold together.
const PARTIAL_SUM_VALUES: usize = 1 << 20;

/// `[O, I, K, K]` as `[O, live taps, I]`, rounded to the format.
fn pack_weight(geometry: &Geometry, taps: &Taps, weight: &[f32], precision: Precision) -> Vec<f32> {
    let channels = geometry.input.channels;
    let size = geometry.window.size;
    let mut packed = vec![0.0; geometry.output.channels * taps.len() * channels];
    packed
        .par_chunks_mut(taps.len() * channels)
        .zip(weight.par_chunks(channels * size * size))
        .for_each(|(packed, weight)| {
            let mut targets = packed.chunks_exact_mut(channels);
            for row in taps.rows.clone() {
                for column in taps.columns.clone() {
                    let values = weight[row * size + column..].iter().step_by(size * size);
                    for (target, &value) in targets.next().into_iter().flatten().zip(values) {
                        *target = value;
                    }
                }
            }
            round_in_place(packed, precision);
        });
    packed
}

/// Calls `body` with `values` as the format holds them.
pub(super) fn with_rounded<T>(values: &[f32], precision: Precision, body: impl FnOnce(&[f32]) -> T) -> T {
    if precision == Precision::F32 {
        return body(values);
    }
    with_scratch(values.len(), |rounded| {
        copy_rounded(values, rounded, precision);
        body(rounded)
    })
}
