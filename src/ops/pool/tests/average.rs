use candle_core::{Tensor, Var};
use proptest::prelude::*;

use crate::ops::avg_pool2d;
use crate::ops::conv::Window;
use crate::ops::round::round_in_place;
use crate::ops::tensor::{Images, channels_last};
use crate::ops::testing::*;
use crate::spec::Precision;

fn naive(x: &[f64], input: Images, output: Images, window: Window, count_include_pad: bool) -> Vec<f64> {
    let mut y = Vec::new();
    for n in 0..output.batch {
        for row in 0..output.height {
            for column in 0..output.width {
                for channel in 0..input.channels {
                    let (mut sum, mut count) = (0.0, 0);
                    for tap in 0..window.size * window.size {
                        let y = (row * window.stride + tap / window.size).wrapping_sub(window.padding);
                        let x_ = (column * window.stride + tap % window.size).wrapping_sub(window.padding);
                        if y < input.height && x_ < input.width {
                            sum += x[((n * input.height + y) * input.width + x_) * input.channels + channel];
                            count += 1;
                        }
                    }
                    let divisor = if count_include_pad {
                        window.size * window.size
                    } else {
                        count
                    };
                    y.push(sum / divisor as f64);
                }
            }
        }
    }
    y
}

fn images(x: &Tensor) -> Images {
    channels_last("test", x).expect("valid")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn agrees_with_the_definition_and_its_differences(
        shape in [1usize..3, 1usize..8, 1usize..8, 1usize..4],
        size in 1usize..4,
        stride in 1usize..4,
        padding in 0usize..2,
        count_include_pad in any::<bool>(),
    ) {
        let window = Window { size, stride, padding };
        let x = random_var(&shape, 1);
        let y = match avg_pool2d(&x, window, count_include_pad, Precision::F32) {
            Ok(y) => y,
            Err(_) => {
                let fits = shape[1].min(shape[2]) + 2 * padding >= size && padding <= size / 2;
                prop_assert!(!fits);
                return Ok(());
            }
        };
        let (input, output) = (images(&x), images(&y));
        let define = |x: &[f64]| naive(x, input, output, window, count_include_pad);
        let weights = host(&random(y.dims(), 2));
        let expected = differences(&host64(&x), |x| weighted(&define(x), &weights));
        let composed = composing(|| avg_pool2d(&x, window, count_include_pad, Precision::F32)).expect("runs");
        for y in [y, composed] {
            assert_close(&host(&y), &define(&host64(&x)), 1e-6);
            assert_close(&gradient_of(&y, &weights, &x), &expected, 1e-6);
        }
    }
}

#[test]
fn threads_do_not_matter_and_narrow_formats_round() {
    let x = Var::from_tensor(&random(&[7, 9, 8, 5], 1)).expect("valid");
    let window = Window {
        size: 3,
        stride: 2,
        padding: 1,
    };
    let weights = host(&random(&[7, 5, 4, 5], 2));
    for precision in [Precision::F32, Precision::Bf16] {
        let (y, gradient) = same_for_any_number_of_threads(|| {
            let y = avg_pool2d(&x, window, true, precision).expect("fits");
            (host(&y), gradient_of(&y, &weights, &x))
        });
        for values in [y, gradient] {
            let mut rounded = values.clone();
            round_in_place(&mut rounded, precision);
            assert_eq!(values, rounded);
        }
    }
}

#[test]
fn misfits_are_told() {
    let window = Window {
        size: 3,
        stride: 1,
        padding: 0,
    };
    let error = avg_pool2d(&random(&[1, 2, 5, 1], 1), window, true, Precision::F32);
    assert_eq!(
        error.expect_err("too small").to_string(),
        "average pooling: a 3x3 window does not fit in an image of 2x5"
    );
}
