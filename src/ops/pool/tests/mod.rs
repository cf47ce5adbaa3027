mod average;

use candle_core::{Device, Var};
use proptest::prelude::*;

use super::*;
use crate::ops::testing::*;
use crate::spec::Precision;

/// The place of each window's winner, by the definition.
fn winners(x: &[f32], input: Images, output: Images, window: Window) -> Vec<usize> {
    let mut winners = Vec::new();
    for n in 0..output.batch {
        for row in 0..output.height {
            for column in 0..output.width {
                for channel in 0..input.channels {
                    let mut winner: Option<usize> = None;
                    for tap in 0..window.size * window.size {
                        let y = (row * window.stride + tap / window.size).wrapping_sub(window.padding);
                        let x_ = (column * window.stride + tap % window.size).wrapping_sub(window.padding);
                        if y < input.height && x_ < input.width {
                            let place =
                                ((n * input.height + y) * input.width + x_) * input.channels + channel;
                            winner = match winner {
                                Some(best) if x[place] <= x[best] => Some(best),
                                _ => Some(place),
                            };
                        }
                    }
                    winners.push(winner.expect("a window covers a pixel"));
                }
            }
        }
    }
    winners
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn max_pool_agrees_with_the_definition(
        sides in [1usize..4, 1usize..9, 1usize..9],
        // Of vectors too, and with a rest.
        channels in prop_oneof![1usize..5, 15usize..36],
        size in 1usize..4,
        stride in 1usize..4,
        padding in 0usize..2,
        ties in any::<bool>(),
    ) {
        let window = Window { size, stride, padding };
        let shape = [sides[0], sides[1], sides[2], channels];
        let x = random(&shape, 1);
        // Few different values, so that many are equal.
        let x = if ties { x.round().expect("valid") } else { x };
        let x = Var::from_tensor(&x).expect("valid");
        let y = match max_pool2d(&x, window) {
            Ok(y) => y,
            Err(_) => {
                let fits = shape[1].min(shape[2]) + 2 * padding >= size && padding <= size / 2;
                prop_assert!(!fits);
                return Ok(());
            }
        };
        let values = host(&x);
        let input = channels_last("test", &x).expect("valid");
        let output = channels_last("test", &y).expect("valid");
        let winners = winners(&values, input, output, window);
        prop_assert_eq!(host(&y), winners.iter().map(|&place| values[place]).collect::<Vec<_>>());

        let weights = host(&random(y.dims(), 2));
        let mut expected = vec![0.0f64; values.len()];
        for (&place, &weight) in winners.iter().zip(&weights) {
            expected[place] += f64::from(weight);
        }
        assert_close(&gradient_of(&y, &weights, &x), &expected, 1e-6);

        let composed = composing(|| max_pool2d(&x, window)).expect("runs");
        prop_assert_eq!(host(&y), host(&composed));
        assert_close(&gradient_of(&composed, &weights, &x), &expected, 1e-6);
    }

    #[test]
    fn average_agrees_with_the_definition(shape in [1usize..4, 1usize..9, 1usize..9, 1usize..5]) {
        let x = random_var(&shape, 1);
        let y = global_average_pool(&x, Precision::F32).expect("runs");
        let weights = host(&random(y.dims(), 2));
        let naive = |x: &[f64]| -> Vec<f64> {
            let pixels = shape[1] * shape[2];
            let mean = |n: usize, channel: usize| {
                let image = &x[n * pixels * shape[3]..(n + 1) * pixels * shape[3]];
                image.iter().skip(channel).step_by(shape[3]).sum::<f64>() / pixels as f64
            };
            (0..shape[0]).flat_map(|n| (0..shape[3]).map(move |channel| (n, channel))).map(|(n, c)| mean(n, c)).collect()
        };
        let values = host64(&x);
        assert_close(&host(&y), &naive(&values), 1e-6);
        let expected = differences(&values, |x| weighted(&naive(x), &weights));
        assert_close(&gradient_of(&y, &weights, &x), &expected, 1e-6);
        let composed = composing(|| global_average_pool(&x, Precision::F32)).expect("runs");
        assert_close(&gradient_of(&composed, &weights, &x), &expected, 1e-6);
    }
}

#[test]
fn differences_of_the_maximum() {
    let x = random_var(&[2, 5, 4, 3], 7);
    let window = Window {
        size: 3,
        stride: 2,
        padding: 1,
    };
    let y = max_pool2d(&x, window).expect("runs");
    let weights = host(&random(y.dims(), 8));
    let input = channels_last("test", &x).expect("valid");
    let output = channels_last("test", &y).expect("valid");
    let expected = differences(&host64(&x), |x| {
        let narrow: Vec<f32> = x.iter().map(|&value| value as f32).collect();
        let y: Vec<f64> = winners(&narrow, input, output, window)
            .iter()
            .map(|&place| x[place])
            .collect();
        weighted(&y, &weights)
    });
    assert_close(&gradient_of(&y, &weights, &x), &expected, 1e-6);
}

#[test]
fn threads_do_not_matter() {
    let x = random_var(&[11, 12, 13, 8], 1);
    let weights = host(&random(&[11, 6, 7, 8], 2));
    same_for_any_number_of_threads(|| {
        let y = max_pool2d(
            &x,
            Window {
                size: 3,
                stride: 2,
                padding: 1,
            },
        )
        .expect("runs");
        let mean = global_average_pool(&x, Precision::Bf16).expect("runs");
        (
            host(&y),
            gradient_of(&y, &weights, &x),
            host(&mean),
            gradient_of(&mean, &weights[..88], &x),
        )
    });
}

#[test]
fn what_is_not_a_number_wins() {
    let x = Tensor::new(
        &[[[[1.0f32], [f32::NAN]], [[3.0], [f32::NEG_INFINITY]]]],
        &Device::Cpu,
    );
    let y = max_pool2d(
        &x.expect("valid"),
        Window {
            size: 2,
            stride: 2,
            padding: 0,
        },
    )
    .expect("runs");
    assert!(host(&y)[0].is_nan());
}

#[test]
fn misfits_are_told() {
    let x = random(&[1, 2, 2, 3], 1);
    let told = |size, padding| {
        max_pool2d(
            &x,
            Window {
                size,
                stride: 2,
                padding,
            },
        )
        .expect_err("does not fit")
        .to_string()
    };
    assert_eq!(
        told(3, 0),
        "max pooling: a 3x3 window does not fit in an image of 2x2"
    );
    assert_eq!(
        told(2, 2),
        "max pooling: padding 2 is over half of the window of 2x2"
    );
}
