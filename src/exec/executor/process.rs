//! Jobs in processes of their own on this machine.
//!
//! The job is written to a file, and `PROGRAM worker JOBFILE` started. It tells its activities as JSON lines on its
//! standard output, and in the end its result. Its standard input is the lease's lock file, so the lease lives as
//! long as the worker does; its standard error is the stage's log.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use super::in_process::JobHere;
use super::{Executor, JobReport, RunningJob};
use crate::event::Monitor;
use crate::exec::capacity::{Capacity, Needs};
use crate::exec::unfinished::JOB_FILE;
use crate::exec::worker::{DISPATCHER, GRACE, WorkerMessage};
use crate::stages::{Ended, Job, Process, Registry, StageError};
use crate::store::Lease;

/// Runs each job that computes in a process of its own, so that its threads, memory and devices are its own and
/// that its death is its own; the others, which wait for something else, in the calling process.
#[derive(Clone, Debug)]
pub struct ProcessExecutor {
    program: PathBuf,
    capacity: Capacity,
    registry: Registry,
}

impl ProcessExecutor {
    /// Starts jobs as `program worker JOBFILE`, as far as `capacity` reaches. Both this program and that one
    /// know the kinds of `registry`.
    pub fn new(program: PathBuf, capacity: Capacity, registry: Registry) -> Self {
        Self {
            program,
            capacity,
            registry,
        }
    }

    fn spawn(&self, job: &Job, lease: &Lease) -> Result<Process, StageError> {
        let file = job.scratch.with_file_name(JOB_FILE);
        let text = serde_json::to_vec(job).map_err(failed("the job"))?;
        fs::write(&file, text).map_err(failed(file.display()))?;
        let log = File::create(&job.log).map_err(failed(job.log.display()))?;
        let lock = lease.lock_file().try_clone().map_err(failed("the lease"))?;
        let surroundings = &job.surroundings;
        let mut command = Command::new(&self.program);
        command
            .arg("worker")
            .arg(&file)
            .env("RAYON_NUM_THREADS", surroundings.threads.to_string())
            .env(DISPATCHER, std::process::id().to_string())
            .stdin(lock)
            .stdout(Stdio::piped())
            .stderr(log);
        if let Some(gpus) = &surroundings.gpus {
            command.env("CUDA_VISIBLE_DEVICES", gpus);
        }
        for name in &surroundings.secrets {
            command.env_remove(name);
        }
        Process::start(&mut command).map_err(failed("the worker cannot be started"))
    }
}

impl Executor for ProcessExecutor {
    fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn start<'job>(
        &self,
        job: &'job Job,
        _: Needs,
        lease: &Lease,
    ) -> Result<Box<dyn RunningJob + 'job>, StageError> {
        if !job.kind.is_heavy() {
            let registry = self.registry.clone();
            return Ok(Box::new(JobHere { job, registry }));
        }
        Ok(Box::new(WorkerProcess {
            process: self.spawn(job, lease)?,
        }))
    }
}

/// A job's own process.
struct WorkerProcess {
    process: Process,
}

impl RunningJob for WorkerProcess {
    fn wait(self: Box<Self>, monitor: &Monitor) -> Result<JobReport, StageError> {
        let mut process = self.process;
        let output = process.child().stdout.take();
        let (last, ended) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| listen(output, monitor));
            let ended = process.wait(GRACE, || monitor.stopped());
            (reader.join().unwrap_or(None), ended)
        });
        match (last, ended) {
            (Some(WorkerMessage::Done { outcome, peak_memory }), _) => Ok(JobReport { outcome, peak_memory }),
            (Some(WorkerMessage::Failed { error }), _) => Err(error),
            (_, Ok(Ended::Stopped(_))) => Err(StageError::Interrupted),
            (_, Ok(Ended::Exited(status))) => Err(StageError::failed(died(status))),
            (_, Err(error)) => Err(failed("cannot wait for the worker")(error)),
        }
    }
}

/// Passes on what the worker tells; gives its last word.
fn listen(output: Option<impl io::Read>, monitor: &Monitor) -> Option<WorkerMessage> {
    let mut last = None;
    for line in BufReader::new(output?).lines() {
        match line.map(|line| serde_json::from_str(&line)) {
            Ok(Ok(WorkerMessage::Activity { activity })) => monitor.emit(activity),
            Ok(Ok(message)) => last = Some(message),
            Ok(Err(error)) => monitor.warn(format!("the worker told something that cannot be read: {error}")),
            Err(_) => {}
        }
    }
    last
}

/// For `map_err`: what failed.
fn failed<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> StageError {
    move |error| StageError::failed(format!("{what}: {error}"))
}

fn died(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(9) => "the worker was killed (signal 9); perhaps by the system because memory ran out: try a \
                    smaller batch_size, with accumulate for the rest"
            .to_owned(),
        Some(signal) => format!("the worker crashed (signal {signal}); its log may tell why"),
        None => format!("the worker ended without a result ({status}); its log may tell why"),
    }
}
