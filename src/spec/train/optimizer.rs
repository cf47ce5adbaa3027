//! How weights are updated: the optimizer, and what is done to gradients and weights around it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::values::{BelowOne, NonNegative, Positive};

/// How the weights are updated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent, as `torch.optim.SGD`.
    Sgd(Sgd),
    /// Adam (Kingma and Ba, 2015) with an L2 penalty, as `torch.optim.Adam`.
    Adam(Adam),
    /// Adam with decoupled weight decay, as `torch.optim.AdamW`.
    #[serde(rename = "adamw")]
    AdamW(AdamW),
    /// Lion: the sign of a momentum (Chen et al., 2023).
    Lion(Lion),
}

impl Optimizer {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.lr.get(),
            Self::Adam(adam) => adam.lr.get(),
            Self::AdamW(adamw) => adamw.lr.get(),
            Self::Lion(lion) => lion.lr.get(),
        }
    }

    /// The weight decay.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.weight_decay.get(),
            Self::Adam(adam) => adam.weight_decay.get(),
            Self::AdamW(adamw) => adamw.weight_decay.get(),
            Self::Lion(lion) => lion.weight_decay.get(),
        }
    }
}

/// Stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// The learning rate.
    pub lr: Positive,
    /// The momentum.
    #[serde(default)]
    pub momentum: BelowOne,
    /// The share of each gradient that the momentum leaves out, from the second step on.
    #[serde(default)]
    pub dampening: BelowOne,
    /// Nesterov's momentum: needs momentum and no dampening.
    #[serde(default)]
    pub nesterov: bool,
    /// The L2 penalty, added to the gradient.
    #[serde(default)]
    pub weight_decay: NonNegative,
}

/// Adam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// The learning rate.
    pub lr: Positive,
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

/// Adam with decoupled weight decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    /// The learning rate.
    pub lr: Positive,
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

/// Lion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lion {
    /// The learning rate; three to ten times smaller than AdamW's.
    pub lr: Positive,
    /// How much of the momentum the update takes, and how much the momentum keeps.
    #[serde(default = "lion_betas")]
    pub betas: [BelowOne; 2],
    /// The decay, times the learning rate, taken off the weights.
    #[serde(default)]
    pub weight_decay: NonNegative,
}

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
pub struct Ema {
    /// The share that the average keeps at each step.
    #[serde(default = "ema_decay")]
    pub decay: BelowOne,
}

fn unit() -> Positive {
    Positive::new(1.0).expect("1 is positive")
}

fn default_eps() -> Positive {
    Positive::new(1e-8).expect("1e-8 is positive")
}

fn adamw_decay() -> NonNegative {
    NonNegative::new(0.01).expect("0.01 is not negative")
}

fn adam_betas() -> [BelowOne; 2] {
    [0.9, 0.999].map(|beta| BelowOne::new(beta).expect("both are under 1"))
}

fn lion_betas() -> [BelowOne; 2] {
    [0.9, 0.99].map(|beta| BelowOne::new(beta).expect("both are under 1"))
}

fn ema_decay() -> BelowOne {
    BelowOne::new(0.999).expect("0.999 is under 1")
}
