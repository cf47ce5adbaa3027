//! Asynchronous successive halving.
//!
//! Li et al., "A system for massively parallel hyperparameter tuning" (MLSys 2020): every trial
//! runs to the first rung and pauses there; whenever a paused trial is among the best
//! 1/`reduction` of its rung it goes on to the next one.

use std::cmp::Ordering;

use super::super::known::{Known, Standing};
use crate::spec::{Asha, Direction};

/// The rungs: `min_epochs`, and from each to the next `reduction` times as many epochs.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    first: u32,
    reduction: u32,
    /// The training's epochs; there is no rung at them or beyond.
    end: Option<u32>,
}

impl Ladder {
    pub(super) fn new(options: &Asha, max_epochs: Option<u32>) -> Self {
        Self {
            first: options.min_epochs.get(),
            reduction: options.reduction.get(),
            end: max_epochs,
        }
    }

    /// The first rung beyond so many epochs; none where the end comes first.
    pub(super) fn after(&self, epochs: usize) -> Option<u32> {
        self.rungs().find(|rung| *rung as usize > epochs)
    }

    fn rungs(&self) -> impl Iterator<Item = u32> {
        // With a reduction of 1 each epoch is a rung.
        let next = |rung: &u32| {
            let next = rung.saturating_mul(self.reduction).max(rung.saturating_add(1));
            (next > *rung).then_some(next)
        };
        let inside = |rung: &u32| self.end.is_none_or(|end| *rung < end);
        std::iter::successors(Some(self.first), next).take_while(inside)
    }

    /// The paused trial to go on with: of the highest rung with any such the best that is among the
    /// best 1/`reduction` of all that got so far. Else one that an earlier definition stopped below
    /// the first rung.
    pub(super) fn promote(&self, direction: Direction, known: &[Known]) -> Option<usize> {
        for rung in self.reached(known).into_iter().rev() {
            let ranked = ranked(direction, known, rung);
            let promoted = ranked.len() / self.reduction as usize;
            let found = ranked[..promoted]
                .iter()
                .find(|(index, loss)| loss.is_finite() && self.waits_at(&known[*index], rung));
            if let Some((index, _)) = found {
                return Some(*index);
            }
        }
        known.iter().position(|trial| {
            trial.standing == Standing::Paused
                && self
                    .rungs()
                    .next()
                    .is_none_or(|first| trial.curve.len() < first as usize)
        })
    }

    /// Where no trial came to its end, the best of the highest rung.
    pub(super) fn last(&self, direction: Direction, known: &[Known]) -> Option<usize> {
        if known
            .iter()
            .any(|trial| matches!(trial.standing, Standing::Done { .. }))
        {
            return None;
        }
        self.reached(known).into_iter().rev().find_map(|rung| {
            let ranked = ranked(direction, known, rung);
            let mut ranked = ranked.into_iter().map(|(index, _)| index);
            ranked.find(|index| self.waits_at(&known[*index], rung))
        })
    }

    /// The rungs that any trial got to.
    fn reached(&self, known: &[Known]) -> Vec<u32> {
        let furthest = known.iter().map(|trial| trial.curve.len()).max().unwrap_or(0);
        self.rungs()
            .take_while(|rung| *rung as usize <= furthest)
            .collect()
    }

    /// Whether a trial is paused at this rung and at none beyond.
    fn waits_at(&self, trial: &Known, rung: u32) -> bool {
        let epochs = trial.curve.len();
        trial.standing == Standing::Paused
            && epochs >= rung as usize
            && self
                .after(rung as usize)
                .is_none_or(|next| epochs < next as usize)
    }
}

/// The trials that got to a rung or to their end before it, by the best figure up to there.
fn ranked(direction: Direction, known: &[Known], rung: u32) -> Vec<(usize, f64)> {
    let mut ranked: Vec<(usize, f64)> = known
        .iter()
        .enumerate()
        .filter(|(_, trial)| match trial.standing {
            Standing::Failed => false,
            Standing::Done { .. } => !trial.curve.is_empty(),
            Standing::Open | Standing::Paused => trial.curve.len() >= rung as usize,
        })
        .map(|(index, trial)| {
            let seen = trial.curve.iter().take(rung as usize);
            let best = seen
                .map(|value| direction.loss(*value))
                .fold(f64::INFINITY, f64::min);
            (index, best)
        })
        .collect();
    ranked.sort_by(|left, right| match left.1.total_cmp(&right.1) {
        Ordering::Equal => left.0.cmp(&right.0),
        order => order,
    });
    ranked
}
