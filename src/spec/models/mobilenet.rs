//! The options of `mobilenet_v3_small`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelOptions;
use crate::spec::choice::Named;
use crate::spec::values::BelowOne;

/// MobileNetV3-Small (Howard et al., 2019), as torchvision builds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MobileNetOptions {
    /// Probability of dropping a feature before the last linear layer.
    #[serde(default = "fifth")]
    pub dropout: BelowOne,
}

impl Named for MobileNetOptions {
    const NAME: &'static str = "mobilenet_v3_small";
}

impl ModelOptions for MobileNetOptions {}

fn fifth() -> BelowOne {
    BelowOne::new(0.2).expect("0.2 is under 1")
}
