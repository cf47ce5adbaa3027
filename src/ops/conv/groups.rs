//! The products of a convolution of any number of groups. Depthwise convolutions have kernels of
//! their own; other groups are cut out of the images and convolved one after another.

use rayon::prelude::*;

use super::packed_weights::ConvWeight;
use super::plan::ConvPlan;
use super::{depthwise, single};
use crate::ops::HAS_GRADIENTS;
use crate::ops::microkernel::Finish;
use crate::ops::round::round_in_place;
use crate::ops::stored::{Stored, ValueFormat, Values};
use crate::ops::vectors::with_wide_vectors;
use crate::spec::Precision;

/// The output `[N, OH, OW, O]` of input `[N, H, W, I]` and weight `[O, I / groups, K, K]`, finished as
/// asked for and rounded to the format.
pub(super) fn forward(plan: &ConvPlan, x: &[f32], weight: ConvWeight, finish: Finish) -> Vec<f32> {
    forward_in(plan, x.into(), weight, finish, ValueFormat::F32).into_f32()
}

/// The same of stored values, in a format.
pub(super) fn forward_in(
    plan: &ConvPlan,
    x: Stored,
    weight: ConvWeight,
    finish: Finish,
    format: ValueFormat,
) -> Values {
    let ConvPlan {
        ref geometry,
        precision,
        ..
    } = *plan;
    let finish = Finish {
        round: precision == Precision::Bf16,
        ..finish
    };
    if geometry.groups == 1 && precision != Precision::F16 {
        return single::forward(plan, x, weight, finish, format);
    }
    if geometry.is_depthwise() {
        return depthwise::forward(plan, &x.rounded(precision), weight, &finish, format);
    }
    let mut y = if geometry.groups == 1 {
        single::forward(plan, x, weight, Finish::default(), ValueFormat::F32).into_f32()
    } else {
        let x = x.widened();
        let of_group = plan.of_group();
        let part = &of_group.geometry;
        let mut y = vec![0.0; geometry.output.len()];
        for (group, weight) in weight.values.chunks_exact(part.weight_len()).enumerate() {
            let weight = ConvWeight::once(weight);
            let x = cut(&x, geometry.input.channels, group, part.input.channels);
            let x = Stored::F32(&x);
            let values = single::forward(&of_group, x, weight, Finish::default(), ValueFormat::F32);
            paste(
                &values.into_f32(),
                part.output.channels,
                group,
                &mut y,
                geometry.output.channels,
            );
        }
        y
    };
    finish_all(&mut y, geometry.output.channels, &finish, precision);
    in_format(y, format)
}

/// Values that are made in f32, in a format.
fn in_format(values: Vec<f32>, format: ValueFormat) -> Values {
    match HAS_GRADIENTS {
        true => Values::F32(values).in_format(format),
        false => Values::F32(values),
    }
}

/// Finishes results that are stored, and rounds them to the format.
fn finish_all(y: &mut [f32], channels: usize, finish: &Finish, precision: Precision) {
    let block = PIXELS * channels;
    y.par_chunks_mut(block)
        .enumerate()
        .for_each(|(index, y)| finish_pixels(y, channels, finish, index * block, precision));
}

/// The same of some pixels, of which the first value is `start` among all results.
pub(super) fn finish_pixels(
    y: &mut [f32],
    channels: usize,
    finish: &Finish,
    start: usize,
    precision: Precision,
) {
    with_wide_vectors(
        #[inline(always)]
        || {
            for pixel in y.chunks_exact_mut(channels) {
                if let Some(scale) = finish.scale {
                    pixel.iter_mut().zip(scale).for_each(|(y, scale)| *y *= scale);
                }
                if let Some(shift) = finish.shift {
                    pixel.iter_mut().zip(shift).for_each(|(y, shift)| *y += shift);
                }
            }
            if let Some(residual) = finish.residual {
                let residual = &residual[start..];
                y.iter_mut()
                    .zip(residual)
                    .for_each(|(y, residual)| *y += residual);
            }
            if finish.relu {
                y.iter_mut().for_each(|y| *y = if *y <= 0.0 { 0.0 } else { *y });
            }
        },
    );
    round_in_place(y, precision);
    if let Some(function) = finish.function {
        function.apply(y);
    }
}

