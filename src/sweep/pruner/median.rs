//! The median rule.
//!
//! Golovin et al., "Google Vizier: a service for black-box optimization" (2017): a trial is stopped
//! where its best figure so far is worse than the median of the earlier trials at the same epoch.

use std::collections::BTreeMap;

use super::super::known::{Known, Standing};
use crate::spec::{Direction, Median};

/// By epoch, the median of the best figures up to it of all trials that got so far.
pub(super) fn limits(
    options: &Median,
    direction: Direction,
    max_epochs: Option<u32>,
    known: &[Known],
) -> BTreeMap<u32, f64> {
    let is_done = |trial: &&Known| matches!(trial.standing, Standing::Done { .. });
    if known.iter().filter(is_done).count() < options.startup as usize {
        return BTreeMap::new();
    }
    let curves: Vec<Vec<f64>> = known
        .iter()
        .filter(|trial| trial.standing != Standing::Failed)
        .map(|trial| {
            let losses = trial.curve.iter().map(|value| direction.loss(*value));
            let best = |best: &mut f64, loss: f64| {
                *best = best.min(loss);
                Some(*best)
            };
            losses.scan(f64::INFINITY, best).collect()
        })
        .collect();
    let longest = curves.iter().map(Vec::len).max().unwrap_or(0);
    let last = max_epochs.map_or(longest, |epochs| longest.min((epochs as usize).saturating_sub(1)));
    (options.min_epochs.get() as usize..=last)
        .filter_map(|epoch| {
            let mut losses: Vec<f64> = curves
                .iter()
                .filter_map(|curve| curve.get(epoch - 1))
                .copied()
                .collect();
            let median = median(&mut losses)?;
            let limit = match direction {
                Direction::Minimize => median,
                Direction::Maximize => -median,
            };
            median.is_finite().then_some((u32::try_from(epoch).ok()?, limit))
        })
        .collect()
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        Some(upper)
    } else {
        Some(0.5 * (values[values.len() / 2 - 1] + upper))
    }
}
