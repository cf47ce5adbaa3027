//! The task of one or more numbers.

use super::{TaskMetric, TaskRules, TaughtBy};
use crate::spec::{TargetKind, TextHead};

/// One or more numbers.
pub static REGRESSION: TaskRules = TaskRules {
    name: "regression",
    data: TargetKind::Regression,
    predicts: "numbers",
    outputs: "the numbers to predict",
    losses: &["mse", "huber"],
    head: TextHead::Classification,
    score: "mae",
    further: &[],
    monitor: "val_loss",
    standardizes: true,
    taught: Some(TaughtBy::Distance),
    metrics: &[
        TaskMetric {
            name: "mae",
            about: "The mean absolute error, for numbers.",
            figures: &["mae"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "rmse",
            about: "The root of the mean squared error, for numbers.",
            figures: &["rmse"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "r2",
            about: "The coefficient of determination, for numbers.",
            figures: &["r2"],
            always: true,
            of_numbers: false,
        },
        TaskMetric {
            name: "pearson",
            about: "Pearson's correlation of numbers and predictions, the mean over several; not defined where one of them never changes.",
            figures: &["pearson"],
            always: false,
            of_numbers: false,
        },
        TaskMetric {
            name: "spearman",
            about: "Spearman's correlation: Pearson's of the ranks, of equals their mean.",
            figures: &["spearman"],
            always: false,
            of_numbers: false,
        },
    ],
};
