//! The `command` kind: runs a program in an empty folder and collects what it declared.

mod advice;
mod environment;
mod launch;
mod metrics;
mod outputs;
mod secrets;
mod shown;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::capture::{Capture, hide};
use super::orphans;
use super::process::{Ended, Process};
use super::{Job, Outcome, Registry, StageError, StageRunner};
use crate::event::{Metrics, Monitor};
use crate::spec::{self, CommandMetrics, Environment};
use environment::Container;
pub use environment::environment_problem;
use launch::Launch;
pub use secrets::secret_problem;
pub(super) use secrets::value_of;
use shown::ShownOutput;

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
        let secrets = secrets::of(spec)?;
        let hidden: Vec<&str> = secrets.iter().map(|(_, value)| value.as_str()).collect();
        let container = match &spec.environment {
            Some(Environment::Container(declared)) => {
                Some(Container::of(declared, job).map_err(StageError::failed)?)
            }
            _ => None,
        };
        let launch = Launch {
            spec,
            job,
            folder: folder.path(),
            secrets: &secrets,
            container: container.as_ref(),
        };
        // One of an earlier try, whose Erlen was killed, has the name.
        container.iter().for_each(Container::remove);
        let ended = execute(&launch, &hidden, monitor);
        container.iter().for_each(Container::remove);
        ended?;
        outputs::empty(&job.output).map_err(StageError::failed)?;
        outputs::collect(folder.path(), &spec.outputs, &job.output)
            .map_err(|message| StageError::failed(hide(&message, &hidden)))?;
        secrets::check_outputs(&job.output, &secrets)?;
        let metrics = match &spec.metrics {
            Some(CommandMetrics { file, .. }) => {
                read_metrics(&job.output.join(file), file, &hidden, monitor)?
            }
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
fn execute(launch: &Launch<'_>, hidden: &[&str], monitor: &Monitor) -> Result<(), StageError> {
    let job = launch.job;
    let failed = |what: &str, error: &dyn std::fmt::Display| StageError::failed(format!("{what}: {error}"));
    let (output, printed) = std::io::pipe().map_err(|error| failed("a pipe", &error))?;
    let errors = printed.try_clone().map_err(|error| failed("a pipe", &error))?;
    for name in advice::undeclared_variables(launch) {
        monitor.warn(format!(
            "`{name}` is set, and reaches a command only where it is declared: `env: {{{name}: {{variable: {name}}}}}`, or \
             `{{secret: {name}}}` where it is one"
        ));
    }
    let mut command = launch.command()?;
    command.stdin(Stdio::null()).stdout(printed).stderr(errors);
    let process = Process::start(&mut command).map_err(|error| launch.cannot_start(&error))?;
    // Else this end of the pipe would stay open.
    drop(command);
    let mut shown = ShownOutput::new(monitor);
    let mut log = Capture::new(&job.log, hidden);
    let ended = process.wait_and_read(GRACE, || monitor.stopped(), Some(output), &mut |bytes| {
        log.take(bytes, &mut |bytes| shown.take(bytes));
    });
    if let Some(error) = log.finish(&mut |bytes| shown.take(bytes)) {
        monitor.warn(format!("its log ends early: {}: {error}", job.log.display()));
    }
    shown.finish();
    match orphans::end(&launch.mark()) {
        0 => {}
        1 => monitor.warn("it left a process behind, which was killed: nothing of a stage outlives it"),
        count => monitor.warn(format!(
            "it left {count} processes behind, which were killed: nothing of a stage outlives it"
        )),
    }
    match ended {
        Ok(Ended::Stopped(_)) => Err(StageError::Interrupted),
        Ok(Ended::Exited(status)) if status.success() => Ok(()),
        Ok(Ended::Exited(status)) => {
            let mut message = format!("the command failed: {status}");
            if let Some(advice) = advice::of(launch) {
                message.push_str("; ");
                message.push_str(&hide(&advice, hidden));
            }
            Err(StageError::failed(message))
        }
        Err(error) => Err(StageError::failed(format!(
            "cannot wait for the command: {error}"
        ))),
    }
}

/// The figures of the metrics file `name`; what is odd about them is told.
fn read_metrics(path: &Path, name: &str, hidden: &[&str], monitor: &Monitor) -> Result<Metrics, StageError> {
    let failed = |problem: String| StageError::failed(format!("the metrics file `{name}`: {problem}"));
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let read = metrics::read(&bytes).map_err(|problem| failed(hide(&problem, hidden)))?;
    let metrics = secrets::without_secrets(read.metrics, name, hidden)?;
    for note in read.notes {
        monitor.warn(format!("`{name}`: {}", hide(&note, hidden)));
    }
    Ok(metrics)
}
