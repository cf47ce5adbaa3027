//! A learning rate that goes up and down once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScheduleMoment, ScheduleOptions, half_wave};
use crate::spec::choice::Named;
use crate::spec::values::{Positive, Probability};

/// Up and down once, step by step: as `torch.optim.lr_scheduler.OneCycleLR` over the epochs that the
/// warm-up leaves; the optimizer's `lr` is the top, and its momentum stays as it is
/// (`cycle_momentum=False`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneCycleOptions {
    /// The share of the steps on which the rate rises. At 1 it rises to the very last step and never falls,
    /// and at 0 it falls from the top on; PyTorch fails at 1.
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

impl Named for OneCycleOptions {
    const NAME: &'static str = "one_cycle";
}

impl ScheduleOptions for OneCycleOptions {
    /// Two phases over all steps; the last step of each has reached the phase's end. The names are those
    /// of PyTorch's `OneCycleLR`.
    fn rate(&self, base: f64, moment: &ScheduleMoment<'_>) -> f64 {
        let per_epoch = f64::from(moment.steps_per_epoch);
        let total = moment.epochs * per_epoch;
        let step = (f64::from(moment.epoch) * per_epoch + f64::from(moment.step)).min(total - 1.0);
        let initial = base / self.div_factor.get();
        let last = initial / self.final_div_factor.get();
        let rise_ends = self.pct_start.get() * total - 1.0;
        let (from, to, start, end) = if step <= rise_ends {
            (initial, base, 0.0, rise_ends)
        } else {
            (base, last, rise_ends, total - 1.0)
        };
        // A phase of one step, for which PyTorch divides by 0, stands at its end.
        let share = if end > start {
            (step - start) / (end - start)
        } else {
            1.0
        };
        match self.anneal {
            Anneal::Cos => half_wave(from, to, share),
            Anneal::Linear => (to - from) * share + from,
        }
    }
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

fn one_cycle_rise() -> Probability {
    Probability::new(0.3).expect("0.3 is a probability")
}

fn one_cycle_div() -> Positive {
    Positive::new(25.0).expect("25 is positive")
}

fn one_cycle_final_div() -> Positive {
    Positive::new(1e4).expect("1e4 is positive")
}
