//! What commands print: while they run, in the record, and on failure.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::project::Project;

#[test]
fn what_a_command_prints_is_shown_while_it_runs() {
    let project = Project::new().with(
        "p.yaml",
        "stages:\n  a: {command: {run: 'echo first words; echo more >&2; while [ ! -e $GO ]; do sleep 0.05; done; echo last', \
         env: {GO: '${go}'}}}\nparams: {go: /}\n",
    );
    let go = project.path("go");
    let mut child = project.start(["run", "p.yaml", "--set", &format!("go={}", go.display())]);
    let begun = Instant::now();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let seen = lines
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains("│ more"));
    assert!(seen.is_some(), "it is told before the command ends");
    assert!(begun.elapsed() < Duration::from_secs(60));
    std::fs::write(&go, "").unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("│ last")), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_was_printed_is_kept_with_the_run() {
    let project = Project::new().with(
        "p.yaml",
        "stages:
  talks: {command: {run: 'echo hello from ${word}'}}
  silent: {command: {run: 'true'}}
  fails: {command: {run: 'echo about to fail; exit 3'}}
params: {word: one}
",
    );
    project
        .erlen(["run", "p.yaml", "-k"])
        .assert_code(1)
        .assert_stderr("about to fail");
    project
        .erlen(["show", "latest"])
        .assert_code(0)
        .assert_stdout("printed 1 line: erlen show 1 --log talks");
    project
        .erlen(["show", "1", "--log", "talks"])
        .assert_code(0)
        .assert_stdout("hello from one\n");
    project
        .erlen(["show", "1", "--log"])
        .assert_code(0)
        .assert_stdout("fails\nabout to fail\ntalks\nhello from one\n");
    project
        .erlen(["show", "1", "--log", "silent"])
        .assert_code(2)
        .assert_stderr("printed nothing");
    project
        .erlen(["show", "1", "--log", "talk"])
        .assert_code(2)
        .assert_stderr("did you mean `talks`?");
    // A later run that reuses the result tells what was printed when it was made.
    project
        .erlen(["run", "p.yaml", "talks"])
        .assert_code(0)
        .assert_stderr("1 reused");
    project
        .erlen(["show", "latest", "--log", "talks"])
        .assert_code(0)
        .assert_stdout("hello from one\n");
}

#[test]
fn a_secret_is_hidden_wherever_output_goes() {
    let project = Project::new().with(
        "p.yaml",
        "stages:\n  a: {command: {run: 'echo the key is $KEY', env: {KEY: {secret: MY_SECRET}}}}\n",
    );
    let mut command = project.command(["run", "p.yaml", "--events", "events.jsonl"]);
    let output = command.env("MY_SECRET", "hunter22hunter").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &project.read("events.jsonl");
    assert!(
        told.contains("the key is ***") && !told.contains("hunter22"),
        "{told}"
    );
    let shown = project.erlen(["show", "latest", "--log", "a"]);
    shown.assert_code(0).assert_stdout("the key is ***\n");
}
