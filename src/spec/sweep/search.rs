//! How a space is searched.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number;
use crate::spec::values::Positive;

/// How the space is searched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// Every combination, in order.
    Grid(Grid),
    /// Independent draws.
    Random(Trials),
    /// A Sobol sequence: draws that fill the space evenly.
    Sobol(Trials),
    /// Tree-structured Parzen estimators: draws near what did well.
    Tpe(Tpe),
    /// Covariance matrix adaptation, for numbers only.
    CmaEs(CmaEs),
}

impl Default for Search {
    fn default() -> Self {
        Self::Grid(Grid {})
    }
}

impl Search {
    /// The name, as it is written in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Grid(_) => "grid",
            Self::Random(_) => "random",
            Self::Sobol(_) => "sobol",
            Self::Tpe(_) => "tpe",
            Self::CmaEs(_) => "cma_es",
        }
    }

    /// How many trials are wanted; none where the space decides.
    pub fn trials(&self) -> Option<u32> {
        match self {
            Self::Grid(_) => None,
            Self::Random(options) | Self::Sobol(options) => Some(options.trials.get()),
            Self::Tpe(options) => Some(options.trials.get()),
            Self::CmaEs(options) => Some(options.trials.get()),
        }
    }
}

/// The grid has no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grid {}

/// How many trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trials {
    /// How many trials.
    #[serde(default = "default_trials")]
    pub trials: NonZeroU32,
}

/// Options of the tree-structured Parzen estimators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tpe {
    /// How many trials.
    #[serde(default = "default_trials")]
    pub trials: NonZeroU32,
    /// How many of them are drawn before the estimators take over.
    #[serde(default = "default_startup")]
    pub startup: u32,
    /// How many candidates each estimate is chosen from.
    #[serde(default = "default_candidates")]
    pub candidates: NonZeroU32,
}

/// Options of the covariance matrix adaptation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CmaEs {
    /// How many trials.
    #[serde(default = "default_trials")]
    pub trials: NonZeroU32,
    /// Trials a generation; by default 4 + 3 ln(number of parameters).
    #[serde(default)]
    pub population: Option<NonZeroU32>,
    /// The first step's size, as a share of each parameter's range.
    #[serde(default = "default_sigma")]
    pub sigma: Positive,
}

fn default_trials() -> NonZeroU32 {
    number(20)
}

fn default_startup() -> u32 {
    10
}

fn default_candidates() -> NonZeroU32 {
    number(24)
}

fn default_sigma() -> Positive {
    Positive::new(0.3).expect("0.3 is positive")
}
