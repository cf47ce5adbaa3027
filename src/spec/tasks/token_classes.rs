//! The task of a class for each word of a text.

use super::{MACRO_MEANS, TaskMetric, TaskRules};
use crate::spec::{TargetKind, TextHead};

/// For each word of a text one of some classes, which its first token bears.
pub static TOKEN_CLASSES: TaskRules = TaskRules {
    name: "token_classes",
    data: TargetKind::TokenClasses,
    predicts: "classes of words",
    outputs: "the classes",
    losses: &["cross_entropy"],
    head: TextHead::Tokens,
    score: "accuracy",
    further: &["entity_f1"],
    monitor: "val_accuracy",
    standardizes: false,
    taught: None,
    metrics: &[
        TaskMetric {
            name: "accuracy",
            about: "The share of words whose most likely class is right.",
            figures: &["accuracy"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "entity_f1",
            about: "F1 of entities, of which type and words have to be right, as seqeval has it (micro average): leniently read unless `mode` says otherwise, and strictly beside it; with precision and recall.",
            figures: &[
                "entity_f1",
                "entity_f1_strict",
                "entity_precision",
                "entity_recall",
            ],
            always: true,
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
