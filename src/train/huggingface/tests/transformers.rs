//! Folders as versions 4 and 5 of transformers write them: `tests/fixtures/huggingface_folders.py`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{network, outputs};
use crate::schema::TokenRoles;
use crate::train::Components;
use crate::train::huggingface::testing::{TinyFolder, tensors};
use crate::train::huggingface::{FolderWish, FolderWriting, PretrainedFolder, write_folder};
use crate::train::tensor_file::read_tensors;

const TOKENS: [u32; 12] = [18, 35, 30, 32, 9, 32, 23, 9, 24, 3, 24, 26];

#[derive(Deserialize)]
struct FolderCase {
    class: String,
    version_4: Value,
    version_5: Value,
    shapes: BTreeMap<String, Vec<usize>>,
    outputs: Vec<f64>,
}

fn cases() -> Vec<FolderCase> {
    let text = include_str!("../../../../tests/fixtures/huggingface_folders.json");
    serde_json::from_str(text).expect("valid")
}

fn assert_close(class: &str, own: &[f32], expected: &[f64]) {
    let last = &own[own.len() - expected.len().min(own.len())..];
    let expected = &expected[expected.len() - last.len()..];
    for (own, expected) in last.iter().zip(expected) {
        assert!(
            (f64::from(*own) - expected).abs() < 3e-6,
            "{class}: {own} for {expected}"
        );
    }
}

#[test]
fn folders_of_both_versions_compute_what_transformers_computes() {
    let cases = cases();
    assert_eq!(cases.len(), 26);
    for case in cases {
        for (version, config) in [(4, case.version_4), (5, case.version_5)] {
            let what = format!("{} of version {version}", case.class);
            let tiny = TinyFolder::new(config, tensors(&case.shapes)).write();
            let folder = tiny
                .open(FolderWish::default())
                .unwrap_or_else(|problem| panic!("{what}: {problem}"));
            assert_close(&what, &outputs(&network(&folder), &TOKENS), &case.outputs);
            // Only the spelling of the base that version 4 would not read is told.
            let base = tiny.config["rope_parameters"]["rope_theta"].as_f64();
            let told = usize::from(version == 5 && base.is_some_and(|base| base != 10_000.0));
            assert_eq!(folder.notes().len(), told, "{what}: {:?}", folder.notes());
        }
    }
}

#[test]
fn what_is_written_is_what_was_read_and_both_versions_find_theirs() {
    let components = Components::built_in();
    for case in cases() {
        for config in [&case.version_4, &case.version_5] {
            let what = &case.class;
            let tiny = TinyFolder::new(config.clone(), tensors(&case.shapes)).write();
            let output = tempfile::tempdir().expect("writable");
            let writing = FolderWriting {
                source: tiny.path(),
                output: output.path(),
                precision: None,
                tokens: TokenRoles::default(),
            };
            let folder = tiny.open(FolderWish::default()).expect("known");
            let notes = write_folder(&folder, &writing, &components.models).expect("writable");
            assert!(notes.is_empty(), "{what}: {notes:?}");
            let written = read_tensors(&output.path().join("model.safetensors")).expect("whole");
            assert_eq!(written, tiny.tensors, "{what}");
            let text = std::fs::read_to_string(output.path().join("config.json")).expect("there");
            let written: Map<String, Value> = serde_json::from_str(&text).expect("an object");
            for (name, value) in config.as_object().expect("an object") {
                assert_eq!(written.get(name), Some(value), "{what}: {name}");
            }
            assert_eq!(
                (&written["dtype"], &written["torch_dtype"]),
                (&json!("float32"), &json!("float32"))
            );
            assert!(written["tie_word_embeddings"].is_boolean(), "{what}");
            let base = |config: &Value| {
                let new = config
                    .get("rope_parameters")
                    .and_then(|both| both.get("rope_theta"));
                new.or_else(|| config.get("rope_theta")).cloned()
            };
            assert_eq!(written.get("rope_theta").cloned(), base(config), "{what}");
            assert_eq!(
                written
                    .get("rope_parameters")
                    .map(|both| both["rope_theta"].clone()),
                base(config),
                "{what}"
            );
            // And what was written computes the same.
            let again =
                PretrainedFolder::open(output.path(), FolderWish::default(), &components).expect("known");
            assert_eq!(again.model(), folder.model());
            assert_eq!(
                outputs(&network(&again), &TOKENS),
                outputs(&network(&folder), &TOKENS),
                "{what}"
            );
        }
    }
}
