//! Running graphs of `command` stages: order, reuse, early cutoff, failures, interruption.

mod environment;
mod inputs;
mod metrics;
mod output;
mod resume;
mod seeds;

use std::time::{Duration, Instant};

use crate::project::Project;

const CHAIN: &str = "name: chain
params: {word: hello}
stages:
  first:
    command:
      run: 'cat $SOURCE > out.txt; echo ${word} >> out.txt'
      inputs: {SOURCE: ./source.txt}
      outputs: [out.txt]
  second:
    command:
      run: 'grep -v \"#\" $IN/out.txt > clean.txt; echo secret > undeclared.txt'
      inputs: {IN: first}
      outputs: [clean.txt]
  third:
    command:
      run: 'wc -c < $IN > count; echo \"{\\\"bytes\\\": $(cat count), \\\"deep\\\": {\\\"x\\\": 1.5}}\" > m.json'
      inputs: {IN: second/clean.txt}
      outputs: [m.json]
      metrics: m.json
tables:
  sizes:
    rows: [word]
    columns: {bytes: third.bytes, x: third.deep.x}
";

fn chain() -> Project {
    Project::new()
        .with("p.yaml", CHAIN)
        .with("source.txt", "one\n# two\n")
}

#[test]
fn runs_in_order_then_reuses() {
    let project = chain();
    let first = project.erlen(["run", "p.yaml"]);
    first.assert_code(0).assert_stderr("3 ran");
    assert_eq!(project.read("results/sizes.csv"), "word,bytes,x\nhello,10,1.5\n");
    let again = project.erlen(["run", "p.yaml"]);
    again
        .assert_code(0)
        .assert_stderr("0 ran")
        .assert_stderr("3 reused");
}

#[test]
fn a_change_runs_only_what_it_reaches_and_equal_bytes_cut_it_short() {
    let project = chain();
    project.erlen(["run", "p.yaml"]).assert_code(0);
    // Only a comment changes: the second stage's output is what it was.
    project.write("source.txt", "one\n# three\n");
    let decisions = project.decisions(&["p.yaml"]);
    assert!(
        decisions["first"].starts_with("run: input SOURCE changed"),
        "{decisions:?}"
    );
    assert!(decisions["first"].ends_with("since run 1"), "{decisions:?}");
    assert_eq!(decisions["second"], "pending");
    let finished = project.erlen(["run", "p.yaml"]);
    finished
        .assert_code(0)
        .assert_stderr("2 ran")
        .assert_stderr("1 reused");

    let decisions = project.decisions(&["p.yaml", "--set", "word=bye"]);
    assert_eq!(
        decisions["first"],
        r#"run: run changed "cat $SOURCE > out.txt; echo hello >> out.txt" -> "cat $SOURCE > out.txt; echo bye >> out.txt" since run 2"#
    );
    // And back: everything is known.
    project
        .erlen(["run", "p.yaml", "--set", "word=bye"])
        .assert_code(0)
        .assert_stderr("3 ran");
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("0 ran");
}

#[test]
fn names_comments_and_resources_are_no_part_of_the_key() {
    let project = chain();
    project.erlen(["run", "p.yaml"]).assert_code(0);
    let renamed = CHAIN
        .replace("first", "erste")
        .replace("name: chain", "# a comment\nname: other\ndescription: words")
        .replace(
            "  third:\n",
            "  third:\n    resources: {cpus: 1}\n    retries: 2\n",
        );
    project.write("p.yaml", renamed);
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("0 ran");
}

#[test]
fn forced_stages_run_again() {
    let project = chain();
    project.erlen(["run", "p.yaml"]).assert_code(0);
    let finished = project.erlen(["run", "p.yaml", "second", "--force"]);
    finished
        .assert_code(0)
        .assert_stderr("1 ran")
        .assert_stderr("1 reused");
    project
        .erlen(["run", "p.yaml", "-f"])
        .assert_code(0)
        .assert_stderr("3 ran");
}

