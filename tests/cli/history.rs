//! Looking back: `why`, `runs`, `show RUN`, `diff`, and after the store.

use serde_json::Value;

use crate::project::{Finished, Project};

const PIPELINE: &str = "name: words
params: {word: hello, times: 2}
stages:
  first:
    command:
      run: 'cat $SOURCE > out.txt; echo ${word} >> out.txt'
      inputs: {SOURCE: ./source.txt}
      outputs: [out.txt]
  second:
    command:
      run: 'wc -c < $IN > count; echo \"{\\\"bytes\\\": $(cat count)}\" > m.json; : ${times}'
      inputs: {IN: first/out.txt}
      outputs: [m.json]
      metrics: m.json
";

fn project() -> Project {
    Project::new()
        .with("p.yaml", PIPELINE)
        .with("source.txt", "one\n")
}

fn json(finished: &Finished) -> Value {
    finished.assert_code(0);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

#[test]
fn why_tells_the_key_field_by_field() {
    let project = project();
    let never = project.erlen(["why", "p.yaml", "first"]);
    never
        .assert_code(0)
        .assert_stdout("would run: never ran")
        .assert_stdout("no earlier result");
    let waiting = project.erlen(["why", "p.yaml", "second"]);
    waiting
        .assert_code(0)
        .assert_stdout("waits for first")
        .assert_stdout("not known yet from first/out.txt");

    project.erlen(["run", "p.yaml"]).assert_code(0);
    let known = project.erlen(["why", "p.yaml", "second"]);
    known
        .assert_code(0)
        .assert_stdout("is reused: its result")
        .assert_stdout("beside that of run 1");
    assert!(!known.stdout.contains('*'), "{}", known.stdout);

    let changed = project.erlen(["why", "p.yaml", "first", "--set", "word=bye"]);
    changed
        .assert_code(0)
        .assert_stdout("would run: run changed")
        .assert_stdout("* run ")
        .assert_stdout("was cat $SOURCE > out.txt; echo hello >> out.txt");
    let told = json(&project.erlen(["why", "p.yaml", "first", "--set", "word=bye", "--json"]));
    assert_eq!(told["decision"], "run");
    assert_eq!(told["earlier"]["run"], 1);
    assert_eq!(told["changed_fields"][0]["path"], "run");

    project.write("source.txt", "two\n");
    project
        .erlen(["why", "p.yaml", "first"])
        .assert_code(0)
        .assert_stdout("* input SOURCE");
    project
        .erlen(["why", "p.yaml", "frist"])
        .assert_code(2)
        .assert_stderr("did you mean `first`");
}

#[test]
fn runs_are_listed_shown_and_compared() {
    let project = project();
    project.erlen(["runs"]).assert_code(0).assert_stdout("no runs");
    project
        .erlen(["show", "latest"])
        .assert_code(2)
        .assert_stderr("nothing ran here yet");
    project.erlen(["run", "p.yaml"]).assert_code(0);
    project
        .erlen(["run", "p.yaml", "--set", "word=goodbye"])
        .assert_code(0);
    project
        .erlen(["run", "p.yaml", "--set", "word=goodbye", "--set", "times=3"])
        .assert_code(0);

    let listed = project.erlen(["runs"]);
    listed
        .assert_code(0)
        .assert_stdout("2 ran")
        .assert_stdout("1 reused, 1 ran")
        .assert_stdout("done");
    let listed = json(&project.erlen(["runs", "words", "-n", "2", "--json"]));
    assert_eq!((&listed[0]["id"], &listed[1]["id"]), (&3.into(), &2.into()));
    assert_eq!(listed[1]["stages"]["ran"], 2);
    assert_eq!(listed[1]["params"]["word"], "goodbye");
    project
        .erlen(["runs", "other"])
        .assert_code(0)
        .assert_stdout("no runs");

    let shown = project.erlen(["show", "2"]);
    shown
        .assert_code(0)
        .assert_stdout("run 2: words, done")
        .assert_stdout("word=goodbye times=2")
        .assert_stdout("bytes 12");
    assert_eq!(json(&project.erlen(["show", "latest", "--json"]))["id"], 3);
    project
        .erlen(["show", "9"])
        .assert_code(2)
        .assert_stderr("there is no run 9; the latest is 3");

    let compared = project.erlen(["diff", "1", "2"]);
    compared
        .assert_code(0)
        .assert_stdout("word  hello -> goodbye")
        .assert_stdout("bytes  10 -> 12  +2")
        .assert_stdout("input IN");
    let compared = json(&project.erlen(["diff", "2", "--json"]));
    assert_eq!(compared["new"], 3);
    assert_eq!(compared["equal"], 1);
    assert_eq!(compared["stages"]["second"]["fields"][0]["path"], "run");
    assert_eq!(compared["stages"]["second"]["artifact"], false);
    project
        .erlen(["diff", "2", "2"])
        .assert_code(0)
        .assert_stdout("no difference in 2 stages");
    project
        .erlen(["diff", "one"])
        .assert_code(2)
        .assert_stderr("`one` is no run");
}

#[test]
fn a_failed_run_shows_what_went_wrong() {
    let project = Project::new().with(
        "p.yaml",
        "name: bad\nstages:\n  a: {command: {run: 'echo words; exit 3', outputs: [x]}}\n  b: {command: {run: 'cat $A', \
         inputs: {A: a}, outputs: [y]}}\n",
    );
    project.erlen(["run", "p.yaml"]).assert_code(1);
    let shown = project.erlen(["show", "latest"]);
    shown
        .assert_code(0)
        .assert_stdout("failed")
        .assert_stdout("exit status: 3")
        .assert_stdout("skipped");
    project
        .erlen(["runs"])
        .assert_code(0)
        .assert_stdout("1 failed, 1 skipped");
}

#[test]
fn the_store_is_measured_and_verified() {
    let project = project();
    project
        .erlen(["store", "du"])
        .assert_code(2)
        .assert_stderr("there is no store");
    project.erlen(["run", "p.yaml"]).assert_code(0);
    let used = json(&project.erlen(["store", "du", "--json"]));
    assert_eq!(used["results"]["command"]["count"], 2);
    // Two files, and a manifest for each artifact.
    assert_eq!(used["objects"]["count"], 4);
    assert_eq!(used["unused"]["count"], 0);
    project
        .erlen(["store", "du"])
        .assert_code(0)
        .assert_stdout("2 results");
    project
        .erlen(["store", "verify"])
        .assert_code(0)
        .assert_stdout("4 files of")
        .assert_stdout("all sound");

    let objects = walkdir::WalkDir::new(project.path(".erlen/objects"))
        .into_iter()
        .filter_map(Result::ok);
    let object = objects
        .map(walkdir::DirEntry::into_path)
        .find(|path| path.is_file() && std::fs::read(path).is_ok_and(|bytes| bytes == b"one\nhello\n"))
        .expect("the first stage's file");
    std::fs::remove_file(&object).expect("removed");
    std::fs::write(&object, "one\nhallo\n").expect("written");
    let damaged = project.erlen(["store", "verify"]);
    damaged
        .assert_code(1)
        .assert_stdout("moved to quarantine")
        .assert_stdout("problem");
    assert_eq!(
        json(&project.erlen(["store", "du", "--json"]))["quarantine"]["count"],
        1
    );
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 ran");
    project
        .erlen(["store", "verify"])
        .assert_code(0)
        .assert_stdout("all sound");
}

#[test]
fn a_collection_keeps_what_pipelines_and_tables_need() {
    let project = Project::new()
        .with("pipelines/p.yaml", PIPELINE)
        .with("source.txt", "one\n");
    let run = |word: &str| {
        let word = format!("word={word}");
        project
            .erlen(["run", "pipelines/p.yaml", "--set", &word])
            .assert_code(0);
    };
    run("hello");
    run("other");
    let dry = project.erlen(["store", "gc"]);
    dry.assert_code(0)
        .assert_stdout("would remove 2 results")
        .assert_stdout("2 results of")
        .assert_stdout("nothing was touched");
    assert_eq!(
        json(&project.erlen(["store", "gc", "--keep", "1d", "--json"]))["results"],
        serde_json::json!([])
    );
    project
        .erlen(["store", "gc", "--keep", "long"])
        .assert_code(2)
        .assert_stderr("a span of time is expected");
    project
        .erlen(["store", "gc", "--delete"])
        .assert_code(0)
        .assert_stdout("removed 2 results");
    project
        .erlen(["run", "pipelines/p.yaml"])
        .assert_code(0)
        .assert_stderr("2 reused");
    let again = project.erlen(["run", "pipelines/p.yaml", "--set", "word=other"]);
    again.assert_code(0).assert_stderr("2 ran");

    // Where it cannot be known what is needed, all that was ever used stays.
    std::fs::remove_file(project.path("source.txt")).expect("removed");
    let blind = project.erlen(["store", "gc", "--delete"]);
    blind
        .assert_code(0)
        .assert_stderr("all results of its past runs stay")
        .assert_stdout("removed 0 results");
    std::fs::remove_dir_all(project.path("pipelines")).expect("removed");
    project
        .erlen(["store", "gc", "--delete"])
        .assert_code(2)
        .assert_stderr("no pipeline files");
}
