//! The worker's side of a job in a process of its own: `PROGRAM worker JOBFILE`.
//!
//! The other side is [`ProcessExecutor`](super::ProcessExecutor). A worker whose dispatcher is gone saves what a
//! resume needs and ends.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Activity, Monitor};
use crate::stages::{Job, Outcome, Registry, StageError};

/// How long a worker may take to save what a resume needs.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// How often a worker looks whether its dispatcher is still there.
const LOOK: Duration = Duration::from_millis(250);

/// The environment variable that holds the dispatcher's process number.
pub(super) const DISPATCHER: &str = "ERLEN_DISPATCHER";

/// A line of a worker's standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub(super) enum WorkerMessage {
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

/// The worker's side: runs the job that `file` describes with what `registry` holds, and tells about it on `output`. `stop` is
/// set by the caller's signal handlers. Gives whether the job succeeded.
///
/// # Errors
/// The job file cannot be read, or the dispatcher no longer listens.
pub fn serve(
    file: &Path,
    output: impl Write + Send + 'static,
    stop: &Arc<AtomicBool>,
    registry: &Registry,
) -> io::Result<bool> {
    let bytes = fs::read(file)?;
    let job: Job = registry.vocabulary().reading(|| serde_json::from_slice(&bytes))?;
    watch_dispatcher(Arc::clone(stop));
    let output = Arc::new(Mutex::new(output));
    let send = {
        let (output, stop) = (Arc::clone(&output), Arc::clone(stop));
        move |message: &WorkerMessage| {
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
        let send = send.clone();
        Monitor::new(
            move |activity| drop(send(&WorkerMessage::Activity { activity })),
            Arc::clone(stop),
        )
    };
    let result = registry.run(&job, &monitor);
    let done = result.is_ok();
    send(&match result {
        Ok(outcome) => WorkerMessage::Done {
            outcome,
            peak_memory: peak_memory(),
        },
        Err(error) => WorkerMessage::Failed { error },
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
