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
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::task_check::evaluation_mistakes;
use crate::metric::MetricTable;

/// Measures a trained model on one split of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// A model made by `train`.
    pub model: Reference,
    /// A dataset made by `preprocess`.
    pub data: Reference,
    /// The split.
    #[serde(default)]
    pub split: SplitName,
    /// What to measure beside the loss and, for classes and labels, the accuracy; for numbers, `mae`,
    /// `rmse` and `r2`.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// Judge the mean of the outputs for each image and its mirror image. For images only.
    #[serde(default)]
    pub test_time_flip: bool,
}

impl Named for Evaluate {
    const NAME: &'static str = "evaluate";
}

/// Version 2: sums in the order of the register tiles, 3x3 kernels by Winograd, and batch norm without
/// rounding the convolution's result first.
impl StageKind for Evaluate {
    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Vec<Input> {
        vec![
            Input::field("model", &self.model),
            Input::field("data", &self.data),
        ]
    }

    fn accepts(&self, role: &str) -> Accepts {
        match role {
            "model" => Accepts::stages(&["train", "command"]),
            _ => Accepts::stages(&["preprocess", "command"]),
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
        let model = self.model.stage().and_then(|model| stages.get(model));
        if let Some(train) = model.and_then(|model| model.kind.options::<Train>()) {
            describe_loss(stage, train, stages, known);
        }
    }

    fn mistakes(
        &self,
        stages: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        evaluation_mistakes(stages, self, place)
    }
}

impl Evaluate {
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

/// Something that `evaluate` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of samples whose most likely class is right.
    Accuracy,
    /// The mean of the loss that the model was trained with, without label smoothing and weights of
    /// classes or positives; where targets were standardised, of the standardised ones.
    Loss,
    /// The share of samples whose class is among the three most likely.
    Top3,
    /// The share of samples whose class is among the five most likely.
    Top5,
    /// The area under the ROC curve: of the second of two classes, else the mean over classes (each
    /// against the rest) or labels.
    RocAuc,
    /// The expected calibration error over 15 equal bins of confidence.
    CalibrationError,
    /// For several labels: the share of samples with all labels right.
    ExactMatch,
    /// The mean absolute error, for numbers.
    Mae,
    /// The root of the mean squared error, for numbers.
    Rmse,
    /// The coefficient of determination, for numbers.
    R2,
    /// `confusion.csv`: rows are true classes, columns predicted ones.
    Confusion,
    /// `classes.csv`: precision, recall and F1 of each class; their means become metrics.
    PerClass,
    /// `predictions.csv`: each sample's true and predicted class and their probabilities.
    Predictions,
}

impl Metric {
    /// The figures that `per_class` adds.
    pub const MACRO_MEANS: [&str; 3] = ["macro_precision", "macro_recall", "macro_f1"];

    /// The name, as a pipeline file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
            Self::Top3 => "top3",
            Self::Top5 => "top5",
            Self::RocAuc => "roc_auc",
            Self::CalibrationError => "calibration_error",
            Self::ExactMatch => "exact_match",
            Self::Mae => "mae",
            Self::Rmse => "rmse",
            Self::R2 => "r2",
            Self::Confusion => "confusion",
            Self::PerClass => "per_class",
            Self::Predictions => "predictions",
        }
    }
}
