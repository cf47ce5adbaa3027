use candle_core::Var;
use proptest::prelude::*;

use super::*;
use crate::ops::testing::*;

fn naive(x: &[f64], weight: &[f64], bias: &[f64], epsilon: f64) -> Vec<f64> {
    let columns = weight.len() as f64;
    x.chunks_exact(weight.len())
        .flat_map(|row| {
            let mean = row.iter().sum::<f64>() / columns;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / columns;
            let normalised = row.iter().map(move |x| (x - mean) / (variance + epsilon).sqrt());
            normalised
                .zip(weight)
                .zip(bias)
                .map(|((x, weight), bias)| x * weight + bias)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn operands(rows: usize, columns: usize) -> [Var; 3] {
    [
        random_var(&[rows, 2, columns], 1),
        random_var(&[columns], 2),
        random_var(&[columns], 3),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn agrees_with_the_definition_and_its_differences(
        rows in 1usize..50, columns in 4usize..21, wide in any::<bool>(),
    ) {
        let epsilon = if wide { 0.1 } else { 1e-3 };
        let operands = operands(rows, columns);
        let [x, weight, bias] = &operands;
        let output_gradient = host(&random(&[rows, 2, columns], 4));
        let [x64, weight64, bias64] = operands.each_ref().map(|operand| host64(operand));
        let loss = |x: &[f64], weight: &[f64], bias: &[f64]| {
            weighted(&naive(x, weight, bias, epsilon), &output_gradient)
        };
        let expected = [
            naive(&x64, &weight64, &bias64, epsilon),
            differences(&x64, |x| loss(x, &weight64, &bias64)),
            differences(&weight64, |weight| loss(&x64, weight, &bias64)),
            differences(&bias64, |bias| loss(&x64, &weight64, bias)),
        ];
        let own = layer_norm(x, weight, bias, epsilon).expect("fits");
        let composed = composing(|| layer_norm(x, weight, bias, epsilon)).expect("runs");
        for (y, tolerance) in [(own, 2e-6), (composed, 1e-3)] {
            prop_assert_eq!(y.dims(), x.dims());
            assert_close(&host(&y), &expected[0], tolerance);
            let gradients = gradients_of(&y, &output_gradient, &[x, weight, bias]);
            for (actual, expected) in gradients.iter().zip(&expected[1..]) {
                assert_close(actual, expected, tolerance);
            }
        }
    }
}

#[test]
fn a_large_mean_does_not_drown_the_variance() {
    let operands = operands(3, 40);
    let [x, weight, bias] = &operands;
    let shifted = (x.as_tensor() + 1000.0).expect("valid");
    let y = layer_norm(&shifted, weight, bias, 1e-6).expect("fits");
    let expected = naive(&host64(&shifted), &host64(weight), &host64(bias), 1e-6);
    assert_close(&host(&y), &expected, 1e-6);
}

#[test]
fn threads_do_not_matter() {
    let operands = operands(150, 37);
    let [x, weight, bias] = &operands;
    let output_gradient = host(&random(&[150, 2, 37], 4));
    same_for_any_number_of_threads(|| {
        let y = layer_norm(x, weight, bias, 1e-6).expect("fits");
        (host(&y), gradients_of(&y, &output_gradient, &[x, weight, bias]))
    });
}

#[test]
fn misfits_are_told() {
    let error = layer_norm(&random(&[2, 3], 1), &random(&[3], 1), &random(&[2], 1), 1e-5);
    assert_eq!(
        error.expect_err("3 is not 2").to_string(),
        "layer norm: input [2, 3], weight [3] and bias [2] do not fit each other"
    );
}
