//! A trained model asked about new files.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::project::Project;

/// A table of 40 rows, with a class that two of its columns tell.
fn table() -> String {
    let mut text = "id,width,color,class\n".to_owned();
    for row in 0..40 {
        let (width, color) = (row % 7, ["red", "blue"][row % 2]);
        let class = if width > 3 || color == "red" {
            "big"
        } else {
            "small"
        };
        text += &format!("{row},{width}.5,{color},{class}\n");
    }
    text
}

const PIPELINE: &str = "
params: {hidden: 4}
stages:
  data:
    preprocess:
      input: ./table.csv
      format: {csv: {header: true, label: class, categorical: [color], ignore: [id]}}
      split: {test: 0.5}
  model:
    train: {data: data, model: {mlp: {hidden: [${hidden}]}}, epochs: 3, batch_size: 8, optimizer: {adam: {lr: 0.05}}}
  test:
    evaluate: {model: model, data: data, metrics: [predictions]}
  export:
    export: {model: model}
  new:
    predict: {model: [model, export], input: ./new.csv, format: json_lines}
";

const SWEEP: &str = "
sweep:
  params: {hidden: [2, 8]}
  objective: {maximize: test.accuracy}
";

/// Rows without the class, in another order of columns.
const NEW: &str = "color;width\nred;0.5\nblue;6.5\n";

fn project() -> Project {
    Project::new()
        .with("table.csv", table())
        .with("new.csv", NEW)
        .with("p.yaml", PIPELINE)
        .with(
            "s.yaml",
            format!("{PIPELINE}{SWEEP}").replace("  new:\n", "  unused:\n"),
        )
}

fn predict(project: &Project, arguments: &[&str]) -> crate::project::Finished {
    project.erlen(["predict"].iter().chain(arguments))
}

#[test]
fn new_rows_are_predicted_by_whatever_holds_the_model() {
    let project = project();
    predict(&project, &["p.yaml", "new.csv"])
        .assert_code(1)
        .assert_stderr("the result of `model` is not known yet: `erlen run p.yaml model` makes it");
    project.erlen(["run", "p.yaml"]).assert_code(0);

    let by_stage = predict(&project, &["p.yaml:model", "new.csv"]);
    by_stage.assert_code(0).assert_stderr("2 samples predicted");
    let lines: Vec<&str> = by_stage.stdout.lines().collect();
    assert_eq!(lines[0], "sample,predicted,probability,p(big),p(small)");
    assert!(lines[1].starts_with("new.csv:2,big,0."), "{}", by_stage.stdout);
    assert_eq!(lines.len(), 3);

    // The same by the only training, by what was exported, and by a copy.
    project
        .erlen(["get", "p.yaml", "model", "-o", "kept"])
        .assert_code(0);
    for model in ["p.yaml", "p.yaml:export", "kept", "kept/model.safetensors"] {
        let own = predict(&project, &[model, "new.csv"]);
        own.assert_code(0);
        assert_eq!(own.stdout, by_stage.stdout, "{model}");
    }

    // Into a file, whole or not at all.
    predict(&project, &["kept", "new.csv", "-o", "out.jsonl"])
        .assert_code(0)
        .assert_stderr("2 samples predicted -> out.jsonl");
    assert!(
        project
            .read("out.jsonl")
            .starts_with("{\"sample\":\"new.csv:2\",\"predicted\":\"big\"")
    );
    predict(&project, &["kept", "new.csv", "-o", "out.jsonl"])
        .assert_code(2)
        .assert_stderr("`out.jsonl` is there already");
    predict(&project, &["kept", "new.csv", "-o", "out.xls"])
        .assert_code(2)
        .assert_stderr("end it in .csv or .jsonl or .ndjson");
    predict(
        &project,
        &["kept", "table.csv", "-o", "none.csv", "--with", "missing"],
    )
    .assert_code(2)
    .assert_stderr("there is no model at `missing`");
    assert!(!project.path("none.csv").exists());

    // The stage writes what the command does, and is known the next time.
    project
        .erlen(["get", "p.yaml", "new/predictions.jsonl", "-o", "stage.jsonl"])
        .assert_code(0);
    let two = predict(
        &project,
        &[
            "kept",
            "new.csv",
            "--with",
            "p.yaml:export",
            "--format",
            "json-lines",
        ],
    );
    assert_eq!(two.assert_code(0).stdout, project.read("stage.jsonl"));
    assert_eq!(project.decisions(&["p.yaml"])["new"], "reuse");
}

