//! The task of hidden tokens of a text.

use super::{TaskMetric, TaskRules};
use crate::spec::{TargetKind, TextHead};

/// For some tokens of a text, which are hidden, what they were.
pub static MASKED_TOKEN: TaskRules = TaskRules {
    name: "masked_token",
    data: TargetKind::NextToken,
    predicts: "tokens",
    outputs: "the tokens",
    losses: &[],
    head: TextHead::Masked,
    score: "accuracy",
    further: &[],
    monitor: "val_loss",
    standardizes: false,
    taught: None,
    metrics: &[
        TaskMetric {
            name: "accuracy",
            about: "The share of hidden tokens that were the most likely ones.",
            figures: &["accuracy"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "scored_tokens",
            about: "How many tokens were predicted.",
            figures: &["scored_tokens"],
            always: true,
            of_numbers: false,
        },
    ],
};
