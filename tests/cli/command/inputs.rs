//! What commands do to their inputs, and what they find around them.

use crate::project::Project;

#[test]
fn what_a_command_leaves_beside_an_input_is_no_part_of_it() {
    let project = Project::new().with("code/main.sh", "echo 1 > out").with(
        "p.yaml",
        "stages:
  a:
    command:
      run: 'mkdir $CODE/__pycache__; echo x > $CODE/__pycache__/x.pyc; echo x > $CODE/cache; . $CODE/main.sh'
      inputs: {CODE: ./code}
      outputs: [out]
",
    );
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("it left cache beside its input `CODE`, in a copy that is gone now");
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 reused");
    assert_eq!(std::fs::read_dir(project.path("code")).unwrap().count(), 1);
    // What Python and Finder leave there is no change.
    project.write("code/__pycache__/main.cpython-312.pyc", "x");
    project.write("code/.DS_Store", "x");
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 reused");
}

#[test]
fn a_command_that_changes_its_input_changes_a_copy() {
    let project = Project::new().with("in.txt", "a\n").with(
        "p.yaml",
        "stages:\n  a:\n    command: {run: 'echo b >> $IN; cp $IN out', inputs: {IN: ./in.txt}, outputs: [out]}\n",
    );
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("it changed its input `IN`, which was a copy: the project's own is as it was");
    assert_eq!(project.read("in.txt"), "a\n");
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 reused");
}

#[test]
fn an_edit_while_a_command_runs_leaves_its_result_sound() {
    let project = Project::new().with("in.txt", "old\n").with(
        "p.yaml",
        "stages:\n  a:\n    command: {run: 'echo new > $PROJECT/in.txt; cp $IN out', env: {PROJECT: '${project}'}, inputs: \
         {IN: ./in.txt}, outputs: [out]}\nparams: {project: .}\n",
    );
    let set = format!("project={}", project.path("").display());
    project.erlen(["run", "p.yaml", "--set", &set]).assert_code(0);
    project
        .erlen(["get", "p.yaml", "a/out", "-o", "got", "--set", &set])
        .assert_code(1);
    project.write("in.txt", "old\n");
    project
        .erlen(["get", "p.yaml", "a/out", "-o", "got", "--set", &set])
        .assert_code(0);
    assert_eq!(project.read("got"), "old\n");
}

#[test]
fn a_large_input_is_handed_over_where_it_is() {
    let project = Project::new().with("data/a.txt", "a\n").with(
        "p.yaml",
        "params: {what: added}
stages:
  a: {command: {run: 'echo x > $D/${what}; touch out', inputs: {D: ./data}, outputs: [out]}}
",
    );
    let big = std::fs::File::create(project.path("data/big")).unwrap();
    big.set_len(40 << 20).unwrap();
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("added came to the input `D`")
        .assert_stderr("while the stage ran; its result is kept for the input as it was");
    std::fs::remove_file(project.path("data/added")).unwrap();
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 reused");
    project
        .erlen(["run", "p.yaml", "--set", "what=a.txt"])
        .assert_code(1)
        .assert_stderr("changed while the stage ran, in a.txt");
}

#[test]
fn a_project_file_that_is_not_declared_is_named() {
    let project = Project::new()
        .with("scripts/train.sh", ". \"$(dirname \"$0\")/lib.sh\"")
        .with(
            "p.yaml",
            "stages:
  a: {command: {run: 'sh scripts/train.sh', outputs: [o]}}
  b: {command: {run: [./scripts/train.sh], outputs: [o]}}
  c: {command: {run: 'cat nowhere.txt'}}
  d: {command: {run: 'exit 3'}}
",
        );
    let finished = project.erlen(["run", "p.yaml", "-k"]);
    let declare = "`scripts/train.sh` is a file of the project, and a command runs in an empty folder of its own: \
                   declare it, as in `inputs: {TRAIN: ./scripts/train.sh}`, and write $TRAIN where the path belongs";
    finished.assert_code(1);
    assert_eq!(finished.stderr.matches(declare).count(), 2, "{}", finished.stderr);
    finished
        .assert_stderr("what it reads of the project is declared under `inputs`")
        .assert_stderr("the command failed: exit status: 3\n");
    // A script alone does not find what lies beside it, which would be no part of its key.
    project.write("scripts/lib.sh", "echo 1 > o");
    project.write(
        "p.yaml",
        "stages:\n  a: {command: {run: 'sh $TRAIN', inputs: {TRAIN: ./scripts/train.sh}, outputs: [o]}}\n",
    );
    project.erlen(["run", "p.yaml"]).assert_code(1);
    project.write(
        "p.yaml",
        "stages:\n  a: {command: {run: 'sh $CODE/train.sh', inputs: {CODE: ./scripts}, outputs: [o]}}\n",
    );
    project.erlen(["run", "p.yaml"]).assert_code(0);
}

#[test]
fn a_python_module_that_is_not_declared_is_named() {
    let words = "ModuleNotFoundError: No module named '\\''helper'\\''";
    let project = Project::new()
        .with("code/main.py", "")
        .with("code/helper.py", "")
        .with(
            "p.yaml",
            format!(
                "stages:\n  a:\n    command:\n      run: |\n        echo '{words}' >&2; exit 1\n      inputs: {{MAIN: ./code/main.py}}\n"
            ),
        );
    project
        .erlen(["run", "p.yaml"])
        .assert_code(1)
        .assert_stderr("`code/helper.py` is a file of the project that the stage does not declare")
        .assert_stderr("`inputs: {CODE: ./code}`");
}

#[test]
fn all_that_is_missing_is_named_with_all_that_is_there() {
    let project = Project::new().with(
        "p.yaml",
        "stages:\n  a: {command: {run: 'touch m.json', outputs: [m.json, x, y]}}\n",
    );
    project
        .erlen(["run", "p.yaml"])
        .assert_code(1)
        .assert_stderr("without making its outputs `x`, `y`; in its folder it left: m.json");
}

#[test]
fn scripts_of_any_length_run_and_arguments_that_cannot_be_are_told_before() {
    let line = "        echo 12345678 >> o\n";
    let script = line.repeat(8000);
    let long = "x".repeat(140_000);
    let project = Project::new().with(
        "p.yaml",
        format!("stages:\n  a:\n    command:\n      outputs: [o]\n      run: |\n{script}"),
    );
    project.erlen(["run", "p.yaml"]).assert_code(0);
    project.erlen(["get", "p.yaml", "a/o", "-o", "o"]).assert_code(0);
    assert_eq!(project.read("o").lines().count(), 8000);
    project.write(
        "p.yaml",
        format!("stages:\n  a: {{command: {{run: [echo, {long}], env: {{V: {long}}}}}}}\n"),
    );
    project
        .erlen(["check", "p.yaml"])
        .assert_code(2)
        .assert_stderr("the argument 1 has 140000 bytes")
        .assert_stderr("the variable `V` has 140000");
}
