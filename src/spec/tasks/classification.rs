//! The task of one of some classes.

use super::{MACRO_MEANS, TaskMetric, TaskRules, TaughtBy};
use crate::spec::{TargetKind, TextHead};

/// One of some classes.
pub static CLASSIFICATION: TaskRules = TaskRules {
    name: "classification",
    data: TargetKind::Classification,
    predicts: "classes",
    outputs: "the classes",
    losses: &["cross_entropy"],
    head: TextHead::Classification,
    score: "accuracy",
    further: &[],
    monitor: "val_accuracy",
    standardizes: false,
    taught: Some(TaughtBy::Divergence),
    metrics: &[
        TaskMetric {
            name: "accuracy",
            about: "The share of samples whose most likely class is right.",
            figures: &["accuracy"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "top3",
            about: "The share of samples whose class is among the three most likely.",
            figures: &["top3"],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "top5",
            about: "The share of samples whose class is among the five most likely.",
            figures: &["top5"],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "roc_auc",
            about: "The area under the ROC curve: of the second of two classes, else the mean over classes (each against the rest) or labels. Those without both kinds of samples in the split are left out of the mean (scikit-learn's is not a number then); without any other it is not defined.",
            figures: &["roc_auc"],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "f1",
            about: "Of two classes, F1 of the second; of more it is not defined (`per_class` gives their mean).",
            figures: &["f1"],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "mcc",
            about: "Matthews' correlation coefficient; 0 where one class only is there or predicted.",
            figures: &["mcc"],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "calibration_error",
            about: "The expected calibration error over 15 equal bins of confidence.",
            figures: &["calibration_error"],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "confusion",
            about: "`confusion.csv`: rows are true classes, columns predicted ones.",
            figures: &[],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "per_class",
            about: "`classes.csv`: precision, recall and F1 of each class; their means become metrics.",
            figures: &MACRO_MEANS,
            always: false,
            of_numbers: false,
        },
    ],
};
