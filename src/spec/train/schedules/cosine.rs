//! Learning rates along a cosine.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pace, ScheduleMoment, ScheduleOptions, half_wave};
use crate::spec::choice::Named;
use crate::spec::values::NonNegative;

/// Cosine annealing, as `torch.optim.lr_scheduler.CosineAnnealingLR`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CosineOptions {
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

impl Named for CosineOptions {
    const NAME: &'static str = "cosine";
}

impl ScheduleOptions for CosineOptions {
    fn rate(&self, base: f64, moment: &ScheduleMoment<'_>) -> f64 {
        let t_max = self.t_max.map_or(moment.epochs, |t_max| f64::from(t_max.get()));
        let share = moment.time(self.per) / t_max;
        half_wave(base, self.eta_min.get(), share)
    }

    fn depends_on_length(&self) -> bool {
        self.t_max.is_none()
    }
}

/// Cosine annealing that starts again and again, as
/// `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CosineRestartsOptions {
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

impl Named for CosineRestartsOptions {
    const NAME: &'static str = "cosine_restarts";
}

impl ScheduleOptions for CosineRestartsOptions {
    fn rate(&self, base: f64, moment: &ScheduleMoment<'_>) -> f64 {
        let share = share_of_round(self, moment.time(self.per));
        half_wave(base, self.eta_min.get(), share)
    }

    fn depends_on_length(&self) -> bool {
        false
    }
}

/// How far into its round a time lies. Rounds are `t_0`, `t_0 t_mult`, `t_0 t_mult²`, ... long.
fn share_of_round(cosine: &CosineRestartsOptions, time: f64) -> f64 {
    let (mut length, growth) = (f64::from(cosine.t_0.get()), f64::from(cosine.t_mult.get()));
    if growth == 1.0 {
        return time % length / length;
    }
    let mut time = time;
    while time >= length {
        time -= length;
        length *= growth;
    }
    time / length
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}
