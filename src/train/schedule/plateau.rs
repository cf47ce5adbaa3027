//! A learning rate that falls when the monitored figure has stopped getting better.

use crate::metric::Direction;
use crate::spec::{Plateau, ThresholdMode};

/// A smaller change of the rate is not made, as in PyTorch.
const EPS: f64 = 1e-8;

/// The rate after `judged`: what `torch.optim.lr_scheduler.ReduceLROnPlateau` holds after a step for
/// each figure that is not NaN. A replay, so that no state is to be kept.
pub(super) fn rate(plateau: &Plateau, better: Direction, base: f64, judged: &[f64]) -> f64 {
    let mut rate = base;
    let mut best = if better == Direction::Maximize {
        f64::NEG_INFINITY
    } else {
        f64::INFINITY
    };
    let (mut bad, mut cooldown) = (0u32, 0u32);
    for &value in judged.iter().filter(|value| !value.is_nan()) {
        if is_better(plateau, better, value, best) {
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

fn is_better(plateau: &Plateau, better: Direction, value: f64, best: f64) -> bool {
    let threshold = plateau.threshold.get();
    match (better, plateau.threshold_mode) {
        (Direction::Minimize, ThresholdMode::Rel) => value < best * (1.0 - threshold),
        (Direction::Minimize, ThresholdMode::Abs) => value < best - threshold,
        (Direction::Maximize, ThresholdMode::Rel) => value > best * (1.0 + threshold),
        (Direction::Maximize, ThresholdMode::Abs) => value > best + threshold,
    }
}
