//! A temporary project and the program run in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A project in a temporary folder.
pub struct Project {
    folder: TempDir,
}

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Project {
    pub fn new() -> Self {
        let project = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        project.write("erlen.yaml", "");
        project
    }

    /// With a copy of a file of the repository.
    pub fn with_copy(self, path: &str) -> Self {
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
            .expect("a file of the repository");
        self.write(path, bytes);
        self
    }

    pub fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The program, set to run in the project with nothing of the surroundings leaking in.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_erlen"), arguments)
    }

    /// The same with the program at another place.
    pub fn command_of<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("NO_COLOR", "1")
            .env_remove("ERLEN_STORE")
            .env_remove("RUST_BACKTRACE")
            // Any will do for the services that tests start.
            .env("AWS_ACCESS_KEY_ID", "erlen")
            .env("AWS_SECRET_ACCESS_KEY", "erlen")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn erlen<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Finished {
        Finished::from(self.command(arguments).output().expect("the program starts"))
    }

    /// Starts the program and leaves it running.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// Each stage's artifact, by `erlen plan --json`; panics unless all are known.
    pub fn artifacts(&self, arguments: &[&str]) -> BTreeMap<String, String> {
        let plan = self.plan(arguments);
        let stages = plan["stages"].as_array().expect("stages");
        stages
            .iter()
            .map(|stage| {
                let artifact = stage["artifact"]
                    .as_str()
                    .unwrap_or_else(|| panic!("not reused: {stage}"));
                (
                    stage["stage"].as_str().expect("a name").to_owned(),
                    artifact.to_owned(),
                )
            })
            .collect()
    }

    /// Each stage's decision, by `erlen plan --json`.
    pub fn decisions(&self, arguments: &[&str]) -> BTreeMap<String, String> {
        let plan = self.plan(arguments);
        let stages = plan["stages"].as_array().expect("stages");
        stages
            .iter()
            .map(|stage| {
                let text = |field: &str| stage[field].as_str().unwrap_or_default().to_owned();
                let decision = match text("decision").as_str() {
                    "run" => format!("run: {}", text("because")),
                    other => other.to_owned(),
                };
                (text("stage"), decision)
            })
            .collect()
    }

    fn plan(&self, arguments: &[&str]) -> serde_json::Value {
        let finished = self.erlen(["plan", "--json"].iter().chain(arguments));
        finished.assert_code(0);
        serde_json::from_str(&finished.stdout).expect("a plan is JSON")
    }
}

impl Finished {
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn assert_stdout(&self, part: &str) -> &Self {
        assert!(
            self.stdout.contains(part),
            "no `{part}` in stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn assert_stderr(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "`{part}` is not in:\n{}", self.stderr);
        self
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
