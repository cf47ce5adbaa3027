//! One stage, from its lease to its commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::capacity::Needs;
use super::executor::{Executor, JobReport};
use super::unfinished::left_behind;
use crate::event::{Metrics, Monitor};
use crate::fingerprint::Digest;
use crate::plan::StageKey;
use crate::spec::{self, EpochLimits};
use crate::stages::{Job, StageError, Surroundings};
use crate::store::{Action, Commit, LaidOut, Lease, Leased, Store, StoreError};

/// An input as the dispatcher knows it.
#[derive(Clone, Debug)]
pub(super) enum InputSource {
    /// An artifact in the store, or a path inside it.
    Artifact { artifact: Digest, path: Option<String> },
    /// A project file, with its digest when the plan was made.
    Project { path: PathBuf, digest: Digest },
}

/// One stage to bring up to date.
pub(super) struct StageRun {
    pub name: String,
    pub stage: Arc<spec::StageSpec>,
    pub seed: u64,
    pub key: StageKey,
    pub forced: bool,
    pub inputs: BTreeMap<String, InputSource>,
    pub limits: Option<EpochLimits>,
    pub needs: Needs,
    pub surroundings: Surroundings,
    pub executor: Arc<dyn Executor>,
    pub store: Store,
}

/// A stage's result.
pub(super) struct Done {
    pub action: Action,
    /// Whether another process made it while this one waited.
    pub reused: bool,
    pub seconds: f64,
    pub peak_memory: Option<u64>,
}

/// Why there is no result.
pub(super) enum Failure {
    /// The stage failed, or was stopped.
    Stage {
        error: StageError,
        /// Everything that the stage printed.
        log: Option<PathBuf>,
    },
    /// A known result that the stage takes in is not whole any more.
    InputLost {
        /// What the stage calls it.
        role: String,
        /// What is missing or damaged.
        error: StoreError,
    },
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        Self::Stage { error, log: None }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from(from_store(&error))
    }
}

impl Failure {
    /// Of an input that cannot be laid out, or looked at again.
    fn of_input(role: &str, error: StoreError) -> Self {
        if error.is_loss() {
            let role = role.to_owned();
            return Self::InputLost { role, error };
        }
        Self::from(error)
    }

    /// With the stage's log, where there is one.
    fn with_log(self, path: PathBuf) -> Self {
        match self {
            Self::Stage { error, .. } => Self::Stage {
                error,
                log: path.exists().then_some(path),
            },
            lost @ Self::InputLost { .. } => lost,
        }
    }
}

impl StageRun {
    /// Brings the stage up to date. `waiting` is called if another process holds the lease, `leased`
    /// once it is granted.
    pub fn run(&self, monitor: &Monitor, waiting: &dyn Fn(), leased: &dyn Fn()) -> Result<Done, Failure> {
        let fingerprint = self.key.fingerprint();
        let stopped = || monitor.stopped();
        let answer = if self.forced {
            self.store.lease_forced(&fingerprint, &stopped, waiting)
        } else {
            self.store.lease(&fingerprint, &stopped, waiting)
        };
        match answer? {
            Leased::Stopped => Err(StageError::Interrupted.into()),
            Leased::Known(action) => Ok(Done {
                action,
                reused: true,
                seconds: 0.0,
                peak_memory: None,
            }),
            Leased::Lease(lease) => {
                leased();
                let log = lease.log();
                self.produce(lease, monitor)
                    .map_err(|failure| failure.with_log(log))
            }
        }
    }

