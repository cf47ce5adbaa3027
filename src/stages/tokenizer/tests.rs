//! Tests of what the kind makes, refuses and looks into.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::fingerprint::Digest;
use crate::stages::{Surroundings, text_examples};

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir(bench.path("input")).unwrap();
        fs::write(bench.path("input/a.txt"), "the cat sat on the mat. ".repeat(40)).unwrap();
        fs::write(bench.path("input/b.txt"), "caf\u{e9} \u{1f44d} the end").unwrap();
        fs::write(
            bench.path("chat.jinja"),
            "{{ bos_token }}{{ messages[0].content }}",
        )
        .unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn job(&self, kind: &str, output: &str, roles: &[(&str, &str)]) -> Job {
        let output = self.path(output);
        fs::create_dir_all(&output).unwrap();
        let inputs = roles
            .iter()
            .map(|(role, name)| ((*role).to_owned(), self.path(name)));
        Job {
            stage: "tok".into(),
            kind: serde_json::from_str(kind).unwrap(),
            seed: 0,
            draws: false,
            fingerprint: Digest::of_bytes(b"key"),
            inputs: inputs.collect(),
            provenance: BTreeMap::new(),
            scratch: self.path("scratch"),
            output,
            log: self.path("log"),
            limits: None,
            shorter: None,
            surroundings: Surroundings {
                threads: 2,
                ..Surroundings::of_project(self.0.path())
            },
        }
    }

    fn run(&self, kind: &str, output: &str, roles: &[(&str, &str)]) -> Result<Outcome, StageError> {
        Registry::built_in().run(&self.job(kind, output, roles), &Monitor::silent())
    }
}

const TRAIN: &str = r#"{"tokenizer": {"input": "./input", "documents": {"text": {}}, "bpe": {"vocab_size": 280},
                        "special": {"bos": "<s>"}, "chat_template": "./chat.jinja", "max_length": 99}}"#;

#[test]
fn trains_measures_and_adopts() {
    let bench = Bench::new();
    let roles = [("input", "input"), ("chat_template", "chat.jinja")];
    let outcome = bench.run(TRAIN, "first", &roles).unwrap();
    let tokenizer = LoadedTokenizer::open(&bench.path("first")).unwrap();
    assert_eq!(
        outcome.metrics.number("vocabulary"),
        Some(f64::from(tokenizer.size()))
    );
    let text = |name: &str| fs::read_to_string(bench.path("input").join(name)).unwrap();
    let (a, b) = (text("a.txt"), text("b.txt"));
    let tokens = tokenizer.ids(&a, false).unwrap().len() + tokenizer.ids(&b, false).unwrap().len();
    let wanted = (a.len() + b.len()) as f64 / tokens as f64;
    assert_eq!(outcome.metrics.number("bytes_per_token"), Some(wanted));
    assert_eq!(outcome.metrics.number("unknown"), Some(0.0));
    assert_eq!(
        (tokenizer.max_length(), tokenizer.ids("a", true).unwrap().len()),
        (Some(99), 1)
    );

    let adopt = r#"{"tokenizer": {"from": "first", "special": {"pad": "<pad>"}, "add_bos": true}}"#;
    let outcome = bench.run(adopt, "second", &[("from", "first")]).unwrap();
    let adopted = LoadedTokenizer::open(&bench.path("second")).unwrap();
    assert_eq!(adopted.size(), tokenizer.size() + 1);
    assert_eq!(
        outcome.metrics.number("vocabulary"),
        Some(f64::from(adopted.size()))
    );
    assert_eq!(adopted.special().pad.as_ref().unwrap().id, tokenizer.size());
    let bos = adopted.special().bos.as_ref().unwrap().id;
    assert_eq!(adopted.ids("the cat", true).unwrap()[0], bos);
    assert_eq!(
        adopted.ids("the cat", false).unwrap(),
        tokenizer.ids("the cat", false).unwrap()
    );
    assert_eq!(adopted.chat_template(), tokenizer.chat_template());

    // Nothing is asked for: the file stays as it is.
    bench
        .run(
            r#"{"tokenizer": {"from": "first"}}"#,
            "third",
            &[("from", "first")],
        )
        .unwrap();
    let bytes = |folder: &str| fs::read(bench.path(folder).join("tokenizer.json")).unwrap();
    assert_eq!(bytes("third"), bytes("first"));
}

