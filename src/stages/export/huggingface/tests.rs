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
