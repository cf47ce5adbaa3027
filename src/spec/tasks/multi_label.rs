//! The task of several labels, each of which applies or not.

use super::{MACRO_MEANS, TaskMetric, TaskRules};
use crate::spec::{TargetKind, TextHead};

/// For each of some labels, whether it applies.
pub static MULTI_LABEL: TaskRules = TaskRules {
    name: "multi_label",
    data: TargetKind::MultiLabel,
    predicts: "several labels",
    outputs: "the labels",
    losses: &["binary_cross_entropy"],
    head: TextHead::Classification,
    score: "accuracy",
    further: &[],
    monitor: "val_loss",
    standardizes: false,
    taught: None,
    metrics: &[
        TaskMetric {
            name: "accuracy",
            about: "The share of all labels of all samples that are right.",
            figures: &["accuracy"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "exact_match",
            about: "For several labels: the share of samples with all labels right.",
            figures: &["exact_match"],
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
            name: "per_class",
            about: "`classes.csv`: precision, recall and F1 of each class; their means become metrics.",
            figures: &MACRO_MEANS,
            always: false,
            of_numbers: false,
        },
    ],
};
