//! What the figures and the page share: the objectives' values, the best trials, the histories.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::event::value_text;
use crate::metric::dominates;
use crate::report::{ReportInput, Trial, TrialFile, TrialStatus};
use crate::spec::{ArtifactTable, EPOCH, MetricPath, Objective, Sheet};

/// A [`ReportInput`] with what is derived from it.
pub struct View<'a> {
    /// What it was made of.
    pub input: &'a ReportInput,
    /// What each trial gave, in the order of the trials.
    pub judged: Vec<Judged>,
    /// The histories that could be read.
    pub histories: Vec<TrainingHistory<'a>>,
    /// The finished trials' places in the results, the best first by the first objective.
    pub ranking: Vec<usize>,
    /// The places of the trials that no other trial beats in every objective, where there are
    /// several objectives.
    pub front: Vec<usize>,
}

/// What a trial gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Each objective's mean over the replicates; of a pruned trial, its last epoch's.
    pub values: Vec<Option<f64>>,
    /// Each objective's smallest and largest value over the replicates.
    pub spans: Vec<Option<(f64, f64)>>,
}

/// A training's figures by epoch.
#[derive(Clone, Debug)]
pub struct TrainingHistory<'a> {
    /// Where it comes from.
    pub file: &'a TrialFile,
    /// The epochs.
    pub epochs: Vec<f64>,
    /// The other columns.
    pub columns: BTreeMap<String, Vec<f64>>,
}

impl<'a> View<'a> {
    /// Derives what the figures need.
    pub fn new(input: &'a ReportInput) -> Self {
        let histories: Vec<TrainingHistory> =
            input.histories.iter().filter_map(TrainingHistory::read).collect();
        let results = &input.results;
        let judge = |trial: &Trial| Judged::new(trial, &results.objectives, &histories);
        let judged: Vec<Judged> = results.trials.iter().map(judge).collect();
        let ranking = ranking(&results.trials, &results.objectives, &judged);
        let front = if results.objectives.len() > 1 {
            front(&ranking, &results.objectives, &judged)
        } else {
            Vec::new()
        };
        Self {
            input,
            judged,
            histories,
            ranking,
            front,
        }
    }

    /// The trials.
    pub fn trials(&self) -> &'a [Trial] {
        &self.input.results.trials
    }

    /// Whether there is a sweep.
    pub fn is_sweep(&self) -> bool {
        !self.input.results.swept.is_empty()
    }

    /// The place of the trial that stands for the pipeline: the best one, or the only one.
    pub fn best(&self) -> Option<usize> {
        let only = (self.trials().len() == 1).then_some(0);
        self.ranking.first().copied().or(only)
    }

    /// What shows when a trial's mark is pointed at: less where there are many, as their table says it.
    pub fn tip(&self, place: usize) -> String {
        const MANY: usize = 200;
        if self.trials().len() <= MANY {
            return self.describe(place);
        }
        let value = self.judged[place].values.first().copied().flatten();
        let value = value.map_or_else(String::new, |value| format!(" · {}", significant(value, 4)));
        format!("trial {}{value}", self.trials()[place].number)
    }

    /// One line about a trial: its number, its parameters, what it gave.
    pub fn describe(&self, place: usize) -> String {
        let trial = &self.trials()[place];
        let mut parts = vec![format!("trial {}", trial.number)];
        for name in &self.input.results.swept {
            let value = trial.parameters.get(name).unwrap_or(&Value::Null);
            parts.push(format!("{name} {}", short_value(value)));
        }
        for (objective, value) in self
            .input
            .results
            .objectives
            .iter()
            .zip(&self.judged[place].values)
        {
            if let Some(value) = value {
                parts.push(format!("{} {}", path_of(objective), significant(*value, 4)));
            }
        }
        match &trial.status {
            TrialStatus::Done => {}
            TrialStatus::Pruned { epoch } => parts.push(format!("pruned after epoch {epoch}")),
            TrialStatus::Failed { .. } => parts.push("failed".to_owned()),
            TrialStatus::Missing => parts.push("not finished yet".to_owned()),
        }
        parts.join(" · ")
    }
}

impl Judged {
    fn new(trial: &Trial, objectives: &[Objective], histories: &[TrainingHistory]) -> Self {
        let mut judged = Self::default();
        for objective in objectives {
            let mut values = metric_values(trial, objective.path());
            if values.is_empty() && matches!(trial.status, TrialStatus::Pruned { .. }) {
                values = last_values(trial, objective.path(), histories);
            }
            let count = values.len() as f64;
            let low = values.iter().copied().reduce(f64::min);
            let high = values.iter().copied().reduce(f64::max);
            judged
                .values
                .push(low.map(|_| values.iter().sum::<f64>() / count));
            judged.spans.push(low.zip(high));
        }
        judged
    }
}

/// A metric's value in each replicate that has it, numbers only.
pub fn metric_values(trial: &Trial, path: &MetricPath) -> Vec<f64> {
    let replicates = trial.replicates.iter();
    let values = replicates.filter_map(|replicate| {
        let result = replicate.stages.get(&path.stage)?;
        result.metrics.number(&path.metric)
    });
    values.collect()
}

