//! Killed in the middle of training, then run again: the same bytes as an undisturbed run's.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::project::Project;

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
    let wanted = project
        .path(".erlen")
        .canonicalize()
        .unwrap()
        .display()
        .to_string();
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
