//! When a trial is stopped early, and which stopped ones go on.

mod asha;
mod median;

use std::collections::BTreeMap;

use self::asha::Ladder;
use super::known::{Known, Standing};
use super::{Definition, SweepError};
use crate::metric::Direction;
use crate::spec::{EpochLimits, Median, Prune};

/// A rule, and what it judges by.
pub(super) struct Pruner {
    rule: PruningRule,
    /// The figure of the epochs that is judged.
    metric: String,
    direction: Direction,
    /// The epochs of the judged training, where known.
    max_epochs: Option<u32>,
}

enum PruningRule {
    Never,
    Asha(Ladder),
    Median(Median),
    Patience(u32),
}

impl Pruner {
    pub(super) fn new(definition: &Definition) -> Result<Self, SweepError> {
        let max_epochs = definition.max_epochs;
        let prune = &definition.sweep.prune;
        let rule = match prune {
            None => PruningRule::Never,
            Some(Prune::Asha(options)) => PruningRule::Asha(Ladder::new(options, max_epochs)),
            Some(Prune::Median(options)) => PruningRule::Median(options.clone()),
            Some(Prune::Patience(options)) => PruningRule::Patience(options.epochs.get()),
        };
        let judged = definition.judged();
        if judged.is_none() && prune.is_some() {
            return Err(SweepError::NothingToJudge);
        }
        Ok(Self {
            rule,
            direction: judged
                .as_ref()
                .map_or(Direction::Minimize, |judged| judged.direction()),
            metric: judged
                .map(|judged| judged.path().metric.clone())
                .unwrap_or_default(),
            max_epochs,
        })
    }

    /// Which way the judged figure is better.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// Whether no outcome changes what it says.
    pub(super) fn is_blind(&self) -> bool {
        matches!(self.rule, PruningRule::Never | PruningRule::Patience(_))
    }

    /// How far a trial with so many epochs goes now; none where it goes to its end.
    pub(super) fn limits(&self, epochs: usize, known: &[Known]) -> Option<EpochLimits> {
        let mut limits = EpochLimits {
            metric: self.metric.clone(),
            direction: self.direction,
            until: None,
            worse_than: BTreeMap::new(),
            patience: None,
        };
        match &self.rule {
            PruningRule::Never => return None,
            PruningRule::Asha(ladder) => limits.until = Some(ladder.after(epochs)?),
            PruningRule::Median(options) => {
                limits.worse_than = median::limits(options, self.direction, self.max_epochs, known);
                if limits.worse_than.is_empty() {
                    return None;
                }
            }
            PruningRule::Patience(epochs) => limits.patience = Some(*epochs),
        }
        Some(limits)
    }

    /// The index of a paused trial that goes on, before any new one begins.
    pub(super) fn next(&self, known: &[Known]) -> Option<usize> {
        let paused = |trial: &Known| trial.standing == Standing::Paused;
        match &self.rule {
            PruningRule::Never => known.iter().position(paused),
            PruningRule::Asha(ladder) => ladder.promote(self.direction, known),
            // What an earlier definition stopped may be good enough for this one.
            PruningRule::Median(_) | PruningRule::Patience(_) => known.iter().position(|trial| {
                let goes_on = || {
                    let limits = self.limits(trial.curve.len(), known);
                    limits.is_none_or(|limits| !limits.pause(trial.curve))
                };
                paused(trial) && trial.jobs == 0 && goes_on()
            }),
        }
    }

    /// The index of a paused trial that goes on when nothing else is left to do.
    pub(super) fn last(&self, known: &[Known]) -> Option<usize> {
        match &self.rule {
            PruningRule::Asha(ladder) => ladder.last(self.direction, known),
            _ => None,
        }
    }
}
