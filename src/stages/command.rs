//! The `command` kind: runs a program in an empty folder and collects what it declared.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::process::{Ended, Process};
use super::{Job, Outcome, Stage, StageError};
use crate::event::{Metrics, Monitor};
use crate::spec::{self, Kind, Run};

/// How long a program may take to end once it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Runs jobs of kind `command`.
pub struct CommandStage;

impl Stage for CommandStage {
    fn run(&self, job: &Job, monitor: &Monitor) -> Result<Outcome, StageError> {
        let Kind::Command(spec) = &job.kind else {
            return Err(StageError::failed("not a command"));
        };
        // A folder of its own for each try: what an earlier, abandoned try may still write is not
        // mixed up with this one's.
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&job.scratch)
            .map_err(|error| StageError::failed(format!("{}: {error}", job.scratch.display())))?;
        execute(spec, job, folder.path(), monitor)?;
        let outputs: Vec<&Path> = spec.outputs.iter().map(Path::new).collect();
        for output in outputs {
            collect(folder.path(), output, &job.output)?;
        }
        let metrics = match &spec.metrics {
            Some(path) => read_metrics(&job.output.join(path), path)?,
            None => Metrics::new(),
        };
        Ok(Outcome { metrics })
    }
}

/// Runs the program to its end.
fn execute(spec: &spec::Command, job: &Job, folder: &Path, monitor: &Monitor) -> Result<(), StageError> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(&job.log)
        .map_err(|error| StageError::failed(format!("{}: {error}", job.log.display())))?;
    let errors = log
        .try_clone()
        .map_err(|error| StageError::failed(error.to_string()))?;
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
        .stdout(log)
        .stderr(errors);
    if let Some(gpus) = &job.visible_gpus {
        command.env("CUDA_VISIBLE_DEVICES", gpus);
    }
    for (name, value) in &spec.env {
        command.env(name, value.to_string());
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
    match process.wait(GRACE, || monitor.stopped()) {
        Ok(Ended::Stopped(_)) => Err(StageError::Interrupted),
        Ok(Ended::Exited(status)) if status.success() => Ok(()),
        Ok(Ended::Exited(status)) => Err(StageError::failed(format!("the command failed: {status}"))),
        Err(error) => Err(StageError::failed(format!(
            "cannot wait for the command: {error}"
        ))),
    }
}

/// Moves a declared output from where the command ran into the artifact.
fn collect(folder: &Path, output: &Path, target: &Path) -> Result<(), StageError> {
    let made = folder.join(output);
    if made.symlink_metadata().is_err() {
        return Err(StageError::failed(format!(
            "the command ended well without making its output `{}`; it left: {}",
            output.display(),
            listing(folder)
        )));
    }
    let target = target.join(output);
    let moved = target
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::rename(&made, &target));
    moved.map_err(|error| {
        StageError::failed(format!("cannot take the output `{}`: {error}", output.display()))
    })
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
