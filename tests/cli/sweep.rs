//! Sweeps: many trials of one pipeline, whatever happens on the way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::project::Project;

/// A pipeline whose objective is computed by the shell and leaves a mark each time it runs.
fn toy(sweep: &str) -> Project {
    let project = Project::new();
    let marks = project.path("marks");
    project.write("marks/.keep", "");
    let source = format!(
        "name: toy
params: {{x: 0, y: 0}}
stages:
  shared:
    command: {{run: 'mktemp {marks}/shared-XXXXXX; echo > out', outputs: [out]}}
  score:
    command:
      run: 'mktemp {marks}/score-XXXXXX; test ${{x}} -ne 7; echo \"{{\\\"loss\\\": $((${{x}} * ${{x}} + ${{y}}))}}\" > m.json'
      inputs: {{SHARED: shared}}
      outputs: [m.json]
      metrics: m.json
sweep:
{sweep}
  objective: {{minimize: score.loss}}
tables:
  toy: {{rows: [x, y], columns: {{loss: score.loss}}, formats: [csv]}}
",
        marks = marks.display(),
    );
    project.write("p.yaml", source);
    project
}

/// How often each stage of the toy has run.
fn runs(project: &Project) -> BTreeMap<String, usize> {
    let mut runs = BTreeMap::new();
    for entry in std::fs::read_dir(project.path("marks")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if let Some((stage, _)) = name.split_once('-') {
            *runs.entry(stage.to_owned()).or_default() += 1;
        }
    }
    runs
}

fn change(project: &Project, old: &str, new: &str) {
    let text = project.read("p.yaml");
    assert!(text.contains(old), "`{old}` is not in the file");
    project.write("p.yaml", text.replace(old, new));
}

/// The rows of a table, without its titles.
fn rows(project: &Project, table: &str) -> Vec<Vec<String>> {
    let text = project.read(table);
    csv::Reader::from_reader(text.as_bytes())
        .records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect())
        .collect()
}

const GRID: &str = "  params: {x: [1, 2, 3], y: [0, 1]}";

#[test]
fn what_is_shared_runs_once_and_a_second_call_runs_nothing() {
    let project = toy(GRID);
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("7 ran");
    assert_eq!(
        runs(&project),
        BTreeMap::from([("score".into(), 6), ("shared".into(), 1)])
    );
    let table = rows(&project, "results/toy.csv");
    assert_eq!(table.len(), 6);
    assert_eq!(table[1], ["1", "1", "2"]);
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("0 ran");
    assert_eq!(rows(&project, "results/toy.csv"), table);
}

#[test]
fn several_seeds_are_replicates() {
    let project = toy("  params: {x: [1, 2]}");
    project
        .erlen(["sweep", "p.yaml", "--set", "seed=1,2"])
        .assert_code(2)
        .assert_stderr("several seeds are `replicates: N` of a sweep");
}

#[test]
fn seeds_alone_are_a_sweep() {
    let project = Project::new();
    project.write(
        "p.yaml",
        "name: seeds
seed: 3
params: {x: 5}
stages:
  score:
    command:
      run: 'echo \"{\\\"loss\\\": $((${x} + ${seed}))}\" > m.json'
      outputs: [m.json]
      metrics: {file: m.json, of: {loss: {better: smaller}}}
sweep: {replicates: 3}
tables:
  seeds: {rows: {trials: [x]}, columns: {loss: score.loss}, formats: [md]}
",
    );
    let sweep = |more: &[&str]| project.erlen([&["sweep", "p.yaml"], more].concat());
    sweep(&[]).assert_code(0).assert_stderr("3 ran");
    let table = project.read("results/seeds.md");
    assert!(table.contains("|   5 | 9.0000 ± 1.0000 |"), "{table}");
    sweep(&["--set", "x=6"]).assert_code(0).assert_stderr("3 ran");
    for (change, advice) in [
        ("sweep: {}", "name parameters and their values"),
        (
            "sweep: {replicates: 3, search: {random: {trials: 2}}}",
            "leave `search` out",
        ),
    ] {
        project.write(
            "q.yaml",
            project.read("p.yaml").replace("sweep: {replicates: 3}", change),
        );
        project
            .erlen(["check", "q.yaml"])
            .assert_code(2)
            .assert_stderr("there is nothing to sweep")
            .assert_stderr(advice);
    }
}

