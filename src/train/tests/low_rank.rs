//! Trainings of low-rank changes: what is trained, what is kept, and what is read again.

use std::collections::BTreeSet;

use candle_core::Device;
use serde_json::json;

use super::super::testing::{Bench, recipe};
use super::super::*;
use crate::models::is_low_rank;
use crate::spec::SplitName::{Train, Val};

/// A table, and the folder of a model that was trained on it.
fn bench() -> (Bench, Trained) {
    let mut bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let first = bench.train(&recipe(json!({"epochs": 6}))).unwrap();
    let folder = bench.folder.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    write_weights(&folder, &first.weights).unwrap();
    write_json(&folder.join(CARD_FILE), &first.card).unwrap();
    bench.init = Some(folder);
    bench.seed += 1;
    (bench, first)
}

#[test]
fn nothing_but_the_changes_and_the_output_layer_is_trained() {
    let (bench, first) = bench();
    for dora in [false, true] {
        let lora = json!({"rank": 2, "alpha": 4, "dropout": 0.2, "targets": "all_linear", "dora": dora});
        let options = json!({"epochs": 4, "lora": lora, "init": {"from": "model"}});
        let trained = bench.train(&recipe(options.clone())).unwrap();
        let names: BTreeSet<&str> = trained.weights.keys().map(String::as_str).collect();
        let mut expected = BTreeSet::from(["0.lora_A.weight", "0.lora_B.weight", "3.bias", "3.weight"]);
        if dora {
            expected.insert("0.lora_magnitude_vector");
        }
        assert_eq!(names, expected);
        let base = trained.base.as_ref().unwrap();
        assert_eq!(base["0.weight"], first.weights["0.weight"]);
        assert_eq!(base["0.bias"], first.weights["0.bias"]);
        assert_eq!(base.len(), 2);
        assert_eq!(trained.card.parameters, first.card.parameters);
        // It is what a network of the same weights gives that is read again.
        let folder = bench.folder.path().join("tuned");
        std::fs::create_dir_all(&folder).unwrap();
        write_adapter(&folder, base, &trained.weights).unwrap();
        write_json(&folder.join(CARD_FILE), &trained.card).unwrap();
        let model = TrainedModel::load(&folder, &Device::Cpu, &Components::built_in()).unwrap();
        let merged = model.weights().unwrap();
        assert!(!merged.keys().any(|name| is_low_rank(name)));
        assert_ne!(merged["0.weight"], first.weights["0.weight"]);
        assert_eq!(merged["3.weight"], trained.weights["3.weight"]);
        // A training can begin with it.
        let mut other = Bench::table(6, &[(Train, 41)]);
        other.init = Some(folder);
        let still = json!({"epochs": 1, "optimizer": {"sgd": {"lr": 1e-30}}, "init": {"from": "tuned"}});
        let next = other.train(&recipe(still)).unwrap();
        assert_eq!(next.weights["0.weight"], merged["0.weight"]);
        // The same bytes whatever interrupts it.
        let (resumed, _) = bench.train_step_by_step(&recipe(options));
        super::assert_same(&trained, &resumed);
        assert_eq!(trained.base, resumed.base);
    }
}

#[test]
fn other_parameters_are_trained_where_they_are_named() {
    let (bench, first) = bench();
    let of = |also: serde_json::Value| {
        let lora = json!({"rank": 1, "targets": ["0"], "also": also});
        bench.train(&recipe(
            json!({"epochs": 1, "lora": lora, "init": {"from": "model"}}),
        ))
    };
    let trained = of(json!(["*.bias"])).unwrap();
    assert_ne!(trained.weights["0.bias"], first.weights["0.bias"]);
    assert_eq!(trained.base.unwrap().keys().collect::<Vec<_>>(), ["0.weight"]);
    let error = of(json!(["4.bias"])).unwrap_err().to_string();
    assert!(error.contains("`4.bias` in `also` fits no parameter"), "{error}");
}
