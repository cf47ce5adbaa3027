//! The task of the next token of a text.

use super::{TaskMetric, TaskRules};
use crate::spec::{TargetKind, TextHead};

/// For each token of a text the next one.
pub static NEXT_TOKEN: TaskRules = TaskRules {
    name: "next_token",
    data: TargetKind::NextToken,
    predicts: "tokens",
    outputs: "the tokens",
    losses: &[],
    head: TextHead::Causal,
    score: "accuracy",
    further: &["perplexity", "bits_per_byte"],
    monitor: "val_loss",
    standardizes: false,
    taught: None,
    metrics: &[
        TaskMetric {
            name: "accuracy",
            about: "The share of tokens that were the most likely ones.",
            figures: &["accuracy"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "perplexity",
            about: "The exponential of the mean loss a token: in the windows of the training, or in those of `window` and `stride`, which all figures are then of.",
            figures: &["perplexity", "scored_tokens"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "bits_per_byte",
            about: "The loss of all tokens in bits, divided by the bytes of the texts, those of tokens that windows without overlap do not score included: the figure that compares models of different tokenizers.",
            figures: &["bits_per_byte"],
            always: false,
            of_numbers: false,
        },
    ],
};