#[test]
fn a_wider_space_runs_only_the_new_points_and_says_what_it_keeps() {
    let project = toy(GRID);
    project.erlen(["sweep", "p.yaml"]).assert_code(0);
    change(&project, "x: [1, 2, 3]", "x: [2, 3, 4, 5]");
    let again = project.erlen(["sweep", "p.yaml"]);
    again
        .assert_code(0)
        .assert_stderr("4 of its 6 trials fit it")
        .assert_stderr("4 ran");
    assert_eq!(rows(&project, "results/toy.csv").len(), 8);
    // As it was: all is known.
    change(&project, "x: [2, 3, 4, 5]", "x: [1, 2, 3]");
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("0 ran");
}

#[test]
fn failed_trials_stop_nobody_and_are_tried_again_when_asked() {
    let project = toy("  params: {x: [6, 7, 8]}");
    let first = project.erlen(["sweep", "p.yaml"]);
    first
        .assert_code(1)
        .assert_stderr("1 failed")
        .assert_stderr("2 done");
    assert_eq!(runs(&project)["score"], 3);
    project.erlen(["sweep", "p.yaml"]).assert_code(1);
    assert_eq!(runs(&project)["score"], 3, "a failed trial is left alone");
    project
        .erlen(["sweep", "p.yaml", "--retry-failed"])
        .assert_code(1);
    assert_eq!(runs(&project)["score"], 4, "only the failed one runs again");
}

#[test]
fn a_sweep_of_which_all_trials_fail_fails() {
    let project = toy("  params: {x: [7], y: [0, 1]}");
    let finished = project.erlen(["sweep", "p.yaml"]);
    finished
        .assert_code(1)
        .assert_stderr("every trial failed")
        .assert_stderr("--retry-failed");
    assert!(!project.path("results").exists());
}

#[test]
fn an_objective_that_nobody_reports_is_told_with_those_that_exist() {
    let project = toy("  params: {x: [1]}");
    change(&project, "minimize: score.loss", "minimize: score.los");
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(1)
        .assert_stderr("`score.los` is not among what the stage reports: loss");
}

#[test]
fn several_values_on_the_command_line_are_a_sweep() {
    let project = toy("  params: {y: [5]}");
    let finished = project.erlen([
        "sweep", "p.yaml", "--set", "x=1,2", "--set", "y=3", "--tables", "results",
    ]);
    finished.assert_code(0).assert_stderr("3 ran");
    let table = rows(&project, "results/toy.csv");
    assert_eq!(table, [["1", "3", "4"], ["2", "3", "7"]]);
    project
        .erlen(["sweep", "p.yaml", "--set", "y=1"])
        .assert_code(2)
        .assert_stderr("nothing to sweep");
    project
        .erlen(["sweep", "p.yaml", "--set", "z=1,2"])
        .assert_code(2)
        .assert_stderr("no such parameter");
    let described = project.erlen(["sweep", "p.yaml", "-n", "--set", "x={int: [1, 9]}"]);
    described.assert_code(0);
    assert!(
        described.stdout.contains("9 trials by grid"),
        "{}",
        described.stdout
    );
}

#[test]
fn many_processes_share_the_trials_of_one_sweep() {
    let project = toy("  params: {x: {int: [10, 40]}}\n  search: {random: {trials: 24}}");
    let children: Vec<_> = (0..4).map(|_| project.start(["sweep", "p.yaml"])).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(!text.contains("locked"), "{text}");
    }
    assert_eq!(
        runs(&project),
        BTreeMap::from([("score".into(), 24), ("shared".into(), 1)])
    );
    assert_eq!(rows(&project, "results/toy.csv").len(), 24);
}

#[test]
fn a_result_that_was_lost_is_made_again() {
    let project = toy("  params: {x: [1, 2]}");
    project.erlen(["sweep", "p.yaml"]).assert_code(0);
    let actions = project.path(".erlen/actions");
    let file = walkdir::WalkDir::new(actions)
        .into_iter()
        .filter_map(Result::ok)
        .find(|entry| {
            entry.file_type().is_file() && std::fs::read_to_string(entry.path()).unwrap().contains("score@2")
        })
        .unwrap();
    std::fs::remove_file(file.path()).unwrap();
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 ran");
    assert_eq!(rows(&project, "results/toy.csv").len(), 2);
}