fn last_values(trial: &Trial, path: &MetricPath, histories: &[TrainingHistory]) -> Vec<f64> {
    let own = histories
        .iter()
        .filter(|history| history.file.trial == trial.number && history.file.stage == path.stage);
    let last = own.filter_map(|history| history.columns.get(&path.metric)?.last().copied());
    last.filter(|value| value.is_finite()).collect()
}

fn ranking(trials: &[Trial], objectives: &[Objective], judged: &[Judged]) -> Vec<usize> {
    let Some(objective) = objectives.first() else {
        return Vec::new();
    };
    let mut places: Vec<(f64, usize)> = trials
        .iter()
        .enumerate()
        .filter(|(_, trial)| trial.status == TrialStatus::Done)
        .filter_map(|(place, _)| {
            let value = judged[place].values.first().copied().flatten()?;
            Some((objective.direction().loss(value), place))
        })
        .collect();
    places.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    places.into_iter().map(|(_, place)| place).collect()
}

/// The places that no other one of `places` dominates: is nowhere worse, and somewhere better.
fn front(places: &[usize], objectives: &[Objective], judged: &[Judged]) -> Vec<usize> {
    let losses = |place: usize| -> Option<Vec<f64>> {
        let values = judged[place].values.iter().zip(objectives);
        values
            .map(|(value, objective)| value.map(|value| objective.direction().loss(value)))
            .collect()
    };
    let known: Vec<(usize, Vec<f64>)> = places
        .iter()
        .filter_map(|place| Some((*place, losses(*place)?)))
        .collect();
    let beaten = |losses: &[f64]| known.iter().any(|(_, other)| dominates(other, losses));
    let best = known.iter().filter(|(_, losses)| !beaten(losses));
    best.map(|(place, _)| *place).collect()
}

impl<'a> TrainingHistory<'a> {
    fn read(file: &'a TrialFile) -> Option<Self> {
        let sheet = Sheet::of(ArtifactTable::HISTORY, &file.text)?;
        let mut columns = sheet.into_columns();
        let epochs = columns.remove(EPOCH)?;
        Some(Self {
            file,
            epochs,
            columns,
        })
    }
}

/// An objective's metric, as it is written in a file.
pub fn path_of(objective: &Objective) -> String {
    String::from(objective.path().clone())
}

/// A parameter's value for a place with little room.
pub fn short_value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .map_or_else(String::new, |value| significant(value, 4)),
        other => value_text(other),
    }
}

/// A number with so many significant digits, without zeros at its end.
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 {
            "0".to_owned()
        } else {
            value.to_string()
        };
    }
    let text = format!("{value:.*e}", digits.saturating_sub(1));
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if !(-4..6).contains(&exponent) {
        return format!("{}e{exponent}", trim(mantissa));
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trim(&format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::testing::{Sample, objective};
    use crate::spec::Direction;

    #[test]
    fn significant_digits() {
        let all = [
            0.1,
            0.012_345_6,
            98.765_43,
            123_456.7,
            1e-7,
            -2.5e9,
            0.0,
            f64::NAN,
            1.0,
        ];
        assert_eq!(
            all.map(|value| significant(value, 4)).join(" "),
            "0.1 0.01235 98.77 123457 1e-7 -2.5e9 0 NaN 1"
        );
    }

    #[test]
    fn trials_are_ranked_and_the_best_is_found() {
        let mut sample = Sample::new(&[("m.a", Direction::Maximize)]);
        sample
            .done(&[0.5])
            .done(&[0.9])
            .done(&[f64::NAN])
            .pruned(3)
            .done(&[0.7]);
        let view = View::new(&sample.input);
        assert_eq!(view.ranking, [1, 4, 0]);
        assert_eq!(view.best(), Some(1));
        assert!(view.front.is_empty());
        assert_eq!(view.describe(1), "trial 2 · x 0.2 · m.a 0.9");
        assert_eq!(view.describe(3), "trial 4 · x 0.4 · pruned after epoch 3");
    }

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let mut sample = Sample::new(&[("m.a", Direction::Maximize), ("m.b", Direction::Minimize)]);
        sample
            .done(&[0.9, 5.0])
            .done(&[0.8, 1.0])
            .done(&[0.7, 2.0])
            .done(&[0.9, 6.0])
            .done(&[0.95, f64::NAN]);
        let mut front = View::new(&sample.input).front;
        front.sort_unstable();
        assert_eq!(front, [0, 1]);
    }

    #[test]
    fn a_pruned_trial_is_judged_by_its_last_epoch() {
        let mut sample = Sample::new(&[("model.val_loss", Direction::Minimize)]);
        sample.pruned(2);
        sample.input.histories.push(TrialFile {
            trial: 1,
            seed: 0,
            stage: "model".to_owned(),
            text: "epoch,val_loss\n1,2.5\n2,1.5\n".to_owned(),
        });
        let view = View::new(&sample.input);
        assert_eq!(view.judged[0].values, [Some(1.5)]);
        assert!(view.ranking.is_empty(), "it did not come to its end");
        assert_eq!(path_of(&objective("m.a", Direction::Maximize)), "m.a");
    }
}
