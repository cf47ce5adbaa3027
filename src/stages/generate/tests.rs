//! Prompts that become texts, by the stage.

mod real_models;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::event::Monitor;
use crate::fingerprint::Digest;
use crate::spec::{Kind, TextHead};
use crate::stages::{Job, Outcome, Registry, StageError, Surroundings};
use crate::train::folder_testing::TinyFolder;
use crate::train::{Components, FolderWish, PretrainedFolder};

fn run(fields: Value, inputs: &[(&str, &Path)], threads: usize) -> (TempDir, Result<Outcome, StageError>) {
    let folder = tempfile::tempdir().expect("writable");
    let output = folder.path().join("output");
    fs::create_dir(&output).expect("writable");
    let mut generate = json!({"model": "./tiny", "prompts": ["the cat sat"], "tokens": 6});
    for (name, value) in fields.as_object().expect("a mapping") {
        generate[name] = value.clone();
    }
    let inputs: BTreeMap<String, PathBuf> = inputs
        .iter()
        .map(|(role, path)| ((*role).to_owned(), (*path).to_owned()))
        .collect();
    let job = Job {
        stage: "samples".to_owned(),
        kind: serde_json::from_value(json!({"generate": generate})).expect("valid"),
        seed: 3,
        draws: true,
        fingerprint: Digest::of_bytes(b"samples"),
        provenance: BTreeMap::new(),
        inputs,
        scratch: folder.path().join("scratch"),
        output,
        log: folder.path().join("log"),
        limits: None,
        shorter: None,
        surroundings: Surroundings {
            threads,
            ..Surroundings::of_project(folder.path())
        },
    };
    let ended = Registry::built_in().run(&job, &Monitor::silent());
    (folder, ended)
}

