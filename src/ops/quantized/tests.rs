use proptest::prelude::*;

use super::weight::LARGEST_BIAS;
use super::*;
use crate::ops::testing::{host, random};

/// Bytes that look random.
fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|index| ((index + seed).wrapping_mul(2_654_435_761) >> 7) as u8)
        .collect()
}

const ALL: [usize; 2] = [0, 255];

/// A layer's sums by their definition, `[N, OH, OW, O]`.
fn sums(x: &ByteTensor, weight: &ByteWeight, bias: &[f32], convolution: ConvOptions) -> Vec<i64> {
    let [batch, height, width, channels] = *x.dims else {
        panic!("images")
    };
    let (outputs, inputs) = (weight.dims[0], weight.dims[1]);
    let size = weight.dims.get(2).copied().unwrap_or(1);
    let span = (size - 1) * convolution.dilation + 1;
    let positions = |extent: usize| (extent + 2 * convolution.padding - span) / convolution.stride + 1;
    let bias = weight.bias_steps(bias, x.affine);
    let mut sums = Vec::new();
    for image in 0..batch {
        for line in 0..positions(height) {
            for column in 0..positions(width) {
                for (output, &bias) in bias.iter().enumerate() {
                    let group = output / (outputs / convolution.groups);
                    let mut sum = i64::from(bias);
                    for channel in 0..inputs {
                        for tap in 0..size * size {
                            let place = |position: usize, tap: usize| {
                                let start = position * convolution.stride + tap * convolution.dilation;
                                start.wrapping_sub(convolution.padding)
                            };
                            let (y, x_place) = (place(line, tap / size), place(column, tap % size));
                            if y >= height || x_place >= width {
                                continue;
                            }
                            let pixel = (image * height + y) * width + x_place;
                            let byte = x.values[pixel * channels + group * inputs + channel];
                            let weight = weight.values[(output * inputs + channel) * size * size + tap];
                            sum += (i64::from(byte) - i64::from(x.affine.zero_point)) * i64::from(weight);
                        }
                    }
                    sums.push(sum);
                }
            }
        }
    }
    sums
}

fn layers(
    weight: &ByteWeight,
    bias: &[f32],
    input: Affine,
    convolution: ConvOptions,
) -> impl Iterator<Item = ByteLayer> {
    ByteKernels::available()
        .iter()
        .map(move |kernels| ByteLayer::of_kernels(kernels, weight, bias, input, convolution))
}

