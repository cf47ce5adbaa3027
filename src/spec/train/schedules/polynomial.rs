//! A learning rate that falls to 0 along a power.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pace, ScheduleMoment, ScheduleOptions};
use crate::spec::choice::Named;
use crate::spec::values::Positive;

/// Down to 0 along a power, as `torch.optim.lr_scheduler.PolynomialLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolynomialOptions {
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

impl Named for PolynomialOptions {
    const NAME: &'static str = "polynomial";
}

impl ScheduleOptions for PolynomialOptions {
    fn rate(&self, base: f64, moment: &ScheduleMoment<'_>) -> f64 {
        let epochs = self
            .epochs
            .map_or(moment.epochs, |epochs| f64::from(epochs.get()));
        let share = (moment.time(self.per) / epochs).min(1.0);
        base * (1.0 - share).powf(self.power.get())
    }

    fn depends_on_length(&self) -> bool {
        self.epochs.is_none()
    }
}

fn linear_power() -> Positive {
    Positive::new(1.0).expect("1 is positive")
}