    fn produce(&self, lease: Lease, monitor: &Monitor) -> Result<Done, Failure> {
        let begun = Instant::now();
        let started = jiff::Timestamp::now();
        let mut laid_out = Vec::new();
        let job = self.job(&lease, &mut laid_out)?;
        // A log tells of one try.
        let log = fs::OpenOptions::new().write(true).truncate(true).open(&job.log);
        if let Err(error) = log
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(StageError::failed(format!("{}: {error}", job.log.display())).into());
        }
        if let Some(notice) = left_behind(&job) {
            monitor.info(notice);
        }
        let running = self.executor.start(&job, self.needs, &lease)?;
        let JobReport { outcome, peak_memory } = running.wait(monitor)?;
        check_finite(&outcome.metrics)?;
        self.check_inputs(&laid_out)?;
        let seconds = begun.elapsed().as_secs_f64();
        let commit = Commit {
            key: serde_json::to_value(&self.key).map_err(|error| StageError::failed(error.to_string()))?,
            metrics: outcome.metrics,
            made: json!({
                "stage": self.name,
                "erlen": env!("CARGO_PKG_VERSION"),
                "host": rustix::system::uname().nodename().to_string_lossy(),
                "started": started.to_string(),
                "seconds": seconds,
                "threads": self.surroundings.threads,
                "device": self.surroundings.device,
                "peak_memory": peak_memory,
            }),
        };
        let action = lease.commit(commit)?;
        Ok(Done {
            action,
            reused: false,
            seconds,
            peak_memory,
        })
    }

    /// Lays out the inputs, which are added to `laid_out`, and describes the job.
    fn job(&self, lease: &Lease, laid_out: &mut Vec<(String, LaidOut)>) -> Result<Job, Failure> {
        let mut inputs = BTreeMap::new();
        for (role, input) in &self.inputs {
            let path = match input {
                InputSource::Project { path, .. } => path.clone(),
                InputSource::Artifact { artifact, path } => {
                    let target = lease.inputs().join(input_name(role, path.as_deref()));
                    let input = self.store.materialise(artifact, path.as_deref(), &target);
                    let input = input.map_err(|error| Failure::of_input(role, error))?;
                    laid_out.push((role.clone(), input));
                    target
                }
            };
            inputs.insert(role.clone(), path);
        }
        Ok(Job {
            stage: self.name.clone(),
            kind: self.stage.kind.clone(),
            seed: self.seed,
            fingerprint: self.key.fingerprint(),
            inputs,
            provenance: self
                .key
                .inputs
                .iter()
                .map(|(role, digest)| (role.clone(), digest.to_string()))
                .collect(),
            scratch: lease.scratch().to_owned(),
            output: lease.output().to_owned(),
            log: lease.log(),
            limits: self.limits.clone(),
            surroundings: self.surroundings.clone(),
        })
    }

    /// A result is only worth its key if the inputs stayed what they were.
    fn check_inputs(&self, laid_out: &[(String, LaidOut)]) -> Result<(), Failure> {
        for (role, input) in &self.inputs {
            if let InputSource::Project { path, digest } = input
                && self.store.input_digest(path)? != *digest
            {
                return Err(StageError::failed(format!(
                    "the input `{role}` ({}) changed while the stage ran; run it again",
                    path.display()
                ))
                .into());
            }
        }
        for (role, input) in laid_out {
            let changed = self.store.changed_inputs(input)?;
            if let Some(first) = changed.first() {
                return Err(StageError::failed(format!(
                    "the stage changed its own input `{role}`{} ({} in all); copy what is to be changed first",
                    if first.path.is_empty() {
                        String::new()
                    } else {
                        format!(", in {}", first.path)
                    },
                    changed.len()
                ))
                .into());
            }
        }
        Ok(())
    }
}

/// The name under which an input is laid out: the role, and for a single file its own name below
/// it, since programs look at endings.
fn input_name(role: &str, path: Option<&str>) -> PathBuf {
    match path.and_then(|path| Path::new(path).file_name()) {
        Some(name) => Path::new(role).join(name),
        None => PathBuf::from(role),
    }
}

fn check_finite(metrics: &Metrics) -> Result<(), StageError> {
    match metrics.iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((name, value)) => Err(StageError::failed(format!("the metric `{name}` is {value}"))),
    }
}

fn from_store(error: &StoreError) -> StageError {
    StageError::failed(error.to_string())
}
