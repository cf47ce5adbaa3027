//! Places that may not be read or written.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use walkdir::WalkDir;

use crate::project::{Finished, Project};
use crate::trust::{Small, files};

/// An ordinary user, where the tests run as root, whom no permission binds.
const NOBODY: u32 = 65_534;

const PIPELINE: &str = "stages:
  a: {command: {run: 'cat $IN > o', inputs: {IN: ./in.txt}, outputs: [o]}}
  b: {command: {run: 'cat $IN $IN > o', inputs: {IN: a/o}, outputs: [o]}}
";

/// A project of an ordinary user's.
struct Ordinary {
    project: Project,
    /// The program, at a place where that user may read it.
    program: PathBuf,
}

impl Ordinary {
    /// With everything made. Nothing where this cannot be tested.
    fn new() -> Option<Self> {
        let project = Project::new().with("p.yaml", PIPELINE).with("in.txt", "one\n");
        let mut ordinary = Self {
            program: env!("CARGO_BIN_EXE_erlen").into(),
            project,
        };
        if is_root() {
            ordinary.program = ordinary.project.path("erlen-program");
            let built = env!("CARGO_BIN_EXE_erlen");
            if std::fs::hard_link(built, &ordinary.program).is_err() {
                std::fs::copy(built, &ordinary.program).unwrap();
            }
            for entry in WalkDir::new(ordinary.project.path(".")).into_iter().flatten() {
                if entry.path() != ordinary.program {
                    chown(entry.path(), Some(NOBODY), Some(NOBODY)).unwrap();
                }
            }
        }
        let started = ordinary.command(&["--version"]).output();
        if !started.is_ok_and(|output| output.status.success()) {
            println!("skipped: an ordinary user cannot start the program here");
            return None;
        }
        ordinary.erlen(&["run", "p.yaml"]).assert_code(0);
        Some(ordinary)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command_of(&self.program, arguments);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn erlen(&self, arguments: &[&str]) -> Finished {
        Finished::from(self.command(arguments).output().unwrap())
    }

    /// Everything works, and is what it should be.
    fn is_well(&self) {
        self.erlen(&["run", "p.yaml"]).assert_code(0);
        self.erlen(&["store", "verify"]).assert_code(0);
        let out = self.project.path("out");
        self.erlen(&["get", "p.yaml", "b/o", "-o", "out"]).assert_code(0);
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "one\none\n");
        std::fs::remove_file(&out).unwrap();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The permissions of what is in a folder, to be given back.
fn permissions(place: &Path) -> Vec<(PathBuf, u32)> {
    let all = WalkDir::new(place).contents_first(true).into_iter().flatten();
    all.map(|entry| {
        let mode = entry.metadata().unwrap().permissions().mode();
        (entry.into_path(), mode)
    })
    .collect()
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Takes `mask` away from everything in a folder; gives what it was, folders before what is in them.
fn deny(place: &Path, mask: u32) -> Vec<(PathBuf, u32)> {
    let mut before = permissions(place);
    for (path, mode) in &before {
        set(path, mode & !mask);
    }
    before.reverse();
    before
}

fn give_back(before: &[(PathBuf, u32)]) {
    for (path, mode) in before {
        set(path, *mode);
    }
}

#[test]
fn a_store_without_write_permission_answers_and_says_what_it_cannot() {
    let Some(ordinary) = Ordinary::new() else { return };
    let before = deny(&ordinary.project.path(".erlen"), 0o222);
    ordinary
        .erlen(&["plan", "p.yaml"])
        .assert_code(0)
        .assert_stdout("2 stages, all up to date");
    ordinary
        .erlen(&["get", "p.yaml", "b/o", "-o", "out"])
        .assert_code(0);
    std::fs::remove_file(ordinary.project.path("out")).unwrap();
    ordinary
        .erlen(&["run", "p.yaml", "-f"])
        .assert_code(1)
        .assert_stderr("the store cannot be written")
        .assert_stderr("Permission denied");
    give_back(&before);
    ordinary.is_well();
}

#[test]
fn what_may_not_be_read_is_named_and_neither_lost_nor_put_away() {
    let Some(ordinary) = Ordinary::new() else { return };
    let input = ordinary.project.path("in.txt");
    set(&input, 0);
    ordinary
        .erlen(&["run", "p.yaml"])
        .assert_code(2)
        .assert_stderr("in.txt")
        .assert_stderr("Permission denied");
    set(&input, 0o644);
    ordinary.is_well();
    for part in ["objects", "actions"] {
        for file in files(&ordinary.project.path(&format!(".erlen/{part}"))) {
            let mode = file.metadata().unwrap().permissions().mode();
            set(&file, 0);
            let finished = ordinary.erlen(&["run", "p.yaml", "-f", "b"]);
            if finished.code != Some(0) {
                finished.assert_stderr("Permission denied");
            }
            assert!(file.exists(), "{}", file.display());
            set(&file, mode);
            ordinary.is_well();
        }
        let folder = ordinary.project.path(&format!(".erlen/{part}"));
        let before = deny(&folder, 0o777);
        ordinary
            .erlen(&["run", "p.yaml"])
            .assert_code(1)
            .assert_stderr("Permission denied");
        give_back(&before);
        ordinary.is_well();
    }
    assert!(files(&ordinary.project.path(".erlen/quarantine")).is_empty());
}

#[test]
fn a_project_that_may_not_be_written_is_told() {
    let Some(ordinary) = Ordinary::new() else { return };
    let root = ordinary.project.path(".");
    std::fs::rename(root.join(".erlen"), root.join("aside")).unwrap();
    set(&root, 0o555);
    let finished = ordinary.erlen(&["run", "p.yaml"]);
    set(&root, 0o755);
    assert_ne!(finished.code, Some(0));
    finished
        .assert_stderr(".erlen")
        .assert_stderr("Permission denied");
    std::fs::rename(root.join("aside"), root.join(".erlen")).unwrap();
    ordinary.is_well();
}

#[test]
fn a_file_system_that_turns_read_only_is_named_and_corrupts_nothing() {
    let Some(disk) = Small::mount() else {
        println!("skipped: a file system in memory cannot be mounted here");
        return;
    };
    let slow = PIPELINE.replace("cat $IN $IN", "touch STARTED; sleep 1; cat $IN $IN");
    let project = Project::new().with("in.txt", "one\n");
    let started = project.path("started");
    project.write("p.yaml", slow.replace("STARTED", &started.display().to_string()));
    let command = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("ERLEN_STORE", disk.path().join("store"));
        command
    };
    let erlen = |arguments: &[&str]| Finished::from(command(arguments).output().unwrap());
    let remount = |how: &str| {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-o", &format!("remount,{how}")]).arg(disk.path());
        mount.output().is_ok_and(|output| output.status.success())
    };
    erlen(&["run", "p.yaml"]).assert_code(0);
    if !remount("ro") {
        println!("skipped: the file system stays writable");
        return;
    }
    erlen(&["plan", "p.yaml"])
        .assert_code(0)
        .assert_stdout("2 stages, all up to date");
    erlen(&["get", "p.yaml", "b/o", "-o", "out"]).assert_code(0);
    erlen(&["run", "p.yaml", "-f"])
        .assert_code(1)
        .assert_stderr("the store cannot be written")
        .assert_stderr("Read-only file system");
    assert!(remount("rw"));
    erlen(&["run", "p.yaml"]).assert_code(0).assert_stderr("2 reused");

    // In the middle of a stage.
    std::fs::remove_file(&started).unwrap();
    let mut child = command(&["run", "p.yaml", "-f"]);
    let child = child.stderr(std::process::Stdio::piped()).spawn().unwrap();
    while !started.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let read_only = remount("ro");
    let finished = Finished::from(child.wait_with_output().unwrap());
    if read_only {
        finished.assert_code(1).assert_stderr("Read-only file system");
        assert!(remount("rw"));
    }
    erlen(&["run", "p.yaml"]).assert_code(0);
    erlen(&["store", "verify"]).assert_code(0);
}