#[test]
fn stops_and_fails_as_it_should() {
    let bench = Bench::new();
    let roles = [("input", "input"), ("chat_template", "chat.jinja")];
    let stopped = Monitor::new(|_| {}, Arc::new(AtomicBool::new(true)));
    let job = bench.job(TRAIN, "out", &roles);
    assert_eq!(
        Registry::built_in().run(&job, &stopped),
        Err(StageError::Interrupted)
    );
    fs::write(bench.path("input/c.txt"), b"\xff").unwrap();
    let error = bench.run(TRAIN, "out", &roles).unwrap_err().to_string();
    assert!(error.contains("`c.txt`: it is not UTF-8"), "{error}");
    fs::write(bench.path("chat.jinja"), "{% if %}").unwrap();
    let error = bench.run(TRAIN, "out", &roles).unwrap_err().to_string();
    assert!(error.contains("chat template is wrong"), "{error}");
    let no_bos = r#"{"tokenizer": {"from": "first", "add_eos": true}}"#;
    fs::write(bench.path("chat.jinja"), "x").unwrap();
    fs::remove_file(bench.path("input/c.txt")).unwrap();
    bench.run(TRAIN, "first", &roles).unwrap();
    let error = bench
        .run(no_bos, "out", &[("from", "first")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("`add_eos` puts a token around texts"), "{error}");
}

#[test]
fn files_are_looked_into_before_anything_runs() {
    let bench = Bench::new();
    let registry = Registry::built_in();
    let told = |kind: &str, roles: &[(&str, &str)]| -> Vec<String> {
        let files = roles
            .iter()
            .map(|(role, name)| ((*role).to_owned(), bench.path(name)))
            .collect();
        let kind = serde_json::from_str(kind).unwrap();
        let mistakes = registry.look_into(&kind, &files).into_iter();
        mistakes
            .map(|mistake| format!("{}: {}", mistake.path.join("."), mistake.message))
            .collect()
    };
    let from = told(r#"{"tokenizer": {"from": "./input"}}"#, &[("from", "input")]);
    assert!(
        from.len() == 1 && from[0].starts_with("from: ") && from[0].contains("tokenizer.json"),
        "{from:?}"
    );
    let text = r#"{"preprocess": {"input": "raw", "format": {"text": {"documents": {"lines": {}}, "tokenizer": "./input"}}}}"#;
    let text = told(text, &[("tokenizer", "input")]);
    assert!(
        text.len() == 1 && text[0].starts_with("format.text.tokenizer: "),
        "{text:?}"
    );
    bench
        .run(
            TRAIN,
            "first",
            &[("input", "input"), ("chat_template", "chat.jinja")],
        )
        .unwrap();
    let conll = r#"{"preprocess": {"input": "raw", "format": {"conll": {"tokenizer": "./first", "max_length": 100}}}}"#;
    let conll = told(conll, &[("tokenizer", "first")]);
    assert!(
        conll.len() == 1 && conll[0].starts_with("format.conll.max_length: "),
        "{conll:?}"
    );
    fs::remove_file(bench.path("first/chat_template.jinja")).unwrap();
    let chat = r#"{"preprocess": {"input": "raw", "format": {"chat": {"tokenizer": "./first"}}}}"#;
    let chat = told(chat, &[("tokenizer", "first")]);
    assert!(
        chat.len() == 1 && chat[0].contains("has no chat template"),
        "{chat:?}"
    );
}

#[test]
fn samples_are_shown_token_by_token() {
    let bench = Bench::new();
    bench
        .run(
            TRAIN,
            "tok",
            &[("input", "input"), ("chat_template", "chat.jinja")],
        )
        .unwrap();
    fs::write(bench.path("tags.conll"), "the O\ncat B-X\n").unwrap();
    let kind = r#"{"preprocess": {"input": "./tags.conll", "format": {"conll": {"tokenizer": "tok"}}}}"#;
    let outcome = bench
        .run(kind, "data", &[("input", "tags.conll"), ("tokenizer", "tok")])
        .unwrap();
    let examples = text_examples(&bench.path("data"), 3, 9).unwrap();
    assert_eq!(examples.len(), 1);
    assert_eq!(
        outcome.metrics.number("tokens"),
        Some(examples[0].tokens.len() as f64)
    );
    let pieces: Vec<(&str, Option<&str>)> = examples[0]
        .tokens
        .iter()
        .map(|token| (token.piece.as_str(), token.tag.as_deref()))
        .collect();
    assert_eq!(pieces, [("the", Some("O")), ("\u{120}cat", Some("B-X"))]);
}
