//! A learning rate that falls when the monitored figure has stopped getting better.

use crate::spec::{Monitored, Plateau, ThresholdMode};

/// A smaller change of the rate is not made, as in PyTorch.
const EPS: f64 = 1e-8;

/// The rate after `judged`: what `torch.optim.lr_scheduler.ReduceLROnPlateau` holds after a step for
/// each figure that is not NaN. A replay, so that no state is to be kept.
pub(super) fn rate(plateau: &Plateau, monitored: Monitored, base: f64, judged: &[f64]) -> f64 {
    let mut rate = base;
    let mut best = if monitored.is_maximized() {
        f64::NEG_INFINITY
    } else {
        f64::INFINITY
    };
    let (mut bad, mut cooldown) = (0u32, 0u32);
    for &value in judged.iter().filter(|value| !value.is_nan()) {
        if is_better(plateau, monitored, value, best) {
            best = value;
            bad = 0;
        } else {
            bad = bad.saturating_add(1);
        }
        if cooldown > 0 {
            cooldown -= 1;
            bad = 0;
        }
        if bad > plateau.patience {
            let lower = (rate * plateau.factor.get()).max(plateau.min_lr.get());
            if rate - lower > EPS {
                rate = lower;
            }
            cooldown = plateau.cooldown;
            bad = 0;
        }
    }
    rate
}

fn is_better(plateau: &Plateau, monitored: Monitored, value: f64, best: f64) -> bool {
    let threshold = plateau.threshold.get();
    match (monitored.is_maximized(), plateau.threshold_mode) {
        (false, ThresholdMode::Rel) => value < best * (1.0 - threshold),
        (false, ThresholdMode::Abs) => value < best - threshold,
        (true, ThresholdMode::Rel) => value > best * (1.0 + threshold),
        (true, ThresholdMode::Abs) => value > best + threshold,
    }
}
