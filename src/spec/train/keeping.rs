//! When a training is judged, when it ends, and what it keeps.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::values::{NonNegative, Positive};

/// When the validation split is judged. It is always judged after the last epoch. An epoch's row in
/// `history.csv` shows its last validation; with `steps`, `validations.csv` has all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Validate {
    /// Epochs between two validations; 1 by default.
    #[serde(default)]
    pub epochs: Option<NonZeroU32>,
    /// Optimizer steps between two validations, counted from the beginning of training.
    #[serde(default)]
    pub steps: Option<NonZeroU32>,
    /// How many samples of the split are judged, of documents that are packed how many rows: evenly over the split, and
    /// the same ones each time. All by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<NonZeroU32>,
}

impl Validate {
    /// Whether each epoch ends with a validation.
    pub fn is_every_epoch(&self) -> bool {
        match self.epochs {
            Some(epochs) => epochs.get() == 1,
            None => self.steps.is_none(),
        }
    }
}

/// Stop before the last epoch when nothing is gained any more: at the end of the epoch in which the
/// patience is used up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Validations without a gain after which training stops.
    pub patience: NonZeroU32,
    /// The least gain that counts.
    #[serde(default)]
    pub min_delta: NonNegative,
}

/// Which weights become the artifact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Those after the last epoch.
    #[default]
    Last,
    /// Those of the validation with the best `monitor` (the first of equals).
    Best,
}

/// When to write what a resume needs. Does not change the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointOptions {
    /// Epochs between two checkpoints.
    #[serde(default = "one")]
    pub every: NonZeroU32,
    /// Minutes between two checkpoints, within epochs too.
    #[serde(default)]
    pub minutes: Option<Positive>,
    /// How many of the latest checkpoints are kept until the training is done.
    #[serde(default = "two")]
    pub keep: NonZeroU32,
    /// Whether the last checkpoint outlives the training, so that one of more epochs can go on from it. It
    /// takes the room of the model and of what the optimizer keeps; `store gc` may remove it.
    #[serde(default = "yes")]
    pub lasting: bool,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self {
            every: one(),
            minutes: None,
            keep: two(),
            lasting: yes(),
        }
    }
}

fn yes() -> bool {
    true
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn two() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1)
}
