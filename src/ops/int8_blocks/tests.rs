use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::ops::testing::*;
use crate::ops::{PackedWeights, WeightForm, linear, linear_transposed};

/// What the whole numbers of blocks stand for.
fn rounded(values: &[f32], inputs: usize, scale_of: impl Fn(f32) -> f32) -> Vec<f64> {
    let rows = values.chunks_exact(inputs);
    rows.flat_map(|row| row.chunks(BLOCK))
        .flat_map(|block| {
            let scale = scale_of(largest(block) / 127.0);
            block.iter().map(move |&value| match scale > 0.0 {
                true => f64::from((value / scale).round_ties_even()) * f64::from(scale),
                false => 0.0,
            })
        })
        .collect()
}

fn of_kernels(kernels: &'static Int8Kernels, x: &[f32], weight: &[f32], sizes: (usize, usize)) -> Vec<f32> {
    Int8Blocks::pack_for(kernels, weight, sizes, false).multiply(x, None, Precision::F32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn all_processors_give_the_bytes_of_the_definition(
        rows in 1usize..10, inputs in 1usize..140, outputs in 1usize..50,
    ) {
        let x = host(&random(&[rows, inputs], 1));
        let weight = host(&random(&[outputs, inputs], 2));
        let exact_x = rounded(&x, inputs, |scale| scale);
        let exact_weight = rounded(&weight, inputs, |scale| f16::from_f32(scale).to_f32());
        let expected: Vec<f64> = exact_x
            .chunks_exact(inputs)
            .flat_map(|row| {
                let product = move |column: &[f64]| row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>();
                exact_weight.chunks_exact(inputs).map(product)
            })
            .collect();
        let portable = Int8Kernels::available().last().expect("one is always there");
        let bytes = of_kernels(portable, &x, &weight, (outputs, inputs));
        assert_close(&bytes, &expected, 1e-6);
        for kernels in Int8Kernels::available() {
            assert_eq!(of_kernels(kernels, &x, &weight, (outputs, inputs)), bytes, "{}", kernels.name);
        }
    }
}

#[test]
fn the_largest_numbers_do_not_run_over() {
    let inputs = 64;
    for (left, right) in [(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0)] {
        let (x, weight) = (vec![left; inputs], vec![right; 3 * inputs]);
        for kernels in Int8Kernels::available() {
            let y = of_kernels(kernels, &x, &weight, (3, inputs));
            assert_close(&y, &[left as f64 * right as f64 * 64.0; 3], 1e-3);
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch_nor_on_threads() {
    let (x, weight) = (host(&random(&[7, 96], 1)), host(&random(&[700, 96], 2)));
    let weight = Int8Blocks::pack(&weight, (700, 96), false);
    let all = same_for_any_number_of_threads(|| weight.multiply(&x, None, Precision::F32));
    for (x, y) in x.chunks_exact(96).zip(all.chunks_exact(700)) {
        assert_eq!(weight.multiply(x, None, Precision::F32), y);
    }
}

#[test]
fn what_is_rounded_once_is_rounded_to_itself() {
    let weight = host(&random(&[20, 64], 1));
    let once = rounded(&weight, 64, |scale| f16::from_f32(scale).to_f32());
    let once: Vec<f32> = once.into_iter().map(|value| value as f32).collect();
    let packed = |weight: &[f32]| Int8Blocks::pack(weight, (20, 64), false).panels;
    assert_eq!(packed(&once), packed(&weight));
}

#[test]
fn what_is_not_finite_is_not_hidden() {
    let weight = vec![1.0; 40 * 40];
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = vec![1.0; 80];
        x[50] = wrong;
        for kernels in Int8Kernels::available() {
            let y = of_kernels(kernels, &x, &weight, (40, 40));
            assert!(y[..40].iter().all(|y| y.is_finite()), "{}", kernels.name);
            assert!(y[40..].iter().all(|y| y.is_nan()), "{}", kernels.name);
        }
        let mut weight = weight.clone();
        weight[40 * 3 + 5] = wrong;
        let y = of_kernels(Int8Kernels::best(), &x[..40], &weight, (40, 40));
        assert_eq!(y.iter().filter(|y| y.is_nan()).count(), 1, "{y:?}");
    }
}

#[test]
fn layers_are_rounded_where_that_is_asked_for() {
    let (x, weight, bias) = (random(&[5, 70], 1), random(&[33, 70], 2), random(&[33], 3));
    let transposed = weight.t().and_then(|weight| weight.contiguous()).expect("valid");
    for precision in [Precision::F32, Precision::Bf16] {
        let plain = host(&linear(&x, &weight, Some(&bias), precision).expect("fits"));
        let packed = Arc::new(PackedWeights::new(WeightForm::Int8));
        let int8 = packed.reuse(|| host(&linear(&x, &weight, Some(&bias), precision).expect("fits")));
        assert_ne!(int8, plain);
        let expected: Vec<f64> = plain.iter().map(|&value| f64::from(value)).collect();
        assert_close(&int8, &expected, 0.02);
        let other =
            packed.reuse(|| linear_transposed(&x, &transposed, Some(&bias), precision).expect("fits"));
        assert_eq!(host(&other), int8);
        let small = Arc::new(PackedWeights::new(WeightForm::Small));
        let small = small.reuse(|| host(&linear(&x, &weight, Some(&bias), precision).expect("fits")));
        assert_eq!(small, plain);
    }
}
