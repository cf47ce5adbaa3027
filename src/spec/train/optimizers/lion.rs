//! The options of `lion`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OptimizerOptions;
use crate::spec::choice::Named;
use crate::spec::values::{BelowOne, NonNegative};

/// Lion: the sign of a momentum (Chen et al., 2023).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LionOptions {
    /// The learning rate; three to ten times smaller than AdamW's.
    pub lr: NonNegative,
    /// How much of the momentum the update takes, and how much the momentum keeps.
    #[serde(default = "lion_betas")]
    pub betas: [BelowOne; 2],
    /// The decay, times the learning rate, taken off the weights.
    #[serde(default)]
    pub weight_decay: NonNegative,
}

impl Named for LionOptions {
    const NAME: &'static str = "lion";
}

impl OptimizerOptions for LionOptions {
    fn lr(&self) -> f64 {
        self.lr.get()
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay.get()
    }
}

fn lion_betas() -> [BelowOne; 2] {
    [0.9, 0.99].map(|beta| BelowOne::new(beta).expect("both are under 1"))
}
