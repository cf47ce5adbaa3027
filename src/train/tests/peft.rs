//! Low-rank changes beside PEFT's, step by step: networks, weights and tokens are those of [`super::traces`], PEFT's
//! numbers those of the text's reference and of `tests/fixtures/low_rank.py`.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::json;

use super::traces::{StepBatch, bert, classes, compare_steps, gpt2, language, train};
use crate::models::{Network, Parameter, formula, is_low_rank};
use crate::spec::LoraOptions;

/// What PEFT's names begin with.
const PREFIX: &str = "base_model.model.";

/// Gives a network changes whose matrices a formula makes, and trains nothing but them and the output layer.
fn adapt(network: &mut Network, options: &LoraOptions) {
    network.adapt(options, 1).expect("has them");
    for Parameter { name, var, .. } in network.parameters() {
        if is_low_rank(name) && !name.ends_with("magnitude_vector") {
            let values = formula::tensor(&format!("{PREFIX}{name}"), var.dims())
                .into_iter()
                .map(|value| value as f32);
            let values = Tensor::from_vec(values.collect(), var.shape(), &Device::Cpu);
            var.set(&values.expect("as many as it holds"))
                .expect("the same shape");
        }
    }
    network.freeze(|name| !is_low_rank(name) && !name.starts_with("classifier."));
}

fn trained(network: &Network) -> impl Iterator<Item = &Parameter> {
    network.parameters().iter().filter(|parameter| !parameter.frozen)
}

#[test]
fn low_rank_changes_learn_as_pefts() {
    let mut network = bert("bert");
    let options = json!({"rank": 4, "alpha": 8, "targets": ["query", "value"]});
    adapt(&mut network, &serde_json::from_value(options).expect("valid"));
    let sizes = trained(&network).map(|parameter| parameter.var.elem_count());
    assert_eq!(sizes.sum::<usize>(), 1_123);
    // PEFT 0.21, decay 0.
    compare_steps(
        train(&network, 0.0, |step| classes(step, true)),
        &[
            1.106319421,
            1.091718033,
            1.094872494,
            1.115652123,
            1.093706649,
            1.089101313,
            1.115371291,
            1.094383007,
            1.094813884,
            1.114144729,
        ],
        &[
            0.4690276, 0.3167066, 0.3078261, 0.3555037, 0.3206326, 0.3068131, 0.3540689, 0.3047326,
            0.3192178, 0.3606268,
        ],
    );
}

/// A training by PEFT.
#[derive(Deserialize)]
struct Case {
    model: String,
    lora: LoraOptions,
    /// The names of what PEFT saves.
    saved: BTreeSet<String>,
    /// How many numbers it trains.
    trained: usize,
    losses: Vec<f64>,
    norms: Vec<f64>,
}

#[test]
fn changes_with_magnitudes_learn_as_pefts() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../tests/fixtures/low_rank.json")).expect("valid");
    assert_eq!(cases.len(), 3);
    for case in cases {
        let (mut network, batch): (Network, fn(usize) -> StepBatch) = match case.model.as_str() {
            "bert" => (bert("bert"), |step| classes(step, true)),
            _ => (gpt2(), language),
        };
        adapt(&mut network, &case.lora);
        let names = trained(&network).map(|parameter| format!("{PREFIX}{}", parameter.name));
        assert_eq!(names.collect::<BTreeSet<_>>(), case.saved);
        let sizes = trained(&network).map(|parameter| parameter.var.elem_count());
        assert_eq!(sizes.sum::<usize>(), case.trained);
        compare_steps(train(&network, 0.0, batch), &case.losses, &case.norms);
    }
}
