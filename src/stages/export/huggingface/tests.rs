//! Folders that become folders, by the stage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::event::{Activity, Monitor};
use crate::fingerprint::Digest;
use crate::stages::{Job, Registry, StageError, Surroundings};
use crate::train::folder_testing::TinyFolder;
use crate::train::read_tensors;

/// The files that a stage of that kind makes of the inputs, and what it told.
fn run(kind: Value, inputs: &[(&str, &Path)]) -> (TempDir, Result<(), StageError>, Vec<String>) {
    let folder = tempfile::tempdir().expect("writable");
    let output = folder.path().join("output");
    fs::create_dir(&output).expect("writable");
    let inputs: BTreeMap<String, PathBuf> = inputs
        .iter()
        .map(|(role, path)| ((*role).to_owned(), (*path).to_owned()))
        .collect();
    let job = Job {
        stage: "folder".to_owned(),
        kind: serde_json::from_value(kind).expect("valid"),
        seed: 3,
        draws: false,
        fingerprint: Digest::of_bytes(b"folder"),
        provenance: BTreeMap::new(),
        inputs,
        scratch: folder.path().join("scratch"),
        output,
        log: folder.path().join("log"),
        limits: None,
        shorter: None,
        surroundings: Surroundings {
            threads: 2,
            ..Surroundings::of_project(folder.path())
        },
    };
    let messages = Arc::new(Mutex::new(Vec::new()));
    let listening = Arc::clone(&messages);
    let emit = move |activity| {
        if let Activity::Notice { message, .. } = activity {
            listening.lock().expect("no panic").push(message);
        }
    };
    let ended = Registry::built_in().run(&job, &Monitor::new(emit, Arc::default()));
    let messages = messages.lock().expect("no panic").clone();
    (folder, ended.map(drop), messages)
}

fn export(format: Value) -> Value {
    json!({"export": {"model": "./tiny", "format": format}})
}

#[test]
fn a_folder_is_written_as_it_was_with_its_tokenizer() {
    let tiny = TinyFolder::llama().with_tokenizer().write();
    let (folder, ended, messages) = run(export(json!("huggingface")), &[("model", tiny.path())]);
    ended.expect("written");
    assert!(messages.is_empty(), "{messages:?}");
    let output = folder.path().join("output");
    let mut names: Vec<String> = fs::read_dir(&output)
        .expect("there")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    let expected = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        read_tensors(&output.join("model.safetensors")).expect("whole"),
        tiny.tensors
    );
    let read = |name: &str| fs::read(output.join(name)).expect("there");
    assert_eq!(
        read("tokenizer.json"),
        fs::read(tiny.path().join("tokenizer.json")).expect("there")
    );
    let config: Value = serde_json::from_slice(&read("tokenizer_config.json")).expect("JSON");
    assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
    assert_eq!(
        (&config["eos_token"], &config["model_max_length"]),
        (&json!("[END]"), &json!(16))
    );
}

#[test]
fn what_is_missing_or_wrong_is_told() {
    let tiny = TinyFolder::gpt2().write();
    let (_, ended, messages) = run(
        export(json!({"huggingface": {"dtype": "bf16"}})),
        &[("model", tiny.path())],
    );
    ended.expect("written");
    assert!(
        messages[0].contains("no `tokenizer.json` beside it"),
        "{messages:?}"
    );
    let odd = TinyFolder::gpt2().with("n_head", json!(3)).write();
    let (_, ended, _) = run(export(json!("huggingface")), &[("model", odd.path())]);
    let told = ended.expect_err("refused").to_string();
    assert!(
        told.contains("cannot be written as `huggingface`: its config.json: 3 heads do not divide"),
        "{told}"
    );
}

#[test]
fn numbers_are_in_the_units_of_the_targets_and_texts_as_long_as_in_training() {
    let project = tempfile::tempdir().expect("writable");
    let path = |name: &str| project.path().join(name);
    let words = ["low", "mid", "high", "a", "b"];
    let (mut table, mut text) = ("text,score\n".to_owned(), String::new());
    for row in 0..60usize {
        let (first, second) = (words[row % 5], words[row * 7 % 5]);
        let score = 500.0 + 40.0 * (row % 5) as f32;
        table.push_str(&format!("{first} {second},{score}\n"));
        text.push_str(&format!("{first} {second}\n"));
    }
    fs::write(path("rows.csv"), table).expect("writable");
    fs::create_dir(path("texts")).expect("writable");
    fs::write(path("texts/a.txt"), text).expect("writable");
    let tokenizer = json!({"tokenizer": {
        "input": "./texts", "documents": {"text": {}}, "wordpiece": {"vocab_size": 40},
    }});
    let stage = |kind: Value, inputs: &[(&str, &Path)]| {
        let (folder, ended, _) = run(kind, inputs);
        ended.expect("done");
        folder
    };
    let output = |folder: &TempDir| folder.path().join("output");
    let tok = stage(tokenizer, &[("input", &path("texts"))]);
    let preprocess = json!({"preprocess": {
        "input": "./rows.csv", "split": {"val": 0.2, "test": 0.3},
        "format": {"text": {
            "documents": {"csv": {"text": "text", "label": "score", "task": "regression"}}, "tokenizer": "tok", "max_length": 9,
        }},
    }});
    let data = stage(
        preprocess,
        &[("input", &path("rows.csv")), ("tokenizer", &output(&tok))],
    );
    let train = |more: Value| {
        let mut train = json!({
            "data": "d", "epochs": 2, "batch_size": 8, "optimizer": {"adam": {"lr": 0.01}},
            "model": {"bert": {"layers": 1, "heads": 2, "width": 16, "ffn": 24, "context": 20, "head": "classification"}},
        });
        train
            .as_object_mut()
            .expect("fields")
            .extend(more.as_object().expect("fields").clone());
        stage(json!({"train": train}), &[("data", &output(&data))])
    };
    let model = train(json!({}));
    let written = stage(export(json!("huggingface")), &[("model", &output(&model))]);
    let judged = |model: &Path| {
        let evaluate = json!({"evaluate": {"model": "m", "data": "d", "metrics": ["rmse"]}});
        let judged = stage(evaluate, &[("model", model), ("data", &output(&data))]);
        let figures = fs::read_to_string(output(&judged).join("metrics.json")).expect("written");
        let figures: Value = serde_json::from_str(&figures).expect("JSON");
        figures["rmse"].as_f64().expect("a number")
    };
    let (own, of_folder) = (judged(&output(&model)), judged(&output(&written)));
    assert!(
        (own - of_folder).abs() < 1e-3 * own && own < 400.0,
        "{own} {of_folder}"
    );
    let config = fs::read(output(&written).join("tokenizer_config.json")).expect("written");
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(config["model_max_length"], 9);
    // A head without a bias has no place for a mean.
    let model =
        json!({"gpt2": {"layers": 1, "heads": 2, "width": 16, "context": 20, "head": "classification"}});
    let model = train(json!({"model": model}));
    let (_, ended, _) = run(export(json!("huggingface")), &[("model", &output(&model))]);
    let told = ended.expect_err("refused").to_string();
    assert!(told.contains("`standardize_targets: false`"), "{told}");
}
