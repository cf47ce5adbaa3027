//! What is done to gradients and weights around the optimizer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::values::{BelowOne, NonNegative, Positive};

/// Which parameters the optimizer's weight decay applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecayOn {
    /// All, as in PyTorch with a single parameter group.
    #[default]
    All,
    /// All but biases and the weights of norms, that is, but vectors.
    Weights,
}

/// Limits to the gradients of a step, before the optimizer sees them. Values are limited first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// The largest norm over all parameters, as `torch.nn.utils.clip_grad_norm_`.
    #[serde(default)]
    pub norm: Option<Positive>,
    /// The largest absolute value, as `torch.nn.utils.clip_grad_value_`.
    #[serde(default)]
    pub value: Option<Positive>,
}

/// Parameters that are trained in a way of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterGroup {
    /// Patterns of parameter names, in which `*` stands for any text. A parameter belongs to the
    /// first group with a pattern that fits.
    pub parameters: Vec<String>,
    /// Whether they stay as they are. The running statistics of a frozen batch norm go on following
    /// the batches, as in PyTorch with `requires_grad = False`.
    #[serde(default)]
    pub frozen: bool,
    /// What the learning rate is multiplied by, a schedule's lowest rate included.
    #[serde(default = "unit")]
    pub lr_factor: Positive,
    /// A weight decay of their own.
    #[serde(default)]
    pub weight_decay: Option<NonNegative>,
}

/// An exponential moving average of the weights: it is what is validated, selected and written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmaOptions {
    /// The share that the average keeps at each step.
    #[serde(default = "ema_decay")]
    pub decay: BelowOne,
}

fn unit() -> Positive {
    Positive::new(1.0).expect("1 is positive")
}

fn ema_decay() -> BelowOne {
    BelowOne::new(0.999).expect("0.999 is under 1")
}
