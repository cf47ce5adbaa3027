//! The `evaluate` kind: a model's figures on one split.

use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Train;
use super::choice::Named;
use super::diagnostic::Diagnostic;
use super::kinds::{Accepts, Input, StageKind};
use super::known_metrics::describe_loss;
use super::mistake::{Mistake, placed};
use super::model_references::ModelReferences;
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::task_check::{evaluation_mistakes, training_behind};
use super::tasks::EvaluationMetric;
use crate::metric::MetricTable;

/// Measures a trained model on one split of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// A model made by `train`, `quantize` or `export`, or a folder with one, also as Hugging Face's programs write it; of a list, the average of the
    /// models' probabilities or numbers is measured.
    pub model: ModelReferences,
    /// A dataset made by `preprocess`.
    pub data: Reference,
    /// The split.
    #[serde(default)]
    pub split: SplitName,
    /// What to measure beside the loss and, for classes and labels, the accuracy; for numbers, `mae`,
    /// `rmse` and `r2`.
    #[serde(default)]
    pub metrics: Vec<EvaluationMetric>,
    /// Judge the mean of the outputs for each image and its mirror image. For images only.
    #[serde(default)]
    pub test_time_flip: bool,
}

impl Named for Evaluate {
    const NAME: &'static str = "evaluate";
}

/// Version 2: sums in the order of the register tiles, 3x3 kernels by Winograd, and batch norm without
/// rounding the convolution's result first. Version 3: data is matched with the model by the names of
/// columns, categories and classes; figures that are not defined are kept as such; whole floats are written
/// with a point (`1.0`) in CSV files; attention is summed by tiles. Version 4: GELU is found in f32.
impl StageKind for Evaluate {
    fn version(&self) -> u32 {
        4
    }

    fn inputs(&self) -> Vec<Input> {
        self.model
            .inputs()
            .chain([Input::field("data", &self.data)])
            .collect()
    }

    fn accepts(&self, role: &str) -> Accepts {
        if ModelReferences::is_role(role) {
            Accepts::stages_or_files(&["train", "quantize", "export", "download", "command"])
        } else {
            Accepts::stages(&["preprocess", "command"])
        }
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["model", "data"]
    }

    fn takes_gpu(&self) -> bool {
        true
    }

    fn metrics(&self, known: &MetricTable) -> Option<Vec<String>> {
        Some(self.metric_names(known))
    }

    fn describe_metrics(
        &self,
        stage: &str,
        stages: &IndexMap<String, Arc<StageSpec>>,
        known: &mut MetricTable,
    ) {
        if let Some(train) = self.training(stages) {
            describe_loss(stage, train, stages, known);
        }
    }

    fn mistakes(
        &self,
        stages: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        for (index, metric) in self.metrics.iter().enumerate() {
            let is_other = |other: &EvaluationMetric| other.as_str() == metric.as_str() && other != metric;
            if self.metrics[..index].iter().any(is_other) {
                let message = format!("`{}` is asked for twice, in different ways", metric.as_str());
                let help = "keep one of them, and have a stage of its own measure the other";
                mistakes.push(Mistake::new(["metrics".to_owned(), index.to_string()], message).help(help));
            }
        }
        let mut found = placed(&[], mistakes, place);
        found.extend(evaluation_mistakes(stages, self, place));
        found
    }
}

impl Evaluate {
    /// The training of the model, or of the first of several, where the file has it.
    pub(super) fn training<'a>(&'a self, stages: &'a IndexMap<String, Arc<StageSpec>>) -> Option<&'a Train> {
        training_behind(stages, self.model.all().first()?)
    }

    /// The names of the metrics that it reports.
    pub(super) fn metric_names(&self, known: &MetricTable) -> Vec<String> {
        let asked: Vec<&str> = self.metrics.iter().map(|metric| metric.as_str()).collect();
        let mut names = known.of_evaluation(&asked);
        names.push("samples".to_owned());
        names
    }
}

/// A dataset's split.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SplitName {
    /// For fitting.
    Train,
    /// For choosing.
    Val,
    /// For judging.
    #[default]
    Test,
}

impl SplitName {
    /// All splits, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// `train`, `val` or `test`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}
