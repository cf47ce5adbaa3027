//! Files that go away while a run is under way.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::project::Project;
use crate::trust::is_sound;

/// `a` makes files, `gate` takes something away, then `b` wants the files of `a`, and `c` those of `b`.
fn gated(take_away: &str) -> Project {
    let project = Project::new();
    let root = project.path(".").canonicalize().unwrap();
    let text = format!(
        "stages:
  a: {{command: {{run: 'echo x >> \"$MARKS\"; cat $IN > o; echo 2 > p', inputs: {{IN: ./in.txt}}, outputs: [o, p]}}}}
  gate: {{command: {{run: 'cd \"$ROOT\"; {take_away}'}}, after: [a]}}
  b: {{command: {{run: 'cat $IN/o $IN/p > o', inputs: {{IN: a}}, outputs: [o]}}, after: [gate]}}
  c: {{command: {{run: 'cat $O $P > o', inputs: {{O: b/o, P: a/p}}, outputs: [o]}}}}
"
    );
    let text = text.replace("$MARKS", &root.join("marks").display().to_string());
    project.write("p.yaml", text.replace("$ROOT", &root.display().to_string()));
    project.write("in.txt", "1\n");
    project
}

fn gives_what_it_should(project: &Project) {
    project
        .erlen(["get", "p.yaml", "c/o", "-o", "out"])
        .assert_code(0);
    assert_eq!(project.read("out"), "1\n2\n2\n");
    std::fs::remove_file(project.path("out")).unwrap();
    is_sound(project);
}

#[test]
fn a_lost_result_is_made_again_in_the_same_run() {
    for (take_away, why) in [
        ("rm -rf .erlen/objects/*", "is missing from the store"),
        (
            "for f in .erlen/objects/*/*; do chmod u+w $f; echo bad > $f; done",
            "is damaged",
        ),
        (
            "rm -rf .erlen/objects .erlen/actions",
            "is missing from the store",
        ),
    ] {
        let project = gated(take_away);
        let finished = project.erlen(["run", "p.yaml"]);
        finished
            .assert_code(0)
            .assert_stderr(why)
            .assert_stderr("`a`, which made it, comes first");
        assert_eq!(project.read("marks").lines().count(), 2, "{}", finished.stderr);
        gives_what_it_should(&project);
        project
            .erlen(["run", "p.yaml"])
            .assert_code(0)
            .assert_stderr("4 reused");
        // Nothing is lost in a run that makes nothing.
        assert_eq!(project.read("marks").lines().count(), 2);
    }
}

#[test]
fn what_cannot_be_made_again_ends_what_needs_it() {
    // The file is gone that the lost result was made from.
    let project = gated("rm -rf .erlen/objects/* in.txt");
    project
        .erlen(["run", "p.yaml", "-k"])
        .assert_code(1)
        .assert_stderr("in.txt");
    project.write("in.txt", "1\n");
    project.write("p.yaml", project.read("p.yaml").replace("rm -rf", ": rm -rf"));
    project.erlen(["run", "p.yaml"]).assert_code(0);
    gives_what_it_should(&project);
}

#[test]
fn what_is_lost_again_and_again_is_given_up() {
    let project = Project::new();
    let text = "stages:
  a: {command: {run: 'echo x >> MARKS; echo 1 > o', outputs: [o]}}
  b: {command: {run: 'sleep 0.1; cat $IN > o', inputs: {IN: a/o}, outputs: [o]}}
  c: {command: {run: 'cat $O $P > o', inputs: {O: a/o, P: b/o}, outputs: [o]}}
";
    let marks = project.path("marks");
    project.write("p.yaml", text.replace("MARKS", &marks.display().to_string()));
    let objects = project.path(".erlen/objects");
    let stop = AtomicBool::new(false);
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = std::fs::remove_dir_all(&objects);
            }
        });
        let finished = project.erlen(["run", "p.yaml"]);
        stop.store(true, Ordering::Relaxed);
        finished
    });
    // It may get through where the other side was slow.
    assert!(matches!(finished.code, Some(0 | 1)), "{finished:?}");
    if finished.code == Some(1) {
        let told =
            finished.stderr.contains("missing from the store") || finished.stderr.contains(".erlen/objects");
        assert!(told, "{}", finished.stderr);
    }
    assert!(project.read("marks").lines().count() <= 8);
    project.erlen(["run", "p.yaml"]).assert_code(0);
    project
        .erlen(["get", "p.yaml", "c/o", "-o", "out"])
        .assert_code(0);
    assert_eq!(project.read("out"), "1\n1\n");
    is_sound(&project);
}

