//! Heavy stages in processes of their own: both ends of the line.
//!
//! The dispatcher's side writes the job to a file and starts `PROGRAM worker JOBFILE`. The worker
//! tells its activities as JSON lines on its standard output, and in the end its result. Its
//! standard input is the lease's lock file, so the lease lives as long as the worker does; its
//! standard error is the stage's log. A worker whose dispatcher is gone saves what a resume needs
//! and ends.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::task::stage_for;
use super::unfinished::JOB_FILE;
use crate::event::{Activity, Monitor};
use crate::stages::{Ended, Job, Outcome, Process, StageError};
use crate::store::Lease;

/// How long a worker may take to save what a resume needs.
const GRACE: Duration = Duration::from_secs(30);

/// How often a worker looks whether its dispatcher is still there.
const LOOK: Duration = Duration::from_millis(250);

/// The environment variable that holds the dispatcher's process number.
const DISPATCHER: &str = "ERLEN_DISPATCHER";

/// A line of a worker's standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
enum Message {
    Activity {
        activity: Activity,
    },
    Done {
        outcome: Outcome,
        peak_memory: Option<u64>,
    },
    Failed {
        error: StageError,
    },
}

/// Runs `job` in a worker process. Gives its outcome and its peak memory in bytes.
pub(super) fn run(
    program: &Path,
    job: &Job,
    lease: &Lease,
    monitor: &Monitor,
) -> Result<(Outcome, Option<u64>), StageError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| StageError::failed(format!("{what}: {error}"));
    let file = job.scratch.with_file_name(JOB_FILE);
    let text = serde_json::to_vec(job).map_err(|error| failed("the job", &error))?;
    fs::write(&file, text).map_err(|error| failed(&file.display().to_string(), &error))?;
    let log = File::create(&job.log).map_err(|error| failed(&job.log.display().to_string(), &error))?;
    let lock = lease
        .lock_file()
        .try_clone()
        .map_err(|error| failed("the lease", &error))?;
    let mut command = Command::new(program);
    command
        .arg("worker")
        .arg(&file)
        .env("RAYON_NUM_THREADS", job.threads.to_string())
        .env(DISPATCHER, std::process::id().to_string())
        .stdin(lock)
        .stdout(Stdio::piped())
        .stderr(log);
    if let Some(gpus) = &job.visible_gpus {
        command.env("CUDA_VISIBLE_DEVICES", gpus);
    }
    for name in &job.secrets {
        command.env_remove(name);
    }
    let mut process =
        Process::start(&mut command).map_err(|error| failed("the worker cannot be started", &error))?;
    let output = process.child().stdout.take();
    let last = std::thread::scope(|scope| {
        let reader = scope.spawn(|| listen(output, monitor));
        let ended = process.wait(GRACE, || monitor.stopped());
        (reader.join().unwrap_or(None), ended)
    });
    match last {
        (Some(Message::Done { outcome, peak_memory }), _) => Ok((outcome, peak_memory)),
        (Some(Message::Failed { error }), _) => Err(error),
        (_, Ok(Ended::Stopped(_))) => Err(StageError::Interrupted),
        (_, Ok(Ended::Exited(status))) => Err(StageError::failed(died(status))),
        (_, Err(error)) => Err(failed("cannot wait for the worker", &error)),
    }
}

/// Passes on what the worker tells; gives its last word.
fn listen(output: Option<impl io::Read>, monitor: &Monitor) -> Option<Message> {
    let mut last = None;
    for line in BufReader::new(output?).lines() {
        match line.map(|line| serde_json::from_str(&line)) {
            Ok(Ok(Message::Activity { activity })) => monitor.emit(activity),
            Ok(Ok(message)) => last = Some(message),
            Ok(Err(error)) => monitor.warn(format!("the worker told something that cannot be read: {error}")),
            Err(_) => {}
        }
    }
    last
}

fn died(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(9) => "the worker was killed (signal 9); perhaps by the system because memory ran out: try a \
                    smaller batch_size, with accumulate for the rest"
            .to_owned(),
        Some(signal) => format!("the worker crashed (signal {signal}); its log may tell why"),
        None => format!("the worker ended without a result ({status}); its log may tell why"),
    }
}

/// The worker's side: runs the job that `file` describes and tells about it on `output`. `stop` is
/// set by the caller's signal handlers. Gives whether the job succeeded.
///
/// # Errors
/// The job file cannot be read, or the dispatcher no longer listens.
pub fn serve(file: &Path, output: impl Write + Send + 'static, stop: &Arc<AtomicBool>) -> io::Result<bool> {
    let job: Job = serde_json::from_slice(&fs::read(file)?)?;
    watch_dispatcher(Arc::clone(stop));
    let output = Arc::new(Mutex::new(output));
    let tell = {
        let (output, stop) = (Arc::clone(&output), Arc::clone(stop));
        move |message: &Message| {
            let sent = serde_json::to_string(message)
                .map_err(io::Error::other)
                .and_then(|line| {
                    let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    writeln!(output, "{line}").and_then(|()| output.flush())
                });
            if sent.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            sent
        }
    };
    let monitor = {
        let tell = tell.clone();
        Monitor::new(
            move |activity| drop(tell(&Message::Activity { activity })),
            Arc::clone(stop),
        )
    };
    let result = stage_for(&job.kind).run(&job, &monitor);
    let done = result.is_ok();
    tell(&match result {
        Ok(outcome) => Message::Done {
            outcome,
            peak_memory: peak_memory(),
        },
        Err(error) => Message::Failed { error },
    })?;
    Ok(done)
}

/// Asks the stage to stop once the dispatcher is gone, and ends the process if it takes too long.
fn watch_dispatcher(stop: Arc<AtomicBool>) {
    let parent = || rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    let named = std::env::var(DISPATCHER).ok().and_then(|pid| pid.parse().ok());
    let dispatcher = named.or_else(parent);
    std::thread::spawn(move || {
        while parent() == dispatcher {
            std::thread::sleep(LOOK);
        }
        stop.store(true, Ordering::Relaxed);
        std::thread::sleep(GRACE);
        // Nobody waits for a result any more.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
}

/// The process's peak memory in bytes, by the kernel's account.
#[cfg(target_os = "linux")]
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(not(target_os = "linux"))]
fn peak_memory() -> Option<u64> {
    None
}
