//! The options of `adam` and `adamw`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OptimizerOptions;
use crate::spec::choice::Named;
use crate::spec::values::{BelowOne, NonNegative, Positive};

/// Adam (Kingma and Ba, 2015) with an L2 penalty, as `torch.optim.Adam`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamOptions {
    /// The learning rate; 0 to judge the weights as they are.
    pub lr: NonNegative,
    /// Decay of the running means of the gradient and of its square.
    #[serde(default = "adam_betas")]
    pub betas: [BelowOne; 2],
    /// Added to the denominator.
    #[serde(default = "default_eps")]
    pub eps: Positive,
    /// The L2 penalty, added to the gradient.
    #[serde(default)]
    pub weight_decay: NonNegative,
}

impl Named for AdamOptions {
    const NAME: &'static str = "adam";
}

impl OptimizerOptions for AdamOptions {
    fn lr(&self) -> f64 {
        self.lr.get()
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay.get()
    }
}

/// Adam with decoupled weight decay, as `torch.optim.AdamW`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamWOptions {
    /// The learning rate; 0 to judge the weights as they are.
    pub lr: NonNegative,
    /// Decay of the running means of the gradient and of its square.
    #[serde(default = "adam_betas")]
    pub betas: [BelowOne; 2],
    /// Added to the denominator.
    #[serde(default = "default_eps")]
    pub eps: Positive,
    /// The decay, times the learning rate, taken off the weights.
    #[serde(default = "adamw_decay")]
    pub weight_decay: NonNegative,
}

impl Named for AdamWOptions {
    const NAME: &'static str = "adamw";
}

impl OptimizerOptions for AdamWOptions {
    fn lr(&self) -> f64 {
        self.lr.get()
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay.get()
    }
}

fn adam_betas() -> [BelowOne; 2] {
    [0.9, 0.999].map(|beta| BelowOne::new(beta).expect("both are under 1"))
}

fn default_eps() -> Positive {
    Positive::new(1e-8).expect("1e-8 is positive")
}

fn adamw_decay() -> NonNegative {
    NonNegative::new(0.01).expect("0.01 is not negative")
}
