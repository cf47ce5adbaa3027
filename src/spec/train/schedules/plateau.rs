//! A learning rate that falls when the monitored figure has stopped getting better.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScheduleMoment, ScheduleOptions};
use crate::metric::Direction;
use crate::spec::choice::Named;
use crate::spec::values::{BelowOne, NonNegative};

/// A smaller change of the rate is not made, as in PyTorch.
const EPS: f64 = 1e-8;

/// Times `factor` whenever the monitored figure has stopped getting better: as
/// `torch.optim.lr_scheduler.ReduceLROnPlateau`, stepped after each epoch with the recipe's `monitor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlateauOptions {
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

impl Named for PlateauOptions {
    const NAME: &'static str = "plateau";
}

impl ScheduleOptions for PlateauOptions {
    /// What `torch.optim.lr_scheduler.ReduceLROnPlateau` holds after a step for each figure that is not
    /// NaN. A replay, so that no state is to be kept.
    fn rate(&self, base: f64, moment: &ScheduleMoment<'_>) -> f64 {
        let mut rate = base;
        let mut best = if moment.better == Direction::Maximize {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
        let (mut bad, mut cooldown) = (0u32, 0u32);
        for &value in moment.figures.iter().filter(|value| !value.is_nan()) {
            if self.is_better(moment.better, value, best) {
                best = value;
                bad = 0;
            } else {
                bad = bad.saturating_add(1);
            }
            if cooldown > 0 {
                cooldown -= 1;
                bad = 0;
            }
            if bad > self.patience {
                let lower = (rate * self.factor.get()).max(self.min_lr.get());
                if rate - lower > EPS {
                    rate = lower;
                }
                cooldown = self.cooldown;
                bad = 0;
            }
        }
        rate
    }

    fn depends_on_length(&self) -> bool {
        false
    }

    fn needs_validation(&self) -> bool {
        true
    }
}

impl PlateauOptions {
    fn is_better(&self, better: Direction, value: f64, best: f64) -> bool {
        let threshold = self.threshold.get();
        match (better, self.threshold_mode) {
            (Direction::Minimize, ThresholdMode::Rel) => value < best * (1.0 - threshold),
            (Direction::Minimize, ThresholdMode::Abs) => value < best - threshold,
            (Direction::Maximize, ThresholdMode::Rel) => value > best * (1.0 + threshold),
            (Direction::Maximize, ThresholdMode::Abs) => value > best + threshold,
        }
    }
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

fn plateau_factor() -> BelowOne {
    BelowOne::new(0.1).expect("0.1 is under 1")
}

fn plateau_patience() -> u32 {
    10
}

fn plateau_threshold() -> NonNegative {
    NonNegative::new(1e-4).expect("1e-4 is not negative")
}
