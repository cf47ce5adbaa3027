//! A learning rate that falls every epoch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScheduleMoment, ScheduleOptions};
use crate::spec::choice::Named;
use crate::spec::values::Positive;

/// Times `gamma` every epoch, as `torch.optim.lr_scheduler.ExponentialLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExponentialOptions {
    /// The factor.
    pub gamma: Positive,
}

impl Named for ExponentialOptions {
    const NAME: &'static str = "exponential";
}

impl ScheduleOptions for ExponentialOptions {
    fn rate(&self, base: f64, moment: &ScheduleMoment<'_>) -> f64 {
        base * self.gamma.get().powf(f64::from(moment.epoch))
    }

    fn depends_on_length(&self) -> bool {
        false
    }
}