fn samples(folder: &TempDir) -> Vec<Value> {
    let text = fs::read_to_string(folder.path().join("output/samples.jsonl")).expect("there");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn prompts_become_files_of_texts_that_threads_do_not_matter_for() {
    let tiny = TinyFolder::llama().with_tokenizer().write();
    let lines = tempfile::NamedTempFile::new().expect("writable");
    fs::write(lines.path(), "a mat\n\nthe cat and\n").expect("writable");
    let fields = json!({
        "prompts": ["the cat sat", {"file": "./prompts.txt"}], "count": 2, "sample": {"temperature": 2.0, "top_k": 9},
    });
    let inputs = [("model", tiny.path()), ("prompts.1", lines.path())];
    let (folder, ended) = run(fields.clone(), &inputs, 1);
    let metrics = ended.expect("generated").metrics;
    let texts = samples(&folder);
    assert_eq!((texts.len(), metrics["samples"]), (6, 6.0));
    let prompts: Vec<&str> = texts.iter().filter_map(|text| text["prompt"].as_str()).collect();
    assert_eq!(
        prompts,
        [
            "the cat sat",
            "the cat sat",
            "a mat",
            "a mat",
            "the cat and",
            "the cat and"
        ]
    );
    let tokens: u64 = texts.iter().filter_map(|text| text["tokens"].as_u64()).sum();
    assert_eq!(metrics["tokens"], tokens as f64);
    assert!(
        texts
            .iter()
            .all(|text| matches!(text["end"].as_str(), Some("length" | "token")))
    );
    let (again, ended) = run(fields, &inputs, 3);
    ended.expect("generated");
    for name in ["samples.jsonl", "samples.md", "metrics.json"] {
        let read = |folder: &TempDir| fs::read(folder.path().join("output").join(name)).expect("there");
        assert_eq!(read(&again), read(&folder), "{name}");
    }
    let markdown = fs::read_to_string(folder.path().join("output/samples.md")).expect("there");
    assert!(
        markdown.starts_with("# Samples\n\n## Behind\n\n```text\nthe cat sat\n```\n"),
        "{markdown}"
    );
}

#[test]
fn weights_of_eight_bits_give_texts_too() {
    let tiny = TinyFolder::llama().with_tokenizer().write();
    let inputs = [("model", tiny.path())];
    let text = |fields: Value, threads| {
        let (folder, ended) = run(fields, &inputs, threads);
        ended.expect("generated");
        samples(&folder).remove(0)
    };
    let fields = json!({"tokens": 12, "weights": "int8"});
    let rounded = text(fields.clone(), 1);
    assert_eq!(rounded["tokens"], 12);
    assert_eq!(text(fields, 3), rounded);
}

#[test]
fn a_text_ends_where_it_is_told_to() {
    let tiny = TinyFolder::llama().with_tokenizer().write();
    let (folder, ended) = run(json!({}), &[("model", tiny.path())], 2);
    ended.expect("generated");
    let text = samples(&folder).remove(0);
    let words: Vec<&str> = text["text"]
        .as_str()
        .expect("a text")
        .split_whitespace()
        .collect();
    let (folder, ended) = run(json!({"stop": [words[0]]}), &[("model", tiny.path())], 2);
    ended.expect("generated");
    let ended = samples(&folder).remove(0);
    assert_eq!(
        (
            &ended["end"],
            ended["text"].as_str().map(str::trim),
            &ended["tokens"]
        ),
        (&json!("text"), Some(""), &json!(1))
    );
}

#[test]
fn what_cannot_be_is_told() {
    let tiny = TinyFolder::llama().write();
    let told = |fields: Value, path: &Path| {
        run(fields, &[("model", path)], 1)
            .1
            .expect_err("refused")
            .to_string()
    };
    assert!(
        told(json!({}), tiny.path())
            .contains("no `tokenizer.json` beside the model `./tiny`: name the tokenizer")
    );
    let tiny = TinyFolder::llama().with_tokenizer().write();
    let chat = json!({"prompts": [{"messages": [{"role": "user", "content": "the cat"}]}]});
    assert!(told(chat, tiny.path()).contains("the tokenizer has no template of conversations"));
    let long = json!({"prompts": ["cat ".repeat(17)]});
    assert!(told(long, tiny.path()).contains("17 tokens, and the model 16 positions"));
    let base = TinyFolder::bert().with_tokenizer().write();
    assert!(
        told(json!({}), base.path())
            .contains("its head is `similarity`, and only a model with the head `causal`")
    );
    let look = |path: &Path| {
        let kind = json!({"generate": {"model": "./tiny", "prompts": ["a"]}});
        let kind: Kind = serde_json::from_value(kind).expect("valid");
        let files = BTreeMap::from([("model".to_owned(), path.to_owned())]);
        let mistakes = Registry::built_in().look_into(&kind, &files);
        mistakes
            .into_iter()
            .map(|mistake| mistake.told("generate"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(look(tiny.path()), "");
    assert!(look(base.path()).starts_with("`generate.model`: `./tiny`: its head is `similarity`"));
}

#[test]
fn a_conversation_is_answered_by_its_template() {
    let tiny = TinyFolder::llama().with_tokenizer().write();
    let template = "{% for message in messages %}{{ message.content }} {% endfor %}{% if add_generation_prompt %}on{% endif %}";
    fs::write(tiny.path().join("chat_template.jinja"), template).expect("writable");
    let chat = json!({"prompts": [{"messages": [{"role": "user", "content": "the cat"}]}]});
    let (folder, ended) = run(chat, &[("model", tiny.path())], 1);
    ended.expect("generated");
    let answered = samples(&folder).remove(0);
    assert_eq!(answered["prompt"], "the cat on");
    let (folder, ended) = run(json!({"prompts": ["the cat on"]}), &[("model", tiny.path())], 1);
    ended.expect("generated");
    assert_eq!(samples(&folder).remove(0)["text"], answered["text"]);
}

#[test]
fn the_head_is_what_a_folder_says() {
    let tiny = TinyFolder::gpt2().write();
    let folder =
        PretrainedFolder::open(tiny.path(), FolderWish::default(), &Components::built_in()).expect("known");
    assert_eq!(folder.head(), TextHead::Causal);
}
