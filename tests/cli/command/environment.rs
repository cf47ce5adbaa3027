//! What commands find in their environment, and declared environments.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::project::{Finished, Project};

/// Runs a stage that prints some variables; gives what it found.
fn found(project: &Project, caller: &[(&str, &str)]) -> String {
    let mut command = project.command(["run", "p.yaml"]);
    command.envs(caller.iter().copied());
    Finished::from(command.output().unwrap()).assert_code(0);
    let mut command = project.command(["get", "p.yaml", "a/o", "-o", "o"]);
    command.envs(caller.iter().copied());
    let _ = std::fs::remove_file(project.path("o"));
    Finished::from(command.output().unwrap()).assert_code(0);
    project.read("o")
}

#[test]
fn only_what_is_declared_or_listed_reaches_a_command() {
    let project = Project::new().with(
        "p.yaml",
        "stages:
  a:
    command:
      run: 'echo \"$MODE $PYTHONPATH $LC_TIME $TZ $DECLARED\" > o'
      env: {DECLARED: {variable: MODE}}
      outputs: [o]
",
    );
    let caller = [
        ("MODE", "one"),
        ("PYTHONPATH", "/x"),
        ("LC_TIME", "C"),
        ("TZ", "UTC"),
    ];
    assert_eq!(found(&project, &caller), "  C UTC one\n");
    // What is declared counts, and what is not does not.
    let plan = |mode: &str, path: &str| {
        let mut command = project.command(["plan", "p.yaml", "--json"]);
        command.env("MODE", mode).env("PYTHONPATH", path);
        let finished = Finished::from(command.output().unwrap());
        let plan: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
        plan["stages"][0]["decision"].as_str().unwrap().to_owned()
    };
    assert_eq!(plan("one", "/y"), "reuse");
    assert_eq!(plan("two", "/x"), "run");
}

#[test]
fn a_variable_that_a_script_asks_for_and_does_not_get_is_told() {
    let project = Project::new().with(
        "p.yaml",
        "stages:
  a: {command: {run: 'for MINE in 1; do OWN=2; echo \"$MODE $${MODE:-none} $OWN $MINE $UNSET $PWD $HOME\"; done'}}
",
    );
    let mut command = project.command(["run", "p.yaml"]);
    command
        .env("MODE", "one")
        .env("OWN", "x")
        .env("MINE", "x")
        .env_remove("UNSET");
    let finished = Finished::from(command.output().unwrap());
    finished
        .assert_code(0)
        .assert_stderr("`MODE` is set, and reaches a command only where it is declared")
        .assert_stderr("`env: {MODE: {variable: MODE}}`");
    assert_eq!(
        finished.stderr.matches("reaches a command").count(),
        1,
        "{}",
        finished.stderr
    );
}

#[test]
fn names_that_hold_secrets_and_own_names_are_refused() {
    let project = Project::new().with(
        "p.yaml",
        "stages:
  a:
    command:
      run: 'true'
      env: {A: {variable: HF_TOKEN}, ERLEN_SEED: 3, B: {variable: X, secret: Y}}
",
    );
    project
        .erlen(["check", "p.yaml"])
        .assert_code(2)
        .assert_stderr("write one of {variable: NAME}");
    project.write(
        "p.yaml",
        project
            .read("p.yaml")
            .replace(", B: {variable: X, secret: Y}", ""),
    );
    project
        .erlen(["check", "p.yaml"])
        .assert_code(2)
        .assert_stderr("`HF_TOKEN` seems to hold a secret")
        .assert_stderr("write {secret: HF_TOKEN}")
        .assert_stderr("`ERLEN_SEED` is one of Erlen's own names");
}

