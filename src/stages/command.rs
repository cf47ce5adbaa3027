//! The `command` kind: runs a program in an empty folder and collects what it declared.

use std::env::VarError;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::capture::{Capture, hide};
use super::orphans;
use super::process::{Ended, Process};
use super::{Job, Outcome, Registry, StageError, StageRunner};
use crate::event::{Metrics, Monitor};
use crate::spec::{self, CommandMetrics, EnvEntry, Kind, Run, Secret};

/// A shorter secret would be found by chance.
const SHORTEST_SECRET: usize = 4;

/// How long a program may take to end once it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How the names of the folders begin that commands run in.
const TRY: &str = "run-";

/// Runs jobs of kind `command`.
impl StageRunner for spec::Command {
    fn run(&self, job: &Job, _: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let spec = self;
        clear_abandoned(job, monitor);
        // A folder of its own for each try: what an earlier, abandoned try may still write is not
        // mixed up with this one's.
        let folder = tempfile::Builder::new()
            .prefix(TRY)
            .tempdir_in(&job.scratch)
            .map_err(|error| StageError::failed(format!("{}: {error}", job.scratch.display())))?;
        let secrets = secrets(spec)?;
        let hidden: Vec<&str> = secrets.iter().map(|(_, value)| value.as_str()).collect();
        execute(spec, job, folder.path(), &secrets, &hidden, monitor)?;
        empty(&job.output)?;
        for output in &spec.outputs {
            let taken = collect(folder.path(), Path::new(output), &job.output);
            taken.map_err(|message| StageError::failed(hide(&message, &hidden)))?;
        }
        let metrics = match &spec.metrics {
            Some(CommandMetrics { file, .. }) => read_metrics(&job.output.join(file), file)
                .and_then(|metrics| without_secrets(metrics, file, &hidden))?,
            None => Metrics::new(),
        };
        Ok(Outcome { metrics })
    }
}

/// Ends the processes of earlier tries and removes their folders. Only where Erlen was killed there are any.
fn clear_abandoned(job: &Job, monitor: &Monitor) {
    let items = fs::read_dir(&job.scratch).into_iter().flatten().flatten();
    let is_try = |item: &fs::DirEntry| item.file_name().to_string_lossy().starts_with(TRY);
    let left: Vec<PathBuf> = items.filter(is_try).map(|item| item.path()).collect();
    if left.is_empty() {
        return;
    }
    match orphans::end_abandoned(&job.fingerprint.to_string(), &job.scratch) {
        0 => {}
        1 => monitor.warn("a process of an earlier try, whose Erlen was killed, still ran and was killed"),
        count => monitor.warn(format!(
            "{count} processes of an earlier try, whose Erlen was killed, still ran and were killed"
        )),
    }
    for folder in left {
        // What cannot be removed is in nobody's way.
        let _ = fs::remove_dir_all(folder);
    }
}

/// Runs the program to its end.
fn execute(
    spec: &spec::Command,
    job: &Job,
    folder: &Path,
    secrets: &[(&String, String)],
    hidden: &[&str],
    monitor: &Monitor,
) -> Result<(), StageError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| StageError::failed(format!("{what}: {error}"));
    let (output, printed) = std::io::pipe().map_err(|error| failed("a pipe", &error))?;
    let errors = printed.try_clone().map_err(|error| failed("a pipe", &error))?;
    // The same each time: a program may print its environment.
    let mark = job.fingerprint.to_string();
    let mut command = match &spec.run {
        Run::Script(script) => {
            let mut command = Command::new("sh");
            command.args(["-e", "-c", script]);
            command
        }
        Run::Program(words) => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            command
        }
    };
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(printed)
        .stderr(errors)
        .env(orphans::MARK, &mark);
    if let Some(gpus) = &job.surroundings.gpus {
        command.env("CUDA_VISIBLE_DEVICES", gpus);
    }
    for (name, entry) in &spec.env {
        if let EnvEntry::Value(value) = entry {
            command.env(name, value.to_string());
        }
    }
    // What is a secret of others is none of its business.
    for name in &job.surroundings.secrets {
        command.env_remove(name);
    }
    for (name, value) in secrets {
        command.env(name, value);
    }
    for name in spec.inputs.keys() {
        command.env(name, job.input(name)?);
    }
    let name = match &spec.run {
        Run::Script(_) => "sh",
        Run::Program(words) => &words[0],
    };
    let process = Process::start(&mut command)
        .map_err(|error| StageError::failed(format!("the program `{name}` cannot be started: {error}")))?;
    // Else this end of the pipe would stay open.
    drop(command);
    let mut log = Capture::new(&job.log, hidden);
    let ended = process.wait_and_read(GRACE, || monitor.stopped(), Some(output), &mut |bytes| {
        log.take(bytes);
    });
    if let Some(error) = log.finish() {
        monitor.warn(format!("its log ends early: {}: {error}", job.log.display()));
    }
    match orphans::end(&mark) {
        0 => {}
        1 => monitor.warn("it left a process behind, which was killed: nothing of a stage outlives it"),
        count => monitor.warn(format!(
            "it left {count} processes behind, which were killed: nothing of a stage outlives it"
        )),
    }
    match ended {
        Ok(Ended::Stopped(_)) => Err(StageError::Interrupted),
        Ok(Ended::Exited(status)) if status.success() => Ok(()),
        Ok(Ended::Exited(status)) => Err(StageError::failed(format!("the command failed: {status}"))),
        Err(error) => Err(StageError::failed(format!(
            "cannot wait for the command: {error}"
        ))),
    }
}

