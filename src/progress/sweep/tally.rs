//! Where a sweep stands: how many trials ended and how, and which is the best.

use std::collections::{HashMap, HashSet};

use super::TrialValues;
use crate::event::{Event, TrialOutcome};
use crate::metric::dominates;

/// What the events of a sweep add up to.
#[derive(Default)]
pub struct SweepTally {
    objectives: Vec<ObjectiveLabel>,
    trials: Option<usize>,
    known: usize,
    retold: usize,
    begun: HashSet<u32>,
    ended: HashMap<u32, Sort>,
    counts: TrialCounts,
    best: Vec<BestTrial>,
    under_way: bool,
}

struct ObjectiveLabel {
    label: String,
    larger: bool,
}

/// A trial that is the best so far; with several objectives, one on the Pareto front.
#[derive(Clone, Debug, PartialEq)]
pub struct BestTrial {
    /// Its number.
    pub trial: u32,
    /// Its values.
    pub values: TrialValues,
    /// What became of it.
    pub outcome: TrialOutcome,
}

/// How many trials ended, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrialCounts {
    /// They came to their end.
    pub done: usize,
    /// They were stopped early.
    pub pruned: usize,
    /// They failed.
    pub failed: usize,
}

#[derive(Clone, Copy)]
enum Sort {
    Done,
    Pruned,
    Failed,
}

impl SweepTally {
    /// Takes note of `event`.
    pub fn handle(&mut self, event: &Event) {
        match event {
            Event::SweepStarted {
                trials,
                known,
                objectives,
                ..
            } => {
                *self = Self {
                    objectives: labels(objectives),
                    trials: *trials,
                    known: *known,
                    under_way: true,
                    ..Self::default()
                };
            }
            Event::TrialStarted { trial, .. } => {
                self.begun.insert(*trial);
                if let Some(sort) = self.ended.remove(trial) {
                    *self.counts.of(sort) -= 1;
                }
            }
            Event::TrialFinished {
                trial,
                values,
                outcome,
                best,
                ..
            } => self.end(*trial, values, outcome, *best),
            _ => {}
        }
    }

    fn end(&mut self, trial: u32, values: &TrialValues, outcome: &TrialOutcome, best: bool) {
        if self.begun.contains(&trial) || self.retold >= self.known {
            let sort = Sort::of(outcome);
            if let Some(before) = self.ended.insert(trial, sort) {
                *self.counts.of(before) -= 1;
            }
            *self.counts.of(sort) += 1;
        } else {
            self.retold += 1;
        }
        if best {
            let new = BestTrial {
                trial,
                values: values.clone(),
                outcome: outcome.clone(),
            };
            let several = self.objectives.len() > 1;
            let mut front = std::mem::take(&mut self.best);
            front.retain(|old| several && old.trial != trial && !self.dominates(&new, old));
            front.push(new);
            self.best = front;
        }
    }

    /// Whether `left` is as good as `right` in every objective and better in one.
    fn dominates(&self, left: &BestTrial, right: &BestTrial) -> bool {
        let losses = |best: &BestTrial| -> Vec<f64> {
            let TrialOutcome::Done { objectives, .. } = &best.outcome else {
                return Vec::new();
            };
            let pairs = objectives.iter().zip(&self.objectives);
            pairs
                .map(|(value, objective)| if objective.larger { -value } else { *value })
                .collect()
        };
        dominates(&losses(left), &losses(right))
    }

    /// Whether a sweep has begun.
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Whether a trial ended before this call, so that its end was known when the sweep began.
    pub fn was_known(&self, trial: u32) -> bool {
        !self.begun.contains(&trial) && !self.ended.contains_key(&trial)
    }

    /// How many trials there will be, where that is known.
    pub fn trials(&self) -> Option<usize> {
        self.trials
    }

    /// How many trials ended, in this call and before.
    pub fn ended(&self) -> usize {
        self.known + self.counts.sum()
    }

    /// How the trials of this call ended.
    pub fn counts(&self) -> TrialCounts {
        self.counts
    }

    /// The best trials so far, as far as they were told of, the latest last.
    pub fn best(&self) -> &[BestTrial] {
        &self.best
    }

    /// Whether there are several objectives, so that there is a Pareto front.
    pub fn has_front(&self) -> bool {
        self.objectives.len() > 1
    }

    /// How many trials are on the Pareto front, unless trials that nothing was told of may be too.
    pub fn front(&self) -> Option<usize> {
        (self.has_front() && self.retold >= self.known).then_some(self.best.len())
    }

    /// The objectives' names, as short as they may be.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.objectives.iter().map(|objective| objective.label.as_str())
    }
}

impl TrialCounts {
    /// All of them.
    pub fn sum(&self) -> usize {
        self.done + self.pruned + self.failed
    }