fn program(project: &Project, path: &str, text: &str) {
    project.write(path, text);
    let path = project.path(path);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_virtual_environment_is_first_in_path_and_its_lock_file_counts() {
    let project = Project::new().with("uv.lock", "numpy 2.1").with(
        "p.yaml",
        "stages:
  a:
    command:
      run: 'python --what > o; test -d \"$VIRTUAL_ENV\"'
      environment: {python: {venv: ./.venv, lock: ./uv.lock, version: '3.12'}}
      outputs: [o]
",
    );
    let told = "the stage `a` cannot run: the virtual environment `./.venv` has no bin/python";
    project
        .erlen(["check", "p.yaml"])
        .assert_code(0)
        .assert_stderr(told);
    // Before anything runs.
    project
        .erlen(["run", "p.yaml"])
        .assert_code(2)
        .assert_stderr(told);
    let python = "#!/bin/sh\ntest \"$1\" = -V && echo Python 3.11.9 || echo own\n";
    program(&project, ".venv/bin/python", python);
    project
        .erlen(["run", "p.yaml"])
        .assert_code(1)
        .assert_stderr("is Python 3.11.9, and `version` says 3.12");
    program(&project, ".venv/bin/python", &python.replace("3.11.9", "3.12.1"));
    assert_eq!(found(&project, &[]), "own\n");
    // Where it lies counts as little as what the folder holds; the lock file does.
    std::fs::rename(project.path(".venv"), project.path("elsewhere")).unwrap();
    let yaml = project.read("p.yaml");
    project.write("p.yaml", yaml.replace("./.venv", "./elsewhere"));
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 reused");
    project.write("uv.lock", "numpy 2.2");
    let decisions = project.decisions(&["p.yaml"]);
    assert!(
        decisions["a"].contains("input environment.lock changed"),
        "{decisions:?}"
    );
    let yaml = project.read("p.yaml");
    project.write("p.yaml", yaml.replace("'3.12'", "'3.1'"));
    project
        .erlen(["run", "p.yaml"])
        .assert_code(1)
        .assert_stderr("is Python 3.12.1, and `version` says 3.1");
}

#[test]
fn an_interpreter_is_what_python_means() {
    let project = Project::new().with("lock.txt", "").with(
        "p.yaml",
        "stages:
  a:
    command:
      run: 'python a > o; python3 b >> o'
      environment: {python: {interpreter: ./py, lock: ./lock.txt}}
      outputs: [o]
",
    );
    program(&project, "py", "#!/bin/sh\necho own \"$@\"\n");
    assert_eq!(found(&project, &[]), "own a\nown b\n");
}

/// `PATH` with the project's own programs before the system's.
fn path_with(project: &Project, folder: &str) -> String {
    let rest = std::env::var("PATH").unwrap();
    format!("{}:{rest}", project.path(folder).display())
}

#[test]
fn a_conda_environment_is_entered_by_conda() {
    let project = Project::new().with("environment.yml", "name: ml").with(
        "p.yaml",
        "stages:
  a:
    command:
      run: 'echo in $ENTERED > o'
      environment: {conda: {name: ml, lock: ./environment.yml}}
      outputs: [o]
",
    );
    program(
        &project,
        "bin/conda",
        "#!/bin/sh\ntest \"$1 $2 $3\" = 'run --no-capture-output -n' || exit 9\nexport ENTERED=$4; shift 4; exec \"$@\"\n",
    );
    let path = path_with(&project, "bin");
    assert_eq!(found(&project, &[("PATH", &path), ("CONDA_EXE", "")]), "in ml\n");
}

/// What stands for docker here: it checks what it is told, and runs the command with what it is given.
const DOCKER: &str = r#"#!/bin/sh
echo "$@" >> "$LC_DOCKER_LOG"
test "$1" = rm && exit 0
test "$1" = run || exit 9
shift
while :; do
  case "$1" in
    --rm|--init) shift;;
    --env) eval "value=\$$2"; set_="$set_ $2='$value'"; shift 2;;
    --workdir) cd "$2"; shift 2;;
    --*) shift 2;;
    *) break;;
  esac
done
image=$1; shift
eval exec env -i PATH=/usr/bin:/bin IMAGE="$image" $set_ '"$@"'
"#;

#[test]
fn a_container_is_named_by_its_digest() {
    let digest = "ab".repeat(32);
    let yaml = format!(
        "stages:
  a:
    command:
      run: 'echo \"$IMAGE $LC_OWN $ONE $(cat $IN)\" > o'
      env: {{ONE: 1}}
      inputs: {{IN: ./in.txt}}
      environment: {{container: {{image: 'python@sha256:{digest}', engine: docker}}}}
      outputs: [o]
"
    );
    let project = Project::new().with("in.txt", "text").with("p.yaml", &yaml);
    program(&project, "bin/docker", DOCKER);
    let (path, log) = (path_with(&project, "bin"), project.path("docker.log"));
    let caller = [
        ("PATH", path.as_str()),
        ("LC_OWN", "C"),
        ("LC_DOCKER_LOG", log.to_str().unwrap()),
    ];
    let expected = format!("python@sha256:{digest} C 1 text\n");
    assert_eq!(found(&project, &caller), expected);
    let told = project.read("docker.log");
    let run = told.lines().find(|line| line.starts_with("run ")).unwrap();
    assert!(run.contains("/in/IN/in.txt,readonly"), "{run}");
    assert!(
        told.lines()
            .filter(|line| line.starts_with("rm --force erlen-"))
            .count()
            >= 2,
        "{told}"
    );
    // Another name of the same image is the same image.
    project.write("p.yaml", yaml.replace("python@", "registry.example/python@"));
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 reused");
    project.write("p.yaml", yaml.replace(&digest, &"cd".repeat(32)));
    assert!(project.decisions(&["p.yaml"])["a"].starts_with("run: environment.container changed"));
    project.write("p.yaml", yaml.replace(&format!("@sha256:{digest}"), ":3.12"));
    project
        .erlen(["check", "p.yaml"])
        .assert_code(2)
        .assert_stderr("the image `python:3.12` has no digest");
    assert!(Path::new(&log).exists());
}