#[test]
fn dry_run_runs_nothing() {
    let project = chain();
    let finished = project.erlen(["run", "-n", "p.yaml"]);
    finished.assert_code(0);
    assert!(finished.stdout.contains("never ran"), "{}", finished.stdout);
    assert!(!project.path("results").exists());
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("3 ran");
}

const FAILING: &str = "stages:
  bad:
    command: {run: 'echo about to fail; exit 3', outputs: [x]}
  after-bad:
    command: {run: 'cp $IN/x y', inputs: {IN: bad}, outputs: [y]}
  good:
    command: {run: 'sleep 0.3; echo fine > z', outputs: [z]}
  after-good:
    command: {run: 'cp $IN/z y', inputs: {IN: good}, outputs: [y]}
";

#[test]
fn a_failure_names_the_stage_its_log_and_what_was_skipped() {
    let project = Project::new().with("p.yaml", FAILING);
    let finished = project.erlen(["run", "p.yaml", "-k"]);
    finished
        .assert_code(1)
        .assert_stderr("the command failed: exit status: 3")
        .assert_stderr("about to fail")
        .assert_stderr("log.txt")
        .assert_stderr("after-bad")
        .assert_stderr("2 ran");
    // Without -k what had begun is finished and nothing new begins.
    let project = Project::new().with("p.yaml", FAILING);
    project
        .erlen(["run", "p.yaml", "-j2"])
        .assert_code(1)
        .assert_stderr("1 ran");
}

#[test]
fn outputs_that_are_not_made_are_missed() {
    let project = Project::new().with(
        "p.yaml",
        "stages:\n  a:\n    command: {run: 'touch other', outputs: [wanted]}\n  b:\n    command: {run: 'echo 3 > m.json', outputs: [m.json], metrics: m.json}\n",
    );
    let finished = project.erlen(["run", "p.yaml", "-k"]);
    finished.assert_code(1);
    finished
        .assert_stderr("without making its output `wanted`")
        .assert_stderr("it left: other");
    finished.assert_stderr("an object with numbers is expected");
}

#[test]
fn failed_stages_are_tried_again() {
    let project = Project::new();
    let counter = project.path("counter");
    let script = format!(
        "echo x >> '{0}'; test $(wc -l < '{0}') -ge 2; echo done > out",
        counter.display()
    );
    project.write(
        "p.yaml",
        format!("stages:\n  a:\n    command: {{run: {script:?}, outputs: [out]}}\n    retries: 3\n"),
    );
    project.erlen(["run", "p.yaml"]).assert_code(0);
    assert_eq!(project.read("counter").lines().count(), 2);
}

