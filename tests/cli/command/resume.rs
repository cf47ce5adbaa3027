//! Interrupted commands: what is kept of them, and what is said of it.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::project::{Finished, Project};

/// Counts to three in the folder that it goes on from, and waits after the first.
const COUNTS: &str = "params: {mark: /}
stages:
  a:
    command:
      run: |
        n=$(cat $ERLEN_RESUME/n 2>/dev/null || echo 0)
        while [ $n -lt 3 ]; do
          n=$((n + 1)); echo $n > $ERLEN_RESUME/n; echo $n >> $MARK
          [ $n = 1 ] && sleep 60
          :
        done
        echo $n > o
      env: {MARK: '${mark}'}
      outputs: [o]
      resume: true
";

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs the pipeline, and interrupts it once `mark` is there.
fn interrupted(project: &Project, mark: &Path, set: &str) -> Finished {
    let child = project.start(["run", "p.yaml", "--set", set]);
    wait_for(mark);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    Finished::from(child.wait_with_output().unwrap())
}

#[test]
fn a_command_goes_on_from_the_folder_that_it_asked_for() {
    let project = Project::new().with("p.yaml", COUNTS);
    let mark = project.path("mark");
    let set = format!("mark={}", mark.display());
    interrupted(&project, &mark, &set)
        .assert_code(130)
        .assert_stderr("what it had done is kept");
    project.erlen(["run", "p.yaml", "--set", &set]).assert_code(0);
    assert_eq!(project.read("mark"), "1\n2\n3\n", "no step was done twice");
    // With the result the folder is gone: a forced run begins anew.
    std::fs::write(&mark, "").unwrap();
    let text = COUNTS.replace("[ $n = 1 ] && sleep 60", ":");
    project.write("p.yaml", text);
    project
        .erlen(["run", "p.yaml", "-f", "--set", &set])
        .assert_code(0);
    assert_eq!(project.read("mark"), "1\n2\n3\n");
}

#[test]
fn a_command_without_such_a_folder_does_not_claim_that_anything_is_kept() {
    let project = Project::new().with(
        "p.yaml",
        "params: {mark: /}\nstages:\n  a: {command: {run: 'echo \"$${ERLEN_RESUME-none}\" > $MARK; sleep 60', env: {MARK: '${mark}'}}}\n",
    );
    let mark = project.path("mark");
    let finished = interrupted(&project, &mark, &format!("mark={}", mark.display()));
    finished.assert_code(130).assert_stderr("begins anew next time");
    assert!(!finished.stderr.contains("is kept\n"), "{}", finished.stderr);
    assert_eq!(project.read("mark"), "none\n");
}
