//! Mistakes in a pipeline file are reported at their place before anything runs.

use crate::project::Project;

/// What `erlen check` says of `source`; the exit code is 2 and nothing was made.
fn complaint(source: &str) -> String {
    let project = Project::new().with("p.yaml", source);
    let finished = project.erlen(["check", "p.yaml"]);
    finished.assert_code(2);
    let run = project.erlen(["run", "p.yaml"]);
    run.assert_code(2);
    assert!(!project.path(".erlen").exists(), "something was made");
    finished.stderr
}

#[test]
fn misspelt_field() {
    insta::assert_snapshot!(complaint(
        "stages:
  raw:
    download: {url: digits.csv.gz}
  data:
    preprocess:
      imput: raw
      format: csv
"
    ));
}

#[test]
fn unknown_stage() {
    insta::assert_snapshot!(complaint(
        "stages:
  raw:
    download: {url: digits.csv.gz}
  data:
    preprocess: {input: rwa, format: csv}
"
    ));
}

#[test]
fn cycle_as_a_path() {
    insta::assert_snapshot!(complaint(
        "stages:
  one:
    command: {run: 'cat $IN', inputs: {IN: three}}
  two:
    command: {run: 'cat $IN', inputs: {IN: one}}
  three:
    command: {run: 'cat $IN', inputs: {IN: two}}
"
    ));
}

#[test]
fn waiting_for_itself() {
    insta::assert_snapshot!(complaint(
        "stages:\n  one:\n    command: {run: 'true'}\n    after: [one]\n"
    ));
}

#[test]
fn wrong_type() {
    insta::assert_snapshot!(complaint(
        "params: {epochs: ten}
stages:
  data:
    preprocess: {input: ./x.csv, format: csv}
  model:
    train:
      data: data
      model: mlp
      epochs: ${epochs}
      optimizer: {sgd: {lr: 0.1}}
"
    ));
}

#[test]
fn bad_parameter() {
    insta::assert_snapshot!(complaint(
        "params: {lr: 0.1}
stages:
  model:
    command: {run: 'echo ${rl}'}
"
    ));
}

#[test]
fn wrong_kind_of_input() {
    insta::assert_snapshot!(complaint(
        "stages:
  raw:
    download: {url: x.csv}
  model:
    train: {data: raw, model: mlp, epochs: 1, optimizer: {sgd: {lr: 0.1}}}
"
    ));
}

#[test]
fn unknown_metric_and_parameter_in_a_table() {
    insta::assert_snapshot!(complaint(
        "params: {lr: 0.1}
stages:
  data:
    preprocess: {input: ./x.csv, format: csv}
  model:
    train: {data: data, model: mlp, epochs: 1, optimizer: {sgd: {lr: '${lr}'}}}
tables:
  t:
    rows: [rate]
    columns: {accuracy: model.val_acuracy, other: modle.val_loss}
"
    ));
}

/// A pipeline whose sweep is `sweep`, one field a line.
fn swept(sweep: &str) -> String {
    format!(
        "params: {{lr: 0.1, width: 8, unused: 1}}
stages:
  data:
    preprocess: {{input: ./x.csv, format: csv}}
  model:
    train:
      data: data
      model: {{mlp: {{hidden: ['${{width}}']}}}}
      epochs: 2
      optimizer: {{sgd: {{lr: '${{lr}}'}}}}
  test: {{evaluate: {{model: model, data: data}}}}
sweep:
{sweep}
"
    )
}

#[test]
fn a_grid_without_an_end() {
    insta::assert_snapshot!(complaint(&swept(
        "  params: {lr: {uniform: [0.1, 1]}}\n  search: grid"
    )));
}

#[test]
fn a_space_that_names_the_wrong_things() {
    insta::assert_snapshot!(complaint(&swept(
        "  params: {rl: [1, 2], unused: [1, 2], width: {int: [8, 4]}}"
    )));
    insta::assert_snapshot!(complaint(&swept(
        "  params:
    rl: [1, 2]
    unused: [1, 2]
    width: {choice: [4, 8], when: {lr: 0.3}}
    lr: [0.1, 0.2]
  constraints:
    - {product: [width, depth], at_most: 64}
    - {at_most: 64}"
    )));
}

#[test]
fn a_value_that_no_stage_takes() {
    insta::assert_snapshot!(complaint(&swept(
        "  params:\n    width: [8, 0]\n    lr: {uniform: [-1, 1]}\n  search: random"
    )));
}