#[test]
fn each_definition_of_a_sweep_is_taken_up_where_it_was_left() {
    let project = toy("  params: {x: {int: [10, 40]}}\n  search: {random: {trials: 6}}");
    project.erlen(["sweep", "p.yaml"]).assert_code(0);
    let table = project.read("results/toy.csv");
    // A grid of the command line has nothing to do with the file's own sweep.
    project
        .erlen(["sweep", "p.yaml", "--set", "x=1,2"])
        .assert_code(0);
    let again = project.erlen(["sweep", "p.yaml"]);
    again.assert_code(0).assert_stderr("0 ran");
    assert!(!again.stderr.contains("changed since"), "{}", again.stderr);
    assert_eq!(project.read("results/toy.csv"), table);

    change(&project, "trials: 6", "trials: 8");
    change(&project, "[10, 40]", "[10, 50]");
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("6 of its 6 trials fit it");
    assert_eq!(rows(&project, "results/toy.csv").len(), 8);
    // A parameter that no trial depends on changes nothing.
    change(&project, "params: {x: 0, y: 0}", "params: {x: 0, y: 0, note: 1}");
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("0 ran");
    change(&project, "[10, 50]", "[10, 40]");
    change(&project, "trials: 8", "trials: 6");
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("0 ran");
    assert_eq!(project.read("results/toy.csv"), table);
}

#[test]
fn a_trial_without_its_file_fails_alone_and_a_shared_stage_fails_the_run() {
    let project = toy("  params: {x: [1, 2, 3]}");
    change(
        &project,
        "inputs: {SHARED: shared}",
        "inputs: {SHARED: shared, F: './f${x}'}",
    );
    for x in [0, 1, 3] {
        project.write(&format!("f{x}"), "");
    }
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(1)
        .assert_stderr("2 done, 1 failed")
        .assert_stderr("f2");
    project.write("f2", "");
    project
        .erlen(["sweep", "p.yaml", "--retry-failed"])
        .assert_code(0)
        .assert_stderr("3 done");

    let project = toy("  params: {x: [1, 2, 3]}");
    change(&project, "echo > out", "test -e go; echo > out");
    let finished = project.erlen(["sweep", "p.yaml"]);
    finished
        .assert_code(1)
        .assert_stderr("all trials need the stage `shared`, which failed");
    // No trial is blamed: once the cause is gone, all of them run.
    let text = project.read("p.yaml");
    project.write("p.yaml", text.replace("test -e go; ", ""));
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("3 done");
}

#[test]
fn time_that_is_up_is_told_and_leaves_the_rest_for_later() {
    let project = toy("  params: {x: {int: [10, 30]}}\n  parallel: 1\n  time: 1s");
    change(&project, "test ${x} -ne 7", "sleep 0.3");
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("time is up after");
    let some = rows(&project, "results/toy.csv").len();
    assert!((1..21).contains(&some), "{some} rows");
    project.erlen(["table", "p.yaml", "--check"]).assert_code(1);
    change(&project, "\n  time: 1s", "");
    change(&project, "int: [10, 30]", "int: [10, 14]");
    project.erlen(["sweep", "p.yaml"]).assert_code(0);
    assert_eq!(rows(&project, "results/toy.csv").len(), 5);
}

fn digits(sweep: &str) -> Project {
    let project = Project::new().with_copy("datasets/digits.csv.gz");
    project.write(
        "p.yaml",
        format!(
            "name: digits
params: {{lr: 0.1, width: 16}}
stages:
  raw: {{download: {{url: datasets/digits.csv.gz}}}}
  data:
    preprocess: {{input: raw, format: {{csv: {{label: -1}}}}, split: {{val: 0.2, test: 0.2}}}}
  model:
    train:
      data: data
      model: {{mlp: {{hidden: ['${{width}}']}}}}
      epochs: 4
      batch_size: 64
      optimizer: {{sgd: {{lr: '${{lr}}', momentum: 0.9}}}}
  test: {{evaluate: {{model: model, data: data}}}}
sweep:
  params: {{lr: {{log_uniform: [0.001, 0.5]}}, width: {{log_int: [4, 32]}}}}
{sweep}
  objective: {{maximize: model.val_accuracy}}
tables:
  digits: {{rows: [lr, width], columns: {{accuracy: test.accuracy}}, formats: [csv]}}
"
        ),
    );
    project
}

const SEARCH: &str =
    "  search: {tpe: {trials: 8, startup: 3}}\n  replicates: 2\n  prune: {asha: {reduction: 2}}";

