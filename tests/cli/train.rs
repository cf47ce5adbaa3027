//! What a user meets around training.

use std::fs;

use crate::project::Project;

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_this_build_lacks_is_refused_before_anything_runs() {
    let project = Project::new()
        .with_copy("pipelines/digits.yaml")
        .with_copy("datasets/digits.csv.gz");
    let refused = project.erlen(["run", "pipelines/digits.yaml", "--device", "cuda:1"]);
    refused
        .assert_code(2)
        .assert_stderr("`--device cuda:1` needs a build with CUDA")
        .assert_stderr("--features cuda");
    assert!(!project.path(".erlen/actions").exists());
    project
        .erlen(["run", "pipelines/digits.yaml", "--device", "gpu"])
        .assert_code(2)
        .assert_stderr("known: auto, cpu, cuda, cuda:N");
    // The device is no part of any key.
    let run = ["run", "pipelines/digits.yaml", "--set", "epochs=1", "--device"];
    project.erlen(run.iter().chain(&["cpu"])).assert_code(0);
    project
        .erlen(run.iter().chain(&["auto"]))
        .assert_code(0)
        .assert_stderr("0 ran");
}

#[test]
fn a_result_can_be_copied_out() {
    let project = Project::new()
        .with_copy("pipelines/digits.yaml")
        .with_copy("datasets/digits.csv.gz");
    let few = ["--set", "epochs=1"];
    let get = |more: &[&str]| project.erlen(["get", "pipelines/digits.yaml"].iter().chain(more).chain(&few));
    get(&["weights"])
        .assert_code(1)
        .assert_stderr("erlen run pipelines/digits.yaml weights");
    get(&["weigths"])
        .assert_code(2)
        .assert_stderr("did you mean `weights`?");
    project
        .erlen(["run", "pipelines/digits.yaml", "weights"].iter().chain(&few))
        .assert_code(0);
    get(&["weights", "-o", "out/model"]).assert_code(0);
    let weights = project.path("out/model/model.safetensors");
    assert!(fs::metadata(&weights).unwrap().len() > 300_000);
    // It is one's own: writing to it reaches no result.
    fs::write(&weights, b"mine").unwrap();
    get(&["weights/model.safetensors"]).assert_code(0);
    assert!(fs::metadata(project.path("model.safetensors")).unwrap().len() > 300_000);
    get(&["weights/model.safetensors"])
        .assert_code(2)
        .assert_stderr("is there already");
    get(&["weights/nothing", "-o", "x"])
        .assert_code(1)
        .assert_stderr("nothing");
}

#[test]
fn a_changed_recipe_starts_anew_and_says_so() {
    let project = Project::new()
        .with_copy("pipelines/digits.yaml")
        .with_copy("datasets/digits.csv.gz");
    let run = |more: &[&'static str]| {
        ["run", "pipelines/digits.yaml", "model"]
            .iter()
            .chain(more)
            .copied()
            .collect::<Vec<_>>()
    };
    // Long enough to be stopped in the middle.
    let child = project.start(run(&["--set", "epochs=500"]));
    while !has_checkpoint(&project) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    child.wait_with_output().unwrap();
    project
        .erlen(run(&["--set", "epochs=1"]))
        .assert_code(0)
        .assert_stderr("starts anew")
        .assert_stderr("epochs was 500, is 1");
}

fn has_checkpoint(project: &Project) -> bool {
    walkdir::WalkDir::new(project.path(".erlen/work"))
        .into_iter()
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_string_lossy().starts_with("checkpoint"))
}

#[test]
fn models_and_tasks_that_cannot_be_are_told_before_anything_runs() {
    let project = Project::new().with(
        "p.yaml",
        "stages:
  data: {preprocess: {input: ./x.csv, format: {csv: {task: regression, label: [-1, -2]}}}}
  model:
    train:
      data: data
      model:
        sequential:
          layers:
            - flatten
            - {conv: {channels: 4}}
            - {max_pool: {size: 2, padding: 2}}
      loss: cross_entropy
      augment: [random_horizontal_flip]
      epochs: 1
      optimizer: {sgd: {lr: 0.1}}
  vision: {train: {data: data, model: {vit: {heads: 5}}, epochs: 1, optimizer: {lion: {lr: 0.1}}}}
  test: {evaluate: {model: model, data: data, metrics: [roc_auc]}}
",
    );
    let refused = project.erlen(["check", "p.yaml"]);
    refused.assert_code(2);
    insta::assert_snapshot!(refused.stderr);
}

#[test]
fn what_only_the_data_tells_is_placed_in_the_file() {
    let rows: String = (0..60)
        .map(|row| format!("{row},{}\n", ["a", "b", "c"][row % 3]))
        .collect();
    let source = "stages:
  d: {preprocess: {input: ./a.csv, format: {csv: {header: true, label: y}}}}
  m:
    train:
      data: d
      model: {mlp: {hidden: [4]}}
      epochs: 1
      optimizer: {sgd: {lr: 0.1}}
      loss: {cross_entropy: {class_weights: [1, 2]}}
";
    let project = Project::new()
        .with("p.yaml", source)
        .with("a.csv", format!("x,y\n{rows}"));
    let run = project.erlen(["run", "p.yaml"]);
    run.assert_code(1)
        .assert_stderr("p.yaml:9:30: `train.loss.cross_entropy.class_weights`:");
}
