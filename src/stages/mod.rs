//! How the kinds of stages run: each file implements [`StageRunner`] for the options of one kind.
//!
//! In goes a [`Job`]: a self-contained description of one stage to run, with its inputs as paths.
//! Out comes a filled output folder and an [`Outcome`], or a [`StageError`]. A stage does not know
//! where it runs: on the dispatcher's thread, in a worker process, or in a test.

mod capture;
mod command;
mod download;
mod evaluate;
mod examples;
mod export;
mod generate;
mod log;
mod orphans;
mod own_tokenizer;
mod predict;
mod preprocess;
mod process;
mod quantize;
mod registry;
mod surroundings;
mod tokenizer;
mod train;
mod whole_models;

pub use command::{environment_problem, secret_problem};
pub use examples::{TextExample, TokenExample, text_examples};
pub use export::{ExportedModel, ModelWriter, ModelWriters};
pub use generate::read_samples;
pub use log::{kept_log, log_tail};
pub use orphans::adopt as adopt_orphans;
pub use predict::{archive_unpacker, inputs_digest, predict_files};
pub use process::{Ended, Process};
pub use registry::Registry;
pub use surroundings::Surroundings;

pub use crate::train::{DeviceChoice, LAST_CHECKPOINT};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::{Metrics, Monitor};
use crate::fingerprint::Fingerprint;
use crate::spec::{EpochLimits, Kind, ListedOptions, Mistake, StageKind};

/// One stage to run, with all that it needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The stage's name, for messages.
    pub stage: String,
    /// What to do, with every parameter filled in.
    pub kind: Kind,
    /// The seed of everything drawn.
    pub seed: u64,
    /// Whether the result depends on the seed, which is part of the stage's key then.
    #[serde(default)]
    pub draws: bool,
    /// The digest of the stage's key.
    pub fingerprint: Fingerprint,
    /// The inputs by role (`input`, `data`, `model`, a command's variable): a file or a folder each.
    pub inputs: BTreeMap<String, PathBuf>,
    /// Where each input comes from, by role: its content's digest, for provenance.
    pub provenance: BTreeMap<String, String>,
    /// A folder that outlives an interruption: checkpoints and partial downloads.
    pub scratch: PathBuf,
    /// An empty folder to fill: what is in it at the end is the artifact.
    pub output: PathBuf,
    /// The file for everything that the stage prints.
    pub log: PathBuf,
    /// How far to go for now; nothing means to the end.
    pub limits: Option<EpochLimits>,
    /// Where a stage of fewer epochs ended that is equal to this one but for that; nothing where there is none
    /// to go on from.
    #[serde(default)]
    pub shorter: Option<ShorterStage>,
    /// The project, and what it may use of the machine.
    pub surroundings: Surroundings,
}

/// The end of a stage that is equal to another one but for the number of its epochs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShorterStage {
    /// Its last checkpoint.
    pub checkpoint: PathBuf,
    /// The digest of its own key.
    pub fingerprint: Fingerprint,
}

impl Job {
    /// The path of the input `role`.
    ///
    /// # Errors
    /// There is no such input: a mistake of the planner's.
    pub fn input(&self, role: &str) -> Result<&Path, StageError> {
        self.inputs
            .get(role)
            .map(PathBuf::as_path)
            .ok_or_else(|| StageError::failed(format!("the input `{role}` was not handed in")))
    }
}

/// What a stage gives beside its output folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Figures that the output determines: no times, no speeds.
    pub metrics: Metrics,
}

/// Why a stage gave no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum StageError {
    /// It was asked to stop; what it had done is in the scratch folder.
    #[error("interrupted")]
    Interrupted,
    /// It reached the limits of its job; what it had done is in the scratch folder.
    #[error("paused after epoch {}", curve.len())]
    Paused {
        /// The judged figure of each epoch so far.
        #[serde(with = "exact")]
        curve: Vec<f64>,
    },
    /// It failed.
    #[error("{message}")]
    Failed {
        /// What is wrong, where, and what to do.
        message: String,
        /// Whether another try may succeed (a network that was down).
        transient: bool,
        /// The fields that are at fault, where it is known which: the message tells of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mistakes: Vec<Mistake>,
    },
}

/// Numbers that keep their bits through JSON, those included that JSON cannot write.
mod exact {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        bits.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let bits = Vec::<u64>::deserialize(deserializer)?;
        Ok(bits.into_iter().map(f64::from_bits).collect())
    }
}

impl StageError {
    /// A failure that another try would meet again.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            transient: false,
            mistakes: Vec::new(),
        }
    }

    /// A failure that another try may not meet.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            transient: true,
            mistakes: Vec::new(),
        }
    }
}

/// Options of a kind that can be run.
pub trait StageRunner: StageKind + ListedOptions {
    /// Does the job, whose kind these are the options of: fills `job.output` and gives the metrics.
    /// What else is chosen by name, such as architectures, is found in `registry`.
    ///
    /// # Errors
    /// [`StageError::Interrupted`] soon after `monitor.stopped()` becomes true; otherwise a failure
    /// whose message says what is wrong, where, and what to do.
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError>;

    /// What is wrong with the files of the project that it takes in, `files` by their roles, as far as their
    /// descriptions tell: a look at each before anything runs. Paths are those of the options' fields.
    fn look_into(&self, files: &BTreeMap<String, PathBuf>, registry: &Registry) -> Vec<Mistake> {
        let _ = (files, registry);
        Vec::new()
    }
}
