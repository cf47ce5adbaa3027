//! The task of how alike two texts are.

use super::{TaskMetric, TaskRules};
use crate::spec::{TargetKind, TextHead};

/// How alike two texts are, by the cosine of their embeddings.
pub static SIMILARITY: TaskRules = TaskRules {
    name: "similarity",
    data: TargetKind::Similarity,
    predicts: "how alike two texts are",
    outputs: "the embeddings",
    losses: &[],
    head: TextHead::Similarity,
    score: "accuracy",
    further: &[],
    monitor: "val_accuracy",
    standardizes: false,
    taught: None,
    metrics: &[
        TaskMetric {
            name: "accuracy",
            about: "The share of pairs of which the second text is the nearest to the first among those of all pairs (in training, of the batch); of pairs with numbers the share of two pairs with different numbers whose cosines have the same order.",
            figures: &["accuracy"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "pearson",
            about: "Pearson's correlation of the cosines and the numbers; not defined for pairs without.",
            figures: &["pearson"],
            always: false,
            of_numbers: true,
        },
        TaskMetric {
            name: "spearman",
            about: "Spearman's correlation of the cosines and the numbers: Pearson's of the ranks.",
            figures: &["spearman"],
            always: false,
            of_numbers: true,
        },
    ],
};