    /// Counts one more.
    pub fn add(&mut self, outcome: &TrialOutcome) {
        *self.of(Sort::of(outcome)) += 1;
    }

    fn of(&mut self, sort: Sort) -> &mut usize {
        match sort {
            Sort::Done => &mut self.done,
            Sort::Pruned => &mut self.pruned,
            Sort::Failed => &mut self.failed,
        }
    }
}

impl Sort {
    fn of(outcome: &TrialOutcome) -> Self {
        match outcome {
            TrialOutcome::Done { .. } => Self::Done,
            TrialOutcome::Pruned { .. } => Self::Pruned,
            TrialOutcome::Failed { .. } => Self::Failed,
        }
    }
}

/// The metrics' names without their stages, unless two objectives would then have the same.
fn labels(objectives: &[(String, bool)]) -> Vec<ObjectiveLabel> {
    let short = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    let alike = |path: &str| {
        objectives
            .iter()
            .filter(|(other, _)| short(other) == short(path))
            .count()
    };
    let labelled = objectives.iter().map(|(path, larger)| ObjectiveLabel {
        label: if alike(path) > 1 {
            path.clone()
        } else {
            short(path)
        },
        larger: *larger,
    });
    labelled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(known: usize, objectives: &[(&str, bool)]) -> SweepTally {
        let mut tally = SweepTally::default();
        tally.handle(&Event::SweepStarted {
            pipeline: "p".into(),
            search: "tpe".into(),
            trials: Some(9),
            known,
            replicates: 1,
            objectives: objectives
                .iter()
                .map(|(path, larger)| ((*path).to_owned(), *larger))
                .collect(),
        });
        tally
    }

    fn started(tally: &mut SweepTally, trial: u32) {
        tally.handle(&Event::TrialStarted {
            trial,
            values: TrialValues::new(),
            continued_from: None,
        });
    }

    fn finished(tally: &mut SweepTally, trial: u32, objectives: &[f64], best: bool) {
        tally.handle(&Event::TrialFinished {
            trial,
            values: TrialValues::new(),
            outcome: TrialOutcome::Done {
                objectives: objectives.to_vec(),
                deviations: vec![None; objectives.len()],
            },
            best,
            seconds: 1.0,
        });
    }

    fn pruned(tally: &mut SweepTally, trial: u32) {
        tally.handle(&Event::TrialFinished {
            trial,
            values: TrialValues::new(),
            outcome: TrialOutcome::Pruned { epoch: 1, value: 0.5 },
            best: false,
            seconds: 1.0,
        });
    }

    fn best(tally: &SweepTally) -> Vec<u32> {
        tally.best().iter().map(|best| best.trial).collect()
    }

    #[test]
    fn what_was_known_counts_once_whether_it_is_told_again_or_not() {
        for told in [false, true] {
            let mut tally = sweep(2, &[("model.val_accuracy", true)]);
            if told {
                finished(&mut tally, 1, &[0.8], true);
                assert!(tally.was_known(1));
                finished(&mut tally, 2, &[0.7], false);
                assert_eq!(best(&tally), [1]);
            }
            started(&mut tally, 3);
            assert_eq!(tally.ended(), 2);
            finished(&mut tally, 3, &[0.9], true);
            assert!(!tally.was_known(3));
            assert_eq!((tally.ended(), best(&tally)), (3, vec![3]));
        }
    }

    #[test]
    fn a_pruned_trial_that_goes_on_has_not_ended() {
        let mut tally = sweep(0, &[]);
        started(&mut tally, 1);
        pruned(&mut tally, 1);
        assert_eq!(tally.counts().pruned, 1);
        started(&mut tally, 1);
        assert_eq!(tally.ended(), 0);
        finished(&mut tally, 1, &[], false);
        let done = TrialCounts {
            done: 1,
            ..TrialCounts::default()
        };
        assert_eq!(tally.counts(), done);
    }

    #[test]
    fn the_front_loses_what_is_dominated() {
        let mut tally = sweep(0, &[("model.val_accuracy", true), ("model.parameters", false)]);
        for (trial, objectives) in [(1, [0.8, 100.0]), (2, [0.7, 50.0]), (3, [0.8, 60.0])] {
            started(&mut tally, trial);
            finished(&mut tally, trial, &objectives, true);
        }
        assert_eq!((best(&tally), tally.front()), (vec![2, 3], Some(2)));
    }

    #[test]
    fn labels_are_short_where_they_stay_apart() {
        let tally = sweep(0, &[("a.loss", false), ("b.loss", false), ("b.size", false)]);
        assert_eq!(tally.labels().collect::<Vec<_>>(), ["a.loss", "b.loss", "size"]);
    }
}
