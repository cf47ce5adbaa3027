//! `erlen table` and `erlen show`: tables that follow from results, and the way back.

use crate::project::{Finished, Project};

const WORDS: &str = "name: words
params: {word: hello, factor: 2}
stages:
  first:
    command: {run: 'echo ${word} > out.txt', outputs: [out.txt]}
  count:
    command:
      run: 'echo \"{\\\"bytes\\\": $(wc -c < $IN), \\\"share\\\": 0.0${factor}5}\" > m.json'
      inputs: {IN: first/out.txt}
      outputs: [m.json]
      metrics: m.json
  unused:
    command: {run: 'exit 1'}
tables:
  sizes:
    rows: [word]
    columns:
      bytes: count.bytes
      share: {metric: count.share, format: percent}
    formats: [csv, md, tex, html, json]
";

fn words() -> Project {
    Project::new().with("p.yaml", WORDS)
}

#[track_caller]
fn assert_stdout(finished: &Finished, part: &str) {
    assert!(
        finished.stdout.contains(part),
        "`{part}` is not in:\n{}\nstderr:\n{}",
        finished.stdout,
        finished.stderr
    );
}

#[test]
fn what_a_table_needs_is_run_and_the_table_is_written() {
    let project = words();
    let first = project.erlen(["table", "p.yaml"]);
    // The third stage would fail; no table needs it.
    first
        .assert_code(0)
        .assert_stderr("2 ran")
        .assert_stderr("results/sizes.tex");
    assert_stdout(&first, "| hello |     6 |      2.50 |");
    assert_eq!(
        project.read("results/sizes.csv"),
        "word,bytes,share\nhello,6,0.025\n"
    );
    assert!(
        project
            .read("results/sizes.tex")
            .contains("hello & $6$ & $2.50$ \\\\")
    );
    assert!(
        project
            .read("results/sizes.html")
            .starts_with("<table class=\"erlen-table\"")
    );
    let json: serde_json::Value = serde_json::from_str(&project.read("results/sizes.json")).unwrap();
    assert_eq!(json["rows"][0]["cells"]["share"]["values"][0]["value"], 0.025);

    let again = project.erlen(["table", "p.yaml", "sizes"]);
    again.assert_code(0).assert_stderr("unchanged");
    assert!(!again.stderr.contains("written"), "{}", again.stderr);
}

#[test]
fn stale_and_edited_tables_are_found() {
    let project = words();
    let missing = project.erlen(["table", "p.yaml", "--check"]);
    missing
        .assert_code(1)
        .assert_stderr("results/sizes.csv is missing");
    assert!(!project.path("results").exists(), "checking writes nothing");

    project.erlen(["table", "p.yaml"]).assert_code(0);
    project
        .erlen(["table", "p.yaml", "--check"])
        .assert_code(0)
        .assert_stderr("the table `sizes` is up to date");

    let right = project.read("results/sizes.md");
    project.write("results/sizes.md", right.replace("2.50", "9.99"));
    let edited = project.erlen(["table", "p.yaml", "--check"]);
    edited
        .assert_code(1)
        .assert_stderr("results/sizes.md is not what the results say")
        .assert_stderr("`erlen table p.yaml sizes` writes them anew");
    assert_stdout(
        &edited,
        "-| hello |     6 |      9.99 |\n+| hello |     6 |      2.50 |\n",
    );
    assert!(
        project.read("results/sizes.md").contains("9.99"),
        "checking writes nothing"
    );

    // The file that leads to the results is checked too.
    project.erlen(["table", "p.yaml"]).assert_code(0);
    let leads = project.read("results/sizes.provenance.json");
    project.write("results/sizes.provenance.json", leads.replace("hello", "hullo"));
    project.erlen(["table", "p.yaml", "--check"]).assert_code(1);
    project.erlen(["table", "p.yaml"]).assert_code(0);

    project.write("p.yaml", WORDS.replace("word: hello", "word: goodbye"));
    let stale = project.erlen(["table", "p.yaml", "--check"]);
    stale.assert_code(1);
    assert_stdout(&stale, "-hello,6,0.025\n+goodbye,8,0.025\n");
}

