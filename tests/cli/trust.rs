//! What goes wrong around Erlen, and what it makes of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::project::{Finished, Project};

/// `wide` chains of two stages each, and one stage over all of them. Every stage takes a moment and leaves a
/// line in the file that `LC_MARKS` names, where it names one: a variable of such a name reaches commands.
pub fn chains(wide: usize, pause: &str) -> String {
    let note = "echo x >> \"$${LC_MARKS:-/dev/null}\"";
    let mut text = String::from("stages:\n");
    let mut inputs = Vec::new();
    for chain in 0..wide {
        text += &format!(
            "  a{chain}: {{command: {{run: 'sleep {pause}; {note}; echo {chain} > o', outputs: [o]}}}}\n  \
             b{chain}: {{command: {{run: 'sleep {pause}; {note}; cat $IN $IN > o', inputs: {{IN: a{chain}/o}}, outputs: [o]}}}}\n"
        );
        inputs.push(format!("I{chain}: b{chain}/o"));
    }
    let all: Vec<String> = (0..wide).map(|chain| format!("$I{chain}")).collect();
    text + &format!(
        "  all: {{command: {{run: '{note}; cat {} > o', inputs: {{{}}}, outputs: [o]}}}}\n",
        all.join(" "),
        inputs.join(", ")
    )
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let found = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let files = found.filter(|entry| entry.file_type().is_file());
    files.map(walkdir::DirEntry::into_path).collect()
}

/// Damages a file of a store.
pub fn spoil(path: &Path, how: &str) {
    // In a soak it may be gone by now.
    let Ok(mut bytes) = std::fs::read(path) else {
        return;
    };
    let _ = std::fs::remove_file(path);
    match how {
        "flip" if !bytes.is_empty() => bytes[0] ^= 1,
        "truncate" => bytes.truncate(bytes.len() / 2),
        "garbage" => bytes = b"{\"garbage\": true}".to_vec(),
        _ => return,
    }
    let _ = std::fs::write(path, bytes);
}