#[test]
fn what_was_decided_on_the_ground_of_a_lost_result_is_decided_again() {
    // What `a` makes is another each time. `d` is done when it is lost, `e` runs, `b` meets the loss.
    let project = Project::new();
    let root = project.path(".").canonicalize().unwrap();
    let text = "stages:
  a: {command: {run: 'date +%N > o', outputs: [o]}}
  d: {command: {run: 'cat $IN > o', inputs: {IN: a/o}, outputs: [o]}}
  e: {command: {run: 'cat $IN > o; sleep 1', inputs: {IN: a/o}, outputs: [o]}}
  gate: {command: {run: 'rm -rf ROOT/.erlen/objects/*'}, after: [d]}
  b: {command: {run: 'cat $IN > o', inputs: {IN: a/o}, outputs: [o]}, after: [gate]}
  f: {command: {run: 'cmp $B $D; cmp $B $E; cat $D $E > o', inputs: {B: b/o, D: d/o, E: e/o}, outputs: [o]}}
";
    project.write("p.yaml", text.replace("ROOT", &root.display().to_string()));
    project
        .erlen(["run", "p.yaml", "-j", "4"])
        .assert_code(0)
        .assert_stderr("`a`, which made it, comes first");
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("6 reused");
    is_sound(&project);
}

#[test]
fn a_sweep_makes_again_what_its_trials_share() {
    let project = Project::new();
    let root = project.path(".").canonicalize().unwrap();
    let text = "params: {x: 1}
stages:
  data: {command: {run: 'echo x >> ROOT/marks; echo 1 > o', outputs: [o]}}
  gate: {command: {run: 'if [ ${x} = 2 ]; then rm -rf ROOT/.erlen/objects/*; fi', inputs: {IN: data}}}
  trial:
    command:
      run: 'echo \"{\\\"m\\\": ${x}$(cat $IN)}\" > m.json'
      inputs: {IN: data/o}
      outputs: [m.json]
      metrics: m.json
    after: [gate]
";
    project.write("p.yaml", text.replace("ROOT", &root.display().to_string()));
    project
        .erlen(["sweep", "p.yaml", "--set", "x=1,2,3", "-j", "1"])
        .assert_code(0)
        .assert_stderr("3 done");
    assert_eq!(project.read("marks").lines().count(), 2);
}

#[test]
fn the_stores_own_folders_may_go() {
    for take_away in [
        "rm -rf .erlen/work",
        "rm -rf .erlen",
        "rm -rf .erlen/actions",
        "rm -rf .erlen/work/*/*/output",
        "rm -f .erlen/*.sqlite* .erlen/*.db*",
        "mv .erlen/objects aside; sleep 0.1; mv aside .erlen/objects",
    ] {
        let project = gated(take_away);
        let finished = project.erlen(["run", "p.yaml"]);
        assert!(matches!(finished.code, Some(0..=2)), "{take_away}: {finished:?}");
        if finished.code != Some(0) {
            assert!(
                finished.stderr.contains(".erlen"),
                "{take_away}: {}",
                finished.stderr
            );
        }
        project.write("p.yaml", project.read("p.yaml").replace(take_away, "true"));
        project.erlen(["run", "p.yaml"]).assert_code(0);
        gives_what_it_should(&project);
    }
}
