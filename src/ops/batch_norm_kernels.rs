//! Batch normalisation over matrices of one row for each pixel and one column for each channel.
//! Sums run in f32 within a block of rows and in f64 across blocks, in the order of the blocks.

use rayon::prelude::*;

use super::round::round_in_place;
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
pub(super) fn moments(x: &[f32], channels: usize) -> Moments {
    let blocks: Vec<(usize, Vec<f32>, Vec<f32>)> = x
        .par_chunks(block_len(channels))
        .map(|block| {
            let rows = block.len() / channels;
            let mut mean = vec![0.0f32; channels];
            for row in block.chunks_exact(channels) {
                for (sum, &value) in mean.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            mean.iter_mut().for_each(|sum| *sum /= rows as f32);
            let mut squares = vec![0.0f32; channels];
            let mut rest = vec![0.0f32; channels];
            for row in block.chunks_exact(channels) {
                for (((square, rest), &value), &mean) in squares.iter_mut().zip(&mut rest).zip(row).zip(&mean)
                {
                    let deviation = value - mean;
                    *square += deviation * deviation;
                    *rest += deviation;
                }
            }
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
pub(super) struct Normalization<'a> {
    pub mean: &'a [f32],
    pub scale: &'a [f32],
    pub bias: &'a [f32],
    pub residual: Option<&'a [f32]>,
    pub relu: bool,
    pub precision: Precision,
}

/// `(x - mean) * scale + bias`, then plus the residual, then ReLU, then rounded, as asked for.
pub(super) fn normalize(x: &[f32], map: &Normalization) -> Vec<f32> {
    let channels = map.scale.len();
    let len = block_len(channels);
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(len)
        .zip(x.par_chunks(len))
        .enumerate()
        .for_each(|(index, (y, x))| {
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                let constants = map.mean.iter().zip(map.scale).zip(map.bias);
                for ((y, x), ((mean, scale), bias)) in y.iter_mut().zip(x).zip(constants) {
                    *y = (x - mean) * scale + bias;
                }
            }
            if let Some(residual) = map.residual {
                for (y, residual) in y.iter_mut().zip(&residual[index * len..]) {
                    *y += residual;
                }
            }
            if map.relu {
                for y in y.iter_mut() {
                    // Not `max`: a NaN must stay one.
                    *y = if *y <= 0.0 { 0.0 } else { *y };
                }
            }
            round_in_place(y, map.precision);
        });
    y
}

/// What the backward pass knows of the forward pass.
pub(super) struct Backward<'a> {
    pub x: &'a [f32],
    /// The output, where a ReLU made it.
    pub y: Option<&'a [f32]>,
    pub output_gradient: &'a [f32],
    pub mean: &'a [f32],
    pub inverse_deviation: &'a [f32],
    pub weight: &'a [f32],
    /// Whether mean and deviation are functions of `x`.
    pub batch_statistics: bool,
    pub precision: Precision,
}

/// Gradients of the operands.
pub(super) struct Gradients {
    pub x: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    /// The gradient before the ReLU: that of the residual. Only where there is a ReLU.
    pub before_relu: Option<Vec<f32>>,
}

/// The gradients of [`normalize`] and of the moments behind it.
pub(super) fn backward(pass: &Backward) -> Gradients {
    let channels = pass.weight.len();
    let before_relu = pass
        .y
        .map(|y| before_relu(y, pass.output_gradient, block_len(channels)));
    let gradient = before_relu.as_deref().unwrap_or(pass.output_gradient);
    let (weight, bias) = affine_gradients(pass, gradient);

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
    let [factor, slope, offset] = &coefficients;
    let len = block_len(channels);
    let mut x_gradient = vec![0.0; pass.x.len()];
    x_gradient
        .par_chunks_mut(len)
        .zip(pass.x.par_chunks(len).zip(gradient.par_chunks(len)))
        .for_each(|(target, (x, gradient))| {
            let rows = x.chunks_exact(channels).zip(gradient.chunks_exact(channels));
            for (target, (x, gradient)) in target.chunks_exact_mut(channels).zip(rows) {
                let coefficients = factor.iter().zip(slope).zip(offset).zip(pass.mean);
                let values = target.iter_mut().zip(x).zip(gradient);
                for (((target, x), gradient), (((factor, slope), offset), mean)) in values.zip(coefficients) {
                    *target = factor * gradient + slope * (x - mean) + offset;
                }
            }
            round_in_place(target, pass.precision);
        });
    Gradients {
        x: x_gradient,
        weight: weight.iter().map(|&sum| sum as f32).collect(),
        bias: bias.iter().map(|&sum| sum as f32).collect(),
        before_relu,
    }
}

/// The gradient where the ReLU let a value through, else 0.
fn before_relu(y: &[f32], gradient: &[f32], len: usize) -> Vec<f32> {
    let mut masked = vec![0.0; gradient.len()];
    masked
        .par_chunks_mut(len)
        .zip(y.par_chunks(len).zip(gradient.par_chunks(len)))
        .for_each(|(masked, (y, gradient))| {
            for ((masked, &y), &gradient) in masked.iter_mut().zip(y).zip(gradient) {
                *masked = if y <= 0.0 { 0.0 } else { gradient };
            }
        });
    masked
}

/// The gradients of weight and bias: the sums of `gradient * normalised` and of `gradient`.
fn affine_gradients(pass: &Backward, gradient: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let channels = pass.weight.len();
    let len = block_len(channels);
    let blocks: Vec<(Vec<f32>, Vec<f32>)> = pass
        .x
        .par_chunks(len)
        .zip(gradient.par_chunks(len))
        .map(|(x, gradient)| {
            let mut products = vec![0.0f32; channels];
            let mut sums = vec![0.0f32; channels];
            for (x, gradient) in x.chunks_exact(channels).zip(gradient.chunks_exact(channels)) {
                let targets = products.iter_mut().zip(&mut sums).zip(pass.mean);
                for (((product, sum), mean), (x, gradient)) in targets.zip(x.iter().zip(gradient)) {
                    *product += gradient * (x - mean);
                    *sum += gradient;
                }
            }
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
