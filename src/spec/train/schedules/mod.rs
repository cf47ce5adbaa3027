//! How the learning rate changes: each schedule in a file of its own, options and arithmetic. They are
//! closed forms of what `torch.optim.lr_scheduler` computes step by step.

mod constant;
mod cosine;
mod exponential;
mod multistep;
mod one_cycle;
mod plateau;
mod polynomial;
mod step;
mod warmup;

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::Direction;
use crate::spec::choice::{ChoiceList, ChoiceOptions, choice};
use crate::spec::mistake::Mistake;

pub use constant::ConstantOptions;
pub use cosine::{CosineOptions, CosineRestartsOptions};
pub use exponential::ExponentialOptions;
pub use multistep::MultistepOptions;
pub use one_cycle::{Anneal, OneCycleOptions};
pub use plateau::{PlateauOptions, ThresholdMode};
pub use polynomial::PolynomialOptions;
pub use step::StepOptions;
pub use warmup::Warmup;

/// A schedule of the learning rate.
pub trait ScheduleOptions: ChoiceOptions {
    /// The rate at `moment`, where `base` is the optimizer's.
    fn rate(&self, base: f64, moment: &ScheduleMoment<'_>) -> f64;

    /// Whether it goes by the figures of validations.
    fn needs_validation(&self) -> bool {
        false
    }

    /// Whether a rate depends on how many epochs there are in all. Where it does not, a training of more
    /// epochs begins as one of fewer does, and can go on where that ended.
    fn depends_on_length(&self) -> bool {
        true
    }

    /// What contradicts each other in the options, with paths from them on.
    fn mistakes(&self) -> Vec<Mistake> {
        Vec::new()
    }
}

choice!(
    "How the learning rate changes. Factors are applied to the optimizer's `lr`. Epochs count from the\nend of the warm-up; with `steps`, all that counts epochs counts steps.",
    Schedule of ScheduleOptions in schedules
);

impl Default for Schedule {
    fn default() -> Self {
        ConstantOptions {}.into()
    }
}

/// The schedules of this crate.
pub(in crate::spec) fn built_in() -> ChoiceList<dyn ScheduleOptions> {
    ChoiceList::<dyn ScheduleOptions>::new()
        .with::<ConstantOptions>()
        .with::<StepOptions>()
        .with::<MultistepOptions>()
        .with::<ExponentialOptions>()
        .with::<CosineOptions>()
        .with::<CosineRestartsOptions>()
        .with::<OneCycleOptions>()
        .with::<PolynomialOptions>()
        .with::<PlateauOptions>()
}

/// A moment in the part of a training that the schedule rules over: what follows the warm-up. In a training that is
/// measured in steps, a step takes the place of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleMoment<'a> {
    /// The epoch, from 0.
    pub epoch: u32,
    /// The optimizer step within the epoch, from 0.
    pub step: u32,
    /// At least 1.
    pub steps_per_epoch: u32,
    /// All epochs of the part, over 0; whole ones unless a warm-up ends within one.
    pub epochs: f64,
    /// The monitored figure of each finished epoch of the part, NaN where there was no validation.
    pub figures: &'a [f64],
    /// Which way that figure is better.
    pub better: Direction,
}

impl ScheduleMoment<'_> {
    /// Epochs since the beginning, whole ones or with the step's share.
    pub fn time(&self, pace: Pace) -> f64 {
        match pace {
            Pace::Epoch => f64::from(self.epoch),
            Pace::Step => f64::from(self.epoch) + f64::from(self.step) / f64::from(self.steps_per_epoch),
        }
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

/// From `from` at 0 down (or up) to `to` at 1, as a cosine.
fn half_wave(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * share).cos()) / 2.0
}