/// The gradient of the input, `[N, H, W, I]`, from that of the output, in its format.
pub(super) fn input_gradient(plan: &ConvPlan, weight: ConvWeight, output_gradient: Stored) -> Values {
    let format = output_gradient.format();
    let ConvPlan {
        ref geometry,
        precision,
        ..
    } = *plan;
    if geometry.is_depthwise() {
        let output_gradient = output_gradient.rounded(precision);
        return depthwise::input_gradient(geometry, weight.values, &output_gradient, precision, format);
    }
    if geometry.groups == 1 {
        let mut gradient = single::input_gradient(plan, weight, output_gradient, format);
        if let (Precision::F16, Values::F32(gradient)) = (precision, &mut gradient) {
            let block = PIXELS * geometry.input.channels;
            gradient
                .par_chunks_mut(block)
                .for_each(|gradient| round_in_place(gradient, precision));
        }
        return gradient;
    }
    let output_gradient = output_gradient.widened();
    let of_group = plan.of_group();
    let part = &of_group.geometry;
    let mut gradient = vec![0.0; geometry.input.len()];
    for (group, weight) in weight.values.chunks_exact(part.weight_len()).enumerate() {
        let weight = ConvWeight::once(weight);
        let output_gradient = cut(
            &output_gradient,
            geometry.output.channels,
            group,
            part.output.channels,
        );
        let output_gradient = Stored::F32(&output_gradient);
        let values = single::input_gradient(&of_group, weight, output_gradient, ValueFormat::F32);
        let mut values = values.into_f32();
        round_in_place(&mut values, precision);
        paste(
            &values,
            part.input.channels,
            group,
            &mut gradient,
            geometry.input.channels,
        );
    }
    in_format(gradient, format)
}

/// The gradient of the weight, `[O, I / groups, K, K]`, from that of the output.
pub(super) fn weight_gradient(plan: &ConvPlan, x: Stored, output_gradient: Stored) -> Vec<f32> {
    let ConvPlan {
        ref geometry,
        precision,
        ..
    } = *plan;
    if geometry.is_depthwise() {
        return depthwise::weight_gradient(geometry, x, output_gradient, precision);
    }
    if geometry.groups == 1 {
        return single::weight_gradient(plan, x, output_gradient);
    }
    let of_group = plan.of_group();
    let part = &of_group.geometry;
    let (x, output_gradient) = (x.widened(), output_gradient.widened());
    let mut gradient = Vec::with_capacity(geometry.weight_len());
    for group in 0..geometry.groups {
        let x = cut(&x, geometry.input.channels, group, part.input.channels);
        let output_gradient = cut(
            &output_gradient,
            geometry.output.channels,
            group,
            part.output.channels,
        );
        let (x, output_gradient) = (Stored::F32(&x), Stored::F32(&output_gradient));
        gradient.extend(single::weight_gradient(&of_group, x, output_gradient));
    }
    gradient
}

/// The gradient of the bias, `[O]`: the sum of the output's over images and pixels. Sums run in f32
/// within a block of pixels and in f64 across blocks, in the order of the blocks.
pub(super) fn bias_gradient(plan: &ConvPlan, output_gradient: Stored) -> Vec<f32> {
    let channels = plan.geometry.output.channels;
    let (len, block) = (output_gradient.len(), BIAS_PIXELS * channels);
    let blocks: Vec<Vec<f32>> = (0..len.div_ceil(block))
        .into_par_iter()
        .map(|index| {
            let start = index * block;
            let block = output_gradient.part(start, block.min(len - start));
            block.with_rounded(plan.precision, |block| {
                let mut sums = vec![0.0f32; channels];
                with_wide_vectors(
                    #[inline(always)]
                    || {
                        for pixel in block.chunks_exact(channels) {
                            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
                        }
                    },
                );
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
