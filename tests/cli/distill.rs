//! A model that learns from another one.

use crate::project::Project;

const DIGITS: &str = "seed: 3
params: {teacher_lr: 0.05}
stages:
  raw: {download: {url: datasets/digits.csv.gz}}
  data:
    preprocess:
      input: raw
      format: {csv: {label: -1, image: {height: 8, width: 8, max: 16}}}
      split: {test: 0.3}
  teacher:
    train:
      data: data
      model: conv_net
      epochs: 3
      batch_size: 32
      optimizer: {sgd: {lr: \"${teacher_lr}\", momentum: 0.9}}
  early:
    train:
      data: data
      model: {mlp: {hidden: [24]}}
      epochs: 1
      batch_size: 32
      distill: {teacher: teacher, temperature: 2, weight: 1}
      optimizer: {sgd: {lr: 0.02, momentum: 0.9}}
  late:
    train:
      data: data
      model: {mlp: {hidden: [24]}}
      epochs: 15
      batch_size: 32
      distill: {teacher: teacher, temperature: 2, weight: 1}
      optimizer: {sgd: {lr: 0.02, momentum: 0.9}}
  test-teacher: {evaluate: {model: teacher, data: data, metrics: [predictions]}}
  test-early: {evaluate: {model: early, data: data, metrics: [predictions]}}
  test-late: {evaluate: {model: late, data: data, metrics: [predictions]}}
";

/// What the model of an evaluation takes each sample for.
fn predicted(project: &Project, stage: &str) -> Vec<String> {
    let (file, own) = (format!("{stage}/predictions.csv"), format!("{stage}.csv"));
    project.erlen(["get", "p.yaml", &file, "-o", &own]).assert_code(0);
    let text = project.read(&own);
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let place = rows
        .headers()
        .expect("a header")
        .iter()
        .position(|title| title == "predicted")
        .expect("what is predicted");
    rows.records()
        .map(|row| row.expect("a row")[place].to_owned())
        .collect()
}

#[test]
fn a_student_comes_to_agree_with_its_teacher() {
    let project = Project::new()
        .with_copy("datasets/digits.csv.gz")
        .with("p.yaml", DIGITS);
    project.erlen(["check", "p.yaml"]).assert_code(0);
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("8 ran")
        .assert_stderr("learns from `teacher` (`distill`)");
    let teacher = predicted(&project, "test-teacher");
    let agreement = |stage: &str| {
        let student = predicted(&project, stage);
        assert_eq!(student.len(), teacher.len());
        let alike = student.iter().zip(&teacher).filter(|(one, other)| one == other);
        alike.count() as f64 / teacher.len() as f64
    };
    let (early, late) = (agreement("test-early"), agreement("test-late"));
    assert!(early + 0.02 < late && late > 0.9, "{early} {late}");

    // The teacher is an input as others are, which counts by its content.
    let graph = project.erlen(["graph", "p.yaml", "--format", "mermaid"]);
    graph.assert_code(0);
    assert!(graph.stdout.contains("s2 --> s4"), "{}", graph.stdout);
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("0 ran");
    let other = project.decisions(&["p.yaml", "--set", "teacher_lr=0.04"]);
    assert!(other["teacher"].starts_with("run: "), "{other:?}");
    assert!(
        other["late"] != "reuse" && other["test-teacher"] != "reuse",
        "{other:?}"
    );
    assert_eq!(other["data"], "reuse", "{other:?}");
    // A folder with a model teaches as its stage does.
    project
        .erlen(["get", "p.yaml", "teacher", "-o", "given"])
        .assert_code(0);
    let before = project.artifacts(&["p.yaml"]);
    project.write("p.yaml", DIGITS.replace("teacher: teacher", "teacher: ./given"));
    project.erlen(["run", "p.yaml", "early"]).assert_code(0);
    project.erlen(["run", "p.yaml", "late"]).assert_code(0);
    let after = project.artifacts(&["p.yaml"]);
    assert_eq!(
        (&before["early"], &before["late"]),
        (&after["early"], &after["late"])
    );
    // So do several at once.
    project.write(
        "p.yaml",
        DIGITS.replace("teacher: teacher", "teacher: [teacher, ./given]"),
    );
    project
        .erlen(["run", "p.yaml", "early"])
        .assert_code(0)
        .assert_stderr("learns from `teacher`, `./given` (`distill`)");
}

#[test]
fn teachers_that_do_not_fit_are_told_in_the_file() {
    let project = Project::new();
    let rows: String = (0..60)
        .map(|row| format!("{},{},{}\n", row % 7, row % 5, row % 3))
        .collect();
    project.write("t.csv", rows);
    let rows: String = (0..60)
        .map(|row| format!("{},{},{}\n", row % 7, row % 5, row % 4))
        .collect();
    project.write("u.csv", rows);
    let student = |distill: &str| {
        format!(
            "stages:
  data: {{preprocess: {{input: ./t.csv, format: csv}}}}
  more: {{preprocess: {{input: ./u.csv, format: csv}}}}
  numbers: {{preprocess: {{input: ./t.csv, format: {{csv: {{task: regression}}}}}}}}
  texts: {{preprocess: {{input: ./t.csv, format: {{csv: {{task: multi_label, label: [-1, -2]}}}}}}}}
  teacher: {{train: {{data: more, model: mlp, epochs: 1, optimizer: {{sgd: {{lr: 0.1}}}}}}}}
  price: {{train: {{data: numbers, model: mlp, epochs: 1, optimizer: {{sgd: {{lr: 0.1}}}}}}}}
  student:
    train: {{data: data, model: mlp, epochs: 1, optimizer: {{sgd: {{lr: 0.1}}}}, distill: {{{distill}}}}}
"
        )
    };
    let told = |distill: &str, expected: &[&str]| {
        project.write("p.yaml", student(distill));
        let refused = project.erlen(["check", "p.yaml"]);
        refused.assert_code(2);
        for part in expected {
            refused.assert_stderr(part);
        }
    };
    told(
        "teacher: data",
        &[
            "`teacher` needs a stage of kind train or quantize or export or download",
            "stages that fit:",
        ],
    );
    told(
        "teacher: teachr",
        &["there is no stage `teachr`", "did you mean `teacher`?"],
    );
    told(
        "teacher: price",
        &["`price` predicts numbers, and this training classes"],
    );
    told(
        "teacher: [teacher, price]",
        &["`price` predicts numbers, and this training classes"],
    );
    told("teacher: teacher, weight: 2", &["2 is not over 0 and at most 1"]);
    told(
        "teacher: teacher, temperature: -1",
        &["-1 is not a temperature from 0.0001 to 10000"],
    );
    told("teacher: teacher, hard: true", &["hard"]);
    // What only the models tell is placed in the file too, before anything is trained.
    project.write("p.yaml", student("teacher: teacher"));
    let refused = project.erlen(["run", "p.yaml", "student"]);
    refused
        .assert_code(1)
        .assert_stderr("`teacher`: the classes are others: the data does not have `3`")
        .assert_stderr("p.yaml:");
    assert!(!refused.stderr.contains("student   epoch"), "{}", refused.stderr);
}
