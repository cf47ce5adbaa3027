//! What a running stage tells, and what it tells it through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Level, Metrics};

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
    /// The program that a stage runs printed a line. Of a flood, only some are told; the log has all.
    Printed {
        /// The line, without its end.
        line: String,
        /// How many lines before it are not told.
        #[serde(default, skip_serializing_if = "is_zero")]
        left_out: u64,
        /// Whether it is about to be written over, as a progress bar is.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        passing: bool,
    },
    /// Something worth knowing.
    Notice {
        /// How grave it is.
        level: Level,
        /// One line.
        message: String,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
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
