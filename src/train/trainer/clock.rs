//! Where an epoch's time goes.

use std::time::Instant;

use crate::event::PhaseSeconds;

/// A part of an epoch.
#[derive(Clone, Copy)]
pub(super) enum EpochPhase {
    /// Waiting for the loader.
    Data,
    /// From inputs to the loss.
    Forward,
    /// From the loss to gradients.
    Backward,
    /// From gradients to weights.
    Step,
    /// Judging the validation split.
    Validation,
}

/// Adds up the time between its ticks.
pub(super) struct Clock {
    started: Instant,
    last: Instant,
    seconds: PhaseSeconds,
}

impl Clock {
    pub fn start() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last: now,
            seconds: PhaseSeconds::default(),
        }
    }

    /// Counts the time since the last tick as `phase`.
    pub fn tick(&mut self, phase: EpochPhase) {
        let now = Instant::now();
        let passed = (now - self.last).as_secs_f64();
        self.last = now;
        *match phase {
            EpochPhase::Data => &mut self.seconds.data,
            EpochPhase::Forward => &mut self.seconds.forward,
            EpochPhase::Backward => &mut self.seconds.backward,
            EpochPhase::Step => &mut self.seconds.step,
            EpochPhase::Validation => &mut self.seconds.validation,
        } += passed;
    }

    /// The parts so far.
    pub fn phases(&self) -> PhaseSeconds {
        self.seconds
    }

    /// Seconds since the start.
    pub fn total(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Seconds since the start that were not spent on validation.
    pub fn training(&self) -> f64 {
        self.total() - self.seconds.validation
    }
}
