//! What tests of this module share.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{Replicate, Results, StageResult, Trial};
use crate::fingerprint::Digest;
use crate::spec::Table;

/// Values of NumPy and SciPy; `tests/fixtures/report_statistics.py` made them.
pub fn fixture() -> Value {
    serde_json::from_str(include_str!("../../tests/fixtures/report_statistics.json")).unwrap()
}

pub fn numbers(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap();
    values.iter().map(|value| value.as_f64().unwrap()).collect()
}

/// A table as it would be written in a file.
pub fn table(value: Value) -> Table {
    serde_json::from_value(value).unwrap()
}

/// A stage's result with these metrics.
pub fn stage(name: &str, metrics: &[(&str, f64)], seed: u64) -> StageResult {
    let key = json!({
        "kind": "evaluate", "version": 1, "fields": {"split": "test"}, "seed": seed,
        "inputs": {"data": Digest::of_bytes(b"data")},
    });
    let fingerprint = Digest::of_value("test", &(name, seed, metrics));
    StageResult {
        kind: "evaluate".to_owned(),
        fingerprint,
        artifact: Digest::of_bytes(fingerprint.to_string().as_bytes()),
        metrics: metrics
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect(),
        key,
        made: Value::Null,
    }
}

/// A trial whose stage `test` gave these accuracies, one a seed, with losses of one minus that.
pub fn trial(number: u32, parameters: Value, accuracies: &[f64]) -> Trial {
    let parameters: IndexMap<String, Value> = serde_json::from_value(parameters).unwrap();
    let replicates = (0..).zip(accuracies).map(|(seed, accuracy)| Replicate {
        seed,
        stages: BTreeMap::from([(
            "test".to_owned(),
            stage(
                &format!("test@{number}"),
                &[
                    ("accuracy", *accuracy),
                    ("loss", 1.0 - accuracy),
                    ("samples", 360.0),
                ],
                seed,
            ),
        )]),
    });
    Trial {
        number,
        parameters,
        replicates: replicates.collect(),
        ..Trial::default()
    }
}

/// The results of a pipeline named `p` with these trials.
pub fn results(trials: Vec<Trial>) -> Results {
    Results {
        pipeline: "p".to_owned(),
        file: "p.yaml".to_owned(),
        trials,
        ..Results::default()
    }
}