#[test]
fn without_running_what_is_missing_is_marked() {
    let project = words();
    let none = project.erlen(["table", "p.yaml", "--no-run"]);
    none.assert_code(0);
    assert_stdout(&none, "missing");
    assert_stdout(&none, "Some results are missing.");
    assert!(!none.stderr.contains("ran"), "{}", none.stderr);
    assert_eq!(project.read("results/sizes.csv"), "word,bytes,share\nhello,,\n");
    project.erlen(["run", "p.yaml", "count"]).assert_code(0);
    let all = project.erlen(["table", "p.yaml", "--no-run"]);
    assert_stdout(&all, "2.50");
    assert!(!all.stdout.contains("missing"), "{}", all.stdout);
}

#[test]
fn a_stage_that_fails_leaves_no_table() {
    let project = Project::new().with("p.yaml", WORDS.replace("echo ${word}", "exit 3; echo ${word}"));
    project
        .erlen(["table", "p.yaml"])
        .assert_code(1)
        .assert_stderr("exit status: 3");
    project.erlen(["table", "p.yaml", "--check"]).assert_code(1);
    assert!(!project.path("results").exists());
}

#[test]
fn a_run_writes_the_way_back_too() {
    let project = Project::new().with("p.yaml", WORDS.replace("'exit 1'", "'true'"));
    project.erlen(["run", "p.yaml"]).assert_code(0);
    assert!(project.path("results/sizes.provenance.json").exists());
    project
        .erlen(["table", "p.yaml", "--check", "--no-run"])
        .assert_code(0);
}

#[test]
fn tables_that_there_are_not() {
    let project = words().with("none.yaml", "stages:\n  a:\n    command: {run: 'true'}\n");
    project
        .erlen(["table", "p.yaml", "size"])
        .assert_code(2)
        .assert_stderr("p.yaml has no table `size`; did you mean `sizes`?");
    project
        .erlen(["table", "none.yaml"])
        .assert_code(2)
        .assert_stderr("none.yaml has no tables");
    let misnamed = Project::new().with("p.yaml", WORDS.replace("count.share", "count.shares"));
    misnamed
        .erlen(["table", "p.yaml"])
        .assert_code(2)
        .assert_stderr("no result has `count.shares`; the metrics are count.bytes, count.share");
}

#[test]
fn several_pipelines_share_a_table() {
    let other = WORDS
        .replace("name: words", "name: letters")
        .replace("word: hello", "word: a");
    let other = &other[..other.find("tables:").unwrap()];
    let both = WORDS.replace(
        "    rows: [word]\n",
        "    rows: [word]\n    pipelines: [./other.yaml]\n    baseline: {pipeline: words, word: hello}\n",
    );
    let both = both.replace("bytes: count.bytes", "bytes: {metric: count.bytes, delta: true}");
    let project = Project::new()
        .with("p.yaml", both.replace("'exit 1'", "'true'"))
        .with("other.yaml", other);
    // A run makes what is its own, and says what it leaves out.
    project.erlen(["run", "p.yaml"]).assert_code(0).assert_stderr(
        "the table `sizes` needs results of ./other.yaml; `erlen table p.yaml sizes` makes them",
    );
    assert!(!project.path("results").exists());
    project.erlen(["table", "p.yaml"]).assert_code(0);
    assert_eq!(
        project.read("results/sizes.csv"),
        "pipeline,word,bytes,bytes delta,share\nwords,hello,6,,0.025\nletters,a,2,-4,0.025\n"
    );
    project
        .erlen(["table", "p.yaml", "--check", "--no-run"])
        .assert_code(0);
    let unknown = project
        .read("p.yaml")
        .replace("metric: count.share", "metric: cuont.share");
    project.write("p.yaml", unknown);
    project
        .erlen(["table", "p.yaml"])
        .assert_code(2)
        .assert_stderr("no result has `cuont.share`");
}

