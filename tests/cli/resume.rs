//! Killed in the middle of training, then run again: the same bytes as an undisturbed run's.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::project::Project;

/// f16 with a scale that overflows at first, accumulation, dropout, augmentation, averaged weights,
/// validations within epochs, and a checkpoint after every step.
const DEMANDING: &str = r#"
name: demanding
stages:
  raw: {download: {url: datasets/digits.csv.gz}}
  data:
    preprocess:
      input: raw
      format: {csv: {label: -1, image: {height: 8, width: 8, max: 16}}}
      split: {val: 0.1, test: 0.2}
  model:
    train:
      data: data
      model: {conv_net: {channels: [8, 12], dropout: 0.2}}
      augment: [{random_crop: {padding: 1}}, {random_rotation: {degrees: 15}}, mixup]
      normalize: {mean: [0.0], std: [100.0]}
      epochs: 2
      batch_size: 4
      accumulate: 2
      precision: f16
      optimizer: {adamw: {lr: 0.005}}
      weight_decay_on: weights
      clip: {norm: 2.0}
      ema: {decay: 0.95}
      schedule: {one_cycle: {}}
      validate: {steps: 60}
      select: best
      checkpoint: {minutes: 0.00001, keep: 3}
"#;

const ARGUMENTS: [&str; 5] = ["pipelines/digits.yaml", "weights", "test", "--set", "epochs=6"];

fn digits() -> Project {
    Project::new()
        .with_copy("pipelines/digits.yaml")
        .with_copy("datasets/digits.csv.gz")
}

/// Starts a run and waits until training has left its first checkpoint.
fn start_training(project: &Project) -> Child {
    let child = project.start(["run"].iter().chain(&ARGUMENTS));
    let begun = Instant::now();
    while !has_checkpoint(project) {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "no checkpoint was written"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn has_checkpoint(project: &Project) -> bool {
    walkdir::WalkDir::new(project.path(".erlen/work"))
        .into_iter()
        .filter_map(Result::ok)
        .any(|entry| {
            entry.file_type().is_file() && entry.file_name().to_string_lossy().starts_with("checkpoint")
        })
}

/// The worker processes that this project's runs have started.
fn workers(project: &Project) -> Vec<Pid> {
    // A run that has hardly begun has not made its store, and started no worker.
    let Ok(store) = project.path(".erlen").canonicalize() else {
        return Vec::new();
    };
    let wanted = store.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(" worker ") && arguments.contains(&wanted) {
            found.extend(Pid::from_raw(pid));
        }
    }
    found
}

#[test]
fn the_final_weights_do_not_tell_that_the_run_was_disturbed() {
    let undisturbed = digits();
    undisturbed.erlen(["run"].iter().chain(&ARGUMENTS)).assert_code(0);
    let expected = undisturbed.artifacts(&ARGUMENTS);

    let project = digits();
    // First the worker is killed: its stage fails, and the run with it.
    let mut child = start_training(&project);
    for worker in workers(&project) {
        let _ = kill_process(worker, Signal::KILL);
    }
    child.wait().unwrap();
    // Then the dispatcher: its worker saves its state and ends.
    let mut child = start_training(&project);
    child.kill().unwrap();
    child.wait().unwrap();
    // Then it is interrupted as by Ctrl-C.
    let mut child = project.start(["run"].iter().chain(&ARGUMENTS));
    std::thread::sleep(Duration::from_millis(700));
    let _ = kill_process(Pid::from_child(&child), Signal::INT);
    child.wait().unwrap();

    let last = project.erlen(["run"].iter().chain(&ARGUMENTS));
    last.assert_code(0);
    assert_eq!(project.artifacts(&ARGUMENTS), expected);
    assert!(
        !project.path(".erlen/work").exists() || !has_checkpoint(&project),
        "work was left over"
    );
}

/// Kills a run and its workers at once, as a power failure would.
fn kill_all(project: &Project, mut child: Child) {
    let workers = workers(project);
    child.kill().unwrap();
    for worker in workers {
        let _ = kill_process(worker, Signal::KILL);
    }
    child.wait().unwrap();
}

#[test]
fn ten_kills_at_any_moment_change_no_byte() {
    let arguments = ["pipelines/demanding.yaml"];
    let run = ["run", "pipelines/demanding.yaml"];
    let new = || {
        Project::new()
            .with("pipelines/demanding.yaml", DEMANDING)
            .with_copy("datasets/digits.csv.gz")
    };
    let undisturbed = new();
    let finished = undisturbed.erlen(run);
    finished
        .assert_code(0)
        .assert_stderr("steps skipped because f16 overflowed");
    let expected = undisturbed.artifacts(&arguments);

    let project = new();
    // The moments are drawn anew in each run of the test: none of them may matter.
    let mut noise = std::process::id().wrapping_mul(2_654_435_761);
    for _ in 0..10 {
        let child = project.start(run);
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_millis(u64::from(noise >> 23)));
        kill_all(&project, child);
    }
    project.erlen(run).assert_code(0);
    assert_eq!(project.artifacts(&arguments), expected);
}
