//! What is computed with bytes besides convolutions and fully connected layers.

use rayon::prelude::*;

use crate::ops::{Affine, Attribute, Attributes, ByteTensor, Window};

/// The window that a pooling's attributes tell.
pub(super) fn window_of(attributes: &Attributes) -> Window {
    let first = |name: &str| match attributes.get(name) {
        Some(Attribute::Integers(values)) => values.first().map_or(0, |&value| value as usize),
        _ => 0,
    };
    Window {
        size: first("kernel_shape"),
        stride: first("strides").max(1),
        padding: first("pads"),
    }
}

/// Dimensions `[N, H, W, C]`.
fn images(dims: &[usize]) -> [usize; 4] {
    match *dims {
        [batch, height, width, channels] => [batch, height, width, channels],
        _ => unreachable!("images have four dimensions, not {dims:?}"),
    }
}

/// Each pixel of a pooling's result, made by `pixel` of the bytes of its image, the pixels under the window, and the
/// bytes to write.
fn pool(
    x: &ByteTensor,
    window: Window,
    result: Affine,
    pixel: impl Fn(&[u8], &mut dyn Iterator<Item = usize>, usize, &mut [u8]) + Sync,
) -> ByteTensor {
    let [batch, height, width, channels] = images(&x.dims);
    let positions = |extent: usize| match window.positions(extent) {
        Some(positions) => positions,
        None => unreachable!("the window was found to fit"),
    };
    let (lines, columns) = (positions(height), positions(width));
    let mut values = vec![0; batch * lines * columns * channels];
    let image_len = (height * width * channels).max(1);
    values
        .par_chunks_exact_mut((lines * columns * channels).max(1))
        .zip(x.values.par_chunks_exact(image_len))
        .for_each(|(target, image)| {
            for (index, target) in target.chunks_exact_mut(channels).enumerate() {
                let rows = window.inside(index / columns * window.stride, height);
                let across = window.inside(index % columns * window.stride, width);
                let count = rows.len() * across.len();
                let mut pixels = rows.flat_map(|row| across.clone().map(move |column| row * width + column));
                pixel(image, &mut pixels, count, target);
            }
        });
    ByteTensor {
        values,
        dims: vec![batch, lines, columns, channels],
        affine: result,
    }
}

/// The largest byte under each window.
pub(super) fn max_pool(x: &ByteTensor, window: Window) -> ByteTensor {
    pool(x, window, x.affine, |image, pixels, _, target| {
        target.fill(0);
        for pixel in pixels {
            let bytes = &image[pixel * target.len()..][..target.len()];
            for (largest, &byte) in target.iter_mut().zip(bytes) {
                *largest = (*largest).max(byte);
            }
        }
    })
}

/// The mean under each window.
pub(super) fn average_pool(x: &ByteTensor, window: Window, with_padding: bool, result: Affine) -> ByteTensor {
    let zero = i32::from(x.affine.zero_point);
    pool(x, window, result, |image, pixels, count, target| {
        let channels = target.len();
        let mut sums = vec![0i32; channels];
        for pixel in pixels {
            for (sum, &byte) in sums.iter_mut().zip(&image[pixel * channels..][..channels]) {
                *sum += i32::from(byte) - zero;
            }
        }
        let divisor = if with_padding {
            window.size * window.size
        } else {
            count
        };
        for (target, sum) in target.iter_mut().zip(sums) {
            *target = result.quantize(sum as f32 * x.affine.scale / divisor as f32);
        }
    })
}

/// The mean of each channel of each image, `[N, C]`.
pub(super) fn global_average(x: &ByteTensor, result: Affine) -> ByteTensor {
    let [batch, height, width, channels] = images(&x.dims);
    let mut values = vec![0; batch * channels];
    let zero = i32::from(x.affine.zero_point);
    let pixels = height * width;
    values
        .par_chunks_exact_mut(channels.max(1))
        .zip(x.values.par_chunks_exact((pixels * channels).max(1)))
        .for_each(|(target, image)| {
            let mut sums = vec![0i64; channels];
            for pixel in image.chunks_exact(channels) {
                for (sum, &byte) in sums.iter_mut().zip(pixel) {
                    *sum += i64::from(i32::from(byte) - zero);
                }
            }
            for (target, sum) in target.iter_mut().zip(sums) {
                *target = result.quantize(sum as f32 * x.affine.scale / pixels as f32);
            }
        });
    ByteTensor {
        values,
        dims: vec![batch, channels],
        affine: result,
    }
}

/// The result of a function for each byte.
pub(super) fn look_up(x: &ByteTensor, table: &[u8; 256], result: Affine) -> ByteTensor {
    ByteTensor {
        values: mapped(&x.values, |byte| table[usize::from(byte)]),
        dims: x.dims.clone(),
        affine: result,
    }
}

/// Bytes of a task where bytes are changed one by one.
const PART: usize = 1 << 15;

fn mapped<T: Copy + Sync>(values: &[T], change: impl Fn(T) -> u8 + Sync) -> Vec<u8> {
    let mut result = vec![0; values.len()];
    result
        .par_chunks_mut(PART)
        .zip(values.par_chunks(PART))
        .for_each(|(result, values)| {
            for (result, &value) in result.iter_mut().zip(values) {
                *result = change(value);
            }
        });
    result
}

/// What bytes stand for.
pub(super) fn numbers(values: &[u8], affine: Affine) -> Vec<f32> {
    values.par_iter().map(|&byte| affine.dequantize(byte)).collect()
}

/// The sum of two tensors of equal dimensions.
pub(super) fn add(left: &ByteTensor, right: &ByteTensor, result: Affine) -> ByteTensor {
    let mut values = vec![0; left.values.len()];
    values
        .par_chunks_mut(PART)
        .zip(left.values.par_chunks(PART))
        .zip(right.values.par_chunks(PART))
        .for_each(|((result_bytes, lefts), rights)| {
            for ((target, &one), &other) in result_bytes.iter_mut().zip(lefts).zip(rights) {
                *target = result.quantize(left.affine.dequantize(one) + right.affine.dequantize(other));
            }
        });
    ByteTensor {
        values,
        dims: left.dims.clone(),
        affine: result,
    }
}

/// Each channel of each image times its factor, `[N, C]`.
pub(super) fn scale_channels(x: &ByteTensor, factors: &ByteTensor, result: Affine) -> ByteTensor {
    let [_, height, width, channels] = images(&x.dims);
    let mut values = vec![0; x.values.len()];
    let len = (height * width * channels).max(1);
    values
        .par_chunks_exact_mut(len)
        .zip(x.values.par_chunks_exact(len))
        .zip(factors.values.par_chunks_exact(channels.max(1)))
        .for_each(|((target, image), factors_of_image)| {
            let factors: Vec<f32> = factors_of_image
                .iter()
                .map(|&byte| factors.affine.dequantize(byte))
                .collect();
            for (target, pixel) in target
                .chunks_exact_mut(channels)
                .zip(image.chunks_exact(channels))
            {
                for ((target, &byte), factor) in target.iter_mut().zip(pixel).zip(&factors) {
                    *target = result.quantize(x.affine.dequantize(byte) * factor);
                }
            }
        });
    ByteTensor {
        values,
        dims: x.dims.clone(),
        affine: result,
    }
}