fn check(x: &ByteTensor, weight: &ByteWeight, bias: &[f32], convolution: ConvOptions) {
    let sums = sums(x, weight, bias, convolution);
    let outputs = weight.dims[0];
    let step = |index: usize| x.affine.scale * weight.scales[index % outputs];
    let expected: Vec<f32> = sums
        .iter()
        .enumerate()
        .map(|(index, &sum)| sum as f32 * step(index))
        .collect();
    let result = Affine {
        scale: 0.37,
        zero_point: 101,
    };
    let rounded: Vec<u8> = sums
        .iter()
        .enumerate()
        .map(|(index, &sum)| {
            let steps = (sum as f32 * (step(index) / result.scale)).round_ties_even();
            (f64::from(steps) + 101.0).clamp(0.0, 255.0) as u8
        })
        .collect();
    for layer in layers(weight, bias, x.affine, convolution) {
        let (values, _) = layer.values(x, &ByteFinish::default());
        assert_eq!(values, expected, "{layer:?}");
        let bytes = layer.bytes(x, &ByteFinish::default(), result);
        assert_eq!(bytes.values, rounded, "{layer:?}");
        assert_eq!(bytes.dims.iter().product::<usize>(), bytes.values.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_processors_give_the_sums_of_the_definition(
        batch in 1usize..4, height in 1usize..8, width in 1usize..8, size in 1usize..4, stride in 1usize..3,
        padding in 0usize..2, dilation in 1usize..4, groups in 1usize..4, inputs in 1usize..9, outputs in 1usize..24, zero_point in any::<u8>(),
        depthwise in any::<bool>(),
    ) {
        let span = (size - 1) * dilation + 1;
        prop_assume!(height + 2 * padding >= span && width + 2 * padding >= span);
        let (inputs, groups, outputs) = match depthwise {
            true => (1, outputs, outputs),
            false => (inputs, groups, outputs * groups),
        };
        let dims = vec![batch, height, width, inputs * groups];
        let affine = Affine { scale: 0.013, zero_point };
        let x = ByteTensor { values: bytes(dims.iter().product(), outputs), dims, affine };
        let dims = [outputs, inputs, size, size];
        let (weight, bias) = (host(&random(&dims, 2)), host(&random(&[outputs], 3)));
        let weight = ByteWeight::of(&weight, &dims, &bias, affine);
        check(&x, &weight, &bias, ConvOptions { stride, padding, dilation, groups });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Those of small images, many or one, where most of what lies under the kernel is padding.
    #[test]
    fn positions_of_small_images_have_the_sums_of_the_definition(
        batch in prop_oneof![Just(1usize), 15usize..18, Just(100usize)], height in 1usize..5, width in 1usize..5,
        size in prop_oneof![Just(3usize), Just(5usize)], stride in 1usize..3, padding in 1usize..3,
        dilation in 1usize..3, quads in 1usize..4, outputs in 1usize..40, zero_point in any::<u8>(),
    ) {
        prop_assume!(height + 2 * padding > dilation * (size - 1) && width + 2 * padding > dilation * (size - 1));
        let dims = vec![batch, height, width, 4 * quads];
        let affine = Affine { scale: 0.013, zero_point };
        let x = ByteTensor { values: bytes(dims.iter().product(), outputs), dims, affine };
        let dims = [outputs, 4 * quads, size, size];
        let (weight, bias) = (host(&random(&dims, 2)), host(&random(&[outputs], 3)));
        let weight = ByteWeight::of(&weight, &dims, &bias, affine);
        check(&x, &weight, &bias, ConvOptions { stride, padding, groups: 1, dilation });
    }
}

#[test]
fn the_largest_sums_are_not_cut_off() {
    let inputs = ByteWeight::MOST_PRODUCTS;
    for zero_point in ALL {
        for weight in [-127, 127] {
            let affine = Affine {
                scale: 1.0,
                zero_point: zero_point as u8,
            };
            let x = ByteTensor {
                values: vec![255 - zero_point as u8; inputs],
                dims: vec![1, 1, 1, inputs],
                affine,
            };
            let weight = ByteWeight {
                values: vec![weight; inputs],
                dims: vec![1, inputs],
                scales: vec![1.0],
            };
            let bias = [-LARGEST_BIAS as f32];
            check(&x, &weight, &bias, ConvOptions::default());
        }
    }
}

#[test]
fn work_for_several_tasks_is_shared_without_a_gap() {
    let affine = Affine {
        scale: 0.5,
        zero_point: 3,
    };
    // Many rows, and few rows with many outputs.
    for (rows, inputs, outputs, convolution) in [
        (700, 96, 40, ConvOptions::default()),
        (3, 512, 2500, ConvOptions::default()),
    ] {
        let x = ByteTensor {
            values: bytes(rows * inputs, 5),
            dims: vec![rows, 1, 1, inputs],
            affine,
        };
        let dims = [outputs, inputs, 1, 1];
        let (weight, bias) = (host(&random(&dims, 2)), vec![0.5; outputs]);
        let weight = ByteWeight::of(&weight, &dims, &bias, affine);
        check(&x, &weight, &bias, convolution);
    }
}

#[test]
fn what_is_added_is_rounded_as_onnx_says() {
    let affine = |scale: f32, zero_point: u8| Affine { scale, zero_point };
    let x = ByteTensor {
        values: bytes(5 * 7, 1),
        dims: vec![5, 7],
        affine: affine(0.1, 9),
    };
    let (values, bias) = (host(&random(&[19, 7], 1)), host(&random(&[19], 2)));
    let weight = ByteWeight::of(&values, &[19, 7], &bias, x.affine);
    let (added, product, result) = (affine(0.02, 128), affine(0.05, 77), affine(0.03, 0));
    let residual = bytes(5 * 19, 8);
    for layer in layers(&weight, &bias, x.affine, ConvOptions::default()) {
        let rounded = layer.bytes(&x, &ByteFinish::default(), product);
        let sum = |index: usize| {
            let sum = product.dequantize(rounded.values[index]) + added.dequantize(residual[index]);
            sum.max(0.0)
        };
        let finish = ByteFinish {
            added: Some(AddedTensor::Bytes(&residual, added)),
            product: Some(product),
            relu: true,
        };
        let expected: Vec<u8> = (0..5 * 19).map(|index| result.quantize(sum(index))).collect();
        assert_eq!(layer.bytes(&x, &finish, result).values, expected, "{layer:?}");
        let expected: Vec<f32> = (0..5 * 19).map(sum).collect();
        assert_eq!(layer.values(&x, &finish).0, expected, "{layer:?}");
        // Without a rounding in between.
        let numbers: Vec<f32> = residual.iter().map(|&byte| added.dequantize(byte)).collect();
        let finish = ByteFinish {
            added: Some(AddedTensor::Values(&numbers)),
            product: None,
            relu: false,
        };
        let plain = layer.values(&x, &ByteFinish::default()).0;
        let expected: Vec<f32> = plain
            .iter()
            .zip(&numbers)
            .map(|(sum, added)| sum + added)
            .collect();
        assert_eq!(layer.values(&x, &finish).0, expected, "{layer:?}");
    }
}

#[test]
fn numbers_become_the_bytes_that_onnx_gives_them() {
    let affine = Affine::of_range(-1.0, 3.0);
    assert_eq!(affine.zero_point, 64);
    assert_eq!(affine.quantize(0.0), 64);
    assert_eq!(affine.dequantize(64), 0.0);
    assert_eq!(
        (
            affine.quantize(-9.0),
            affine.quantize(9.0),
            affine.quantize(f32::INFINITY)
        ),
        (0, 255, 255)
    );
    // Halves go to the even byte.
    let steps = Affine {
        scale: 2.0,
        zero_point: 10,
    };
    assert_eq!(
        [1.0, 3.0, -1.0, 5.0].map(|value| steps.quantize(value)),
        [10, 12, 10, 12]
    );
    // A range beside 0 reaches to it, and none at all has steps all the same.
    assert_eq!(Affine::of_range(2.0, 5.1).zero_point, 0);
    assert_eq!(Affine::of_range(-5.1, -2.0).zero_point, 255);
    for nothing in [Affine::of_range(0.0, 0.0), Affine::of_range(0.0, 1e-42)] {
        assert_eq!((nothing.scale, nothing.zero_point), (1.0, 0));
    }
}

#[test]
fn a_bias_beyond_the_weights_makes_their_steps_larger() {
    let input = Affine {
        scale: 1e-3,
        zero_point: 0,
    };
    let weight = ByteWeight::of(&[1e-9, 0.0], &[1, 2], &[4.0], input);
    let steps = weight.bias_steps(&[4.0], input)[0];
    let value = f64::from(steps) * f64::from(input.scale) * f64::from(weight.scales[0]);
    assert!((value - 4.0).abs() < 1e-6, "{value}");
    // Weights of 0 have steps too.
    assert_eq!(ByteWeight::of(&[0.0; 3], &[1, 3], &[0.0], input).scales, [1.0]);
}
