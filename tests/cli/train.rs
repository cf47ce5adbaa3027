//! What a user meets around training.

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
