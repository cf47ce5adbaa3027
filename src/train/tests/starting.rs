//! Beginning with given weights, and training only some of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::tensor_file::encode;
use super::super::testing::{Bench, recipe};
use super::super::*;
use crate::event::{Activity, Monitor};
use crate::spec::SplitName::Train;

/// Writes weights as a file of their own, each changed by `change`.
fn write(
    folder: &std::path::Path,
    weights: &NamedTensors,
    change: impl Fn(&str, HostTensor) -> Option<HostTensor>,
) {
    let changed: NamedTensors = weights
        .iter()
        .filter_map(|(name, tensor)| Some((name.clone(), change(name, tensor.clone())?)))
        .collect();
    let entries = changed.iter().map(|(name, tensor)| (name.as_str(), tensor));
    std::fs::write(folder, encode(entries, HashMap::new()).unwrap()).unwrap();
}

fn told(bench: &Bench, recipe: &crate::spec::Train) -> (Result<Trained, TrainError>, Vec<String>) {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let listening = Arc::clone(&messages);
    let emit = move |activity| {
        if let Activity::Notice { message, .. } = activity {
            listening.lock().unwrap().push(message);
        }
    };
    let _ = std::fs::remove_dir_all(bench.scratch());
    let trained = bench.go_on(recipe, &Monitor::new(emit, Arc::default()));
    let messages = messages.lock().unwrap().clone();
    (trained, messages)
}

#[test]
fn training_goes_on_from_given_weights() {
    let mut bench = Bench::table(6, &[(Train, 41)]);
    let first = bench.train(&recipe(json!({"epochs": 6}))).unwrap();
    let file = bench.folder.path().join("given.safetensors");
    write(&file, &first.weights, |_, tensor| Some(tensor));
    bench.init = Some(file.clone());
    bench.seed += 1;
    let still = json!({"epochs": 1, "optimizer": {"sgd": {"lr": 1e-30}}});
    let (second, messages) = told(&bench, &recipe(still.clone()));
    assert_eq!(second.unwrap().weights, first.weights);
    assert!(messages[0].contains("begins with the weights of"), "{messages:?}");

    // A folder stands for the model in it.
    let folder = bench.folder.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&file, folder.join(WEIGHTS_FILE)).unwrap();
    bench.init = Some(folder);
    assert_eq!(bench.train(&recipe(still)).unwrap().weights, first.weights);
    // Once a checkpoint is there, it is what counts.
    let going = recipe(json!({"epochs": 3}));
    let whole = bench.train(&going).unwrap();
    let (resumed, _) = bench.train_step_by_step(&going);
    super::assert_same(&whole, &resumed);
}

#[test]
fn another_output_layer_is_drawn_anew_and_told() {
    let mut bench = Bench::table(6, &[(Train, 41)]);
    let first = bench.train(&recipe(json!({}))).unwrap();
    let file = bench.folder.path().join("given.safetensors");
    let wider = |name: &str, tensor: HostTensor| {
        Some(match name {
            "3.weight" => HostTensor::from_f32(vec![9, 8], &[0.0; 72]),
            "3.bias" => HostTensor::from_f32(vec![9], &[0.0; 9]),
            _ => tensor,
        })
    };
    write(&file, &first.weights, wider);
    bench.init = Some(file.clone());
    let still = recipe(json!({"epochs": 1, "optimizer": {"sgd": {"lr": 1e-30}}}));
    let (second, messages) = told(&bench, &still);
    let second = second.unwrap();
    assert!(
        messages[0].contains("3.weight") && messages[0].contains("drawn anew"),
        "{messages:?}"
    );
    assert_eq!(second.weights["0.weight"], first.weights["0.weight"]);
    assert_eq!(second.weights["3.weight"].shape(), [3, 8]);

    // Any other layer that does not fit is an error that names it.
    write(&file, &first.weights, |name, tensor| {
        (name != "0.bias").then_some(tensor)
    });
    let error = told(&bench, &still).0.unwrap_err().to_string();
    assert!(error.contains("init") && error.contains("0.bias"), "{error}");
    let broken = |name: &str, tensor: HostTensor| {
        Some(match name {
            "0.bias" => HostTensor::from_f32(vec![8], &[f32::NAN; 8]),
            _ => tensor,
        })
    };
    write(&file, &first.weights, broken);
    let error = told(&bench, &still).0.unwrap_err().to_string();
    assert!(
        error.contains("`0.bias`") && error.contains("not finite"),
        "{error}"
    );
    std::fs::write(&file, b"PK\x03\x04 a zip of pickles").unwrap();
    let error = told(&bench, &still).0.unwrap_err().to_string();
    assert!(error.contains("damaged or cut off"), "{error}");
}

#[test]
fn frozen_parameters_stay_and_factors_count() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let start = bench
        .train(&recipe(json!({"epochs": 1, "optimizer": {"sgd": {"lr": 1e-30}}})))
        .unwrap();
    let one_step = |groups| {
        let changes = json!({
            "groups": groups, "epochs": 1, "batch_size": 41, "optimizer": {"sgd": {"lr": 0.1}},
        });
        bench.train(&recipe(changes)).unwrap()
    };
    let plain = one_step(json!([]));
    let grouped = one_step(json!([
        {"parameters": ["0.*"], "frozen": true},
        {"parameters": ["*.bias"], "lr_factor": 10.0},
    ]));
    for name in ["0.weight", "0.bias"] {
        assert_eq!(grouped.weights[name], start.weights[name], "{name}");
        assert_ne!(plain.weights[name], start.weights[name], "{name}");
    }
    let step = |trained: &Trained, name: &str| -> Vec<f32> {
        let start = start.weights[name].to_f32().unwrap();
        let now = trained.weights[name].to_f32().unwrap();
        now.iter().zip(start).map(|(now, start)| now - start).collect()
    };
    assert_eq!(step(&plain, "3.weight"), step(&grouped, "3.weight"));
    for (plain, grouped) in step(&plain, "3.bias").iter().zip(step(&grouped, "3.bias")) {
        assert!((10.0 * plain - grouped).abs() < 1e-6 + 1e-4 * grouped.abs());
    }
}

#[test]
fn weights_that_are_kept_see_what_they_saw_before() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let first = bench.train(&recipe(json!({"epochs": 2}))).unwrap();
    let folder = bench.folder.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    write_weights(&folder, &first.weights).unwrap();
    write_json(&folder.join(CARD_FILE), &first.card).unwrap();
    // Other rows of the same columns have another mean.
    let mut other = Bench::table(6, &[(Train, 5)]);
    let measured = other.train(&recipe(json!({}))).unwrap().card.normalization;
    assert_ne!(measured, first.card.normalization);
    other.init = Some(folder.clone());
    let begun = |more: serde_json::Value| {
        let mut options = json!({"epochs": 1, "init": {"from": "model"}});
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        other.train(&recipe(options)).unwrap().card.normalization
    };
    assert_eq!(begun(json!({})), first.card.normalization);
    let given = json!({"mean": [0, 0, 0, 0, 0, 0], "std": [1, 1, 1, 1, 1, 1]});
    let given = begun(json!({ "normalize": given }));
    assert!(given != first.card.normalization && given != measured);
    // The file in the folder would say nothing of all that.
    other.init = Some(folder.join(WEIGHTS_FILE));
    let error = other
        .train(&recipe(json!({"init": {"from": "./model/model.safetensors"}})))
        .unwrap_err();
    assert!(
        error.to_string().contains("name the stage or the folder"),
        "{error}"
    );
}
