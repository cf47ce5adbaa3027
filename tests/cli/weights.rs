//! Weights to begin with, and trainings that go on where shorter ones ended.

use std::fmt::Write as _;

use crate::project::Project;

/// Rows of four columns and a label among three.
fn table() -> String {
    let mut table = "a,b,c,d,label\n".to_owned();
    for row in 0..60 {
        let class = row % 3;
        let value = |column: usize| f64::from(u8::from(column % 3 == class)) + (row * 7 % 11) as f64 / 10.0;
        let (a, b, c, d) = (value(0), value(1), value(2), value(3));
        let _ = writeln!(table, "{a},{b},{c},{d},{}", ["x", "y", "z"][class]);
    }
    table
}

/// Begins with the weights in a file of PyTorch's.
fn from_file(name: &str, layers: &str) -> Project {
    let file = format!("tests/fixtures/state_dicts/{name}");
    Project::new().with_copy(&file).with("table.csv", table()).with(
        "p.yaml",
        format!(
            "stages:
  data:
    preprocess: {{input: ./table.csv, format: {{csv: {{header: true, label: label}}}}}}
  model:
    train:
      data: data
      model: {{sequential: {{layers: [{layers}]}}}}
      init: {{from: ./{file}}}
      epochs: 1
      batch_size: 16
      optimizer: {{sgd: {{lr: 1e-30}}}}
"
        ),
    )
}

const FITTING: &str = "{linear: {width: 8}}, relu, linear";

#[test]
fn state_dicts_of_pytorch_are_begun_with() {
    let mut models = Vec::new();
    for name in ["network.pth", "network_old.pth", "checkpoint.pth"] {
        let project = from_file(name, FITTING);
        project.erlen(["check", "p.yaml"]).assert_code(0);
        let run = project.erlen(["run", "p.yaml"]);
        run.assert_code(0).assert_stderr("begins with the weights of");
        if name == "checkpoint.pth" {
            run.assert_stderr("its tensors stand under `state_dict.module._orig_mod.`");
        }
        models.push(project.artifacts(&["p.yaml"])["model"].clone());
    }
    assert!(models.iter().all(|model| *model == models[0]), "{models:?}");
}

#[test]
fn what_does_not_fit_is_told_at_its_place_before_anything_runs() {
    let told = |name: &str, layers: &str| {
        let project = from_file(name, layers);
        let finished = project.erlen(["check", "p.yaml"]);
        finished.assert_code(2);
        assert!(!project.path(".erlen").exists(), "something was made");
        let run = project.erlen(["run", "p.yaml"]);
        run.assert_code(2);
        assert!(finished.stderr.starts_with(&run.stderr), "{}", run.stderr);
        assert_eq!(project.decisions(&["p.yaml"])["data"], "run: never ran");
        finished.stderr
    };
    insta::assert_snapshot!(told("network.pth", "{linear: {width: 9}}, relu, linear"));
    insta::assert_snapshot!(told("whole_module.pth", FITTING));
}

const LONGER: &str = "
name: longer
params: {epochs: 4, schedule: constant}
stages:
  data:
    preprocess: {input: ./table.csv, format: {csv: {header: true, label: label}}, split: {val: 0.2}}
  model:
    train:
      data: data
      model: {mlp: {hidden: [8], dropout: 0.2}}
      epochs: ${epochs}
      batch_size: 8
      optimizer: {adamw: {lr: 0.02}}
      schedule: ${schedule}
      validate: {epochs: 3}
";

fn longer() -> Project {
    Project::new().with("table.csv", table()).with("p.yaml", LONGER)
}

#[test]
fn more_epochs_go_on_where_fewer_ended() {
    let arguments = |epochs: &'static str| ["p.yaml", "--set", epochs];
    let at_once = longer();
    at_once
        .erlen(["run"].iter().chain(&arguments("epochs=7")))
        .assert_code(0);
    let expected = at_once.artifacts(&arguments("epochs=7"));

    let project = longer();
    project.erlen(["run", "p.yaml"]).assert_code(0);
    let run = project.erlen(["run"].iter().chain(&arguments("epochs=7")));
    run.assert_code(0)
        .assert_stderr("goes on where a training of 4 epochs ended");
    assert_eq!(project.artifacts(&arguments("epochs=7")), expected);
    // Fewer than are kept begin anew, and say why.
    let fewer = project.erlen(["run"].iter().chain(&arguments("epochs=5")));
    fewer
        .assert_code(0)
        .assert_stderr("starts anew: a longer one ran");
    // What is kept is a result that no pipeline needs.
    project
        .erlen(["store", "du"])
        .assert_code(0)
        .assert_stdout("checkpoint");
    project
        .erlen(["store", "gc", "p.yaml", "--delete"])
        .assert_code(0);
    let du = project.erlen(["store", "du"]);
    assert!(!du.stdout.contains("checkpoint"), "{}", du.stdout);
    let anew = project.erlen(["run"].iter().chain(&arguments("epochs=8")));
    anew.assert_code(0)
        .assert_stderr("starts anew: the last checkpoint of");
}

#[test]
fn a_schedule_that_depends_on_the_length_begins_anew_and_says_so() {
    let project = longer();
    let arguments = |epochs: &'static str| ["run", "p.yaml", "--set", "schedule=cosine", "--set", epochs];
    project.erlen(arguments("epochs=4")).assert_code(0);
    let run = project.erlen(arguments("epochs=6"));
    run.assert_code(0).assert_stderr(
        "starts anew: the learning rates of `schedule: cosine` depend on the number of epochs",
    );
}
