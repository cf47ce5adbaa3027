mod ways;

use candle_core::{DType, Device, Var};
use proptest::prelude::*;

use super::*;
use crate::ops::testing::*;

/// The pixel under a tap at a position; one beyond the image where it is padding.
fn under(g: &Geometry, position: usize, tap: usize) -> usize {
    (position * g.window.stride + tap * g.dilation).wrapping_sub(g.window.padding)
}

/// The definition, in f64, without a bias.
fn naive(x: &[f64], weight: &[f64], g: &Geometry) -> Vec<f64> {
    let (input, output, size) = (g.input, g.output, g.window.size);
    let (inputs, outputs) = (input.channels / g.groups, output.channels / g.groups);
    let mut y = Vec::with_capacity(output.len());
    for n in 0..output.batch {
        for row in 0..output.height {
            for column in 0..output.width {
                for o in 0..output.channels {
                    let mut sum = 0.0;
                    for tap_row in 0..size {
                        for tap_column in 0..size {
                            let (y, x_) = (under(g, row, tap_row), under(g, column, tap_column));
                            if y >= input.height || x_ >= input.width {
                                continue;
                            }
                            let pixel = ((n * input.height + y) * input.width + x_) * input.channels;
                            for i in 0..inputs {
                                let tap = ((o * inputs + i) * size + tap_row) * size + tap_column;
                                sum += x[pixel + o / outputs * inputs + i] * weight[tap];
                            }
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

struct Case {
    x: Var,
    weight: Var,
    bias: Var,
    geometry: Geometry,
    options: ConvOptions,
    output_gradient: Vec<f32>,
}

const fn moving(stride: usize, padding: usize) -> ConvOptions {
    grouped(stride, padding, 1)
}

const fn grouped(stride: usize, padding: usize, groups: usize) -> ConvOptions {
    ConvOptions {
        stride,
        padding,
        dilation: 1,
        groups,
    }
}

const fn dilated(dilation: usize, options: ConvOptions) -> ConvOptions {
    ConvOptions { dilation, ..options }
}

fn case(input: [usize; 4], outputs: usize, size: usize, options: ConvOptions) -> Option<Case> {
    let x = random_var(&input, 1);
    let weight = random_var(&[outputs, input[3] / options.groups, size, size], 2);
    let geometry = geometry(&x, &weight, None, options).ok()?;
    let output_gradient = host(&random(&[geometry.output.len()], 3));
    Some(Case {
        x,
        weight,
        bias: random_var(&[outputs], 6),
        geometry,
        options,
        output_gradient,
    })
}

impl Case {
    /// Output, gradient of the input, gradient of the weight.
    fn run(&self, precision: Precision) -> [Vec<f32>; 3] {
        let y = conv2d(&self.x, &self.weight, None, self.options, precision).expect("valid");
        self.results(&y, &[&self.x, &self.weight])
    }

    /// Output and gradients of input, weight and bias.
    fn run_with_bias(&self, precision: Precision) -> [Vec<f32>; 4] {
        let y = conv2d(&self.x, &self.weight, Some(&self.bias), self.options, precision).expect("valid");
        self.results(&y, &[&self.x, &self.weight, &self.bias])
    }

    fn results<const COUNT: usize>(&self, y: &Tensor, variables: &[&Var]) -> [Vec<f32>; COUNT] {
        let mut results = vec![host(y)];
        results.extend(gradients_of(y, &self.output_gradient, variables));
        results.try_into().expect("as many as asked for")
    }

    /// The same by the definition: a linear map's gradients are those of its transposes.
    fn reference(&self) -> [Vec<f64>; 3] {
        let (x, weight) = (host64(&self.x), host64(&self.weight));
        let g = &self.geometry;
        [
            naive(&x, &weight, g),
            differences(&x, |x| weighted(&naive(x, &weight, g), &self.output_gradient)),
            differences(&weight, |weight| {
                weighted(&naive(&x, weight, g), &self.output_gradient)
            }),
        ]
    }
}

#[test]
fn agrees_with_the_definition_and_its_differences() {
    for (input, outputs, size, options) in [
        ([2, 5, 6, 3], 4, 3, moving(1, 1)),
        ([3, 5, 4, 2], 3, 3, moving(2, 1)),
        ([2, 4, 4, 5], 3, 1, moving(1, 0)),
        ([2, 5, 5, 3], 2, 1, moving(2, 0)),
        ([1, 9, 8, 2], 2, 7, moving(2, 3)),
        ([9, 1, 1, 4], 3, 3, moving(1, 1)),
        ([2, 2, 2, 3], 3, 3, moving(2, 1)),
        ([2, 1, 3, 1], 1, 2, moving(1, 1)),
        // Depthwise, with fewer, as many and more channels than are summed at a time.
        ([2, 5, 6, 3], 3, 3, grouped(1, 1, 3)),
        ([1, 5, 4, 16], 16, 3, grouped(2, 1, 16)),
        ([2, 4, 5, 19], 19, 2, grouped(1, 0, 19)),
        ([2, 1, 1, 4], 4, 5, grouped(2, 2, 4)),
        // Groups of several channels, and several outputs of one channel.
        ([2, 5, 4, 6], 4, 3, grouped(2, 1, 2)),
        ([2, 4, 4, 3], 6, 3, grouped(1, 1, 3)),
        ([2, 4, 3, 4], 2, 1, grouped(1, 0, 2)),
        // Taps that are not neighbours: of few and of many channels, depthwise, of groups.
        ([2, 7, 6, 3], 4, 3, dilated(2, moving(1, 2))),
        ([1, 9, 8, 17], 5, 3, dilated(3, moving(2, 3))),
        ([2, 9, 8, 4], 4, 5, dilated(2, grouped(1, 4, 4))),
        ([1, 6, 9, 19], 19, 3, dilated(4, grouped(2, 4, 19))),
        ([2, 7, 6, 6], 4, 3, dilated(2, grouped(2, 1, 2))),
        ([2, 3, 3, 4], 3, 1, dilated(7, moving(1, 0))),
    ] {
        let case = case(input, outputs, size, options).expect("fits");
        for (actual, expected) in case.run(Precision::F32).iter().zip(case.reference()) {
            assert_close(actual, &expected, 2e-6);
        }
    }
}

#[test]
fn the_bias_is_added_to_each_channel() {
    for (channels, outputs, groups) in [(3, 5, 1), (4, 4, 4), (4, 6, 2)] {
        let case = case([3, 5, 4, channels], outputs, 3, grouped(2, 1, groups)).expect("fits");
        let [y, x_gradient, weight_gradient] = case.reference();
        let bias = host64(&case.bias);
        let y: Vec<f64> = y
            .iter()
            .zip(bias.iter().cycle())
            .map(|(y, bias)| y + bias)
            .collect();
        let mut bias_gradient = vec![0.0; outputs];
        for (index, value) in case.output_gradient.iter().enumerate() {
            bias_gradient[index % outputs] += f64::from(*value);
        }
        let expected = [y, x_gradient, weight_gradient, bias_gradient];
        for (actual, expected) in case.run_with_bias(Precision::F32).iter().zip(expected) {
            assert_close(actual, &expected, 2e-6);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn agrees_with_the_definition(
        [batch, height, width] in [1usize..12, 1usize..8, 1usize..8],
        (groups, inputs, outputs) in prop_oneof![
            (Just(1usize), 1usize..6, 1usize..7),
            // Depthwise.
            (2usize..40, Just(1usize), Just(1usize)),
            (2usize..4, 1usize..4, 1usize..4),
        ],
        size in 1usize..6,
        stride in 1usize..4,
        padding in 0usize..4,
        dilation in 1usize..4,
    ) {
        let input = [batch, height, width, groups * inputs];
        let options = dilated(dilation, grouped(stride, padding, groups));
        let Some(case) = case(input, groups * outputs, size, options) else {
            return Ok(());
        };
        let [y, x_gradient, weight_gradient] = case.run(Precision::F32);
        let (x, weight) = (host64(&case.x), host64(&case.weight));
        assert_close(&y, &naive(&x, &weight, &case.geometry), 2e-6);
        // <g, conv(x', w)> = <dx, x'> for any x', and so for w: the gradients are the transposes.
        let other_x = host64(&random(&input, 4));
        let product = weighted(&naive(&other_x, &weight, &case.geometry), &case.output_gradient);
        let scale = 1.0 + 1e-2 * (case.output_gradient.len() * size * size * inputs) as f64;
        prop_assert!((weighted(&other_x, &x_gradient) - product).abs() < 1e-4 * scale);
        let other_weight = host64(&random(&[weight.len()], 5));
        let product = weighted(&naive(&x, &other_weight, &case.geometry), &case.output_gradient);
        prop_assert!((weighted(&other_weight, &weight_gradient) - product).abs() < 1e-4 * scale);
    }
}

#[test]
fn threads_do_not_matter() {
    // Partial sums over slices of the batch; one task a tap; pointwise; depthwise; groups.
    for (input, outputs, size, options) in [
        ([37, 9, 7, 16], 24, 3, moving(1, 1)),
        ([5, 4, 4, 256], 256, 3, moving(2, 1)),
        ([19, 6, 6, 48], 32, 1, moving(1, 0)),
        ([37, 9, 7, 40], 40, 5, grouped(2, 2, 40)),
        ([19, 6, 6, 12], 24, 3, grouped(1, 1, 3)),
        ([19, 9, 8, 40], 40, 5, dilated(2, grouped(1, 4, 40))),
        ([19, 9, 8, 12], 24, 3, dilated(3, moving(1, 3))),
    ] {
        let case = case(input, outputs, size, options).expect("fits");
        for precision in [Precision::F32, Precision::Bf16] {
            same_for_any_number_of_threads(|| case.run_with_bias(precision));
        }
    }
}

#[test]
fn narrow_formats_round_operands_and_results() {
    for groups in [1, 6] {
        let outputs = if groups == 1 { 7 } else { 6 };
        let case = case([4, 5, 5, 6], outputs, 3, grouped(1, 1, groups)).expect("fits");
        narrow_format_rounds(&case, Precision::Bf16, DType::BF16);
        narrow_format_rounds(&case, Precision::F16, DType::F16);
    }
    let large = Tensor::full(300.0f32, (1, 1, 1, 1), &Device::Cpu).expect("valid");
    let overflow = conv2d(&large, &large, None, moving(1, 0), Precision::F16).expect("runs");
    assert_eq!(host(&overflow), [f32::INFINITY]);
}

fn narrow_format_rounds(case: &Case, precision: Precision, dtype: DType) {
    let round = |values: Vec<f64>| -> Vec<f64> {
        let values = Tensor::new(values, &Device::Cpu).and_then(|values| {
            values
                .to_dtype(DType::F32)?
                .to_dtype(dtype)?
                .to_dtype(DType::F64)?
                .to_vec1()
        });
        values.expect("valid")
    };
    let x = round(host64(&case.x));
    let weight = round(host64(&case.weight));
    let gradient = round(
        case.output_gradient
            .iter()
            .map(|&value| f64::from(value))
            .collect(),
    );
    let gradient: Vec<f32> = gradient.iter().map(|&value| value as f32).collect();
    let g = &case.geometry;
    let [y, x_gradient, weight_gradient] = case.run(precision);
    for values in [&y, &x_gradient] {
        let exact: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        assert_eq!(
            exact,
            round(exact.clone()),
            "the result holds values of the format only"
        );
    }
    let half_step = if dtype == DType::BF16 {
        1.0 / 256.0
    } else {
        1.0 / 2048.0
    };
    assert_close(&y, &naive(&x, &weight, g), half_step);
    assert_close(
        &x_gradient,
        &differences(&x, |x| weighted(&naive(x, &weight, g), &gradient)),
        half_step,
    );
    // The weight's gradient is not rounded.
    let expected = differences(&weight, |weight| weighted(&naive(&x, weight, g), &gradient));
    assert_close(&weight_gradient, &expected, 2e-6);
}

#[test]
fn no_gradient_is_computed_for_constants() {
    let x = random(&[2, 4, 4, 3], 1);
    let weight = random_var(&[5, 3, 3, 3], 2);
    let y = conv2d(&x, &weight, None, moving(1, 1), Precision::F32).expect("runs");
    let gradients = y
        .sum_all()
        .and_then(|sum| sum.backward())
        .expect("differentiable");
    assert!(gradients.get(&x).is_none());
    assert!(gradients.get(&weight).is_some());
    let y = conv2d(&x, &weight.detach(), None, moving(1, 1), Precision::F32).expect("runs");
    assert!(!y.track_op());
}

#[test]
fn misfits_are_told() {
    let told_of = |x: &[usize], weight: &[usize], bias: Option<usize>, options| {
        let bias = bias.map(|len| random(&[len], 3));
        conv2d(
            &random(x, 1),
            &random(weight, 2),
            bias.as_ref(),
            options,
            Precision::F32,
        )
        .expect_err("does not fit")
        .to_string()
    };
    let told = |x: &[usize], weight: &[usize]| told_of(x, weight, None, ConvOptions::default());
    assert_eq!(
        told(&[1, 2, 2, 3], &[4, 3, 3, 3]),
        "conv2d: a 3x3 kernel of stride 1 does not fit in an image of 2x2 with padding 0"
    );
    assert_eq!(
        told(&[1, 4, 4, 2], &[4, 3, 3, 3]),
        "conv2d: the weight is for 3 channels, the input has 2"
    );
    assert!(told(&[4, 4, 2], &[4, 2, 3, 3]).contains("[N, H, W, C]"));
    assert_eq!(
        told_of(
            &[1, 4, 4, 2],
            &[4, 2, 3, 3],
            None,
            dilated(2, ConvOptions::default())
        ),
        "conv2d: a 3x3 kernel of stride 1 and dilation 2 does not fit in an image of 4x4 with padding 0"
    );
    let never = dilated(0, ConvOptions::default());
    assert!(told_of(&[1, 4, 4, 2], &[4, 2, 3, 3], None, never).contains("dilation 0"));
    assert_eq!(
        told_of(&[1, 4, 4, 6], &[4, 2, 3, 3], None, grouped(1, 1, 2)),
        "conv2d: the weight is for 2 channels in each of 2 groups, the input has 6"
    );
    for groups in [0, 3] {
        assert_eq!(
            told_of(&[1, 4, 4, 6], &[4, 2, 3, 3], None, grouped(1, 1, groups)),
            format!("conv2d: {groups} groups do not divide the weight's 4 output channels")
        );
    }
    assert_eq!(
        told_of(&[1, 4, 4, 2], &[4, 2, 3, 3], Some(3), ConvOptions::default()),
        "conv2d: the weight gives 4 channels, the bias is [3]"
    );
}
