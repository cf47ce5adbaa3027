use candle_core::{Device, Var};
use serde::Deserialize;

use super::*;
use crate::ops::testing::*;

#[derive(Deserialize)]
struct Case {
    width: usize,
    numbers: Option<Vec<f32>>,
    embeddings: Vec<f32>,
    loss: f64,
    gradient: Vec<f64>,
}

impl Case {
    fn targets(&self) -> PairTargets<'_> {
        match &self.numbers {
            None => PairTargets::Matches,
            Some(numbers) => PairTargets::Numbers(numbers),
        }
    }
}

/// Made by `tests/fixtures/pair_losses.py`.
#[test]
fn values_and_gradients_are_those_of_sentence_transformers() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../tests/fixtures/pair_losses.json")).expect("JSON");
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let rows = case.embeddings.len() / case.width;
        let var = Var::from_vec(case.embeddings.clone(), (rows, case.width), &Device::Cpu).expect("fits");
        let loss = pair_loss(&var, case.targets(), (rows / 2) as f64).expect("pairs");
        let value = f64::from(loss.to_scalar::<f32>().expect("a scalar"));
        assert!(
            (value - case.loss).abs() < 1e-6 * case.loss.max(1.0),
            "{value} for {}",
            case.loss
        );
        let gradients = loss.backward().expect("differentiable");
        let own = host(gradients.get(&var).expect("has one"));
        for (own, expected) in own.iter().zip(&case.gradient) {
            assert!((f64::from(*own) - expected).abs() < 1e-6, "{own} for {expected}");
        }
        let each = loss_per_pair(&case.embeddings, case.width, case.targets()).expect("pairs");
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        assert!(
            (mean - case.loss).abs() < 1e-9 * case.loss.max(1.0),
            "{mean} for {}",
            case.loss
        );
    }
}

#[test]
fn what_is_no_pair_is_refused() {
    let of = |rows: usize, targets: PairTargets, divisor: f64| {
        let embeddings = Tensor::ones((rows, 2), candle_core::DType::F32, &Device::Cpu).expect("small");
        let error = pair_loss(&embeddings, targets, divisor).expect_err("refused");
        error.to_string()
    };
    assert!(of(3, PairTargets::Matches, 1.0).contains("3 rows of 2 are no pairs"));
    assert!(of(4, PairTargets::Numbers(&[1.0]), 1.0).contains("1 numbers for 2 pairs"));
    assert!(of(4, PairTargets::Matches, 0.0).contains("the divisor 0 is not over 0"));
}