/// The trials of a sweep's journal, as it began: which jobs, in which order, with which end.
fn jobs(project: &Project) -> Vec<String> {
    let journal = walkdir::WalkDir::new(project.path(".erlen/sweeps"))
        .into_iter()
        .filter_map(Result::ok)
        .find(|entry| entry.file_name() == "journal.jsonl")
        .expect("a journal");
    let text = std::fs::read_to_string(journal.path()).unwrap();
    let mut seen = Vec::new();
    for line in text.lines() {
        let mut entry: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("worker");
        }
        let line = entry.to_string();
        // A job that was taken over stands there again.
        if !seen.contains(&line) {
            seen.push(line);
        }
    }
    seen
}

#[test]
fn a_killed_sweep_goes_on_as_if_nothing_had_happened() {
    let undisturbed = digits(SEARCH);
    undisturbed
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("pruned");

    let project = digits(SEARCH);
    for ended in [2, 5] {
        let mut child = project.start(["sweep", "p.yaml"]);
        let begun = Instant::now();
        while !project.path(".erlen/sweeps").exists() || count(&project, "\"ended\"") < ended {
            assert!(begun.elapsed() < Duration::from_secs(120), "no trial ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    project.erlen(["sweep", "p.yaml"]).assert_code(0);
    assert_eq!(jobs(&project), jobs(&undisturbed));
    assert_eq!(
        project.read("results/digits.csv"),
        undisturbed.read("results/digits.csv")
    );
}

#[test]
fn every_pruner_s_sweep_can_be_called_again() {
    for prune in [
        "median: {startup: 1}",
        "patience: {epochs: 1}",
        "asha: {reduction: 2}",
    ] {
        let project = digits(&format!(
            "  search: {{random: {{trials: 5}}}}\n  prune: {{{prune}}}"
        ));
        project.erlen(["sweep", "p.yaml"]).assert_code(0);
        let table = project.read("results/digits.csv");
        project
            .erlen(["sweep", "p.yaml"])
            .assert_code(0)
            .assert_stderr("5 of 5 trials known");
        project
            .erlen(["table", "p.yaml", "--check", "--no-run"])
            .assert_code(0);
        assert_eq!(project.read("results/digits.csv"), table);
    }
}

fn count(project: &Project, what: &str) -> usize {
    walkdir::WalkDir::new(project.path(".erlen/sweeps"))
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name() == "journal.jsonl")
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            text.matches(what).count()
        })
        .sum()
}

#[test]
fn pruned_trials_go_on_from_their_checkpoints() {
    let project = digits("  search: {random: {trials: 4}}\n  prune: {asha: {reduction: 4}}");
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("3 pruned");
    change(&project, "\n  prune: {asha: {reduction: 4}}", "");
    let finished = project.erlen(["sweep", "p.yaml", "--log-format", "json"]);
    finished.assert_code(0);
    let resumed: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.contains("training_started"))
        .collect();
    assert_eq!(resumed.len(), 3, "{resumed:?}");
    assert!(
        resumed.iter().all(|line| line.contains("\"resumed_from\":[1,0]")),
        "{resumed:?}"
    );
    assert_eq!(rows(&project, "results/digits.csv").len(), 4);

    // What was pruned on the way came out as if it had not been.
    let plain = digits("  search: {random: {trials: 4}}");
    plain.erlen(["sweep", "p.yaml"]).assert_code(0);
    let sorted = |project: &Project| {
        let mut rows = rows(project, "results/digits.csv");
        rows.sort();
        rows
    };
    assert_eq!(sorted(&project), sorted(&plain));
}

#[test]
fn a_table_runs_the_sweep_that_it_needs_and_can_do_without() {
    let project = toy(GRID);
    project
        .erlen(["table", "p.yaml", "--no-run", "--check"])
        .assert_code(1)
        .assert_stderr("results/toy.csv is missing");
    assert_eq!(runs(&project), BTreeMap::new(), "nothing ran");
    project.erlen(["table", "p.yaml"]).assert_code(0);
    assert_eq!(runs(&project)["score"], 6);
    project.erlen(["table", "p.yaml", "--check"]).assert_code(0);
    let whole = project.read("results/toy.csv");

    // Without the journal, the store alone tells.
    std::fs::remove_dir_all(project.path(".erlen/sweeps")).unwrap();
    project
        .erlen(["table", "p.yaml", "--check", "--no-run"])
        .assert_code(0);

    change(&project, "x: [1, 2, 3]", "x: [1, 2, 3, 4]");
    project
        .erlen(["table", "p.yaml", "--check", "--no-run"])
        .assert_code(1);
    project.erlen(["table", "p.yaml"]).assert_code(0);
    assert_eq!(rows(&project, "results/toy.csv").len(), 8);
    assert!(project.read("results/toy.csv").starts_with(&whole));
    assert_eq!(runs(&project)["score"], 8);

    let edited = whole.replace("1,1,2", "1,1,1");
    assert_ne!(edited, whole);
    project.write("results/toy.csv", edited);
    let stale = project.erlen(["table", "p.yaml", "--check"]);
    stale.assert_code(1).assert_stderr("is not what the results say");
    assert!(
        stale.stdout.contains("-1,1,1") && stale.stdout.contains("+1,1,2"),
        "{}",
        stale.stdout
    );
}

