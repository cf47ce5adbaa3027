//! Batch normalisation over matrices of one row for each pixel and one column for each channel.
//! Sums run in f32 within a block of rows and in f64 across blocks, in the order of the blocks.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::ops::fill::in_blocks;
use crate::ops::round::{round_bf16, round_in_place};
use crate::ops::scratch::with_scratch;
use crate::ops::stored::{StoredNumber, ValueFormat};
use crate::ops::vectors::with_wide_vectors;
use crate::spec::Precision;

/// What each channel's values are like.
pub(super) struct Moments {
    pub mean: Vec<f64>,
    /// Mean squared deviation from the mean.
    pub variance: Vec<f64>,
}

/// Mean and variance of each of `channels` columns of `x`, which must not be empty.
///
/// Each block's deviations are taken from its own mean, and blocks are merged by the formula of
/// Chan, Golub and LeVeque (1979), so that a mean far from 0 costs no accuracy.
pub(super) fn moments<E: StoredNumber>(x: &[E], channels: usize) -> Moments {
    let blocks: Vec<(usize, Vec<f32>, Vec<f32>)> = x
        .par_chunks(block_len(channels))
        .map(|block| {
            let rows = block.len() / channels;
            let mut mean = vec![0.0f32; channels];
            let mut squares = vec![0.0f32; channels];
            let mut rest = vec![0.0f32; channels];
            with_wide_vectors(
                #[inline(always)]
                || {
                    for row in block.chunks_exact(channels) {
                        for (sum, value) in mean.iter_mut().zip(row) {
                            *sum += value.widen();
                        }
                    }
                    mean.iter_mut().for_each(|sum| *sum /= rows as f32);
                    for row in block.chunks_exact(channels) {
                        let targets = squares.iter_mut().zip(&mut rest);
                        for (((square, rest), value), &mean) in targets.zip(row).zip(&mean) {
                            let deviation = value.widen() - mean;
                            *square += deviation * deviation;
                            *rest += deviation;
                        }
                    }
                },
            );
            // The deviations from the true mean sum to 0: what they sum to corrects its rounding.
            for ((mean, square), rest) in mean.iter_mut().zip(&mut squares).zip(&rest) {
                let correction = rest / rows as f32;
                *mean += correction;
                *square -= correction * rest;
            }
            (rows, mean, squares)
        })
        .collect();

    let mut mean = vec![0.0f64; channels];
    let mut squares = vec![0.0f64; channels];
    let mut seen = 0.0f64;
    for (rows, block_mean, block_squares) in &blocks {
        let rows = *rows as f64;
        let total = seen + rows;
        for channel in 0..channels {
            let difference = f64::from(block_mean[channel]) - mean[channel];
            mean[channel] += difference * rows / total;
            squares[channel] +=
                f64::from(block_squares[channel]) + difference * difference * seen * rows / total;
        }
        seen = total;
    }
    // Rounding can take a variance below 0; a NaN must stay one.
    let variance = squares
        .iter()
        .map(|sum| if *sum < 0.0 { 0.0 } else { sum / seen })
        .collect();
    Moments { mean, variance }
}

/// A map of every row by the same factors and summands, and what follows it.
pub(super) struct ChannelMap<'a, E> {
    pub mean: &'a [f32],
    pub scale: &'a [f32],
    pub bias: &'a [f32],
    pub residual: Option<&'a [E]>,
    pub relu: bool,
    pub precision: Precision,
}

/// `(x - mean) * scale + bias`, then plus the residual, then ReLU, then rounded, as asked for.
pub(super) fn normalize<E: StoredNumber>(x: &[E], map: &ChannelMap<E>) -> Vec<E> {
    // Not `max`: a NaN must stay one.
    let rectified = |value: f32| if value <= 0.0 { 0.0 } else { value };
    let mut y = match (map.residual, map.relu, rounds::<E>(map.precision)) {
        (None, false, false) => normalize_with(x, x, map, |value, _| value),
        (None, false, true) => normalize_with(x, x, map, |value, _| round_bf16(value)),
        (None, true, false) => normalize_with(x, x, map, |value, _| rectified(value)),
        (None, true, true) => normalize_with(x, x, map, |value, _| round_bf16(rectified(value))),
        (Some(other), false, false) => normalize_with(x, other, map, |value, other| value + other),
        (Some(other), false, true) => normalize_with(x, other, map, |value, other| round_bf16(value + other)),
        (Some(other), true, false) => normalize_with(x, other, map, |value, other| rectified(value + other)),
        (Some(other), true, true) => {
            normalize_with(x, other, map, |value, other| round_bf16(rectified(value + other)))
        }
    };
    if map.precision == Precision::F16 {
        round_to_f16(&mut y);
    }
    y
}

/// Whether values are to be rounded to bf16 that what holds them does not round.
fn rounds<E: StoredNumber>(precision: Precision) -> bool {
    precision == Precision::Bf16 && E::FORMAT == ValueFormat::F32
}

