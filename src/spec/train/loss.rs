//! What is minimised.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_weights::ClassWeights;
use crate::spec::values::{BelowOne, Positive};

/// What is minimised. Validation and evaluation report it without label smoothing and weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Softmax cross-entropy, for classification.
    CrossEntropy(CrossEntropy),
    /// Binary cross-entropy of logits, for multi-label data.
    BinaryCrossEntropy(BinaryCrossEntropy),
    /// The mean squared error, for regression.
    Mse(Mse),
    /// Squared near 0 and linear beyond, for regression with outliers.
    Huber(Huber),
}

impl Loss {
    /// The name, as a pipeline file spells it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CrossEntropy(_) => "cross_entropy",
            Self::BinaryCrossEntropy(_) => "binary_cross_entropy",
            Self::Mse(_) => "mse",
            Self::Huber(_) => "huber",
        }
    }

    /// The loss without what only shapes the training, smoothing and weights: what validation and
    /// evaluation report.
    #[must_use]
    pub fn reported(&self) -> Self {
        match self {
            Self::CrossEntropy(given) => Self::CrossEntropy(CrossEntropy {
                ignore_index: given.ignore_index,
                ..CrossEntropy::default()
            }),
            Self::BinaryCrossEntropy(_) => Self::BinaryCrossEntropy(BinaryCrossEntropy::default()),
            Self::Mse(_) | Self::Huber(_) => self.clone(),
        }
    }
}

/// Softmax cross-entropy, as `torch.nn.CrossEntropyLoss`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {
    /// The share of each target that is spread evenly over all classes.
    #[serde(default)]
    pub label_smoothing: BelowOne,
    /// How much each class counts: `balanced`, a weight by a class's name (the others have 1), or a list
    /// in the classes' order. The mean is a weighted one.
    #[serde(default)]
    pub class_weights: Option<ClassWeights>,
    /// A class (its index) whose samples do not count. A negative one, as PyTorch's default of -100, is
    /// that of no class.
    #[serde(default)]
    pub ignore_index: Option<i64>,
}

/// Binary cross-entropy of logits, as `torch.nn.BCEWithLogitsLoss`: the mean over samples and labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropy {
    /// For each label, how much more a positive sample weighs than a negative one.
    #[serde(default)]
    pub pos_weight: Option<Vec<Positive>>,
}

/// The mean squared error, as `torch.nn.MSELoss`: the mean over samples and targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mse {}

/// Huber's loss, as `torch.nn.HuberLoss`: the mean over samples and targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Huber {
    /// The error at which the parabola becomes a line.
    #[serde(default = "unit")]
    pub delta: Positive,
}

fn unit() -> Positive {
    Positive::new(1.0).expect("1 is positive")
}
