use candle_core::Var;
use proptest::prelude::*;

use super::*;
use crate::ops::testing::*;

/// The definition, in f64.
fn naive(x: &[f64], weight: &[f64], bias: &[f64], pixels: usize, options: GroupNormOptions) -> Vec<f64> {
    let channels = weight.len();
    let width = channels / options.groups;
    let mut y = vec![0.0; x.len()];
    for image in 0..x.len() / (pixels * channels) {
        for group in 0..options.groups {
            let places: Vec<usize> = (0..pixels)
                .flat_map(|pixel| {
                    let first = (image * pixels + pixel) * channels + group * width;
                    first..first + width
                })
                .collect();
            let count = places.len() as f64;
            let mean = places.iter().map(|&place| x[place]).sum::<f64>() / count;
            let squares = places.iter().map(|&place| (x[place] - mean).powi(2));
            let deviation = (squares.sum::<f64>() / count + options.epsilon).sqrt();
            for place in places {
                let channel = place % channels;
                let value = (x[place] - mean) / deviation * weight[channel] + bias[channel];
                y[place] = if options.relu { value.max(0.0) } else { value };
            }
        }
    }
    y
}

fn operands(dims: [usize; 4]) -> [Var; 3] {
    [
        random_var(&dims, 1),
        random_var(&dims[3..], 2),
        random_var(&dims[3..], 3),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn agrees_with_the_definition_and_its_differences(
        [batch, height, width] in [1usize..4, 1usize..5, 1usize..5],
        (groups, of_group) in (1usize..5, 1usize..9),
        relu in any::<bool>(),
    ) {
        prop_assume!(height * width * of_group > 2);
        let options = GroupNormOptions { groups, epsilon: 1e-2, relu };
        let operands = operands([batch, height, width, groups * of_group]);
        let [x, weight, bias] = &operands;
        let output_gradient = host(&random(x.dims(), 4));
        let [x64, weight64, bias64] = operands.each_ref().map(|operand| host64(operand));
        let of = |x: &[f64], weight: &[f64], bias: &[f64]| naive(x, weight, bias, height * width, options);
        let loss = |x: &[f64], weight: &[f64], bias: &[f64]| weighted(&of(x, weight, bias), &output_gradient);
        let expected = [
            of(&x64, &weight64, &bias64),
            differences(&x64, |x| loss(x, &weight64, &bias64)),
            differences(&weight64, |weight| loss(&x64, weight, &bias64)),
            differences(&bias64, |bias| loss(&x64, &weight64, bias)),
        ];
        let own = group_norm(x, weight, bias, options).expect("fits");
        let composed = composing(|| group_norm(x, weight, bias, options)).expect("runs");
        for (y, tolerance) in [(own, 3e-6), (composed, 1e-3)] {
            prop_assert_eq!(y.dims(), x.dims());
            assert_close(&host(&y), &expected[0], tolerance);
            let gradients = gradients_of(&y, &output_gradient, &[x, weight, bias]);
            for (actual, expected) in gradients.iter().zip(&expected[1..]) {
                assert_close(actual, expected, tolerance);
            }
        }
    }
}

const OPTIONS: GroupNormOptions = GroupNormOptions {
    groups: 2,
    epsilon: 1e-5,
    relu: true,
};

#[test]
fn a_large_mean_does_not_drown_the_variance() {
    let [x, weight, bias] = operands([2, 6, 5, 8]);
    let shifted = (x.as_tensor() + 1000.0).expect("valid");
    let y = group_norm(&shifted, &weight, &bias, OPTIONS).expect("fits");
    let expected = naive(&host64(&shifted), &host64(&weight), &host64(&bias), 30, OPTIONS);
    assert_close(&host(&y), &expected, 1e-6);
}

#[test]
fn threads_do_not_matter() {
    // More pixels than a block has.
    let operands = operands([3, 19, 17, 64]);
    let [x, weight, bias] = &operands;
    let output_gradient = host(&random(x.dims(), 4));
    same_for_any_number_of_threads(|| {
        let y = group_norm(x, weight, bias, OPTIONS).expect("fits");
        (host(&y), gradients_of(&y, &output_gradient, &[x, weight, bias]))
    });
}

#[test]
fn what_is_not_a_number_stays_in_its_image() {
    let [x, weight, bias] = operands([2, 3, 3, 4]);
    let mut values = host(&x);
    values[0] = f32::NAN;
    let x = Tensor::from_vec(values, (2, 3, 3, 4), x.device()).expect("valid");
    let y = host(&group_norm(&x, &weight, &bias, OPTIONS).expect("fits"));
    for (place, value) in y.iter().enumerate() {
        assert_eq!(value.is_nan(), place < 36 && place % 4 < 2, "{place}");
    }
}

#[test]
fn misfits_are_told() {
    let told = |groups, weight: usize| {
        let options = GroupNormOptions { groups, ..OPTIONS };
        let (x, affine) = (random(&[1, 2, 2, 6], 1), random(&[weight], 1));
        let error = group_norm(&x, &affine, &affine, options);
        error.expect_err("refused").to_string()
    };
    for groups in [0, 4] {
        assert_eq!(
            told(groups, 6),
            format!("group norm: {groups} groups do not divide 6 channels")
        );
    }
    assert_eq!(
        told(2, 5),
        "group norm: the input has 6 channels, but weight is [5] and bias [5]"
    );
}