#[test]
fn a_timeout_ends_the_whole_group() {
    let project = Project::new().with(
        "p.yaml",
        "stages:\n  a:\n    command: {run: 'sleep 60 & sleep 60'}\n    timeout: 300ms\n",
    );
    let begun = Instant::now();
    project
        .erlen(["run", "p.yaml"])
        .assert_code(1)
        .assert_stderr("timeout of 0.3 s");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn interruption_ends_with_130_and_keeps_what_is_done() {
    let project = Project::new().with(
        "p.yaml",
        "stages:\n  quick:\n    command: {run: 'echo 1 > out', outputs: [out]}\n  slow:\n    command: {run: 'sleep 60', inputs: {IN: quick}}\n",
    );
    let mut child = project.start(["run", "p.yaml"]);
    let begun = Instant::now();
    while project.decisions(&["p.yaml", "quick"])["quick"] != "reuse" {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the first stage never ended"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(project.decisions(&["p.yaml"])["quick"], "reuse");
}

#[test]
fn a_missing_project_file_is_named_before_anything_runs() {
    let project = Project::new().with(
        "p.yaml",
        "stages:\n  a:\n    command: {run: 'touch out', outputs: [out]}\n  b:\n    command: {run: 'cat $IN', inputs: {IN: ./nowhere.txt}}\n",
    );
    let finished = project.erlen(["run", "p.yaml"]);
    finished
        .assert_code(2)
        .assert_stderr("the stage `b` reads")
        .assert_stderr("nowhere.txt");
    assert!(!finished.stderr.contains("1 ran"), "{}", finished.stderr);
}

#[test]
fn two_runs_at_once_share_the_work() {
    let project = Project::new();
    let marks = project.path("marks");
    let script = format!("sleep 0.5; echo x >> '{}'; echo 1 > out", marks.display());
    project.write(
        "p.yaml",
        format!("stages:\n  a:\n    command: {{run: {script:?}, outputs: [out]}}\n"),
    );
    let mut children: Vec<_> = (0..3).map(|_| project.start(["run", "p.yaml"])).collect();
    for child in &mut children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(
        project.read("marks").lines().count(),
        1,
        "the stage ran more than once"
    );
}

#[test]
fn a_program_takes_numbers_as_arguments_and_dollars_can_be_escaped() {
    let project = Project::new().with(
        "p.yaml",
        "params: {lr: 0.1, script: 'echo $${HOME} > out'}
stages:
  program:
    command: {run: [sh, -c, 'echo $0 $1 > out', '${lr}', 3], outputs: [out]}
  shell:
    command: {run: '${script}', outputs: [out], env: {HOME: here}}
  both:
    command: {run: 'cat $A/out $B/out; echo \"{\\\"lr\\\": $(cut -d\" \" -f1 $A/out)}\" > m.json; grep -q here $B/out', inputs: {A: program, B: shell}, outputs: [m.json], metrics: m.json}
tables:
  t: {columns: {lr: both.lr}, formats: [csv]}
",
    );
    project.erlen(["run", "p.yaml"]).assert_code(0);
    assert_eq!(project.read("results/t.csv"), "lr\n0.1\n");
    let finished = project.erlen(["run", "p.yaml", "--set", "script=echo ${HOME}"]);
    finished
        .assert_code(2)
        .assert_stderr("cannot refer to another one");
    project.write("q.yaml", "stages:\n  a:\n    command: {run: [sh, [x]]}\n");
    let finished = project.erlen(["check", "q.yaml"]);
    finished
        .assert_code(2)
        .assert_stderr("expected a text, a number, true or false, found a list");
}

#[test]
fn equal_stages_share_a_result_and_a_failure() {
    let project = Project::new().with(
        "p.yaml",
        "stages:
  one:
    command: {run: 'exit 3'}
  two:
    command: {run: 'exit 3'}
  three:
    command: {run: 'exit 3'}
    retries: 1
",
    );
    let finished = project.erlen(["run", "p.yaml", "-k"]);
    finished
        .assert_code(1)
        .assert_stderr("skipped: because of one")
        .assert_stderr("2 failed, 1 skipped");
    assert!(
        finished.stderr.contains("attempt 1 failed"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_command_says_which_way_its_metrics_are_better() {
    let source = |metrics: &str| {
        format!(
            "params: {{beam: 1}}
stages:
  scores:
    command:
      run: 'echo \"{{\\\"bleu\\\": $((20 + ${{beam}})), \\\"wer\\\": ${{beam}}}}\" > scores.json'
      outputs: [scores.json]
      metrics: {metrics}
sweep:
  params: {{beam: [1, 4]}}
tables:
  beams: {{rows: [beam], columns: {{BLEU: scores.bleu, WER: scores.wer}}, formats: [md]}}
"
        )
    };
    let project = Project::new().with("p.yaml", source("scores.json"));
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("2 ran");
    assert!(
        !project.read("results/beams.md").contains("**"),
        "nothing says what is better"
    );
    let said = "{file: scores.json, of: {bleu: {better: larger, unit: '%'}, wer: {better: smaller}}}";
    project.write("p.yaml", source(said));
    // What is said changes no result, and so no key.
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("0 ran");
    insta::assert_snapshot!(project.read("results/beams.md"));
    project.write(
        "p.yaml",
        source(&said.replace("wer: {better", "word_errors: {better")),
    );
    project.erlen(["sweep", "p.yaml"]).assert_code(0).assert_stderr(
        "the stage `scores` describes the metric `word_errors` under `of`, and its file `scores.json` has no such one: \
         it has bleu, wer",
    );
}
