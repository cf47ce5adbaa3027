//! The metrics files of commands: what is no number, and what is not one.

use crate::project::Project;

#[test]
fn a_figure_that_is_not_a_number_is_told_and_the_others_are_kept() {
    let project = Project::new()
        .with(
            "m.json",
            r#"{"acc": 0.9, "loss": NaN, "top": Infinity, "passed": true}"#,
        )
        .with(
            "p.yaml",
            "stages:
  s: {command: {run: 'cp $M m.json', inputs: {M: ./m.json}, outputs: [m.json], metrics: m.json}}
tables:
  t: {columns: {acc: s.acc, loss: s.loss, top: s.top}, formats: [csv]}
",
        );
    let finished = project.erlen(["run", "p.yaml"]);
    finished
        .assert_code(0)
        .assert_stderr("`m.json`: not a number: `loss` (NaN), `top` (Infinity)")
        .assert_stderr("`passed` (true) is no number, and left out");
    assert_eq!(project.read("results/t.csv"), "acc,loss,top\n0.9,NaN,inf\n");
    // As it was kept: from the store, and through the record and the page.
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 reused");
    assert_eq!(project.read("results/t.csv"), "acc,loss,top\n0.9,NaN,inf\n");
    project
        .erlen(["show", "t:1.loss"])
        .assert_code(0)
        .assert_stdout("NaN");
    project.erlen(["show", "latest"]).assert_code(0);
    project
        .erlen(["report", "p.yaml", "-o", "page.html"])
        .assert_code(0);
}

#[test]
fn a_trial_whose_objective_is_not_a_number_is_done_and_never_the_best() {
    let project = Project::new().with(
        "p.yaml",
        r#"params: {x: 1}
stages:
  s:
    command:
      run: |
        if [ ${x} = 2 ]; then v=NaN; else v=${x}; fi
        echo "{\"v\": $v, \"acc\": 0.${x}}" > m.json
      outputs: [m.json]
      metrics: m.json
sweep:
  params: {x: [1, 2, 3]}
  objective: {minimize: s.v}
tables:
  t: {rows: {trials: [x]}, columns: {v: s.v, acc: s.acc}, formats: [csv]}
"#,
    );
    let finished = project.erlen(["sweep", "p.yaml"]);
    finished
        .assert_code(0)
        .assert_stderr("3 trials: 3 done")
        .assert_stderr("best trial 1");
    let is_best = |line: &str| line.contains("NaN") && line.contains("best");
    assert!(!finished.stderr.lines().any(is_best), "{}", finished.stderr);
    let table = project.read("results/t.csv");
    assert!(table.contains("2,done,NaN,0.2\n"), "{table}");
    let again = project.erlen(["sweep", "p.yaml"]);
    again
        .assert_code(0)
        .assert_stderr("0 ran")
        .assert_stderr("best trial 1");
}

#[test]
fn events_hold_what_is_not_a_number() {
    let project = Project::new().with(
        "p.yaml",
        "stages:\n  s: {command: {run: 'echo \"{\\\"a\\\": NaN}\" > m.json', outputs: [m.json], metrics: m.json}}\n",
    );
    project
        .erlen(["run", "p.yaml", "--events", "events.jsonl"])
        .assert_code(0);
    project
        .erlen(["replay", "events.jsonl", "--speed", "0"])
        .assert_code(0);
}
