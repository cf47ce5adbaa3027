//! What a proposal may know about a trial that was started before it.

use super::space::Point;
use crate::spec::Direction;

/// A trial, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Known<'a> {
    pub(super) point: &'a Point,
    /// Whether it comes from an earlier definition of the sweep.
    pub(super) adopted: bool,
    /// How many jobs of it were started.
    pub(super) jobs: usize,
    pub(super) standing: Standing<'a>,
    /// The judged figure by epoch.
    pub(super) curve: &'a [f64],
}

impl Known<'_> {
    /// Whether it is under way (or is to be run) and nothing is known about it yet.
    pub(super) fn is_blank(&self) -> bool {
        self.standing == Standing::Open && self.curve.is_empty()
    }
}

/// How a trial stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Standing<'a> {
    /// How its last job ends is not known; the curve is that of the jobs before.
    Open,
    /// It paused.
    Paused,
    /// It came to its end.
    Done { objectives: &'a [f64] },
    /// It failed.
    Failed,
}

/// What a sweep is after.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    /// Which way each objective is better.
    pub(super) objectives: Vec<Direction>,
    /// Which way the judged figure is better.
    pub(super) judged: Direction,
}

impl Goal {
    /// Objectives as something to be made small.
    pub(super) fn losses(&self, objectives: &[f64]) -> Vec<f64> {
        let values = objectives.iter().chain(std::iter::repeat(&f64::NAN));
        self.objectives
            .iter()
            .zip(values)
            .map(|(direction, value)| direction.loss(*value))
            .collect()
    }

    /// The best of a curve's figures, as something to be made small.
    pub(super) fn best_loss(&self, curve: &[f64]) -> f64 {
        let losses = curve.iter().map(|value| self.judged.loss(*value));
        losses.fold(f64::INFINITY, f64::min)
    }
}