/// `finish((x - mean) * scale + bias, other)` of all values.
#[inline(always)]
fn normalize_with<E: StoredNumber>(
    x: &[E],
    other: &[E],
    map: &ChannelMap<E>,
    finish: impl Fn(f32, f32) -> f32 + Sync + Send,
) -> Vec<E> {
    let channels = map.scale.len();
    let len = block_len(channels);
    let block = |index: usize, y: &mut [MaybeUninit<E>]| {
        let (x, other) = (&x[index * len..], &other[index * len..]);
        with_wide_vectors(
            #[inline(always)]
            || {
                let rows = x.chunks_exact(channels).zip(other.chunks_exact(channels));
                for (y, (x, other)) in y.chunks_exact_mut(channels).zip(rows) {
                    let constants = map.mean.iter().zip(map.scale).zip(map.bias);
                    for ((y, (x, other)), ((mean, scale), bias)) in
                        y.iter_mut().zip(x.iter().zip(other)).zip(constants)
                    {
                        y.write(E::nearest(finish(
                            (x.widen() - mean) * scale + bias,
                            other.widen(),
                        )));
                    }
                }
            },
        );
    };
    // SAFETY: there are as many means, scales and biases as channels, and blocks are whole rows.
    unsafe { in_blocks(x.len(), len, block) }
}

fn round_to_f16<E: StoredNumber>(values: &mut [E]) {
    values.par_chunks_mut(1 << 14).for_each(|values| {
        with_scratch(values.len(), |wide| {
            wide.iter_mut()
                .zip(&*values)
                .for_each(|(wide, value)| *wide = value.widen());
            round_in_place(wide, Precision::F16);
            values
                .iter_mut()
                .zip(wide)
                .for_each(|(value, wide)| *value = E::nearest(*wide));
        });
    });
}

/// What the backward pass knows of the forward pass.
#[derive(Clone, Copy)]
pub(super) struct Backward<'a, E> {
    pub x: &'a [E],
    /// The output, where a ReLU made it.
    pub y: Option<&'a [E]>,
    pub output_gradient: &'a [E],
    pub mean: &'a [f32],
    pub inverse_deviation: &'a [f32],
    pub weight: &'a [f32],
    /// Whether mean and deviation are functions of `x`.
    pub batch_statistics: bool,
    /// Whether the gradients of weight and bias are of use; else they may be 0.
    pub affine: bool,
    /// Whether a residual was added before the ReLU.
    pub residual: bool,
    pub precision: Precision,
}

/// Gradients of the operands.
pub(super) struct BatchNormGradients<E> {
    pub x: Vec<E>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    /// The gradient before the ReLU: that of the residual. Only where there is a ReLU and a residual.
    pub before_relu: Option<Vec<E>>,
}

/// The gradients of [`normalize`] and of the moments behind it.
pub(super) fn backward<E: StoredNumber>(pass: &Backward<E>) -> BatchNormGradients<E> {
    match (pass.y, pass.residual) {
        (None, _) => backward_with(pass, pass.output_gradient, |gradient, _| gradient),
        (Some(y), false) => backward_with(pass, y, let_through::<f32>),
        (Some(y), true) => {
            let before_relu = before_relu(y, pass.output_gradient, block_len(pass.weight.len()));
            let masked = Backward {
                output_gradient: &before_relu,
                ..*pass
            };
            let gradients = backward_with(&masked, &before_relu, |gradient, _| gradient);
            BatchNormGradients {
                before_relu: Some(before_relu),
                ..gradients
            }
        }
    }
}

/// The gradients where `before(gradient, y)` is the gradient of the normalised values.
#[inline(always)]
fn backward_with<E: StoredNumber>(
    pass: &Backward<E>,
    y: &[E],
    before: impl Fn(f32, f32) -> f32 + Sync + Send,
) -> BatchNormGradients<E> {
    let channels = pass.weight.len();
    let (weight, bias) = match pass.batch_statistics || pass.affine {
        true => affine_gradients(pass, y, &before),
        false => (vec![0.0; channels], vec![0.0; channels]),
    };

    // d/dx = weight / deviation * (g - mean(g) - normalised * mean(g * normalised)), which is
    // factor * g + slope * x + offset in each channel.
    let rows = (pass.x.len() / channels) as f64;
    let mut coefficients: [Vec<f32>; 3] = Default::default();
    for channel in 0..channels {
        let inverse = f64::from(pass.inverse_deviation[channel]);
        let factor = f64::from(pass.weight[channel]) * inverse;
        let (slope, offset) = if pass.batch_statistics {
            let slope = -factor * inverse * weight[channel] / rows;
            (slope, -factor * bias[channel] / rows)
        } else {
            (0.0, 0.0)
        };
        for (list, value) in coefficients.iter_mut().zip([factor, slope, offset]) {
            list.push(value as f32);
        }
    }
    let x = if rounds::<E>(pass.precision) {
        input_gradient(pass, y, &coefficients, &before, round_bf16)
    } else {
        input_gradient(pass, y, &coefficients, &before, |value| value)
    };
    let mut gradients = BatchNormGradients {
        x,
        weight: weight.iter().map(|&sum| sum as f32).collect(),
        bias: bias.iter().map(|&sum| sum as f32).collect(),
        before_relu: None,
    };
    if pass.precision == Precision::F16 {
        round_to_f16(&mut gradients.x);
    }
    gradients
}

