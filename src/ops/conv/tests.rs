use candle_core::{DType, Device, Var};
use proptest::prelude::*;

use super::*;
use crate::ops::testing::*;

/// The definition, in f64.
fn naive(x: &[f64], weight: &[f64], g: &Geometry) -> Vec<f64> {
    let (input, output, size) = (g.input, g.output, g.window.size);
    let mut y = Vec::with_capacity(output.len());
    for n in 0..output.batch {
        for row in 0..output.height {
            for column in 0..output.width {
                for o in 0..output.channels {
                    let mut sum = 0.0;
                    for tap_row in 0..size {
                        for tap_column in 0..size {
                            let y = (row * g.window.stride + tap_row).wrapping_sub(g.window.padding);
                            let x_ = (column * g.window.stride + tap_column).wrapping_sub(g.window.padding);
                            if y >= input.height || x_ >= input.width {
                                continue;
                            }
                            for i in 0..input.channels {
                                let pixel = ((n * input.height + y) * input.width + x_) * input.channels + i;
                                let tap = ((o * input.channels + i) * size + tap_row) * size + tap_column;
                                sum += x[pixel] * weight[tap];
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
    geometry: Geometry,
    output_gradient: Vec<f32>,
}

fn case(input: [usize; 4], outputs: usize, size: usize, stride: usize, padding: usize) -> Option<Case> {
    let x = random_var(&input, 1);
    let weight = random_var(&[outputs, input[3], size, size], 2);
    let geometry = geometry(&x, &weight, stride, padding).ok()?;
    let output_gradient = host(&random(&[geometry.output.len()], 3));
    Some(Case {
        x,
        weight,
        geometry,
        output_gradient,
    })
}

impl Case {
    /// Output, gradient of the input, gradient of the weight.
    fn run(&self, precision: Precision) -> [Vec<f32>; 3] {
        let Window { stride, padding, .. } = self.geometry.window;
        let y = conv2d(&self.x, &self.weight, stride, padding, precision).expect("valid");
        let mut gradients = gradients_of(&y, &self.output_gradient, &[&self.x, &self.weight]).into_iter();
        [
            host(&y),
            gradients.next().expect("two"),
            gradients.next().expect("two"),
        ]
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
    for (input, outputs, size, stride, padding) in [
        ([2, 5, 6, 3], 4, 3, 1, 1),
        ([3, 5, 4, 2], 3, 3, 2, 1),
        ([2, 4, 4, 5], 3, 1, 1, 0),
        ([2, 5, 5, 3], 2, 1, 2, 0),
        ([1, 9, 8, 2], 2, 7, 2, 3),
        ([9, 1, 1, 4], 3, 3, 1, 1),
        ([2, 2, 2, 3], 3, 3, 2, 1),
        ([2, 1, 3, 1], 1, 2, 1, 1),
    ] {
        let case = case(input, outputs, size, stride, padding).expect("fits");
        for (actual, expected) in case.run(Precision::F32).iter().zip(case.reference()) {
            assert_close(actual, &expected, 2e-6);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn agrees_with_the_definition(
        input in [1usize..12, 1usize..8, 1usize..8, 1usize..6],
        outputs in 1usize..7,
        size in 1usize..6,
        stride in 1usize..4,
        padding in 0usize..4,
    ) {
        let Some(case) = case(input, outputs, size, stride, padding) else {
            return Ok(());
        };
        let [y, x_gradient, weight_gradient] = case.run(Precision::F32);
        let (x, weight) = (host64(&case.x), host64(&case.weight));
        assert_close(&y, &naive(&x, &weight, &case.geometry), 2e-6);
        // <g, conv(x', w)> = <dx, x'> for any x', and so for w: the gradients are the transposes.
        let other_x = host64(&random(&input, 4));
        let product = weighted(&naive(&other_x, &weight, &case.geometry), &case.output_gradient);
        let scale = 1.0 + 1e-2 * (case.output_gradient.len() * size * size * input[3]) as f64;
        prop_assert!((weighted(&other_x, &x_gradient) - product).abs() < 1e-4 * scale);
        let other_weight = host64(&random(&[weight.len()], 5));
        let product = weighted(&naive(&x, &other_weight, &case.geometry), &case.output_gradient);
        prop_assert!((weighted(&other_weight, &weight_gradient) - product).abs() < 1e-4 * scale);
    }
}

#[test]
fn threads_do_not_matter() {
    // Partial sums over slices of the batch; one task a tap; pointwise.
    for (input, outputs, size, stride, padding) in [
        ([37, 9, 7, 16], 24, 3, 1, 1),
        ([5, 4, 4, 256], 256, 3, 2, 1),
        ([19, 6, 6, 48], 32, 1, 1, 0),
    ] {
        let case = case(input, outputs, size, stride, padding).expect("fits");
        for precision in [Precision::F32, Precision::Bf16] {
            same_for_any_number_of_threads(|| case.run(precision));
        }
    }
}

#[test]
fn composition_agrees() {
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let case = case([5, 7, 6, 8], 9, 3, 2, 1).expect("fits");
        let y = composed::conv2d(&case.x, &case.weight, 2, 1, precision);
        let y = y.expect("runs");
        let gradients = gradients_of(&y, &case.output_gradient, &[&case.x, &case.weight]);
        let [kernel_y, kernel_x, kernel_weight] = case.run(precision);
        // A sum in another order may round to the neighbouring value of the format.
        let tolerance = match precision {
            Precision::F32 => 1e-5,
            Precision::Bf16 => 1e-2,
            Precision::F16 => 2e-3,
        };
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        assert_close(&kernel_y, &wide(&host(&y)), tolerance);
        assert_close(&kernel_x, &wide(&gradients[0]), tolerance);
        assert_close(&kernel_weight, &wide(&gradients[1]), tolerance);
    }
}

#[test]
fn narrow_formats_round_operands_and_results() {
    let case = case([4, 5, 5, 6], 7, 3, 1, 1).expect("fits");
    for (precision, dtype) in [(Precision::Bf16, DType::BF16), (Precision::F16, DType::F16)] {
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
    let large = Tensor::full(300.0f32, (1, 1, 1, 1), &Device::Cpu).expect("valid");
    let overflow = conv2d(&large, &large, 1, 0, Precision::F16).expect("runs");
    assert_eq!(host(&overflow), [f32::INFINITY]);
}

#[test]
fn no_gradient_is_computed_for_constants() {
    let x = random(&[2, 4, 4, 3], 1);
    let weight = random_var(&[5, 3, 3, 3], 2);
    let y = conv2d(&x, &weight, 1, 1, Precision::F32).expect("runs");
    let gradients = y
        .sum_all()
        .and_then(|sum| sum.backward())
        .expect("differentiable");
    assert!(gradients.get(&x).is_none());
    assert!(gradients.get(&weight).is_some());
    let y = conv2d(&x, &weight.detach(), 1, 1, Precision::F32).expect("runs");
    assert!(!y.track_op());
}

#[test]
fn misfits_are_told() {
    let told = |x: &[usize], weight: &[usize]| {
        conv2d(&random(x, 1), &random(weight, 2), 1, 0, Precision::F32)
            .expect_err("does not fit")
            .to_string()
    };
    assert_eq!(
        told(&[1, 2, 2, 3], &[4, 3, 3, 3]),
        "conv2d: a 3x3 kernel of stride 1 does not fit in an image of 2x2 with padding 0"
    );
    assert_eq!(
        told(&[1, 4, 4, 2], &[4, 3, 3, 3]),
        "conv2d: the weight is for 3 channels, the input has 2"
    );
    assert!(told(&[4, 4, 2], &[4, 2, 3, 3]).contains("[N, H, W, C]"));
}
