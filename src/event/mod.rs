//! Facts about a run in progress.
//!
//! A stage tells what it does as [`Activity`]s, through a [`Monitor`], without knowing its own
//! name or where it runs. The executor adds the name and its own facts: [`Event`]s. Everything
//! that shows or records a run (terminal, log lines, JSON lines, history) consumes that one stream.

mod activity;
pub mod figure;
mod losses;
mod metrics;
mod sink;
mod stage;
mod value;

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use activity::{Activity, Monitor, PhaseSeconds, Unit};
pub use losses::Losses;
pub use metrics::{MetricValue, Metrics};
pub use sink::Sink;
pub use stage::StageId;
pub use value::value_text;

use crate::fingerprint::{Digest, Fingerprint};

/// A fact about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins.
    RunStarted {
        /// The pipeline's name.
        pipeline: String,
        /// How many stages are to be brought up to date.
        stages: usize,
    },
    /// A result that is already known serves.
    StageReused {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
        /// Its key's digest.
        fingerprint: Fingerprint,
        /// Its artifact.
        artifact: Digest,
        /// Its figures.
        metrics: Metrics,
        /// Its key, as JSON: too much for the event stream, and what the history keeps.
        #[serde(skip)]
        key: Option<Arc<str>>,
    },
    /// A stage begins to run.
    StageStarted {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
        /// Its kind, such as `train`.
        kind: String,
        /// Its key's digest.
        fingerprint: Fingerprint,
        /// Why it runs, in words.
        reason: String,
        /// 1 for the first try.
        attempt: u32,
        /// Its key, as JSON: too much for the event stream, and what the history keeps.
        #[serde(skip)]
        key: Option<Arc<str>>,
    },
    /// Another process makes the same result; this one waits for it.
    StageWaiting {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
    },
    /// Something that a running stage tells.
    StageActivity {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
        /// What it tells.
        activity: Activity,
    },
    /// What a stage that is about to end has printed.
    StagePrinted {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
        /// All of it, or its beginning and its end.
        text: String,
    },
    /// A stage is done and its result kept.
    StageFinished {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
        /// Its key's digest.
        fingerprint: Fingerprint,
        /// Its artifact.
        artifact: Digest,
        /// Its figures.
        metrics: Metrics,
        /// Wall time in seconds.
        seconds: f64,
        /// Peak memory of the worker in bytes, where known.
        peak_memory: Option<u64>,
        /// The result equals the previous one, so that what depends on it is not run again.
        unchanged: bool,
    },
    /// A stage failed.
    StageFailed {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
        /// What happened, why, and what to do.
        error: String,
        /// The file with everything that it printed.
        log: Option<PathBuf>,
        /// The last lines of that file.
        tail: Vec<String>,
        /// 1 for the first try.
        attempt: u32,
        /// Whether it will be tried again.
        retrying: bool,
    },
    /// A stage stopped because the run was interrupted.
    StageInterrupted {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
        /// Whether what it had done is kept, and the next try goes on from there.
        #[serde(default)]
        kept: bool,
    },
    /// A stage was not run because another did not succeed.
    StageSkipped {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
        /// The stage that failed.
        because: String,
    },
    /// A stage stopped before its end on purpose; its checkpoint is kept and can be continued.
    StagePaused {
        /// The stage.
        #[serde(flatten)]
        stage: StageId,
        /// Finished epochs.
        epoch: u32,
    },
    /// A sweep begins, or is continued.
    SweepStarted {
        /// The pipeline's name.
        pipeline: String,
        /// How the space is searched, such as `tpe`.
        search: String,
        /// How many trials there will be, where that is known.
        trials: Option<usize>,
        /// How many of them have ended already.
        known: usize,
        /// Seeds a trial.
        replicates: u32,
        /// What is searched for: the metric's path, and whether the larger value is better.
        objectives: Vec<(String, bool)>,
    },
    /// A trial begins, or goes on after a pause.
    TrialStarted {
        /// Its number, from 1.
        trial: u32,
        /// The swept parameters' values.
        values: IndexMap<String, serde_json::Value>,
        /// Finished epochs, where it goes on after a pause.
        continued_from: Option<u32>,
    },
    /// A trial came to an end, or to a pause that it may not be continued from.
    TrialFinished {
        /// Its number, from 1.
        trial: u32,
        /// The swept parameters' values.
        values: IndexMap<String, serde_json::Value>,
        /// What became of it.
        outcome: TrialOutcome,
        /// Whether it is the best so far (with several objectives: on the Pareto front).
        best: bool,
        /// Wall time in seconds, of this call; 0 where everything was known.
        seconds: f64,
    },
    /// No further trials follow.
    SweepFinished {
        /// Trials that came to their end.
        done: usize,
        /// Trials that were stopped early.
        pruned: usize,
        /// Trials that failed.
        failed: usize,
        /// The best trial's number; with several objectives all that are on the Pareto front.
        best: Vec<u32>,
    },
    /// A table's file is up to date.
    TableWritten {
        /// The table's name.
        table: String,
        /// The file.
        path: PathBuf,
        /// Whether its bytes changed.
        changed: bool,
    },
    /// Something worth knowing about the run as a whole.
    Notice {
        /// How grave it is.
        level: Level,
        /// One line.
        message: String,
    },
    /// The run is over.
    RunFinished {
        /// How it ended.
        status: RunStatus,
        /// Stages that ran and succeeded.
        ran: usize,
        /// Stages whose known result served.
        reused: usize,
        /// Stages that failed.
        failed: usize,
        /// Stages that were not run because of a failure or an interruption.
        skipped: usize,
        /// Wall time in seconds.
        seconds: f64,
    },
}

impl Event {
    /// The stage that it tells of, where it is about one.
    pub fn stage(&self) -> Option<&StageId> {
        match self {
            Self::StageReused { stage, .. }
            | Self::StageStarted { stage, .. }
            | Self::StageWaiting { stage }
            | Self::StageActivity { stage, .. }
            | Self::StagePrinted { stage, .. }
            | Self::StageFinished { stage, .. }
            | Self::StageFailed { stage, .. }
            | Self::StageInterrupted { stage, .. }
            | Self::StageSkipped { stage, .. }
            | Self::StagePaused { stage, .. } => Some(stage),
            Self::RunStarted { .. }
            | Self::SweepStarted { .. }
            | Self::TrialStarted { .. }
            | Self::TrialFinished { .. }
            | Self::SweepFinished { .. }
            | Self::TableWritten { .. }
            | Self::Notice { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

/// What became of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TrialOutcome {
    /// It came to its end.
    Done {
        /// Each objective's mean over the replicates.
        #[serde(with = "figure::list")]
        #[schemars(with = "Vec<figure::ExactFigure>")]
        objectives: Vec<f64>,
        /// Each objective's standard deviation over the replicates, where there are several.
        deviations: Vec<Option<f64>>,
    },
    /// It was stopped early.
    Pruned {
        /// Finished epochs.
        epoch: u32,
        /// The judged figure after the last of them.
        value: f64,
    },
    /// A stage failed.
    Failed {
        /// What went wrong.
        error: String,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Every stage is up to date.
    Done,
    /// A stage failed.
    Failed,
    /// It was interrupted.
    Interrupted,
}

impl Display for RunStatus {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        })
    }
}

/// How grave a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something is not as it should be.
    Warning,
}