#[inline(always)]
fn input_gradient<E: StoredNumber>(
    pass: &Backward<E>,
    y: &[E],
    [factor, slope, offset]: &[Vec<f32>; 3],
    before: &(impl Fn(f32, f32) -> f32 + Sync),
    finish: impl Fn(f32) -> f32 + Sync,
) -> Vec<E> {
    let channels = pass.weight.len();
    let len = block_len(channels);
    let block = |index: usize, target: &mut [MaybeUninit<E>]| {
        let start = index * len;
        let (x, y, gradient) = (&pass.x[start..], &y[start..], &pass.output_gradient[start..]);
        with_wide_vectors(
            #[inline(always)]
            || {
                let rows = x.chunks_exact(channels).zip(y.chunks_exact(channels));
                let rows = rows.zip(gradient.chunks_exact(channels));
                for (target, ((x, y), gradient)) in target.chunks_exact_mut(channels).zip(rows) {
                    let coefficients = factor.iter().zip(slope).zip(offset).zip(pass.mean);
                    let values = target.iter_mut().zip(x.iter().zip(y)).zip(gradient);
                    for (((target, (x, y)), gradient), (((factor, slope), offset), mean)) in
                        values.zip(coefficients)
                    {
                        let gradient = before(gradient.widen(), y.widen());
                        let value = factor * gradient + slope * (x.widen() - mean) + offset;
                        target.write(E::nearest(finish(value)));
                    }
                }
            },
        );
    };
    // SAFETY: there are as many coefficients and means as channels, and blocks are whole rows.
    unsafe { in_blocks(pass.x.len(), len, block) }
}

/// The gradient where the ReLU let a value through, so that `y` is positive (or NaN), else 0.
#[inline(always)]
fn let_through<E: StoredNumber>(gradient: E, y: E) -> E {
    if y.widen() <= 0.0 { E::default() } else { gradient }
}

/// [`let_through`] of all values.
fn before_relu<E: StoredNumber>(y: &[E], gradient: &[E], len: usize) -> Vec<E> {
    let block = |index: usize, masked: &mut [MaybeUninit<E>]| {
        let (y, gradient) = (&y[index * len..], &gradient[index * len..]);
        with_wide_vectors(
            #[inline(always)]
            || {
                for ((masked, &y), &gradient) in masked.iter_mut().zip(y).zip(gradient) {
                    masked.write(let_through(gradient, y));
                }
            },
        );
    };
    // SAFETY: both slices have as many values as are to be written.
    unsafe { in_blocks(y.len().min(gradient.len()), len, block) }
}

/// The gradients of weight and bias: the sums of `gradient * normalised` and of `gradient`.
#[inline(always)]
fn affine_gradients<E: StoredNumber>(
    pass: &Backward<E>,
    y: &[E],
    before: &(impl Fn(f32, f32) -> f32 + Sync),
) -> (Vec<f64>, Vec<f64>) {
    let channels = pass.weight.len();
    let len = block_len(channels);
    let blocks: Vec<(Vec<f32>, Vec<f32>)> = pass
        .x
        .par_chunks(len)
        .zip(y.par_chunks(len))
        .zip(pass.output_gradient.par_chunks(len))
        .map(|((x, y), gradient)| {
            let mut products = vec![0.0f32; channels];
            let mut sums = vec![0.0f32; channels];
            with_wide_vectors(
                #[inline(always)]
                || {
                    let rows = x.chunks_exact(channels).zip(y.chunks_exact(channels));
                    for ((x, y), gradient) in rows.zip(gradient.chunks_exact(channels)) {
                        let targets = products.iter_mut().zip(&mut sums).zip(pass.mean);
                        let values = x.iter().zip(y).zip(gradient);
                        for (((product, sum), mean), ((x, y), gradient)) in targets.zip(values) {
                            let gradient = before(gradient.widen(), y.widen());
                            *product += gradient * (x.widen() - mean);
                            *sum += gradient;
                        }
                    }
                },
            );
            (products, sums)
        })
        .collect();
    let mut weight = vec![0.0f64; channels];
    let mut bias = vec![0.0f64; channels];
    for (products, sums) in &blocks {
        for channel in 0..channels {
            weight[channel] += f64::from(products[channel]);
            bias[channel] += f64::from(sums[channel]);
        }
    }
    for (sum, &inverse) in weight.iter_mut().zip(pass.inverse_deviation) {
        *sum *= f64::from(inverse);
    }
    (weight, bias)
}

/// Values of a block of whole rows, about 32 KiB; never a function of the number of threads.
fn block_len(channels: usize) -> usize {
    (8192 / channels).max(1) * channels
}
