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
