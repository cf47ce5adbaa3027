//! The pipeline: a validated description of an experiment.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostic::SpecError;
use super::rewritten::RewrittenParameter;
use super::values::{ByteSize, Span};
use super::{Kind, PipelineSource, Sweep, Table, Template};
use crate::metric::MetricTable;

/// An experiment: stages that depend on each other, and the tables made of their results.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// The seed of everything drawn.
    pub seed: u64,
    /// The parameters' values, overrides included, as they may be shown and kept: without secrets.
    pub params: IndexMap<String, serde_json::Value>,
    /// The parameters whose values are secrets as a whole.
    pub secret_params: BTreeSet<String>,
    /// The parameters that nothing speaks of: to change them changes nothing.
    pub unused_params: Vec<String>,
    /// The parameters that stand otherwise in a text than they are given.
    pub rewritten_params: Vec<RewrittenParameter>,
    /// The stages, in the order of the file.
    pub stages: IndexMap<String, Arc<StageSpec>>,
    /// What is swept, and how.
    pub sweep: Option<Sweep>,
    /// The tables, in the order of the file.
    pub tables: IndexMap<String, Table>,
    /// What is known of the metrics that the stages report.
    pub metrics: MetricTable,
    /// The file that it was read from.
    pub source: PipelineSource,
}

/// One named step of a pipeline.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// What it does.
    pub kind: Kind,
    /// Stages that must be done before it, beside those that it takes inputs from.
    pub after: Vec<String>,
    /// What it may use.
    pub resources: Resources,
    /// How often to try again after a failure.
    pub retries: u32,
    /// How long one try may take.
    pub timeout: Option<Span>,
    /// What it is about.
    pub description: Option<String>,
    /// The parameters that its fields speak of.
    pub params: BTreeSet<String>,
    /// Whether its fields speak of the pipeline's seed.
    pub names_seed: bool,
}

impl StageSpec {
    /// Whether its result depends on the seed, so that replicates of it differ.
    pub fn draws(&self) -> bool {
        self.names_seed || self.kind.draws()
    }

    /// The stages that must be done before this one.
    pub fn upstream(&self) -> Vec<String> {
        let mut stages: Vec<String> = self
            .kind
            .inputs()
            .iter()
            .filter_map(|input| input.reference.stage().map(str::to_owned))
            .collect();
        stages.extend(self.after.iter().cloned());
        stages.sort();
        stages.dedup();
        stages
    }
}

/// What a stage may use while it runs. Never part of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Processor cores; by default all of the machine's for stages that compute, else one.
    #[serde(default)]
    pub cpus: Option<std::num::NonZeroU32>,
    /// Memory; by default not counted.
    #[serde(default)]
    pub memory: Option<ByteSize>,
    /// Graphics processors of its own, which it finds in `CUDA_VISIBLE_DEVICES`; by default none is set
    /// aside and all are seen (training and evaluation on a graphics processor take one).
    #[serde(default)]
    pub gpus: Option<u32>,
}

/// A parameter's value given on the command line: `--set lr=0.02`.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The parameter, or `seed`.
    pub name: String,
    /// The value, as YAML.
    pub value: String,
}

impl std::str::FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok(Self {
                name: name.trim().to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(format!("`{text}` is not NAME=VALUE")),
        }
    }
}

impl Pipeline {
    /// Reads a pipeline file.
    ///
    /// # Errors
    /// Every mistake in the file, each at its place.
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Self, SpecError> {
        Template::load(path)?.pipeline(overrides)
    }

    /// Reads a pipeline from its text.
    ///
    /// # Errors
    /// Every mistake in the text, each at its place.
    pub fn parse(path: &Path, source: &str, overrides: &[Override]) -> Result<Self, SpecError> {
        Template::parse(path, source)?.pipeline(overrides)
    }
}