#[test]
fn a_cell_leads_to_its_results() {
    let project = words();
    project.erlen(["table", "p.yaml"]).assert_code(0);
    for cell in [
        "sizes:1.share",
        "sizes:share",
        "sizes:word=hello,share",
        "results/sizes.csv:1.share",
    ] {
        let shown = project.erlen(["show", cell]);
        shown.assert_code(0);
        for part in [
            "sizes: row 1 (word=hello), share",
            "count.share = 0.025",
            "trial 1 of words (p.yaml)",
            "word=\"hello\" factor=2",
            "count  command version 2",
            "IN = ",
            " from first",
            "field       run = ",
            "by erlen ",
        ] {
            assert_stdout(&shown, part);
        }
    }
    let json = project.erlen(["show", "--json", "sizes:1.bytes"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["cell"]["figure"], 6.0);
    let fingerprint = json["cell"]["values"][0]["fingerprint"].as_str().unwrap();
    assert_eq!(json["stages"][fingerprint]["stage"], "count");
    assert_eq!(json["stages"].as_object().unwrap().len(), 2);

    let list = project.erlen(["show", "sizes"]);
    assert_stdout(&list, "1  word=hello");
    assert_stdout(&list, "columns: bytes, share");
    // The file beside the table is enough; the store only adds to it.
    std::fs::remove_dir_all(project.path(".erlen")).unwrap();
    let shown = project.erlen(["show", "sizes:1.share"]);
    shown.assert_code(0);
    assert!(!shown.stdout.contains("by erlen"), "{}", shown.stdout);
    assert!(!project.path(".erlen").exists(), "showing makes nothing");
}

#[test]
fn a_cell_is_found_under_the_name_that_it_is_listed_by() {
    let project = words();
    project
        .erlen(["table", "p.yaml", "--set", "word=a,b=c", "--tables", "results"])
        .assert_code(0);
    assert_stdout(&project.erlen(["show", "sizes"]), "1  word=a,b=c");
    project.erlen(["show", "sizes:word=a,b=c,bytes"]).assert_code(0);
}

#[test]
fn cells_that_there_are_not() {
    let project = words();
    project.erlen(["table", "p.yaml"]).assert_code(0);
    for (cell, told) in [
        ("size:1.bytes", "did you mean `sizes`?"),
        ("sizes:2.bytes", "the table `sizes` has rows 1 to 1, and no row 2"),
        ("sizes:1.byte", "has no column `byte`; did you mean `bytes`?"),
        (
            "sizes:wrd=hello,bytes",
            "not told apart by `wrd`; did you mean `word`?",
        ),
        ("sizes:word=bye,bytes", "has no such row; rows: 1 (word=hello)"),
        ("sizes:word=hello", "names no column; columns: bytes, share"),
    ] {
        project.erlen(["show", cell]).assert_code(2).assert_stderr(told);
    }
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let project = Project::new().with(
        "p.yaml",
        "params: {lr: 0.1, width: 8}
stages:
  data:
    preprocess: {input: ./x.csv, format: csv}
  model:
    train: {data: data, model: {mlp: {hidden: ['${width}']}}, epochs: 1, optimizer: {sgd: {lr: '${lr}'}}}
sweep:
  params: {lr: [0.1, 0.01], width: [8, 16]}
tables:
  models:
    rows: [lr]
    columns:
      accuracy: {metric: model.val_accuracy, delta: true}
      size: {metric: model.parameters, rank: true}
    baseline: {lr: 0.2}
    where: {width: 32}
    sort: {by: acuracy, descending: true}
  again:
    rows: {trials: [lr]}
    columns: {accuracy: model.val_accuracy}
    path: results/models
",
    );
    let finished = project.erlen(["check", "p.yaml"]);
    finished.assert_code(2);
    assert!(!project.path(".erlen").exists());
    insta::assert_snapshot!(finished.stderr);
}
