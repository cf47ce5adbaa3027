//! The products of a convolution of any number of groups. Depthwise convolutions have kernels of
//! their own; other groups are cut out of the images and convolved one after another.

use rayon::prelude::*;

use super::geometry::Geometry;
use super::{depthwise, single};
use crate::ops::microkernel::Kernels;
use crate::ops::round::with_rounded;
use crate::spec::Precision;

/// The output `[N, OH, OW, O]` of input `[N, H, W, I]`, weight `[O, I / groups, K, K]` and bias `[O]`.
pub(super) fn forward(
    kernels: &'static Kernels,
    geometry: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    precision: Precision,
) -> Vec<f32> {
    with_rounded(bias.unwrap_or_default(), precision, |rounded| {
        let bias = bias.map(|_| rounded);
        if geometry.is_depthwise() {
            return depthwise::forward(geometry, x, weight, bias, precision);
        }
        if geometry.groups == 1 {
            return single::forward(kernels, geometry, x, weight, bias, precision);
        }
        let part = geometry.of_group();
        let mut y = vec![0.0; geometry.output.len()];
        for (group, weight) in weight.chunks_exact(part.weight_len()).enumerate() {
            let x = cut(x, geometry.input.channels, group, part.input.channels);
            let bias = bias.map(|bias| &bias[group * part.output.channels..][..part.output.channels]);
            let values = single::forward(kernels, &part, &x, weight, bias, precision);
            paste(
                &values,
                part.output.channels,
                group,
                &mut y,
                geometry.output.channels,
            );
        }
        y
    })
}

/// The gradient of the input, `[N, H, W, I]`, from that of the output.
pub(super) fn input_gradient(
    kernels: &'static Kernels,
    geometry: &Geometry,
    weight: &[f32],
    output_gradient: &[f32],
    precision: Precision,
) -> Vec<f32> {
    if geometry.is_depthwise() {
        return depthwise::input_gradient(geometry, weight, output_gradient, precision);
    }
    if geometry.groups == 1 {
        return single::input_gradient(kernels, geometry, weight, output_gradient, precision);
    }
    let part = geometry.of_group();
    let mut gradient = vec![0.0; geometry.input.len()];
    for (group, weight) in weight.chunks_exact(part.weight_len()).enumerate() {
        let output_gradient = cut(
            output_gradient,
            geometry.output.channels,
            group,
            part.output.channels,
        );
        let values = single::input_gradient(kernels, &part, weight, &output_gradient, precision);
        paste(
            &values,
            part.input.channels,
            group,
            &mut gradient,
            geometry.input.channels,
        );
    }
    gradient
}

/// The gradient of the weight, `[O, I / groups, K, K]`, from that of the output.
pub(super) fn weight_gradient(
    kernels: &'static Kernels,
    geometry: &Geometry,
    x: &[f32],
    output_gradient: &[f32],
    precision: Precision,
) -> Vec<f32> {
    if geometry.is_depthwise() {
        return depthwise::weight_gradient(geometry, x, output_gradient, precision);
    }
    if geometry.groups == 1 {
        return single::weight_gradient(kernels, geometry, x, output_gradient, precision);
    }
    let part = geometry.of_group();
    let mut gradient = Vec::with_capacity(geometry.weight_len());
    for group in 0..geometry.groups {
        let x = cut(x, geometry.input.channels, group, part.input.channels);
        let output_gradient = cut(
            output_gradient,
            geometry.output.channels,
            group,
            part.output.channels,
        );
        gradient.extend(single::weight_gradient(
            kernels,
            &part,
            &x,
            &output_gradient,
            precision,
        ));
    }
    gradient
}

/// The gradient of the bias, `[O]`: the sum of the output's over images and pixels. Sums run in f32
/// within a block of pixels and in f64 across blocks, in the order of the blocks.
pub(super) fn bias_gradient(geometry: &Geometry, output_gradient: &[f32], precision: Precision) -> Vec<f32> {
    let channels = geometry.output.channels;
    let blocks: Vec<Vec<f32>> = output_gradient
        .par_chunks(BIAS_PIXELS * channels)
        .map(|block| {
            with_rounded(block, precision, |block| {
                let mut sums = vec![0.0f32; channels];
                for pixel in block.chunks_exact(channels) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
                }
                sums
            })
        })
        .collect();
    let mut sums = vec![0.0f64; channels];
    for block in &blocks {
        for (sum, &value) in sums.iter_mut().zip(block) {
            *sum += f64::from(value);
        }
    }
    sums.iter().map(|&sum| sum as f32).collect()
}

/// Pixels of a block whose gradients are summed in f32.
const BIAS_PIXELS: usize = 256;

/// The channels of one group, for all pixels.
fn cut(images: &[f32], channels: usize, group: usize, width: usize) -> Vec<f32> {
    let mut part = vec![0.0; images.len() / channels * width];
    part.par_chunks_mut(PIXELS * width)
        .zip(images.par_chunks(PIXELS * channels))
        .for_each(|(part, images)| {
            for (part, pixel) in part.chunks_exact_mut(width).zip(images.chunks_exact(channels)) {
                part.copy_from_slice(&pixel[group * width..][..width]);
            }
        });
    part
}

/// Writes what [`cut`] took out.
fn paste(part: &[f32], width: usize, group: usize, images: &mut [f32], channels: usize) {
    images
        .par_chunks_mut(PIXELS * channels)
        .zip(part.par_chunks(PIXELS * width))
        .for_each(|(images, part)| {
            for (pixel, part) in images.chunks_exact_mut(channels).zip(part.chunks_exact(width)) {
                pixel[group * width..][..width].copy_from_slice(part);
            }
        });
}

/// Pixels that a thread copies at a time.
const PIXELS: usize = 1024;
