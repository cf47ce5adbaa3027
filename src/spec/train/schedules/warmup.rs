//! The rise of the learning rate before the schedule.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::spec::values::{BelowOne, Probability};

/// A linear rise of the learning rate, step by step, before the schedule starts: by one of `epochs`, `steps` and
/// `fraction`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// Epochs that it takes; the schedule counts from their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<NonZeroU32>,
    /// Optimizer steps that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<NonZeroU32>,
    /// The share of all optimizer steps that it takes, rounded up, as Hugging Face's `warmup_steps` below 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<BelowOne>,
    /// The factor at the first step: 0.01 by default of epochs; of `w` steps, 1/(w+1), so that the rise goes on evenly
    /// into the schedule's first step. Hugging Face's begin with 0, at which nothing is learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Probability>,
}

/// A warm-up as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenWarmup {
    #[serde(default)]
    epochs: Option<NonZeroU32>,
    #[serde(default)]
    steps: Option<NonZeroU32>,
    #[serde(default)]
    fraction: Option<BelowOne>,
    #[serde(default)]
    start: Option<Probability>,
}

impl<'de> Deserialize<'de> for Warmup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let GivenWarmup {
            epochs,
            steps,
            fraction,
            start,
        } = GivenWarmup::deserialize(deserializer)?;
        Ok(Self {
            epochs,
            steps,
            fraction,
            // A key tells the default.
            start: start.or_else(|| epochs.and_then(|_| Probability::new(0.01))),
        })
    }
}

impl Warmup {
    /// The steps that it takes of `total`, where an epoch has `per_epoch`.
    pub fn steps_of(&self, per_epoch: f64, total: f64) -> f64 {
        match (self.epochs, self.steps, self.fraction) {
            (Some(epochs), ..) => f64::from(epochs.get()) * per_epoch,
            (None, Some(steps), _) => f64::from(steps.get()),
            (None, None, Some(fraction)) => (fraction.get() * total).ceil(),
            (None, None, None) => 0.0,
        }
    }

    /// The factor at the first of `steps` steps.
    pub fn first_factor(&self, steps: f64) -> f64 {
        self.start.map_or(1.0 / (steps + 1.0), Probability::get)
    }
}
