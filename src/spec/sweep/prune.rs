//! When a trial that does badly is stopped, and how far a training goes for now.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Direction, number, one};
use crate::spec::table::MetricPath;

/// When a trial that does badly is stopped before its last epoch. It is judged by its first
/// replicate; the others are run once that one has come to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prune {
    /// Asynchronous successive halving: the best share of the trials at each rung goes on.
    Asha(Asha),
    /// A trial that is worse than the median of the earlier ones at the same epoch.
    Median(Median),
    /// A trial that has not improved for a while.
    Patience(Patience),
}

impl Prune {
    /// The metric that is judged, where it is not the objective.
    pub fn metric(&self) -> Option<&MetricPath> {
        match self {
            Self::Asha(options) => options.metric.as_ref(),
            Self::Median(options) => options.metric.as_ref(),
            Self::Patience(options) => options.metric.as_ref(),
        }
    }
}

/// Options of asynchronous successive halving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asha {
    /// Epochs to the first rung.
    #[serde(default = "one")]
    pub min_epochs: NonZeroU32,
    /// Each rung is this many times as far as the one before, and one in so many trials goes on.
    #[serde(default = "default_reduction")]
    pub reduction: NonZeroU32,
    /// A figure of a training's epochs; by default the objective.
    #[serde(default)]
    pub metric: Option<MetricPath>,
}

/// Options of the median rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Median {
    /// Epochs that every trial gets.
    #[serde(default = "one")]
    pub min_epochs: NonZeroU32,
    /// Trials that run to their end before any is stopped.
    #[serde(default = "default_median_startup")]
    pub startup: u32,
    /// A figure of a training's epochs; by default the objective.
    #[serde(default)]
    pub metric: Option<MetricPath>,
}

/// Options of the patience rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patience {
    /// Epochs without an improvement after which a trial is stopped.
    pub epochs: NonZeroU32,
    /// A figure of a training's epochs; by default the objective.
    #[serde(default)]
    pub metric: Option<MetricPath>,
}

/// When a training pauses although its recipe goes on. Says how far to run a stage now, and is
/// never part of a key: a paused training keeps its checkpoint and can be continued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLimits {
    /// The figure of the epochs that is judged, such as `val_accuracy`.
    pub metric: String,
    /// Which way it is better.
    pub direction: Direction,
    /// Pause after this many epochs in all.
    pub until: Option<u32>,
    /// Pause after the epoch (from 1) if the best value up to it is worse than this.
    #[serde(with = "by_epoch")]
    pub worse_than: BTreeMap<u32, f64>,
    /// Pause once the best value is this many epochs old.
    pub patience: Option<u32>,
}

/// Limits by epoch as pairs, with the bits of each number: JSON has neither numbers as keys nor
/// every number as a value.
mod by_epoch {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(limits: &BTreeMap<u32, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs: Vec<(u32, u64)> = limits
            .iter()
            .map(|(epoch, limit)| (*epoch, limit.to_bits()))
            .collect();
        pairs.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u32, f64>, D::Error> {
        let pairs = Vec::<(u32, u64)>::deserialize(deserializer)?;
        let limits = pairs
            .into_iter()
            .map(|(epoch, bits)| (epoch, f64::from_bits(bits)));
        Ok(limits.collect())
    }
}

impl EpochLimits {
    /// Whether a training with these figures of its epochs so far is to pause.
    pub fn pause(&self, values: &[f64]) -> bool {
        let epoch = u32::try_from(values.len()).unwrap_or(u32::MAX);
        if self.until.is_some_and(|until| epoch >= until) {
            return true;
        }
        let losses = values.iter().map(|value| self.direction.loss(*value));
        let best = losses
            .enumerate()
            .min_by(|left, right| left.1.total_cmp(&right.1));
        let Some((at, best)) = best else { return false };
        let limit = self.worse_than.get(&epoch);
        let age = epoch - 1 - u32::try_from(at).unwrap_or(u32::MAX);
        limit.is_some_and(|limit| best > self.direction.loss(*limit))
            || self.patience.is_some_and(|patience| age >= patience)
    }
}

fn default_reduction() -> NonZeroU32 {
    number(3)
}

fn default_median_startup() -> u32 {
    5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_pause_when_they_should() {
        let limits = EpochLimits {
            metric: "val_loss".into(),
            direction: Direction::Minimize,
            until: Some(5),
            worse_than: BTreeMap::from([(2, 0.5)]),
            patience: Some(2),
        };
        assert!(!limits.pause(&[0.9]));
        assert!(limits.pause(&[0.9, 0.6]), "worse than the limit at epoch 2");
        assert!(!limits.pause(&[0.9, 0.5]), "as good as the limit");
        assert!(!limits.pause(&[0.9, 0.5, 0.6]));
        assert!(
            limits.pause(&[0.9, 0.5, 0.6, 0.5]),
            "two epochs without a better one"
        );
        assert!(limits.pause(&[0.9, 0.5, 0.4, 0.3, 0.2]), "the last epoch allowed");
        let none = EpochLimits {
            until: None,
            patience: None,
            ..limits
        };
        assert!(
            none.pause(&[f64::NAN, f64::NAN]),
            "what is no number is worse than any limit"
        );
    }
}
