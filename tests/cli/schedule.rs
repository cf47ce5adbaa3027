//! What runs, in which order, on what, and how it is shown again.

use serde_json::Value;

use crate::project::{Finished, Project};

/// A fork: raw -> data -> model, and data -> plot.
const FORK: &str = "stages:
  raw: {command: {run: echo raw > o, outputs: [o]}}
  data: {command: {run: cat $IN > o, inputs: {IN: raw/o}, outputs: [o]}}
  plot: {command: {run: wc $IN > o, inputs: {IN: data/o}, outputs: [o]}}
  model: {command: {run: cat $IN $IN > o, inputs: {IN: data/o}, outputs: [o]}}
";

/// The stages that an event stream tells `event` of, in order.
fn stages(finished: &Finished, event: &str) -> Vec<String> {
    let events = finished.stderr.lines().map(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        event
    });
    let told = events.filter(|found| found["event"] == event);
    told.map(|found| found["stage"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
fn everything_behind_a_stage_or_nothing() {
    let project = Project::new().with("p.yaml", FORK);
    let run = |arguments: &[&str]| {
        let all = ["run", "p.yaml", "--log-format", "json"].iter().chain(arguments);
        let finished = project.erlen(all);
        finished.assert_code(0);
        sorted(stages(&finished, "stage_started"))
    };
    assert_eq!(run(&["--until", "data"]), ["data", "raw"]);
    assert_eq!(run(&["--downstream", "data", "--until", "data"]), [""; 0]);
    assert_eq!(run(&["plot"]), ["plot"]);
    assert_eq!(run(&["--downstream", "data", "-f"]), ["data", "model", "plot"]);
    assert_eq!(
        run(&["--downstream", "data", "--until", "plot", "-f"]),
        ["data", "model", "plot"]
    );
    assert_eq!(run(&["-f", "--until", "data"]), ["data", "raw"]);

    let mistake = project.erlen(["run", "p.yaml", "--until", "plots"]);
    mistake.assert_code(2).assert_stderr("did you mean `plot`");
    let useless = project.erlen(["plan", "p.yaml", "model", "--until", "plot"]);
    useless
        .assert_code(2)
        .assert_stderr("nothing that is asked for needs the stage `plot`");
}

#[test]
fn what_took_longest_goes_first_the_next_time() {
    let stage =
        |name: &str, run: &str| format!("  {name}: {{command: {{run: '{run} > o', outputs: [o]}}}}\n");
    let text = format!(
        "stages:\n{}{}{}",
        stage("quick", "echo 1"),
        stage("slow", "sleep 0.3; echo 2"),
        stage("middling", "sleep 0.1; echo 3")
    );
    let project = Project::new().with("p.yaml", text);
    let run = || {
        let finished = project.erlen(["run", "p.yaml", "-f", "-j", "1", "--log-format", "json"]);
        finished.assert_code(0);
        stages(&finished, "stage_started")
    };
    assert_eq!(run(), ["quick", "slow", "middling"]);
    assert_eq!(run(), ["slow", "middling", "quick"]);
}

#[test]
fn each_stage_sees_the_gpus_that_are_its_own() {
    let stage = |name: &str, resources: &str| {
        format!(
            "  {name}:\n    command: {{run: 'sleep 0.1; printf \"{name}=%s\" \"$CUDA_VISIBLE_DEVICES\" > o', outputs: [o]}}\n{resources}"
        )
    };
    let gpus = |count: u32| format!("    resources: {{gpus: {count}}}\n");
    let text = format!(
        "stages:\n{}{}{}{}{}",
        stage("one", &gpus(1)),
        stage("another", &gpus(1)),
        stage("none", &gpus(0)),
        stage("silent", ""),
        stage("greedy", &gpus(3)),
    );
    let project = Project::new().with("p.yaml", text);
    let mut command = project.command(["run", "p.yaml", "-j", "8"]);
    let output = command.env("CUDA_VISIBLE_DEVICES", "4,GPU-77").output().unwrap();
    let finished = Finished::from(output);
    finished.assert_code(0).assert_stderr(
        "greedy: it asks for more than the machine has: 3 gpus of 2; it runs with what there is",
    );
    let seen = |name: &str| {
        let path = format!("{name}.txt");
        project
            .erlen(["get", "p.yaml", &format!("{name}/o"), "-o", &path])
            .assert_code(0);
        project.read(&path).split_once('=').unwrap().1.to_owned()
    };
    for name in ["one", "another"] {
        assert!(
            ["4", "GPU-77"].contains(&seen(name).as_str()),
            "{name}: {}",
            seen(name)
        );
    }
    assert_eq!(seen("none"), "");
    assert_eq!(seen("silent"), "4,GPU-77");
    assert!(["4,GPU-77", "GPU-77,4"].contains(&seen("greedy").as_str()));
}

#[test]
fn a_recorded_run_is_shown_again() {
    let project = Project::new().with("p.yaml", FORK);
    let run = project.erlen(["run", "p.yaml", "--events", "run.jsonl"]);
    run.assert_code(0);
    let again = project.erlen(["replay", "run.jsonl", "--speed", "0"]);
    again.assert_code(0).assert_stderr("4 ran");
    // The plan is told before the run begins; all that follows is the same, but for the width of names.
    let words = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect()
    };
    let shown = words(&again.stderr);
    assert!(
        words(&run.stderr).ends_with(&shown),
        "{}\n{}",
        run.stderr,
        again.stderr
    );
    // The stream itself comes out as it went in.
    let stream = project.erlen(["replay", "run.jsonl", "--speed", "0", "--log-format", "json"]);
    let events = |text: &str| -> Vec<Value> {
        let events = text.lines().map(|line| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            event["time"].take();
            event
        });
        events.collect()
    };
    assert_eq!(events(&stream.stderr), events(&project.read("run.jsonl")));

    project.write(
        "other.jsonl",
        "\n{\"time\": \"2026-01-01T00:00:00Z\", \"event\": \"stage_dreamt\"}\n",
    );
    project
        .erlen(["replay", "other.jsonl"])
        .assert_code(2)
        .assert_stderr("other.jsonl:2: this is no event of a run")
        .assert_stderr("stage_dreamt");
}

#[test]
fn a_quota_lets_go_of_what_was_used_least_recently() {
    let text = "params: {size: 1000}
stages:
  made: {command: {run: 'head -c ${size} /dev/zero > o', outputs: [o]}}
";
    let project = Project::new()
        .with("pipelines/p.yaml", text)
        .with("erlen.yaml", "quota: 8KiB\n");
    let run = |size: &str| {
        let set = format!("size={size}");
        let finished = project.erlen(["run", "pipelines/p.yaml", "--set", &set]);
        finished.assert_code(0);
        finished
    };
    let known = |size: &str| {
        let plan = project.erlen(["plan", "pipelines/p.yaml", "--set", &format!("size={size}")]);
        plan.stdout.contains("all up to date")
    };
    run("1000");
    run("3000");
    run("3001");
    assert!(known("3000") && known("3001"));
    run("3000");
    run("3002")
        .assert_stderr("removed 1 result")
        .assert_stderr("to keep the store under 8 KiB");
    // 3000 was used since; 1000 is what the pipeline asks for as it is written.
    assert!(!known("3001"));
    assert!(known("1000") && known("3000") && known("3002"));
    // What is needed stays, over the quota or not.
    project.write("pipelines/p.yaml", text.replace("1000", "9000"));
    let needed = project.erlen(["run", "pipelines/p.yaml"]);
    needed.assert_code(0).assert_stderr("over its quota of 8 KiB");
    assert!(known("9000"));
}
