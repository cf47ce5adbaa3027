//! The options of `efficientnet_b0`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelOptions;
use crate::spec::choice::Named;
use crate::spec::values::BelowOne;

/// EfficientNet-B0 (Tan and Le, 2019), as torchvision builds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetOptions {
    /// Probability of dropping a feature before the linear layer.
    #[serde(default = "fifth")]
    pub dropout: BelowOne,
    /// Probability of leaving the last block out (Huang et al., 2016); it rises from 0 block by block.
    #[serde(default = "fifth")]
    pub stochastic_depth: BelowOne,
}

impl Named for EfficientNetOptions {
    const NAME: &'static str = "efficientnet_b0";
}

impl ModelOptions for EfficientNetOptions {}

fn fifth() -> BelowOne {
    BelowOne::new(0.2).expect("0.2 is under 1")
}
