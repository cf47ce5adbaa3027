//! A program of another crate adds words of its own: `examples/extended/`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::project::{Finished, Project};

/// The example program, built like the tests.
fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("this program");
    let target = tests
        .parent()
        .and_then(|deps| deps.parent())
        .expect("target/PROFILE/deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", "extended"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    if target.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(
        cargo.status().expect("cargo").success(),
        "the example does not build"
    );
    target.join("examples/extended")
}

fn run(project: &Project, arguments: &[&str]) -> Finished {
    let mut command = project.command_of(program(), arguments);
    Finished::from(command.output().expect("the program starts"))
}

const PIPELINE: &str = "
stages:
  words: {count_words: {text: ./notes.txt, shortest: 3}}
  data: {preprocess: {input: ./table.csv, format: csv, split: {val: 0.2, test: 0.2}}}
  model:
    train: {data: data, model: {tanh_net: {width: 8}}, epochs: 3, batch_size: 8, optimizer: {sgd: {lr: 0.1}}}
  result: {evaluate: {model: model, data: data}}
  counted:
    train: {data: data, model: {tanh_net: {width: 8}}, task: class_number, epochs: 3, batch_size: 8, optimizer: {sgd: {lr: 0.1}}}
  distance: {evaluate: {model: counted, data: data}}
  shipped: {export: {model: model, metrics: [result]}}
tables:
  found: {columns: {words: words.words, distance: distance.far_off}}
";

fn project() -> Project {
    let mut table = String::new();
    for row in 0..60 {
        let class = row % 2;
        writeln!(
            table,
            "{},{},{class}",
            f64::from(class) + f64::from(row) / 200.0,
            row % 7
        )
        .expect("a text");
    }
    Project::new()
        .with("notes.txt", "a word or two and three more\n")
        .with("table.csv", table)
        .with("pipeline.yaml", PIPELINE)
}

#[test]
fn words_from_outside_run_and_are_known_again() {
    let project = project();
    let finished = run(&project, &["run", "pipeline.yaml"]);
    finished.assert_code(0);
    let plan = run(&project, &["plan", "--json", "pipeline.yaml"]);
    plan.assert_code(0);
    let plan: Value = serde_json::from_str(&plan.stdout).expect("a plan is JSON");
    let stages = plan["stages"].as_array().expect("stages");
    assert_eq!(stages.len(), 7);
    for stage in stages {
        assert_eq!(stage["decision"], "reuse", "{stage}");
    }
}

#[test]
fn their_mistakes_are_placed_and_the_program_without_them_says_so() {
    let project = project();
    project.write("wrong.yaml", PIPELINE.replace("shortest: 3", "shortst: 3"));
    let wrong = run(&project, &["check", "wrong.yaml"]);
    wrong.assert_code(2);
    assert!(
        wrong.stderr.contains("unknown field `shortst`"),
        "{}",
        wrong.stderr
    );
    assert!(
        wrong.stderr.contains("did you mean `shortest`?"),
        "{}",
        wrong.stderr
    );
    let plain = project.erlen(["check", "pipeline.yaml"]);
    plain.assert_code(2);
    assert!(
        plain.stderr.contains("unknown field `count_words`"),
        "{}",
        plain.stderr
    );
}

#[test]
fn their_fields_are_in_the_schema() {
    let schema = run(&Project::new(), &["schema"]);
    schema.assert_code(0);
    let schema: Value = serde_json::from_str(&schema.stdout).expect("a schema is JSON");
    let stage = &schema["$defs"]["Stage"]["properties"];
    assert_eq!(stage["count_words"]["anyOf"][0]["$ref"], "#/$defs/CountWords");
    let fields = &schema["$defs"]["CountWords"]["properties"];
    assert!(
        fields["text"].is_object() && fields["shortest"].is_object(),
        "{fields}"
    );
    assert!(schema["$defs"]["TanhNet"]["properties"]["width"].is_object());
    assert!(schema["$defs"]["Model"].to_string().contains("tanh_net"));
    let recipe = &schema["$defs"]["Train"]["properties"];
    assert!(recipe["task"].to_string().contains("class_number"), "{recipe}");
    assert!(recipe["monitor"].to_string().contains("val_far_off"), "{recipe}");
}