#[test]
fn an_objective_or_a_pruner_that_fits_nothing() {
    insta::assert_snapshot!(complaint(&swept(
        "  params: {lr: [0.1, 0.2]}
  search: tpe
  prune: asha"
    )));
    insta::assert_snapshot!(complaint(&swept(
        "  params: {lr: [0.1, 0.2]}
  objective: {maximize: model.val_acuracy}"
    )));
    insta::assert_snapshot!(complaint(&swept(
        "  params: {lr: [0.1, 0.2]}
  objective: {maximize: test.accuracy}
  prune: median"
    )));
    let rare = swept(
        "  params: {lr: [0.1, 0.2]}
  objective: {maximize: model.val_accuracy}
  prune: median",
    );
    let rare = rare.replace(
        "      epochs: 2\n",
        "      epochs: 2\n      validate: {epochs: 2}\n",
    );
    insta::assert_snapshot!(complaint(&rare));
}

#[test]
fn a_search_that_does_not_suit_the_space() {
    insta::assert_snapshot!(complaint(&swept(
        "  params: {lr: [0.1, 0.2]}
  search: cma_es
  objective: {maximize: test.accuracy}"
    )));
}

#[test]
fn not_yaml() {
    insta::assert_snapshot!(complaint("stages: {a: [1, 2}\n"));
}

#[test]
fn empty_file() {
    insta::assert_snapshot!(complaint(""));
}

#[test]
fn unknown_override() {
    let project = Project::new().with(
        "p.yaml",
        "params: {lr: 1}\nstages:\n  a:\n    command: {run: 'true'}\n",
    );
    let finished = project.erlen(["run", "p.yaml", "--set", "rl=2"]);
    finished
        .assert_code(2)
        .assert_stderr("there is no such parameter")
        .assert_stderr("did you mean `lr`?");
    project
        .erlen(["run", "p.yaml", "--set", "lr"])
        .assert_code(2)
        .assert_stderr("is not NAME=VALUE");
    project
        .erlen(["run", "p.yaml", "b"])
        .assert_code(2)
        .assert_stderr("there is no stage `b`");
    project
        .erlen(["run", "nowhere.yaml"])
        .assert_code(2)
        .assert_stderr("cannot read nowhere.yaml");
    project.erlen(["rum", "p.yaml"]).assert_code(2);
}

#[test]
fn the_committed_pipelines_are_right() {
    let root = env!("CARGO_MANIFEST_DIR");
    let files = std::fs::read_dir(format!("{root}/pipelines")).unwrap();
    let mut arguments = vec!["check".to_owned()];
    arguments.extend(files.map(|entry| entry.unwrap().path().display().to_string()));
    assert!(arguments.len() > 3);
    Project::new().erlen(arguments).assert_code(0);
}

#[test]
fn columns_and_sizes_that_do_not_fit() {
    insta::assert_snapshot!(complaint(
        "stages:
  table:
    preprocess:
      input: ./x.csv
      format: {csv: {label: [y, -1], categorical: [2, 3], ignore: [3]}}
      split: {val: 0.5, test: 0.5}
  images:
    preprocess:
      input: ./images
      format: {image_folder: {size: [64, 48], store: files}}
"
    ));
}

#[test]
fn what_a_command_cannot_say_of_its_metrics() {
    let scores = |metrics: &str, objective: &str| {
        complaint(&format!(
            "params: {{beam: 4}}
stages:
  scores:
    command:
      run: ./score ${{beam}}
      outputs: [scores.json]
      metrics: {metrics}
sweep:
  params: {{beam: [1, 4]}}
  objective: {objective}
"
        ))
    };
    insta::assert_snapshot!(scores(
        "{file: scores.json, of: {bleu: {better: higher}}}",
        "{maximize: scores.bleu}"
    ));
    insta::assert_snapshot!(scores(
        "{file: other.json, of: {bleu: {better: larger}}}",
        "{minimize: scores.bleu}"
    ));
}

#[test]
fn a_project_file_named_by_its_absolute_path_is_told() {
    let project = Project::new().with("data.csv", "1\n");
    let path = project.path("data.csv");
    let yaml = format!(
        "stages:\n  c: {{command: {{run: 'cat {} > o', outputs: [o]}}}}\n",
        path.display()
    );
    project.write("p.yaml", yaml);
    let told = "`c` names `./data.csv` by its absolute path";
    project
        .erlen(["check", "p.yaml"])
        .assert_code(0)
        .assert_stderr(told);
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr(told);
}