#[test]
fn what_cannot_be_read_is_named_and_counted() {
    let project = project().with("mixed.csv", "width,color\n1,red\n2,purple\nx,blue\n3,blue\n");
    project.erlen(["run", "p.yaml", "model"]).assert_code(0);
    let mixed = predict(&project, &["p.yaml", "mixed.csv"]);
    mixed
        .assert_code(1)
        .assert_stderr(
            "not predicted: `mixed.csv:3`: column `color`: the model does not know the category `purple`",
        )
        .assert_stderr("not predicted: `mixed.csv:4`: column `width`: `x` is not a finite number")
        .assert_stderr("2 samples predicted, 2 could not be read");
    assert_eq!(mixed.stdout.lines().count(), 3);
    for (arguments, told) in [
        (
            &["p.yaml", "none.csv"][..],
            "there is no file or folder `none.csv`",
        ),
        (&["p.yaml:data", "new.csv"], "`data` (preprocess) holds no model"),
        (&["p.yaml:modle", "new.csv"], "did you mean `model`?"),
        (&["q.yaml", "new.csv"], "q.yaml"),
        (
            &["p.yaml", "new.csv", "--trial", "0"],
            "a trial is `best` or its number",
        ),
        (
            &["kept", "new.csv", "--trial", "1"],
            "choose among the models of a pipeline",
        ),
        (&["p.yaml"], "INPUT"),
    ] {
        predict(&project, arguments).assert_code(2).assert_stderr(told);
    }
}

