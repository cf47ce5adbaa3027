//! The schedules that depend on nothing but the place in training, as closed forms of what
//! `torch.optim.lr_scheduler` computes step by step.

use std::f64::consts::PI;

use crate::spec::{self, Anneal, Pace};

/// A place in the part of a training that the schedule rules over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// From 0.
    pub epoch: u32,
    /// From 0, within the epoch.
    pub step: u32,
    /// At least 1.
    pub steps_per_epoch: u32,
    /// All epochs of the part; at least 1.
    pub epochs: u32,
}

impl Place {
    /// Epochs since the beginning, whole ones or with the step's share.
    fn time(self, pace: Pace) -> f64 {
        match pace {
            Pace::Epoch => f64::from(self.epoch),
            Pace::Step => f64::from(self.epoch) + f64::from(self.step) / f64::from(self.steps_per_epoch),
        }
    }
}

/// The rate at `place` under a schedule whose top is `base`. A plateau's is `base`: it depends on
/// more than the place.
pub(super) fn factor(schedule: &spec::Schedule, base: f64, place: Place) -> f64 {
    match schedule {
        spec::Schedule::Constant(_) | spec::Schedule::Plateau(_) => base,
        spec::Schedule::Step(step) => {
            let falls = place.epoch / step.every.get();
            base * step.gamma.get().powf(f64::from(falls))
        }
        spec::Schedule::Multistep(steps) => {
            let passed = steps
                .milestones
                .iter()
                .filter(|milestone| milestone.get() <= place.epoch);
            base * steps.gamma.get().powf(passed.count() as f64)
        }
        spec::Schedule::Exponential(fall) => base * fall.gamma.get().powf(f64::from(place.epoch)),
        spec::Schedule::Cosine(cosine) => {
            let t_max = cosine.t_max.map_or(place.epochs, |t_max| t_max.get());
            let share = place.time(cosine.per) / f64::from(t_max);
            half_wave(base, cosine.eta_min.get(), share)
        }
        spec::Schedule::CosineRestarts(cosine) => {
            let share = share_of_round(cosine, place.time(cosine.per));
            half_wave(base, cosine.eta_min.get(), share)
        }
        spec::Schedule::OneCycle(cycle) => one_cycle(cycle, base, place),
        spec::Schedule::Polynomial(polynomial) => {
            let epochs = polynomial.epochs.map_or(place.epochs, |epochs| epochs.get());
            let share = (place.time(polynomial.per) / f64::from(epochs)).min(1.0);
            base * (1.0 - share).powf(polynomial.power.get())
        }
    }
}

/// From `from` at 0 down (or up) to `to` at 1, as a cosine.
fn half_wave(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * share).cos()) / 2.0
}

/// How far into its round a time lies. Rounds are `t_0`, `t_0 t_mult`, `t_0 t_mult²`, ... long.
fn share_of_round(cosine: &spec::CosineRestarts, time: f64) -> f64 {
    let (mut length, growth) = (f64::from(cosine.t_0.get()), f64::from(cosine.t_mult.get()));
    if growth == 1.0 {
        return time % length / length;
    }
    let mut time = time;
    while time >= length {
        time -= length;
        length *= growth;
    }
    time / length
}

/// Two phases over all steps; the last step of each has reached the phase's end. The names are those
/// of PyTorch's `OneCycleLR`.
fn one_cycle(cycle: &spec::OneCycle, base: f64, place: Place) -> f64 {
    let per_epoch = f64::from(place.steps_per_epoch);
    let total = f64::from(place.epochs) * per_epoch;
    let step = (f64::from(place.epoch) * per_epoch + f64::from(place.step)).min(total - 1.0);
    let initial = base / cycle.div_factor.get();
    let last = initial / cycle.final_div_factor.get();
    let rise_ends = cycle.pct_start.get() * total - 1.0;
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
    match cycle.anneal {
        Anneal::Cos => half_wave(from, to, share),
        Anneal::Linear => (to - from) * share + from,
    }
}
