use candle_core::Var;
use proptest::prelude::*;

use super::*;
use crate::ops::round::round_in_place;
use crate::ops::testing::*;

fn naive(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let inputs = weight.len() / bias.len();
    let product = |row: &[f64], column: &[f64]| row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>();
    x.chunks_exact(inputs)
        .flat_map(|row| {
            weight
                .chunks_exact(inputs)
                .zip(bias)
                .map(move |(column, bias)| product(row, column) + bias)
        })
        .collect()
}

struct Case {
    operands: [Var; 3],
    output_gradient: Vec<f32>,
}

impl Case {
    fn new(rows: usize, inputs: usize, outputs: usize) -> Self {
        let operands = [
            random_var(&[rows, inputs], 1),
            random_var(&[outputs, inputs], 2),
            random_var(&[outputs], 3),
        ];
        Self {
            operands,
            output_gradient: host(&random(&[rows, outputs], 4)),
        }
    }

    fn gradients(&self, y: &Tensor) -> Vec<Vec<f32>> {
        let [x, weight, bias] = &self.operands;
        gradients_of(y, &self.output_gradient, &[x, weight, bias])
    }

    /// Output and gradients.
    fn run(&self, precision: Precision) -> Vec<Vec<f32>> {
        let [x, weight, bias] = &self.operands;
        let y = linear(x, weight, Some(bias), precision).expect("fits");
        let mut results = vec![host(&y)];
        results.extend(self.gradients(&y));
        results
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn agrees_with_the_definition_and_its_differences(
        rows in 1usize..40, inputs in 1usize..9, outputs in 1usize..9,
    ) {
        let case = Case::new(rows, inputs, outputs);
        let [x, weight, bias] = case.operands.each_ref().map(|operand| host64(operand));
        let loss = |x: &[f64], w: &[f64], b: &[f64]| weighted(&naive(x, w, b), &case.output_gradient);
        let expected = [
            naive(&x, &weight, &bias),
            differences(&x, |x| loss(x, &weight, &bias)),
            differences(&weight, |weight| loss(&x, weight, &bias)),
            differences(&bias, |bias| loss(&x, &weight, bias)),
        ];
        for (actual, expected) in case.run(Precision::F32).iter().zip(&expected) {
            assert_close(actual, expected, 2e-6);
        }
        let [x, weight, bias] = &case.operands;
        let composed = composing(|| linear(x, weight, Some(bias), Precision::F32)).expect("runs");
        for (actual, expected) in case.gradients(&composed).iter().zip(&expected[1..]) {
            assert_close(actual, expected, 2e-6);
        }
    }
}

#[test]
fn leading_dimensions_are_kept() {
    let case = Case::new(12, 5, 4);
    let [x, weight, bias] = &case.operands;
    let rows = linear(x, weight, Some(bias), Precision::F32).expect("fits");
    let x = Var::from_tensor(&x.reshape((3, 2, 2, 5)).expect("as many values")).expect("valid");
    let y = linear(&x, weight, Some(bias), Precision::F32).expect("fits");
    assert_eq!(y.dims(), [3, 2, 2, 4]);
    assert_eq!(host(&y), host(&rows));
    let gradients = gradients_of(&y, &case.output_gradient, &[&x, weight, bias]);
    assert_eq!(gradients, case.gradients(&rows));
}

#[test]
fn without_a_bias_nothing_is_added() {
    let case = Case::new(6, 5, 4);
    let [x, weight, _] = &case.operands;
    let zeros = Tensor::zeros(4, candle_core::DType::F32, x.device()).expect("valid");
    for precision in [Precision::F32, Precision::Bf16] {
        let y = linear(x, weight, None, precision).expect("fits");
        let with_zeros = linear(x, weight, Some(&zeros), precision).expect("fits");
        assert_eq!(host(&y), host(&with_zeros));
        assert_eq!(
            gradients_of(&y, &case.output_gradient, &[x, weight]),
            gradients_of(&with_zeros, &case.output_gradient, &[x, weight])
        );
    }
}

#[test]
fn threads_do_not_matter() {
    let case = Case::new(130, 70, 90);
    for precision in [Precision::F32, Precision::F16] {
        same_for_any_number_of_threads(|| case.run(precision));
    }
}

#[test]
fn narrow_formats_round_operands_and_results() {
    let case = Case::new(9, 8, 7);
    let [x, weight, bias] = &case.operands;
    for (precision, tolerance) in [(Precision::Bf16, 1.0 / 256.0), (Precision::F16, 1.0 / 2048.0)] {
        let rounded = |values: &[f32]| -> Vec<f64> {
            let mut values = values.to_vec();
            round_in_place(&mut values, precision);
            values.into_iter().map(f64::from).collect()
        };
        let results = case.run(precision);
        let expected = naive(&rounded(&host(x)), &rounded(&host(weight)), &rounded(&host(bias)));
        assert_close(&results[0], &expected, tolerance);
        for narrow in &results[..2] {
            let exact: Vec<f64> = narrow.iter().map(|&value| f64::from(value)).collect();
            assert_eq!(exact, rounded(narrow));
        }
        // The weight's gradient is the f32 product of rounded operands.
        let gradient = rounded(&case.output_gradient);
        let x = rounded(&host(x));
        let expected: Vec<f64> = (0..7 * 8)
            .map(|index| {
                (0..9)
                    .map(|row| gradient[row * 7 + index / 8] * x[row * 8 + index % 8])
                    .sum()
            })
            .collect();
        assert_close(&results[2], &expected, 1e-6);
    }
}

#[test]
fn misfits_are_told() {
    let error = linear(
        &random(&[2, 3], 1),
        &random(&[4, 2], 1),
        Some(&random(&[4], 1)),
        Precision::F32,
    );
    assert_eq!(
        error.expect_err("3 is not 2").to_string(),
        "linear: input [2, 3], weight [4, 2] and bias [4] do not fit each other"
    );
    let empty = linear(
        &random(&[2, 0], 1),
        &random(&[4, 0], 1),
        Some(&random(&[4], 1)),
        Precision::F32,
    );
    assert_eq!(
        empty.expect_err("nothing to multiply").to_string(),
        "linear: the weight [4, 0] has no values"
    );
}