#[test]
fn running_the_pipeline_itself_leaves_the_sweep_s_tables_alone() {
    let project = toy(GRID);
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("2 ran")
        .assert_stderr("erlen sweep p.yaml");
    assert!(!project.path("results").exists());
}

/// A small regression on a table, at learning rates of which the smallest learns nothing.
fn diabetes(sweep: &str) -> Project {
    let project = Project::new();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/diabetes.csv");
    project.write("diabetes.csv", std::fs::read(data).unwrap());
    let source = format!(
        "name: diabetes
params: {{lr: 0.01}}
stages:
  data:
    preprocess:
      input: ./diabetes.csv
      format: {{csv: {{header: true, label: target, task: regression}}}}
      split: {{val: 0.15, test: 0.25}}
  model:
    train:
      data: data
      model: {{mlp: {{hidden: [16]}}}}
      standardize_targets: true
      epochs: 8
      batch_size: 32
      optimizer: {{adamw: {{lr: '${{lr}}'}}}}
  test:
    evaluate: {{model: model, data: data, split: test}}
sweep:
  params: {{lr: [0.00001, 0.003, 0.01, 0.02]}}
{sweep}
tables:
  lr: {{rows: {{trials: [lr]}}, columns: {{MAE: test.mae, RMSE: test.rmse, R2: test.r2}}}}
"
    );
    project.write("p.yaml", source);
    project
}

#[test]
fn a_pruner_knows_that_a_small_error_is_better() {
    let project = diabetes(
        "  objective: {minimize: test.rmse}\n  prune: {asha: {min_epochs: 2, reduction: 2, metric: model.val_mae}}",
    );
    let sweep = project.erlen(["sweep", "p.yaml"]);
    sweep.assert_code(0).assert_stderr("pruned");
    let table = rows(&project, "results/lr.csv");
    let ended: Vec<&str> = table
        .iter()
        .filter(|row| row[2] == "done")
        .map(|row| row[1].as_str())
        .collect();
    assert!(!ended.is_empty(), "{table:?}");
    assert!(
        !ended.contains(&"0.00001"),
        "the worst learning rate ran to its end: {table:?}"
    );
}

#[test]
fn the_best_of_single_folds_is_told() {
    let rows: String = (0..24)
        .map(|row| format!("{row},{}\n", ["u", "v"][row % 2]))
        .collect();
    let project = Project::new().with("t.csv", format!("x,y\n{rows}")).with(
        "p.yaml",
        "params: {fold: 1, lr: 0.1}
stages:
  data: {preprocess: {input: ./t.csv, format: {csv: {header: true, label: y}}, split: {folds: 2, fold: \"${fold}\"}}}
  m: {train: {data: data, model: mlp, epochs: 1, batch_size: 4, optimizer: {sgd: {lr: \"${lr}\"}}}}
  e: {evaluate: {model: m, data: data}}
sweep: {params: {fold: [1, 2], lr: [0.1, 0.2]}, objective: {maximize: e.accuracy}}
",
    );
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("`fold` chooses a fold and is swept, so the best trial is the best of single folds");
}

#[test]
fn a_figure_that_is_not_defined_in_a_replicate_leaves_the_trial_done() {
    let project = Project::new().with(
        "p.yaml",
        "params: {x: 1}
stages:
  s: {command: {run: 'v=0.$ERLEN_SEED; [ ${x}-$ERLEN_SEED = 2-1 ] && v=null; echo \"{\\\"auc\\\": $v, \\\"acc\\\": 0.9}\" > m.json', draws: true, outputs: [m.json], metrics: m.json}}
sweep: {params: {x: [1, 2]}, replicates: 2, objective: {maximize: s.auc}}
tables: {t: {rows: [x], columns: {auc: s.auc, acc: s.acc}}}
",
    );
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(0)
        .assert_stderr("2 done");
    let table = project.read("results/t.csv");
    assert!(table.lines().count() == 3 && table.contains("0.9"), "{table}");
}
