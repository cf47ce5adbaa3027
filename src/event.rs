//! Facts about a run in progress.
//!
//! A stage tells what it does as [`Activity`]s, through a [`Monitor`], without knowing its own
//! name or where it runs. The executor adds the name and its own facts: [`Event`]s. Everything
//! that shows or records a run (terminal, log lines, JSON lines, history) consumes that one stream.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fingerprint::{Digest, Fingerprint};

/// A stage's figures, by name.
pub type Metrics = BTreeMap<String, f64>;

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
        /// The stage's name.
        stage: String,
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
        /// The stage's name.
        stage: String,
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
        /// The stage's name.
        stage: String,
    },
    /// Something that a running stage tells.
    StageActivity {
        /// The stage's name.
        stage: String,
        /// What it tells.
        activity: Activity,
    },
    /// A stage is done and its result kept.
    StageFinished {
        /// The stage's name.
        stage: String,
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
        /// The stage's name.
        stage: String,
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
    /// A stage stopped because the run was interrupted; what it had done is kept for a resume.
    StageInterrupted {
        /// The stage's name.
        stage: String,
    },
    /// A stage was not run because another did not succeed.
    StageSkipped {
        /// The stage's name.
        stage: String,
        /// The stage that failed.
        because: String,
    },
    /// A stage stopped before its end on purpose; its checkpoint is kept and can be continued.
    StagePaused {
        /// The stage's name.
        stage: String,
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

/// What became of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TrialOutcome {
    /// It came to its end.
    Done {
        /// Each objective's mean over the replicates.
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

/// The name of a trial's stage: the stage's own, the trial and, where there are several, the
/// replicate: `model@3` or `model@3.2`, both counted from 1.
pub fn trial_stage(stage: &str, trial: u32, replicate: Option<u32>) -> String {
    match replicate {
        None => format!("{stage}@{trial}"),
        Some(replicate) => format!("{stage}@{trial}.{replicate}"),
    }
}

/// The stage, trial and replicate of a name that [`trial_stage`] made.
pub fn of_trial(name: &str) -> Option<(&str, u32, Option<u32>)> {
    let (stage, rest) = name.rsplit_once('@')?;
    match rest.split_once('.') {
        None => Some((stage, rest.parse().ok()?, None)),
        Some((trial, replicate)) => Some((stage, trial.parse().ok()?, Some(replicate.parse().ok()?))),
    }
}

/// A parameter's value as one would write it on a line of YAML: texts bare, a mapping of one name
/// without its braces (`resnet18: {stem: cifar}`).
pub fn value_text(value: &serde_json::Value) -> String {
    fn inner(value: &serde_json::Value, outermost: bool) -> String {
        use serde_json::Value;
        match value {
            Value::Null => "null".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| inner(item, true)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Object(members) => {
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", inner(value, false)))
                    .collect();
                let text = members.join(", ");
                if outermost && members.len() == 1 {
                    text
                } else {
                    format!("{{{text}}}")
                }
            }
            other => other.to_string(),
        }
    }
    inner(value, true)
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

/// What a running stage tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "activity", rename_all = "snake_case")]
pub enum Activity {
    /// Part of a countable task is done.
    Progress {
        /// What is being done, such as `download` or `decode`.
        task: String,
        /// How much is done.
        done: u64,
        /// How much there is, where known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// Training begins or goes on.
    TrainingStarted {
        /// The number of parameters, frozen ones included.
        parameters: u64,
        /// Training samples an epoch.
        samples: u64,
        /// Epochs in all.
        epochs: u32,
        /// Micro-batches an epoch.
        batches: u32,
        /// Threads of the worker.
        threads: usize,
        /// Where the checkpoint that is continued stands: finished epochs, and batches within the
        /// next.
        resumed_from: Option<(u32, u32)>,
    },
    /// A micro-batch of training is done.
    BatchFinished {
        /// From 1.
        epoch: u32,
        /// From 1, within the epoch.
        batch: u32,
        /// Mean loss of the epoch so far.
        loss: f64,
        /// Images (or rows) a second since the epoch's start.
        samples_per_second: f64,
    },
    /// An epoch of training is done.
    EpochFinished {
        /// From 1.
        epoch: u32,
        /// The history's columns: `train_loss`, `train_accuracy`, `val_loss`, `val_accuracy`, `lr`, ...
        metrics: Metrics,
        /// Training samples a second.
        samples_per_second: f64,
        /// Wall time in seconds, validation included.
        seconds: f64,
        /// Where that time went.
        #[serde(default)]
        phases: PhaseSeconds,
    },
    /// What a resume needs is on disk.
    CheckpointWritten {
        /// Finished epochs.
        epoch: u32,
        /// Finished micro-batches within the next epoch.
        batch: u32,
    },
    /// Something worth knowing.
    Notice {
        /// How grave it is.
        level: Level,
        /// One line.
        message: String,
    },
}

/// Where an epoch's time went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseSeconds {
    /// Waiting for data.
    pub data: f64,
    /// From inputs to the loss.
    pub forward: f64,
    /// From the loss to gradients.
    pub backward: f64,
    /// From gradients to weights.
    pub step: f64,
    /// Judging the validation split.
    pub validation: f64,
}

/// What a progress count counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Files.
    Files,
    /// Samples.
    Samples,
}

/// How a running stage tells what it does and learns that it should stop.
#[derive(Clone)]
pub struct Monitor {
    emit: Arc<dyn Fn(Activity) + Send + Sync>,
    stop: Arc<AtomicBool>,
}

impl Monitor {
    /// A monitor that hands each activity to `emit` and asks to stop once `stop` is set.
    pub fn new(emit: impl Fn(Activity) + Send + Sync + 'static, stop: Arc<AtomicBool>) -> Self {
        Self {
            emit: Arc::new(emit),
            stop,
        }
    }

    /// A monitor that nobody listens to.
    pub fn silent() -> Self {
        Self::new(|_| {}, Arc::default())
    }

    /// Tells `activity`.
    pub fn emit(&self, activity: Activity) {
        (self.emit)(activity);
    }

    /// Tells something good to know.
    pub fn info(&self, message: impl Into<String>) {
        self.emit(Activity::Notice {
            level: Level::Info,
            message: message.into(),
        });
    }

    /// Tells that something is not as it should be.
    pub fn warn(&self, message: impl Into<String>) {
        self.emit(Activity::Notice {
            level: Level::Warning,
            message: message.into(),
        });
    }

    /// Tells how far a task is.
    pub fn progress(&self, task: &str, done: u64, total: Option<u64>, unit: Unit) {
        self.emit(Activity::Progress {
            task: task.to_owned(),
            done,
            total,
            unit,
        });
    }

    /// Whether the stage should save what it needs for a resume and return.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_they_are_written() {
        use serde_json::json;
        for (value, text) in [
            (json!("bf16"), "bf16"),
            (json!(0.1), "0.1"),
            (json!([]), "[]"),
            (
                json!([{"random_crop": {"padding": 1}}, "flip"]),
                "[random_crop: {padding: 1}, flip]",
            ),
            (json!({"resnet18": {"stem": "cifar"}}), "resnet18: {stem: cifar}"),
            (json!({"a": 1, "b": [1, 2]}), "{a: 1, b: [1, 2]}"),
        ] {
            assert_eq!(value_text(&value), text);
        }
    }

    #[test]
    fn names_of_trials_read_back() {
        for replicate in [None, Some(2)] {
            let name = trial_stage("model-a", 13, replicate);
            assert_eq!(of_trial(&name), Some(("model-a", 13, replicate)));
        }
        assert_eq!(of_trial("model"), None);
        assert_eq!(of_trial("model@x"), None);
    }
}
