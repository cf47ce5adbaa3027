use candle_core::{Device, Var};
use proptest::prelude::*;

use super::*;
use crate::ops::testing::*;

const MODES: [ResizeMode; 2] = [ResizeMode::Nearest, ResizeMode::Bilinear];

/// The definition, in f64.
fn naive(x: &[f64], dims: [usize; 4], (height, width): (usize, usize), mode: ResizeMode) -> Vec<f64> {
    let [batch, rows, columns, channels] = dims;
    let pixels = |target: usize, sources: usize, targets: usize| -> [(usize, f64); 2] {
        let scale = sources as f64 / targets as f64;
        match mode {
            ResizeMode::Nearest => [(target * sources / targets, 1.0), (0, 0.0)],
            ResizeMode::Bilinear => {
                let place = ((target as f64 + 0.5) * scale - 0.5).max(0.0);
                let first = (place as usize).min(sources - 1);
                let weight = place - first as f64;
                [(first, 1.0 - weight), ((first + 1).min(sources - 1), weight)]
            }
        }
    };
    let mut y = Vec::new();
    for image in 0..batch {
        for row in 0..height {
            for column in 0..width {
                for channel in 0..channels {
                    let mut sum = 0.0;
                    for (source_row, down) in pixels(row, rows, height) {
                        for (source_column, across) in pixels(column, columns, width) {
                            let pixel = (image * rows + source_row) * columns + source_column;
                            sum += down * across * x[pixel * channels + channel];
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn agrees_with_the_definition_and_its_differences(
        [batch, rows, columns, channels] in [1usize..3, 1usize..8, 1usize..8, 1usize..20],
        size in (1usize..14, 1usize..14),
    ) {
        let dims = [batch, rows, columns, channels];
        let x = random_var(&dims, 1);
        let weights = host(&random(&[batch * size.0 * size.1 * channels], 2));
        for mode in MODES {
            let expected = naive(&host64(&x), dims, size, mode);
            let gradient = differences(&host64(&x), |x| weighted(&naive(x, dims, size, mode), &weights));
            let own = resize(&x, size, mode, Precision::F32).expect("fits");
            let composed = composing(|| resize(&x, size, mode, Precision::F32)).expect("runs");
            for y in [own, composed] {
                prop_assert_eq!(y.dims(), [batch, size.0, size.1, channels]);
                assert_close(&host(&y), &expected, 2e-6);
                assert_close(&gradient_of(&y, &weights, &x), &gradient, 2e-6);
            }
        }
    }
}

/// `interpolate(torch.tensor([[[[0., 1.], [2., 3.]]]]), (3, 5), mode="bilinear")`.
#[test]
fn values_are_those_of_pytorch() {
    let x = Tensor::new(&[0.0f32, 1.0, 2.0, 3.0], &Device::Cpu).and_then(|x| x.reshape((1, 2, 2, 1)));
    let x = Var::from_tensor(&x.expect("valid")).expect("valid");
    let y = resize(&x, (3, 5), ResizeMode::Bilinear, Precision::F32).expect("fits");
    assert_close(&host(&y)[..5], &[0.0, 0.1, 0.5, 0.9, 1.0], 1e-6);
    let weights: Vec<f32> = (0..15u8).map(f32::from).collect();
    let gradient = gradient_of(&y, &weights, &x);
    assert_close(&gradient, &[9.55, 17.95, 34.55, 42.95], 1e-6);
}

#[test]
fn the_same_size_is_the_same_image_and_twice_the_size_four_pixels() {
    let x = random_var(&[2, 3, 5, 4], 1);
    for mode in MODES {
        let y = resize(&x, (3, 5), mode, Precision::F32).expect("fits");
        assert_eq!(host(&y), host(&x));
    }
    let y = resize(&x, (6, 10), ResizeMode::Nearest, Precision::F32).expect("fits");
    let ones = vec![1.0; 2 * 6 * 10 * 4];
    assert!(gradient_of(&y, &ones, &x).iter().all(|gradient| *gradient == 4.0));
}

#[test]
fn threads_do_not_matter_and_narrow_formats_hold_the_results() {
    let x = random_var(&[3, 17, 9, 24], 1);
    let weights = host(&random(&[3 * 30 * 20 * 24], 2));
    for mode in MODES {
        for precision in [Precision::F32, Precision::Bf16] {
            let (y, gradient) = same_for_any_number_of_threads(|| {
                let y = resize(&x, (30, 20), mode, precision).expect("fits");
                (host(&y), gradient_of(&y, &weights, &x))
            });
            let is_narrow = |value: &f32| value.to_bits() & 0xffff == 0;
            let narrow = precision == Precision::Bf16;
            assert_eq!(gradient.iter().all(is_narrow), narrow);
            assert!(!narrow || y.iter().all(is_narrow));
        }
    }
}

#[test]
fn misfits_are_told() {
    let told = |dims: &[usize], size| {
        let error = resize(&random(dims, 1), size, ResizeMode::Nearest, Precision::F32);
        error.expect_err("refused").to_string()
    };
    assert_eq!(
        told(&[1, 2, 3, 4], (0, 5)),
        "resize: images [1, 2, 3, 4] cannot become 0x5"
    );
    assert!(told(&[2, 3, 4], (1, 1)).contains("[N, H, W, C]"));
}
