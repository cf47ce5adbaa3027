//! What a recipe may ask of each task: all that can be said of a task without tensors.

use super::diagnostic::nearest;
use super::preprocess::TargetKind;

/// What a recipe may ask of a task.
#[derive(Debug, PartialEq, Eq)]
pub struct TaskRules {
    /// The name, as `task` of a recipe chooses it and a model's card keeps it.
    pub name: &'static str,
    /// What the data has to hold.
    pub data: TargetKind,
    /// What a model for it predicts, such as `classes`.
    pub predicts: &'static str,
    /// What the outputs are, such as `the classes`.
    pub outputs: &'static str,
    /// The losses that fit, by their names in a recipe, the default first. None where the task has a
    /// loss of its own.
    pub losses: &'static [&'static str],
    /// The metric that is told beside the loss.
    pub score: &'static str,
    /// What decides where a recipe does not choose: `val_loss`, or `val_` and the score.
    pub monitor: &'static str,
    /// Whether targets can be standardised.
    pub standardizes: bool,
    /// What an evaluation can be asked for, beside the loss and the predictions.
    pub metrics: &'static [TaskMetric],
}

/// Something that an evaluation can be asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct TaskMetric {
    /// The name, as `metrics` of an evaluation has it.
    pub name: &'static str,
    /// The figures that it gives; none where it is only a file.
    pub figures: &'static [&'static str],
    /// Whether it is measured without being asked for.
    pub always: bool,
}

/// One of some classes.
pub static CLASSIFICATION: TaskRules = TaskRules {
    name: "classification",
    data: TargetKind::Classification,
    predicts: "classes",
    outputs: "the classes",
    losses: &["cross_entropy"],
    score: "accuracy",
    monitor: "val_accuracy",
    standardizes: false,
    metrics: &[
        TaskMetric::always("accuracy", &["accuracy"]),
        TaskMetric::asked("top3", &["top3"]),
        TaskMetric::asked("top5", &["top5"]),
        TaskMetric::asked("roc_auc", &["roc_auc"]),
        TaskMetric::asked("calibration_error", &["calibration_error"]),
        TaskMetric::asked("confusion", &[]),
        TaskMetric::asked("per_class", &MACRO_MEANS),
    ],
};

/// For each of some labels, whether it applies.
pub static MULTI_LABEL: TaskRules = TaskRules {
    name: "multi_label",
    data: TargetKind::MultiLabel,
    predicts: "several labels",
    outputs: "the labels",
    losses: &["binary_cross_entropy"],
    score: "accuracy",
    monitor: "val_loss",
    standardizes: false,
    metrics: &[
        TaskMetric::always("accuracy", &["accuracy"]),
        TaskMetric::asked("exact_match", &["exact_match"]),
        TaskMetric::asked("roc_auc", &["roc_auc"]),
        TaskMetric::asked("per_class", &MACRO_MEANS),
    ],
};

/// One or more numbers.
pub static REGRESSION: TaskRules = TaskRules {
    name: "regression",
    data: TargetKind::Regression,
    predicts: "numbers",
    outputs: "the numbers to predict",
    losses: &["mse", "huber"],
    score: "mae",
    monitor: "val_loss",
    standardizes: true,
    metrics: &[
        TaskMetric::always("mae", &["mae"]),
        TaskMetric::always("rmse", &["rmse"]),
        TaskMetric::always("r2", &["r2"]),
    ],
};

/// What `per_class` gives.
const MACRO_MEANS: [&str; 3] = ["macro_precision", "macro_recall", "macro_f1"];

/// What any task's evaluation can be asked for.
const OF_EVERY_TASK: [TaskMetric; 2] = [
    TaskMetric::asked("loss", &[]),
    TaskMetric::asked("predictions", &[]),
];

impl TaskMetric {
    /// A metric that is measured where it is asked for.
    pub const fn asked(name: &'static str, figures: &'static [&'static str]) -> Self {
        Self {
            name,
            figures,
            always: false,
        }
    }

    /// A metric that is always measured.
    pub const fn always(name: &'static str, figures: &'static [&'static str]) -> Self {
        Self {
            name,
            figures,
            always: true,
        }
    }
}

impl TaskRules {
    /// The rules of the tasks that this crate brings.
    pub const BUILT_IN: [&'static Self; 3] = [&CLASSIFICATION, &MULTI_LABEL, &REGRESSION];

    /// What is measured on the validation split, each of which can decide.
    pub fn monitors(&self) -> [String; 2] {
        ["val_loss".to_owned(), format!("val_{}", self.score)]
    }

    /// The metric that an evaluation calls `name`.
    pub fn metric(&self, name: &str) -> Option<&TaskMetric> {
        self.metrics
            .iter()
            .chain(&OF_EVERY_TASK)
            .find(|metric| metric.name == name)
    }

    /// What to say where `name`, of this kind of thing, is not among `known`.
    pub(super) fn choose(name: &str, known: &[&str]) -> String {
        match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use {}", known.join(" or ")),
        }
    }
}
