//! A learning rate that falls at some epochs.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScheduleMoment, ScheduleOptions};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::values::Positive;

/// Times `gamma` at each of some epochs, as `torch.optim.lr_scheduler.MultiStepLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultistepOptions {
    /// The epochs at whose beginning the rate changes, the earliest first; one that stands twice changes it
    /// twice, as in PyTorch.
    pub milestones: Vec<NonZeroU32>,
    /// The factor.
    #[serde(default = "default_gamma")]
    pub gamma: Positive,
}

impl Named for MultistepOptions {
    const NAME: &'static str = "multistep";
}

impl ScheduleOptions for MultistepOptions {
    fn rate(&self, base: f64, moment: &ScheduleMoment<'_>) -> f64 {
        let passed = self
            .milestones
            .iter()
            .filter(|milestone| milestone.get() <= moment.epoch);
        base * self.gamma.get().powf(passed.count() as f64)
    }

    fn depends_on_length(&self) -> bool {
        false
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if self.milestones.is_empty() {
            mistakes.push(
                Mistake::new(["milestones"], "there are no milestones")
                    .help("list the epochs at which the learning rate changes"),
            );
        }
        if let Some(index) = self.milestones.windows(2).position(|pair| pair[0] > pair[1]) {
            let path = ["milestones".to_owned(), (index + 1).to_string()];
            mistakes.push(Mistake::new(path, "the milestones fall").help("list the earliest epoch first"));
        }
        mistakes
    }
}

fn default_gamma() -> Positive {
    Positive::new(0.1).expect("0.1 is positive")
}
