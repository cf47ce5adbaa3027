//! The options of `mlp`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelOptions;
use crate::spec::choice::Named;
use crate::spec::values::BelowOne;

/// Fully connected layers with ReLU between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MlpOptions {
    /// Widths of the hidden layers.
    #[serde(default = "default_hidden")]
    pub hidden: Vec<NonZeroU32>,
    /// Probability of dropping a hidden activation.
    #[serde(default)]
    pub dropout: BelowOne,
}

impl Named for MlpOptions {
    const NAME: &'static str = "mlp";
}

impl ModelOptions for MlpOptions {}

fn default_hidden() -> Vec<NonZeroU32> {
    [128].into_iter().filter_map(NonZeroU32::new).collect()
}
