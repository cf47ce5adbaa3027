//! One stage, from its lease to its commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::capacity::Needs;
use super::executor::{Executor, JobReport};
use super::lineage::Lineage;
use super::unfinished::left_behind;
use crate::event::Monitor;
use crate::fingerprint::Digest;
use crate::plan::{Reason, StageKey};
use crate::spec::{self, EpochLimits};
use crate::stages::{Job, StageError, Surroundings, kept_log};
use crate::store::{Action, Commit, GivenInput, InputChanges, LaidOut, Lease, Leased, Store, StoreError};

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
    /// Why it runs.
    pub reason: Reason,
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
    /// What is kept of what it printed.
    pub printed: Option<String>,
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
                printed: None,
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
        let mut handed = HandedInputs::default();
        let mut job = self.job(&lease, &mut handed)?;
        // A log tells of one try.
        let log = fs::OpenOptions::new().write(true).truncate(true).open(&job.log);
        if let Err(error) = log
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(StageError::failed(format!("{}: {error}", job.log.display())).into());
        }
        if let Some(notice) = left_behind(&job, self.executor.registry().vocabulary()) {
            monitor.info(notice);
        }
        let lineage = Lineage::of(&self.stage.kind, &self.key);
        if let Some(lineage) = lineage.as_ref().filter(|_| !self.forced) {
            job.shorter = lineage
                .shorter(&self.store, lease.inputs())
                .unwrap_or_else(|error| {
                    monitor.warn(format!(
                        "what is kept of a training of fewer epochs cannot be had: {error}"
                    ));
                    None
                });
            if job.shorter.is_none()
                && let Some(why) = lineage.why_anew(&self.reason)
            {
                monitor.info(why);
            }
        }
        let running = self.executor.start(&job, self.needs, &lease)?;
        let JobReport { outcome, peak_memory } = running.wait(monitor)?;
        self.check_inputs(&handed, monitor)?;
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
        if let Some(lineage) = lineage
            && let Err(error) = lineage.keep(&lease, &self.store, &self.name)
        {
            monitor.warn(format!(
                "its last checkpoint cannot be kept for a training of more epochs: {error}"
            ));
        }
        // A commit clears the log away.
        let printed = kept_log(&job.log);
        let action = lease.commit(commit)?;
        Ok(Done {
            action,
            reused: false,
            seconds,
            peak_memory,
            printed,
        })
    }

    /// Lays out the inputs, which are added to `handed`, and describes the job.
    fn job(&self, lease: &Lease, handed: &mut HandedInputs) -> Result<Job, Failure> {
        let mut inputs = BTreeMap::new();
        for (role, input) in &self.inputs {
            let path = match input {
                InputSource::Project { path, digest } if self.stage.kind.lays_out_files() => {
                    let target = lease.inputs().join(role).join(own_name(path));
                    let Some(given) = self.store.give_input(path, digest, &target)? else {
                        return Err(StageError::failed(format!(
                            "the input `{role}` ({}) changed before the stage began; run it again",
                            path.display()
                        ))
                        .into());
                    };
                    let path = given.path.clone();
                    handed.given.push((role.clone(), given));
                    path
                }
                InputSource::Project { path, .. } => path.clone(),
                InputSource::Artifact { artifact, path } => {
                    let target = lease.inputs().join(input_name(role, path.as_deref()));
                    let input = self.store.materialise(artifact, path.as_deref(), &target);
                    let input = input.map_err(|error| Failure::of_input(role, error))?;
                    handed.laid_out.push((role.clone(), input));
                    target
                }
            };
            inputs.insert(role.clone(), path);
        }
        Ok(Job {
            stage: self.name.clone(),
            kind: self.stage.kind.clone(),
            seed: self.seed,
            draws: self.stage.draws(),
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
            shorter: None,
            surroundings: self.surroundings.clone(),
        })
    }

    /// A result is only worth its key if it was made from inputs that stayed what they were.
    fn check_inputs(&self, handed: &HandedInputs, monitor: &Monitor) -> Result<(), Failure> {
        for (role, given) in &handed.given {
            self.check_given(role, given, monitor)?;
        }
        for (role, input) in &self.inputs {
            if let InputSource::Project { path, digest } = input
                && !handed.given.iter().any(|(given, _)| given == role)
                && self.store.input_digest(path)? != *digest
            {
                return Err(StageError::failed(format!(
                    "the input `{role}` ({}) changed while the stage ran; run it again",
                    path.display()
                ))
                .into());
            }
        }
        for (role, input) in &handed.laid_out {
            let changed = self.store.changed_inputs(input)?;
            let Some(first) = changed.first() else {
                continue;
            };
            let place = if first.path.is_empty() {
                String::new()
            } else {
                format!(", in {}", first.path)
            };
            if changed.iter().any(|change| change.reached_store) {
                return Err(StageError::failed(format!(
                    "the stage changed its own input `{role}`{place} ({} in all); copy what is to be changed first",
                    changed.len()
                ))
                .into());
            }
            monitor.warn(format!(
                "it changed its input `{role}`{place}, which was a copy: what made it has it as it was"
            ));
        }
        Ok(())
    }

    /// What became of a file or folder of the project that a program had.
    fn check_given(&self, role: &str, given: &GivenInput, monitor: &Monitor) -> Result<(), Failure> {
        let InputChanges { changed, added } = self.store.changes_of(given)?;
        let whole = given.path.display();
        match (given.is_copy, changed.is_empty()) {
            (_, true) => {}
            (true, false) => monitor.warn(format!(
                "it changed its input `{role}`{}, which was a copy: the project's own is as it was",
                within(&changed)
            )),
            (false, false) => {
                return Err(StageError::failed(format!(
                    "the input `{role}` ({whole}) changed while the stage ran{}; run it again, and if the stage itself \
                     changes it, let it change a copy",
                    within(&changed)
                ))
                .into());
            }
        }
        if !added.is_empty() {
            let names = listed(&added);
            monitor.warn(if given.is_copy {
                format!(
                    "it left {names} beside its input `{role}`, in a copy that is gone now; what is to stay is one of \
                     `outputs`"
                )
            } else {
                format!(
                    "{names} came to the input `{role}` ({whole}) while the stage ran; its result is kept for the input \
                     as it was, and what stays there counts from now on"
                )
            });
        }
        Ok(())
    }
}

/// The inputs that were put where the stage finds them.
#[derive(Default)]
struct HandedInputs {
    /// What other stages made.
    laid_out: Vec<(String, LaidOut)>,
    /// What the project has, for a foreign program.
    given: Vec<(String, GivenInput)>,
}

/// `, in a, b and 3 more`; nothing for a file that is the whole input.
fn within(paths: &[String]) -> String {
    if paths.iter().any(String::is_empty) {
        return String::new();
    }
    format!(", in {}", listed(paths))
}

/// The first few of them.
fn listed(paths: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = paths
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match paths.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The last part of a project file's path.
fn own_name(path: &Path) -> PathBuf {
    let real = || path.canonicalize().ok()?.file_name().map(PathBuf::from);
    let own = path.file_name().map(PathBuf::from);
    own.or_else(real).unwrap_or_else(|| PathBuf::from("input"))
}

/// The name under which an input is laid out: the role, and for a single file its own name below
/// it, since programs look at endings.
fn input_name(role: &str, path: Option<&str>) -> PathBuf {
    match path.and_then(|path| Path::new(path).file_name()) {
        Some(name) => Path::new(role).join(name),
        None => PathBuf::from(role),
    }
}

fn from_store(error: &StoreError) -> StageError {
    StageError::failed(error.to_string())
}