pub fn is_sound(project: &Project) {
    project.erlen(["store", "verify"]).assert_code(0);
    // A folder of work holds at most what is ready for the next stage: no output, log or scratch of an old one.
    let left: Vec<PathBuf> = files(&project.path(".erlen/work"))
        .into_iter()
        .filter(|file| file.file_name().is_none_or(|name| name != "lock"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Starts a run at the head of a process group of its own.
pub fn start_group(project: &Project) -> Child {
    use std::os::unix::process::CommandExt;
    let mut command = project.command(["run", "p.yaml", "-j", "4"]);
    command.process_group(0).stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn kills_at_any_moment_change_no_byte() {
    let text = chains(100, "0.05");
    let undisturbed = Project::new().with("p.yaml", &text);
    undisturbed.erlen(["run", "p.yaml", "-j", "4"]).assert_code(0);
    let project = Project::new().with("p.yaml", &text);
    let mut noise = std::process::id();
    let mut cut_off = 0;
    for _ in 0..100 {
        let mut child = start_group(&project);
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_millis(u64::from(noise >> 26)));
        kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
        cut_off += usize::from(!child.wait().unwrap().success());
    }
    // Otherwise it would have come to its end before.
    assert!(cut_off >= 50, "{cut_off}");
    project.erlen(["run", "p.yaml", "-j", "4"]).assert_code(0);
    assert_eq!(project.artifacts(&["p.yaml"]), undisturbed.artifacts(&["p.yaml"]));
    is_sound(&project);
}

/// Runs in so many processes at once; one of them is killed soon where `kill` says so.
fn together(processes: usize, kill: bool) {
    let project = Project::new().with("p.yaml", chains(3, "0.1"));
    let marks = project.path("marks");
    let start = || {
        use std::os::unix::process::CommandExt;
        let mut command = project.command(["run", "p.yaml", "-j", "2"]);
        command.env("LC_MARKS", &marks).process_group(0);
        command.stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let begun = Instant::now();
    let mut children: Vec<Child> = (0..processes).map(|_| start()).collect();
    if kill {
        std::thread::sleep(Duration::from_millis(250));
        let mut first = children.remove(0);
        kill_process_group(Pid::from_child(&first), Signal::KILL).unwrap();
        first.wait().unwrap();
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(60));
    let made = project.read("marks").lines().count();
    if kill {
        // What the killed one was at is made again, and nothing else: it had two stages in hand.
        assert!((7..=9).contains(&made), "{made}");
    } else {
        assert_eq!(made, 7);
    }
    is_sound(&project);
}

#[test]
fn processes_make_each_result_once() {
    for processes in [2, 4, 8] {
        together(processes, false);
    }
}

#[test]
fn a_killed_process_holds_up_nobody() {
    together(4, true);
}

#[test]
fn damage_is_named_put_away_and_mended() {
    let project = Project::new().with("p.yaml", chains(1, "0"));
    project.erlen(["run", "p.yaml"]).assert_code(0);
    let artifacts = project.artifacts(&["p.yaml"]);
    for (part, how) in [
        ("objects", "flip"),
        ("objects", "truncate"),
        ("objects", "delete"),
        ("actions", "flip"),
        ("actions", "truncate"),
        ("actions", "garbage"),
    ] {
        for victim in files(&project.path(&format!(".erlen/{part}"))) {
            spoil(&victim, how);
            let finished = project.erlen(["run", "p.yaml"]);
            finished.assert_code(0);
            assert_eq!(project.artifacts(&["p.yaml"]), artifacts, "{part} {how}");
            if how == "delete" {
                finished.assert_stderr("evicted");
            } else {
                finished.assert_stderr("corrupt");
            }
        }
        // `verify` finds it too, and says which file it is.
        let victim = files(&project.path(&format!(".erlen/{part}"))).remove(0);
        spoil(&victim, how);
        let verified = project.erlen(["store", "verify"]);
        verified.assert_code(1);
        project.erlen(["run", "p.yaml"]).assert_code(0);
        is_sound(&project);
    }
    assert!(!files(&project.path(".erlen/quarantine")).is_empty());
}

#[test]
fn a_store_in_disorder_is_told_and_works_again() {
    let project = Project::new().with("p.yaml", chains(1, "0"));
    project.erlen(["run", "p.yaml"]).assert_code(0);
    let artifacts = project.artifacts(&["p.yaml"]);
    for part in ["actions", "objects", "work"] {
        let (place, aside) = (project.path(&format!(".erlen/{part}")), project.path("aside"));
        std::fs::rename(&place, &aside).unwrap();
        std::fs::write(&place, "in the way").unwrap();
        let finished = project.erlen(["run", "p.yaml", "-f"]);
        finished.assert_code(1).assert_stderr(&format!(".erlen/{part}"));
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(&aside, &place).unwrap();
        project.erlen(["run", "p.yaml"]).assert_code(0);
        assert_eq!(project.artifacts(&["p.yaml"]), artifacts);
        // Nothing at all is less of a problem.
        std::fs::remove_dir_all(&place).unwrap();
        project.erlen(["run", "p.yaml"]).assert_code(0);
        assert_eq!(project.artifacts(&["p.yaml"]), artifacts);
        is_sound(&project);
    }
}

#[test]
fn names_may_be_as_odd_as_they_like() {
    let folder = tempfile::tempdir().unwrap();
    let odd = "a \"b\" 'c' $d\n\\ü*";
    let root = folder.path().join(odd);
    std::fs::create_dir_all(root.join("in put")).unwrap();
    std::fs::write(root.join("erlen.yaml"), "").unwrap();
    std::fs::write(root.join("in put").join(odd), "one\n").unwrap();
    let text = "stages:
  a: {command: {run: 'cp -r \"$IN\" \"o ut\"', inputs: {IN: './in put'}, outputs: ['o ut']}}
  b: {command: {run: 'cat \"$IN\"/*ü* > o', inputs: {IN: 'a/o ut'}, outputs: [o]}}
";
    std::fs::write(root.join("p q.yaml"), text).unwrap();
    let erlen = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_erlen"));
        let command = command.args(arguments).current_dir(&root).env("NO_COLOR", "1");
        Finished::from(command.env_remove("ERLEN_STORE").output().unwrap())
    };
    erlen(&["run", "p q.yaml"]).assert_code(0).assert_stderr("2 ran");
    erlen(&["run", "p q.yaml"])
        .assert_code(0)
        .assert_stderr("2 reused");
    erlen(&["get", "p q.yaml", "b/o", "-o", "out"]).assert_code(0);
    assert_eq!(std::fs::read_to_string(root.join("out")).unwrap(), "one\n");
    erlen(&["store", "verify"]).assert_code(0);
}

#[test]
fn a_clock_that_goes_backwards_hides_no_change() {
    let text = "stages:\n  a: {command: {run: 'cat $IN > o', inputs: {IN: ./in.txt}, outputs: [o]}}\n";
    let project = Project::new().with("p.yaml", text).with("in.txt", "one\n");
    let later = SystemTime::now() + Duration::from_secs(1_000_000);
    let set = |path: &Path| {
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(later).unwrap();
    };
    // Written when the clock was ahead; it has been set back since.
    set(&project.path("in.txt"));
    project.erlen(["run", "p.yaml"]).assert_code(0);
    for word in ["two\n", "six\n"] {
        project.write("in.txt", word);
        set(&project.path("in.txt"));
        project
            .erlen(["run", "p.yaml"])
            .assert_code(0)
            .assert_stderr("1 ran");
        project
            .erlen(["get", "p.yaml", "a/o", "-o", "out"])
            .assert_code(0);
        assert_eq!(project.read("out"), word);
        std::fs::remove_file(project.path("out")).unwrap();
    }
    for file in files(&project.path(".erlen/actions")) {
        set(&file);
    }
    project
        .erlen(["run", "p.yaml"])
        .assert_code(0)
        .assert_stderr("1 reused");
    is_sound(&project);
}

/// A small file system in memory, which can be filled.
pub struct Small(tempfile::TempDir);

impl Small {
    pub fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mount = mount
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_named_and_corrupts_nothing() {
    let text = "stages:
  a: {command: {run: 'head -c 30000 /dev/zero | tr \"\\\\0\" a > o; echo 1 > p', outputs: [o, p]}}
  b: {command: {run: 'cat $IN/o $IN/p > o', inputs: {IN: a}, outputs: [o]}}
  c: {command: {run: 'wc $IN > o', inputs: {IN: b/o}, outputs: [o]}}
";
    let undisturbed = Project::new().with("p.yaml", text);
    undisturbed.erlen(["run", "p.yaml"]).assert_code(0);
    let mut failures = 0;
    // From no room at all to enough: the disk is full in another phase each time.
    for room in [0, 4, 12, 24, 36, 48, 64, 96, 128, 160, 192, 224, 256, 320] {
        let Some(disk) = Small::mount() else {
            println!("skipped: a file system in memory cannot be mounted here");
            return;
        };
        let project = Project::new().with("p.yaml", text);
        let erlen = |arguments: &[&str]| {
            let mut command = project.command(arguments);
            Finished::from(
                command
                    .env("ERLEN_STORE", disk.path().join("store"))
                    .output()
                    .unwrap(),
            )
        };
        let filler = disk.path().join("filler");
        let fill = vec![0u8; (512 - room) << 10];
        let _ = std::fs::write(&filler, fill);
        let finished = erlen(&["run", "p.yaml", "-j", "1"]);
        if finished.code != Some(0) {
            failures += 1;
            let told = finished.stderr.to_lowercase();
            let named =
                told.contains("no space left") || told.contains("disk is full") || told.contains("full");
            assert!(named, "{room}: {}", finished.stderr);
            assert!(matches!(finished.code, Some(1 | 2)), "{finished:?}");
        }
        std::fs::remove_file(&filler).unwrap();
        erlen(&["run", "p.yaml"]).assert_code(0);
        erlen(&["store", "verify"]).assert_code(0);
        erlen(&["get", "p.yaml", "c/o", "-o", "out"]).assert_code(0);
        assert_eq!(project.read("out").split_whitespace().nth(2), Some("30002"));
    }
    assert!(failures >= 4, "{failures}");
}

#[test]
fn predictions_go_on_where_a_full_disk_stopped_them() {
    let rows = |count: usize, ending: fn(usize) -> &'static str| {
        let rows = (0..count).map(|row| format!("{},{}{}\n", row % 7, row % 5, ending(row)));
        rows.collect::<String>()
    };
    let class = |row: usize| [",a", ",b"][row % 2];
    let project = Project::new()
        .with("t.csv", format!("x,y,class\n{}", rows(40, class)))
        .with("many.csv", format!("x,y\n{}", rows(5000, |_| "")))
        .with(
            "p.yaml",
            "stages:
  data: {preprocess: {input: ./t.csv, format: {csv: {header: true}}}}
  model: {train: {data: data, model: mlp, epochs: 1, optimizer: {sgd: {lr: 0.1}}}}
",
        );
    project.erlen(["run", "p.yaml"]).assert_code(0);
    project
        .erlen(["predict", "p.yaml", "many.csv", "-o", "whole.csv"])
        .assert_code(0);
    let whole = project.read("whole.csv");
    assert!(whole.len() > 200 << 10, "{}", whole.len());
    let Some(disk) = Small::mount() else {
        println!("skipped: a file system in memory cannot be mounted here");
        return;
    };
    let output = disk.path().join("cut.csv");
    let ask = || {
        let mut command = project.command(["predict", "p.yaml", "many.csv", "-o"]);
        Finished::from(command.arg(&output).output().unwrap())
    };
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![0u8; 360 << 10]).unwrap();
    let full = ask();
    assert_eq!(full.code, Some(1), "{full:?}");
    full.assert_stderr("the same command goes on behind");
    assert!(
        full.stderr.to_lowercase().contains("no space left"),
        "{}",
        full.stderr
    );
    std::fs::remove_file(&filler).unwrap();
    ask().assert_code(0).assert_stderr("goes on after");
    assert!(std::fs::read_to_string(&output).unwrap() == whole);
    let left = std::fs::read_dir(disk.path()).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn secrets_are_kept_nowhere() {
    const SECRET: &str = "correct horse battery staple";
    let text = "stages:
  login:
    command:
      run: 'echo \"token is $TOKEN\"; echo \"$TOKEN\" >&2; test \"$TOKEN\" = \"$EXPECTED\"; echo ok > o; test ! -e \"$FAIL\"'
      env: {TOKEN: {secret: MY_TOKEN}, EXPECTED: {secret: MY_TOKEN}, PLAIN: visible, FAIL: FAILFILE}
      outputs: [o]
";
    let project = Project::new();
    project.write(
        "p.yaml",
        text.replace("FAILFILE", &project.path("fail").display().to_string()),
    );
    let erlen = |arguments: &[&str], value: &str| {
        Finished::from(
            project
                .command(arguments)
                .env("MY_TOKEN", value)
                .output()
                .unwrap(),
        )
    };
    // Told before anything runs.
    project
        .erlen(["run", "p.yaml"])
        .assert_code(2)
        .assert_stderr("`MY_TOKEN`, which is not set");
    let swept = "params: {x: 1}\nstages:\n  a: {command: {run: ': ${x}', env: {T: {secret: MY_TOKEN}}}}\n";
    project.write("sweep.yaml", swept);
    project
        .erlen(["sweep", "sweep.yaml", "--set", "x=1,2"])
        .assert_code(2)
        .assert_stderr("the stage `a` cannot run: it takes a secret");
    // Only those see it that ask for it.
    project.write(
        "other.yaml",
        "stages:\n  a: {command: {run: 'printf \"%s\" \"$MY_TOKEN\" > o', outputs: [o]}}\n  \
         b: {command: {run: 'true', env: {X: {secret: MY_TOKEN}}}}\n",
    );
    erlen(&["run", "other.yaml"], SECRET).assert_code(0);
    erlen(&["get", "other.yaml", "a/o", "-o", "seen"], SECRET).assert_code(0);
    assert_eq!(project.read("seen"), "");
    erlen(&["run", "p.yaml"], "abc")
        .assert_code(2)
        .assert_stderr("is shorter than 4 bytes");
    project.write("fail", "");
    let failed = erlen(&["run", "p.yaml", "--events", "events.jsonl"], SECRET);
    failed.assert_code(1).assert_stderr("token is ***");
    let log = files(&project.path(".erlen/work"))
        .into_iter()
        .find(|file| file.ends_with("log.txt"));
    assert_eq!(
        std::fs::read_to_string(log.unwrap()).unwrap(),
        "token is ***\n***\n"
    );
    std::fs::remove_file(project.path("fail")).unwrap();
    let done = erlen(&["run", "p.yaml", "--log-format", "json"], SECRET);
    done.assert_code(0);
    let explained = erlen(&["why", "p.yaml", "login", "--json"], SECRET);
    let planned = erlen(&["plan", "p.yaml", "--json"], SECRET);
    for text in [
        &failed.stderr,
        &failed.stdout,
        &done.stderr,
        &done.stdout,
        &explained.stdout,
        &planned.stdout,
    ] {
        assert!(!text.contains("battery"), "{text}");
    }
    for file in files(&project.path(".")) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(7).any(|window| window == b"battery");
        assert!(!found, "{}", file.display());
    }
    // Metrics are recorded, so none of them may be one.
    for (metrics, told) in [
        (r#"{"$T": 1}"#, "the output `m.json` holds the secret `T`"),
        (
            r#"{"a": {"x $T": 1}}"#,
            "the output `m.json` holds the secret `T`",
        ),
        (r#"{"a": $N}"#, "the output `m.json` holds the secret `N`"),
        (
            r#"{"a": 1.2345678e7}"#,
            "the metrics file `m.json` holds a secret",
        ),
    ] {
        let run = format!("printf \"%s\" \"{}\" > m.json", metrics.replace('"', "\\\""));
        let text = format!(
            "stages:\n  a:\n    command:\n      run: '{run}'\n      env: {{T: {{secret: MY_TOKEN}}, N: {{secret: \
             MY_NUMBER}}}}\n      outputs: [m.json]\n      metrics: m.json\n"
        );
        project.write("metrics.yaml", text);
        let mut command = project.command(["run", "metrics.yaml"]);
        let command = command.env("MY_TOKEN", SECRET).env("MY_NUMBER", "12345678");
        let finished = Finished::from(command.output().unwrap());
        finished.assert_code(1).assert_stderr(told);
        assert!(!finished.stderr.contains("battery"), "{}", finished.stderr);
    }
    for folder in ["actions", "objects"] {
        for file in files(&project.path(&format!(".erlen/{folder}"))) {
            let text = std::fs::read(&file).unwrap();
            let found = text.windows(7).any(|window| window == b"battery");
            assert!(!found, "{}", file.display());
        }
    }
    // Another value of the secret, or another variable for it, is no other stage; a plain value is.
    erlen(&["run", "p.yaml"], "another value")
        .assert_code(0)
        .assert_stderr("1 reused");
    project.write("p.yaml", project.read("p.yaml").replace("visible", "changed"));
    erlen(&["plan", "p.yaml"], SECRET).assert_stdout("env.PLAIN changed");
    project.write("p.yaml", text.replace("secret: MY_TOKEN", "secret: my token"));
    project
        .erlen(["check", "p.yaml"])
        .assert_code(2)
        .assert_stderr("name the variable that holds the secret");
}

#[test]
fn nothing_of_a_command_outlives_it() {
    let project = Project::new();
    let mark = project.path("mark");
    let daemon = format!(
        "setsid sh -c \"sleep 2; touch {mark}\" > /dev/null 2>&1 & (setsid sh -c \"sleep 2; touch {mark}\" &) ; sleep 0.2; echo 1 > o",
        mark = mark.display()
    );
    project.write(
        "p.yaml",
        format!("stages:\n  a: {{command: {{run: '{daemon}', outputs: [o]}}}}\n"),
    );
    let begun = Instant::now();
    let finished = project.erlen(["run", "p.yaml"]);
    finished.assert_code(0);
    assert!(begun.elapsed() < Duration::from_secs(10));
    if cfg!(target_os = "linux") {
        finished.assert_stderr("which were killed: nothing of a stage outlives it");
        std::thread::sleep(Duration::from_millis(2500).saturating_sub(begun.elapsed()));
        assert!(!mark.exists());
    }
}

#[test]
fn what_a_killed_erlen_left_running_is_ended_by_the_next() {
    let project = Project::new();
    let (begun, late) = (project.path("begun"), project.path("late"));
    let run = format!(
        "if [ ! -e {begun} ]; then touch {begun}; (sleep 3; touch {late}) & sleep 3; touch {late}; fi; echo 1 > o",
        begun = begun.display(),
        late = late.display()
    );
    project.write(
        "p.yaml",
        format!("stages:\n  a: {{command: {{run: '{run}', outputs: [o]}}}}\n"),
    );
    let mut child = start_group(&project);
    let start = Instant::now();
    while !begun.exists() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let finished = project.erlen(["run", "p.yaml"]);
    finished.assert_code(0);
    if cfg!(target_os = "linux") {
        finished.assert_stderr("of an earlier try, whose Erlen was killed, still ran");
        std::thread::sleep(Duration::from_millis(3500).saturating_sub(start.elapsed()));
        assert!(!late.exists());
    }
    is_sound(&project);
}

#[test]
fn a_command_that_will_not_end_is_ended() {
    let text = "stages:\n  a:\n    command: {run: 'trap \"\" TERM INT HUP; echo stubborn; while :; do sleep 0.1; done'}\n    timeout: 300ms\n";
    let project = Project::new().with("p.yaml", text);
    let begun = Instant::now();
    project
        .erlen(["run", "p.yaml"])
        .assert_code(1)
        .assert_stderr("stopped after its timeout of 0.3 s")
        .assert_stderr("stubborn");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_gigabyte_of_output_fills_no_disk() {
    let run = "echo first line; yes | head -c 1000000000; echo; echo last line; exit 3";
    let project = Project::new().with("p.yaml", format!("stages:\n  a: {{command: {{run: '{run}'}}}}\n"));
    project
        .erlen(["run", "p.yaml"])
        .assert_code(1)
        .assert_stderr("exit status: 3")
        .assert_stderr("last line");
    let log = files(&project.path(".erlen/work"))
        .into_iter()
        .find(|file| file.ends_with("log.txt"));
    let log = std::fs::read(log.unwrap()).unwrap();
    assert!(log.len() < 40 << 20, "{}", log.len());
    assert!(log.starts_with(b"first line\n") && log.ends_with(b"\nlast line\n"));
}

#[test]
fn a_command_that_changes_its_inputs_harms_nobody() {
    let stage = |name: &str, run: &str| {
        format!("  {name}: {{command: {{run: '{run}', inputs: {{IN: made}}, outputs: [o]}}}}\n")
    };
    let made = "stages:\n  made: {command: {run: 'echo good > o; echo more > p', outputs: [o, p]}}\n";
    let vandal = stage("vandal", "chmod u+w $IN $IN/o; echo bad >> $IN/o; echo 1 > o");
    let tidy = stage(
        "tidy",
        "chmod u+w $IN; rm -f $IN/p; echo new > $IN/q; cat $IN/o > o; echo stray > stray; echo x > ../../output/x; rm -f ../../lock",
    );
    let user = stage("user", "cat $IN/o $IN/p > o; ls $IN >> o");
    let project = Project::new().with("p.yaml", format!("{made}{vandal}{tidy}{user}"));
    project
        .erlen(["run", "p.yaml", "-k", "-j", "1"])
        .assert_code(1)
        .assert_stderr("the stage changed its own input `IN`, in o");
    project.write("p.yaml", format!("{made}{tidy}{user}"));
    project.erlen(["run", "p.yaml"]).assert_code(0);
    project
        .erlen(["get", "p.yaml", "user/o", "-o", "out"])
        .assert_code(0);
    assert_eq!(project.read("out"), "good\nmore\no\np\n");
    let parts: BTreeMap<String, String> = project.artifacts(&["p.yaml"]);
    assert_eq!(parts.len(), 3);
    is_sound(&project);
}