/// The variables that are taken from this program's own environment, with their values.
fn secrets(spec: &spec::Command) -> Result<Vec<(&String, String)>, StageError> {
    let mut secrets = Vec::new();
    for (name, entry) in &spec.env {
        let EnvEntry::Secret(Secret { secret }) = entry else {
            continue;
        };
        secrets.push((name, value_of(secret).map_err(StageError::failed)?));
    }
    Ok(secrets)
}

/// The value of a secret's variable.
fn value_of(variable: &str) -> Result<String, String> {
    match std::env::var(variable) {
        Ok(value) if value.len() < SHORTEST_SECRET => Err(format!(
            "the secret in the environment variable `{variable}` is shorter than {SHORTEST_SECRET} bytes and cannot be \
             hidden in what the command prints; put a plain value into `env`"
        )),
        Ok(value) => Ok(value),
        Err(VarError::NotPresent) => Err(format!(
            "it takes a secret from the environment variable `{variable}`, which is not set"
        )),
        Err(VarError::NotUnicode(_)) => Err(format!(
            "the secret in the environment variable `{variable}` is not UTF-8 text and cannot be hidden in what the \
             command prints"
        )),
    }
}

/// What is wrong with the secrets that a command needs, if anything is.
pub fn secret_problem(kind: &Kind) -> Option<String> {
    kind.secrets()
        .into_iter()
        .find_map(|variable| value_of(variable).err())
}

/// Empties the folder for outputs: only what is declared is kept, wherever a program wrote.
fn empty(folder: &Path) -> Result<(), StageError> {
    let clear = || -> std::io::Result<()> {
        for item in fs::read_dir(folder)? {
            let item = item?;
            if item.file_type()?.is_dir() {
                fs::remove_dir_all(item.path())?;
            } else {
                fs::remove_file(item.path())?;
            }
        }
        Ok(())
    };
    clear().map_err(|error| StageError::failed(format!("{}: {error}", folder.display())))
}

/// Moves a declared output from where the command ran into the artifact.
fn collect(folder: &Path, output: &Path, target: &Path) -> Result<(), String> {
    let made = folder.join(output);
    if made.symlink_metadata().is_err() {
        return Err(format!(
            "the command ended well without making its output `{}`; it left: {}",
            output.display(),
            listing(folder)
        ));
    }
    let target = target.join(output);
    let moved = target
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::rename(&made, &target));
    moved.map_err(|error| format!("cannot take the output `{}`: {error}", output.display()))
}

fn listing(folder: &Path) -> String {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| PathBuf::from(entry.file_name())))
        .collect();
    names.sort();
    match names.len() {
        0 => "nothing".to_owned(),
        _ => names
            .iter()
            .take(8)
            .map(|name| name.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// The numbers of a JSON object; those of objects inside it as `outer.inner`.
fn read_metrics(path: &Path, name: &str) -> Result<Metrics, StageError> {
    let failed = |problem: String| StageError::failed(format!("the metrics file `{name}`: {problem}"));
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| failed(format!("not JSON: {error}")))?;
    if !value.is_object() {
        return Err(failed("an object with numbers is expected".to_owned()));
    }
    let mut metrics = Metrics::new();
    flatten("", &value, &mut metrics);
    Ok(metrics)
}

/// The metrics, if they give no secret away: metrics are written into records.
fn without_secrets(metrics: Metrics, file: &str, secrets: &[&str]) -> Result<Metrics, StageError> {
    let tells = |(name, value): (&String, &f64)| {
        let is_value = |secret: &&str| secret.parse::<f64>().is_ok_and(|number| number == *value);
        hide(name, secrets) != *name || secrets.iter().any(is_value)
    };
    if metrics.iter().any(tells) {
        return Err(StageError::failed(format!(
            "the metrics file `{file}` holds a secret, in a metric's name or as a figure, and metrics are recorded"
        )));
    }
    Ok(metrics)
}

fn flatten(prefix: &str, value: &Value, metrics: &mut Metrics) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                flatten(&name, value, metrics);
            }
        }
        Value::Number(number) => {
            if let Some(number) = number.as_f64() {
                metrics.insert(prefix.to_owned(), number);
            }
        }
        _ => {}
    }
}
