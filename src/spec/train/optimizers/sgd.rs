//! The options of `sgd`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OptimizerOptions;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::values::{BelowOne, NonNegative};

/// Stochastic gradient descent, as `torch.optim.SGD`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SgdOptions {
    /// The learning rate; 0 to judge the weights as they are.
    pub lr: NonNegative,
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

impl Named for SgdOptions {
    const NAME: &'static str = "sgd";
}

impl OptimizerOptions for SgdOptions {
    fn lr(&self) -> f64 {
        self.lr.get()
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay.get()
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if self.nesterov && self.momentum.get() == 0.0 {
            mistakes.push(
                Mistake::new(["nesterov"], "`nesterov` needs a `momentum` over 0")
                    .help("add `momentum: 0.9`, or leave `nesterov` out"),
            );
        }
        if self.nesterov && self.dampening.get() > 0.0 {
            mistakes.push(
                Mistake::new(["nesterov"], "`nesterov` and `dampening` exclude each other")
                    .help("leave one of them out"),
            );
        }
        mistakes
    }
}