#[test]
fn trials_of_a_sweep_have_models_too() {
    let project = project();
    predict(&project, &["s.yaml", "new.csv", "--trial", "best"])
        .assert_code(1)
        .assert_stderr("`erlen sweep s.yaml` runs them");
    project.erlen(["sweep", "s.yaml"]).assert_code(0);
    let trial = |name: &str| {
        let finished = predict(&project, &["s.yaml:model", "new.csv", "--trial", name]);
        finished.assert_code(0);
        finished
    };
    let each = [trial("1").stdout, trial("2").stdout];
    assert_ne!(each[0], each[1]);
    let best = trial("best");
    let number = usize::from(best.stderr.contains("the model of trial 2"));
    assert_eq!(best.stdout, each[number]);
    predict(&project, &["s.yaml", "new.csv", "--trial", "3"])
        .assert_code(2)
        .assert_stderr("has no trial 3: the last one is 2");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let project = project();
    let rows: String = (0..20_000).map(|row| format!("{},red\n", row % 9)).collect();
    project.write("many.csv", format!("width,color\n{rows}"));
    project.erlen(["run", "p.yaml", "model"]).assert_code(0);
    let mut command = project.command(["predict", "p.yaml", "many.csv"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn predictions_are_written_as_parquet() {
    let project = project();
    project.erlen(["run", "p.yaml", "model"]).assert_code(0);
    predict(&project, &["p.yaml:model", "new.csv", "-o", "out.parquet"])
        .assert_code(0)
        .assert_stderr("2 samples predicted -> out.parquet");
    let bytes = fs::read(project.path("out.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    // The same through a pipe.
    let piped = project
        .command(["predict", "p.yaml:model", "new.csv", "--format", "parquet"])
        .output()
        .unwrap();
    assert_eq!(piped.stdout, bytes);

    // As another reader has them, where there is one.
    let script = "import json, sys, pyarrow.parquet as p; t = p.read_table(sys.argv[1]); \
                  print(json.dumps([str(f.type) for f in t.schema])); print(json.dumps(t.to_pydict()))";
    let read = std::process::Command::new("python3")
        .args(["-c", script, "out.parquet"])
        .current_dir(project.path("."))
        .output();
    let Some(read) = read.ok().filter(|read| read.status.success()) else {
        // Python has no pyarrow here.
        return;
    };
    let text = String::from_utf8(read.stdout).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(r#"["string", "string", "double", "double", "double"]"#)
    );
    let found: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let csv = predict(&project, &["p.yaml:model", "new.csv"]);
    let mut rows = csv.stdout.lines();
    let titles: Vec<&str> = rows.next().unwrap().split(',').collect();
    for (index, row) in rows.enumerate() {
        for (title, cell) in titles.iter().zip(row.split(',')) {
            match &found[title][index] {
                serde_json::Value::String(text) => assert_eq!(text, cell),
                number => assert_eq!(number.as_f64(), cell.parse().ok(), "{title}"),
            }
        }
    }
}

/// A project with its model, and a table of so many rows of which every thousandth cannot be read.
fn with_many(rows: u32) -> Project {
    let project = project();
    let text: String = (0..rows)
        .map(|row| match row % 1000 {
            999 => "1\n".to_owned(),
            _ => format!("{}.25,{}\n", row % 97, ["red", "blue"][row as usize % 2]),
        })
        .collect();
    project.write("many.csv", format!("width,color\n{text}"));
    project.erlen(["run", "p.yaml", "export"]).assert_code(0);
    project
}

/// How many samples the part of `output` is said to have.
fn done(project: &Project, output: &str) -> u64 {
    let state = fs::read(project.path(&format!("{output}.part.json"))).unwrap_or_default();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap_or_default();
    state["progress"]["counts"]["predicted"].as_u64().unwrap_or(0)
}

/// Stops a prediction into `output` with `signal` once more is done than `before`; what it said.
fn stopped(project: &Project, output: &str, before: u64, signal: Signal) -> (Option<i32>, String) {
    let mut child = project.start(["predict", "p.yaml", "many.csv", "-o", output]);
    while done(project, output) <= before {
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it was too quick to be stopped"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_child(&child), signal).expect("it runs");
    let output = child.wait_with_output().expect("a child");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn what_was_stopped_goes_on_to_the_same_bytes() {
    let project = with_many(60_000);
    for ending in ["csv", "jsonl"] {
        let (whole, cut) = (format!("whole.{ending}"), format!("cut.{ending}"));
        let told = "59,940 samples predicted, 60 could not be read";
        let all = predict(&project, &["p.yaml", "many.csv", "-o", &whole]);
        all.assert_code(1).assert_stderr(told);
        let mut before = 0;
        for signal in [Signal::KILL, Signal::INT, Signal::KILL] {
            let (code, stderr) = stopped(&project, &cut, before, signal);
            assert!(!project.path(&cut).exists());
            assert_eq!(stderr.contains("goes on after"), before > 0, "{stderr}");
            if signal == Signal::INT {
                assert_eq!(code, Some(130), "{stderr}");
                assert!(
                    stderr.contains("the same command goes on behind what is in `cut."),
                    "{stderr}"
                );
            }
            let now = done(&project, &cut);
            assert!(before < now && now < 59_940, "{before} {now}");
            before = now;
        }
        // Half a row, as a kill in the middle of it leaves one.
        let part = format!("{cut}.part");
        let mut text = project.read(&part);
        text.push_str("many.csv:5");
        project.write(&part, text);
        let last = predict(&project, &["p.yaml", "many.csv", "-o", &cut]);
        last.assert_code(1)
            .assert_stderr("goes on after")
            .assert_stderr(told);
        // Who goes on hears of what could not be read before too.
        let refused = |stderr: &str| -> Vec<String> {
            let lines = stderr.lines().filter(|line| line.starts_with("not predicted: "));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(refused(&last.stderr), refused(&all.stderr));
        assert_eq!(refused(&all.stderr).len(), 60);
        assert!(project.read(&cut) == project.read(&whole), "{ending}");
        assert!(!project.path(&part).exists() && !project.path(&format!("{part}.json")).exists());
    }
}

#[test]
fn what_was_begun_otherwise_is_not_gone_on_with() {
    let project = with_many(60_000);
    let begun = || {
        stopped(&project, "cut.csv", 0, Signal::KILL);
        (project.read("cut.csv.part"), project.read("cut.csv.part.json"))
    };
    let first = begun();
    let refused = |arguments: &[&str], told: &str| {
        let finished = predict(
            &project,
            &[&["p.yaml", "many.csv", "-o", "cut.csv"], arguments].concat(),
        );
        finished
            .assert_code(2)
            .assert_stderr("`cut.csv.part` was begun with")
            .assert_stderr(told);
        let now = (project.read("cut.csv.part"), project.read("cut.csv.part.json"));
        assert!(now == first && !project.path("cut.csv").exists(), "{told}");
    };
    refused(&["--with", "p.yaml:export"], "another model");
    refused(&["--device", "cpu"], "other options");
    refused(&["--format", "json-lines"], "other options");
    refused(&["new.csv"], "other inputs, or inputs that have changed since");
    let text = project.read("many.csv");
    project.write("many.csv", format!("{text}3,red\n"));
    refused(&[], "other inputs, or inputs that have changed since");

    // What is not as it was written is begun anew, and whole in the end.
    let project_of = |name: &str| project.path(name);
    for name in ["cut.csv.part", "cut.csv.part.json"] {
        fs::remove_file(project_of(name)).expect("there");
    }
    let (part, _) = begun();
    project.write(
        "cut.csv.part",
        part.replacen("red", "rot", 1).replacen("0.", "1.", 1),
    );
    let ask = || predict(&project, &["p.yaml", "many.csv", "-o", "cut.csv"]);
    ask()
        .assert_code(1)
        .assert_stderr("`cut.csv.part` does not hold what was written to it: begins anew");
    predict(&project, &["p.yaml", "many.csv", "-o", "whole.csv"]).assert_code(1);
    assert!(project.read("cut.csv") == project.read("whole.csv"));
    fs::remove_file(project_of("cut.csv")).expect("there");

    // A file that somebody else called so stays as it is.
    project.write("cut.csv.part", "mine");
    ask().assert_code(2).assert_stderr("does not tell what it is");
    assert_eq!(project.read("cut.csv.part"), "mine");
    fs::remove_file(project_of("cut.csv.part")).expect("there");

    // One writes at a time.
    let mut child = project.start(["predict", "p.yaml", "many.csv", "-o", "cut.csv"]);
    while done(&project, "cut.csv") == 0 {
        assert!(child.try_wait().expect("a child").is_none(), "it was too quick");
        std::thread::sleep(Duration::from_millis(1));
    }
    ask()
        .assert_code(2)
        .assert_stderr("another program is writing `cut.csv.part`");
    assert_eq!(child.wait().expect("a child").code(), Some(1));
    assert!(project.read("cut.csv") == project.read("whole.csv"));

    // Where nothing is done, nothing is left.
    predict(
        &project,
        &["p.yaml", "table.csv", "-o", "none.csv", "--test-time-flip"],
    )
    .assert_code(1);
    let left = fs::read_dir(project_of(".")).expect("a folder").flatten();
    let left: Vec<_> = left
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().contains("none.csv"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
