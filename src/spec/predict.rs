//! The `predict` kind: what a model says of new files.

use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Named;
use super::diagnostic::Diagnostic;
use super::kinds::{Accepts, Input, StageKind};
use super::mistake::placed;
use super::model_references::ModelReferences;
use super::pipeline::StageSpec;
use super::preprocess::OnError;
use super::reference::Reference;
use super::task_check::silent_models;
use crate::metric::MetricTable;

/// Asks a trained model about files of which nobody knows what is to be predicted: images, tables (CSV, Parquet) whose
/// columns are found by name, or texts: each line of a `.txt` file, or records (CSV, JSON lines, Parquet) with the fields
/// that the model was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Predict {
    /// A model made by `train`, `quantize` or `export`, or a folder of the project with one (as `erlen get` leaves it); of a
    /// list, the models' probabilities or numbers are averaged.
    pub model: ModelReferences,
    /// A file, an archive (zip, tar), or a folder whose files are taken at any depth.
    pub input: Reference,
    /// How the predictions are written.
    #[serde(default)]
    pub format: PredictionFormat,
    /// What to do with a sample that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
    /// Give the mean of the outputs for each image and its mirror image. For images only.
    #[serde(default)]
    pub test_time_flip: bool,
}

impl Named for Predict {
    const NAME: &'static str = "predict";
}

impl StageKind for Predict {
    fn inputs(&self) -> Vec<Input> {
        self.model
            .inputs()
            .chain([Input::field("input", &self.input)])
            .collect()
    }

    fn accepts(&self, role: &str) -> Accepts {
        if ModelReferences::is_role(role) {
            Accepts::stages_or_files(&["train", "quantize", "export", "download", "command"])
        } else {
            Accepts::stages_or_files(&["download", "command"])
        }
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["model", "input"]
    }

    fn takes_gpu(&self) -> bool {
        true
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        Some(["samples", "skipped"].map(str::to_owned).into())
    }

    fn mistakes(
        &self,
        stages: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let mut mistakes = placed(&[], silent_models(stages, self.model.inputs()), place);
        if self.on_error == OnError::Clip {
            let message = "`clip` cuts boxes of annotations, and there are none".to_owned();
            mistakes.push(Diagnostic::new(message, place(&["on_error"])).help("write `skip`, or `fail`"));
        }
        mistakes
    }
}

/// How predictions are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PredictionFormat {
    /// `predictions.csv`: a table with a line of titles.
    #[default]
    Csv,
    /// `predictions.jsonl`: a JSON object a line.
    JsonLines,
    /// `predictions.parquet`: a table with the columns of the CSV file: texts, doubles, and booleans for labels that
    /// apply or not.
    Parquet,
}

impl PredictionFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Csv, Self::JsonLines, Self::Parquet];

    /// The name of a stage's file.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Csv => "predictions.csv",
            Self::JsonLines => "predictions.jsonl",
            Self::Parquet => "predictions.parquet",
        }
    }

    /// What the names of such files end in.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Csv => &["csv"],
            Self::JsonLines => &["jsonl", "ndjson"],
            Self::Parquet => &["parquet"],
        }
    }
}
