//! What is known about a pipeline: every trial, with the results of its stages.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;

use crate::event::Metrics;
use crate::fingerprint::{Digest, Fingerprint};
use crate::metric::MetricTable;
use crate::spec::{MetricPath, Objective};

/// What is known about a pipeline: the trials of its sweep, or the pipeline itself as the only one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its file, relative to the project's root where it lies inside.
    pub file: String,
    /// What it is about.
    pub description: Option<String>,
    /// The names of the swept parameters; none where there is no sweep.
    pub swept: Vec<String>,
    /// What the sweep searches for.
    pub objectives: Vec<Objective>,
    /// What its pruner judges, where it has one.
    pub judged: Option<MetricPath>,
    /// What is known of the metrics that the stages report.
    pub metrics: MetricTable,
    /// The trials, by number.
    pub trials: Vec<Trial>,
}

/// One point of the parameters: the pipeline's own, or one of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trial {
    /// Its number in the sweep, from 1.
    pub number: u32,
    /// Every parameter's value, whether swept or not.
    pub parameters: IndexMap<String, Value>,
    /// What became of it.
    pub status: TrialStatus,
    /// The judged figure of the first replicate's epochs, as far as they are known.
    pub curve: Vec<f64>,
    /// What each seed gave.
    pub replicates: Vec<Replicate>,
}

/// What became of a trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum TrialStatus {
    /// All of its stages have results.
    #[default]
    Done,
    /// It was stopped after so many epochs, because it did worse than others.
    Pruned {
        /// Finished epochs.
        epoch: u32,
    },
    /// A stage failed.
    Failed {
        /// What went wrong.
        error: String,
    },
    /// Some of its stages have not run yet.
    Missing,
}

/// What one seed gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replicate {
    /// The seed.
    pub seed: u64,
    /// The stages whose results are known, by name.
    pub stages: BTreeMap<String, StageResult>,
}

/// A stage's result, as the store has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StageResult {
    /// What the stage does, such as `train`.
    pub kind: String,
    /// The digest of its key.
    pub fingerprint: Fingerprint,
    /// The digest of its artifact.
    pub artifact: Digest,
    /// Its figures.
    pub metrics: Metrics,
    /// Its key: kind, version, fields, seed, and the digest of every input.
    pub key: Value,
    /// How, when and where it was made.
    pub made: Value,
}
