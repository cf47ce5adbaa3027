//! A learning rate that falls every so many epochs.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScheduleMoment, ScheduleOptions};
use crate::spec::choice::Named;
use crate::spec::values::Positive;

/// Times `gamma` every `every` epochs, as `torch.optim.lr_scheduler.StepLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepOptions {
    /// Epochs between two changes.
    pub every: NonZeroU32,
    /// The factor.
    #[serde(default = "default_gamma")]
    pub gamma: Positive,
}

impl Named for StepOptions {
    const NAME: &'static str = "step";
}

impl ScheduleOptions for StepOptions {
    fn rate(&self, base: f64, moment: &ScheduleMoment<'_>) -> f64 {
        let falls = moment.epoch / self.every.get();
        base * self.gamma.get().powf(f64::from(falls))
    }

    fn depends_on_length(&self) -> bool {
        false
    }
}

fn default_gamma() -> Positive {
    Positive::new(0.1).expect("0.1 is positive")
}
