//! How the learning rate changes.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::values::{BelowOne, NonNegative, Positive, Probability};

/// How the learning rate changes. Factors are applied to the optimizer's `lr`. Epochs count from the
/// end of the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same throughout.
    Constant(Constant),
    /// Times `gamma` every `every` epochs.
    Step(Step),
    /// Times `gamma` at each of some epochs.
    Multistep(Multistep),
    /// Times `gamma` every epoch.
    Exponential(Exponential),
    /// Cosine annealing.
    Cosine(Cosine),
    /// Cosine annealing that starts again and again.
    CosineRestarts(CosineRestarts),
    /// Up and down once, step by step.
    OneCycle(OneCycle),
    /// Down to 0 along a power.
    Polynomial(Polynomial),
    /// Times `factor` whenever the monitored figure has stopped getting better.
    Plateau(Plateau),
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Constant(Constant {})
    }
}

/// How often a schedule moves on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// After each epoch.
    #[default]
    Epoch,
    /// After each optimizer step, by that step's share of an epoch.
    Step,
}

/// The constant schedule has no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {}

/// As `torch.optim.lr_scheduler.StepLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Epochs between two changes.
    pub every: NonZeroU32,
    /// The factor.
    #[serde(default = "default_gamma")]
    pub gamma: Positive,
}

/// As `torch.optim.lr_scheduler.MultiStepLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Multistep {
    /// The epochs at whose beginning the rate changes, rising.
    pub milestones: Vec<NonZeroU32>,
    /// The factor.
    #[serde(default = "default_gamma")]
    pub gamma: Positive,
}

/// As `torch.optim.lr_scheduler.ExponentialLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exponential {
    /// The factor.
    pub gamma: Positive,
}

/// As `torch.optim.lr_scheduler.CosineAnnealingLR`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Epochs from the top to the bottom; by default the epochs that the warm-up leaves.
    #[serde(default)]
    pub t_max: Option<NonZeroU32>,
    /// The learning rate at the bottom.
    #[serde(default)]
    pub eta_min: NonNegative,
    /// How often the rate changes.
    #[serde(default)]
    pub per: Pace,
}

/// As `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CosineRestarts {
    /// Epochs until the first restart.
    pub t_0: NonZeroU32,
    /// How many times longer each round is than the one before.
    #[serde(default = "one")]
    pub t_mult: NonZeroU32,
    /// The learning rate at the bottom.
    #[serde(default)]
    pub eta_min: NonNegative,
    /// How often the rate changes.
    #[serde(default)]
    pub per: Pace,
}

/// As `torch.optim.lr_scheduler.OneCycleLR` over the epochs that the warm-up leaves; the optimizer's
/// `lr` is the top, and its momentum stays as it is (`cycle_momentum=False`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// The share of the steps on which the rate rises.
    #[serde(default = "one_cycle_rise")]
    pub pct_start: Probability,
    /// How many times smaller than the top the first rate is.
    #[serde(default = "one_cycle_div")]
    pub div_factor: Positive,
    /// How many times smaller than the first rate the last one is.
    #[serde(default = "one_cycle_final_div")]
    pub final_div_factor: Positive,
    /// The shape of rise and fall.
    #[serde(default)]
    pub anneal: Anneal,
}

/// The shape of a rise or fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anneal {
    /// Half a wave.
    #[default]
    Cos,
    /// A straight line.
    Linear,
}

/// As `torch.optim.lr_scheduler.PolynomialLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Polynomial {
    /// The power.
    #[serde(default = "linear_power")]
    pub power: Positive,
    /// Epochs until the rate is 0; by default the epochs that the warm-up leaves.
    #[serde(default)]
    pub epochs: Option<NonZeroU32>,
    /// How often the rate changes.
    #[serde(default)]
    pub per: Pace,
}

/// As `torch.optim.lr_scheduler.ReduceLROnPlateau`, stepped after each epoch with the recipe's
/// `monitor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plateau {
    /// The factor.
    #[serde(default = "plateau_factor")]
    pub factor: BelowOne,
    /// Epochs with a validation but without a gain that are let pass.
    #[serde(default = "plateau_patience")]
    pub patience: u32,
    /// The least gain that counts.
    #[serde(default = "plateau_threshold")]
    pub threshold: NonNegative,
    /// Whether `threshold` is a share of the best figure or a difference from it.
    #[serde(default)]
    pub threshold_mode: ThresholdMode,
    /// Epochs with a validation after a change in which nothing is counted.
    #[serde(default)]
    pub cooldown: u32,
    /// The lowest learning rate.
    #[serde(default)]
    pub min_lr: NonNegative,
}

/// What a threshold is measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdMode {
    /// A share of the best figure.
    #[default]
    Rel,
    /// A difference from the best figure.
    Abs,
}

/// A linear rise of the learning rate, step by step, before the schedule starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// Epochs that it takes; the schedule counts from their end.
    pub epochs: NonZeroU32,
    /// The factor at the first step.
    #[serde(default = "default_start")]
    pub start: Probability,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn default_start() -> Probability {
    Probability::new(0.01).expect("0.01 is a probability")
}

fn default_gamma() -> Positive {
    Positive::new(0.1).expect("0.1 is positive")
}

fn linear_power() -> Positive {
    Positive::new(1.0).expect("1 is positive")
}

fn one_cycle_rise() -> Probability {
    Probability::new(0.3).expect("0.3 is a probability")
}

fn one_cycle_div() -> Positive {
    Positive::new(25.0).expect("25 is positive")
}

fn one_cycle_final_div() -> Positive {
    Positive::new(1e4).expect("1e4 is positive")
}

fn plateau_factor() -> BelowOne {
    BelowOne::new(0.1).expect("0.1 is under 1")
}

fn plateau_patience() -> u32 {
    10
}

fn plateau_threshold() -> NonNegative {
    NonNegative::new(1e-4).expect("1e-4 is not negative")
}
