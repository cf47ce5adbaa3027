//! From a journal's entries to the study as it stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Entry, Job, Outcome, State, Study, SweepError, TrialState, Values};
use crate::spec::{Search, Sweep};

/// All that decides which trials there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The space, the search, the objectives.
    pub sweep: Sweep,
    /// The values that the pipeline itself gives its parameters, swept or not.
    pub own: Values,
    /// The seed of all draws.
    pub seed: u64,
    /// The epochs of the judged training, where that is one number.
    pub max_epochs: Option<u32>,
}

impl Definition {
    /// Whether a sweep that began as `earlier` can be carried on under this definition as if it had
    /// been the same all along: what differs is at most how many trials are wanted, and how fast.
    pub fn continues(&self, earlier: &Self) -> bool {
        let essence = |definition: &Self| {
            let mut essence = definition.clone();
            essence.sweep.parallel = None;
            essence.sweep.time = None;
            match &mut essence.sweep.search {
                Search::Grid(_) => {}
                Search::Random(options) | Search::Sobol(options) => {
                    options.trials = std::num::NonZeroU32::MIN
                }
                Search::Tpe(options) => options.trials = std::num::NonZeroU32::MIN,
                Search::CmaEs(options) => options.trials = std::num::NonZeroU32::MIN,
            }
            essence
        };
        essence(self) == essence(earlier)
    }
}

/// A study, with who does what of it.
pub struct Replay {
    definition: Definition,
    study: Study,
    running: BTreeMap<u32, (Job, String)>,
    change: Option<Change>,
}

/// What a change of the definition did to the trials that there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Trials that fit the new definition and are part of it.
    pub kept: usize,
    /// Those of them whose outcome stands.
    pub known: usize,
    /// Trials that do not fit it.
    pub dropped: usize,
}

impl Replay {
    /// A study at its start.
    ///
    /// # Errors
    /// There is no point in the space.
    pub fn new(definition: Definition) -> Result<Self, SweepError> {
        Ok(Self {
            study: study(&definition)?,
            definition,
            running: BTreeMap::new(),
            change: None,
        })
    }

    /// The study that `entries` lead to under `current`, the definition as it is now, and the entry
    /// that must follow them because the definition changed.
    ///
    /// # Errors
    /// There is no point in the space.
    pub fn of(entries: Vec<Entry>, current: &Definition) -> Result<(Self, Option<Entry>), SweepError> {
        let defined = |entry: &Entry| match entry {
            Entry::Defined { definition } => Some(definition.as_ref().clone()),
            _ => None,
        };
        let last = entries.iter().rposition(|entry| defined(entry).is_some());
        let Some((last, newest)) = last.and_then(|at| Some((at, defined(&entries[at])?))) else {
            let entry = Entry::Defined {
                definition: Box::new(current.clone()),
            };
            return Ok((Self::new(current.clone())?, Some(entry)));
        };
        let goes_on = current.continues(&newest);
        let mut replay: Option<Self> = None;
        for (at, entry) in entries.into_iter().enumerate() {
            match (entry, &mut replay) {
                (Entry::Defined { definition }, replay) => {
                    let definition = if at == last && goes_on {
                        current.clone()
                    } else {
                        *definition
                    };
                    *replay = Some(match replay.take() {
                        None => Self::new(definition)?,
                        Some(earlier) => earlier.redefine(definition)?,
                    });
                }
                (entry, Some(replay)) => replay.apply(entry),
                (_, None) => {}
            }
        }
        let replay = match replay {
            Some(replay) => replay,
            None => Self::new(current.clone())?,
        };
        if goes_on {
            return Ok((replay, None));
        }
        let entry = Entry::Defined {
            definition: Box::new(current.clone()),
        };
        Ok((replay.redefine(current.clone())?, Some(entry)))
    }

    /// Takes note of an entry that is no definition.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Defined { .. } => {}
            Entry::Started { job, worker } => {
                // A job that is taken over stands in the journal once more.
                if !self.running.contains_key(&job.number) {
                    self.study.start(job.clone());
                }
                self.running.insert(job.number, (job, worker));
            }
            Entry::Ended { job, outcome } => {
                if self.running.remove(&job).is_some() {
                    self.study.end(job, outcome);
                }
            }
            Entry::Retried { trial } => self.study.retry(trial),
        }
    }

    /// The study.
    pub fn study(&mut self) -> &mut Study {
        &mut self.study
    }

    /// The jobs that were handed out and have not ended, with who does them.
    pub fn running(&self) -> impl Iterator<Item = (&Job, &str)> {
        self.running.values().map(|(job, worker)| (job, worker.as_str()))
    }

    /// The definition that the study follows.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// What the last change of the definition did, where there was one.
    pub fn change(&self) -> Option<Change> {
        self.change
    }

    /// A study under another definition, with what still fits of this one.
    fn redefine(self, definition: Definition) -> Result<Self, SweepError> {
        let mut study = study(&definition)?;
        let mut change = Change {
            kept: 0,
            known: 0,
            dropped: 0,
        };
        for trial in self.study.trials() {
            let outcome = self.outcome_under(&definition, trial);
            let known = outcome.is_some();
            let values = self.values_under(&definition, &trial.values);
            if values.is_some_and(|values| study.adopt(values, outcome)) {
                change.kept += 1;
                change.known += usize::from(known);
            } else {
                change.dropped += 1;
            }
        }
        Ok(Self {
            definition,
            study,
            running: BTreeMap::new(),
            change: Some(change),
        })
    }

    /// A trial's values as the other definition's parameters; none where a parameter that is not
    /// swept there had another value.
    fn values_under(&self, definition: &Definition, values: &Values) -> Option<Values> {
        let mut all = self.definition.own.clone();
        all.extend(values.clone());
        let same = definition
            .own
            .iter()
            .filter(|(name, _)| !definition.sweep.params.contains_key(*name))
            .all(|(name, value)| all.get(name) == Some(value));
        let swept = definition.sweep.params.keys();
        same.then(|| {
            swept
                .map(|name| Some((name.clone(), all.get(name)?.clone())))
                .collect::<Option<Values>>()
        })?
    }

    /// What stands of a trial's outcome. Where objectives, replicates or what is judged changed, the
    /// trial is run again, and what the store knows of it is reused.
    fn outcome_under(&self, definition: &Definition, trial: &TrialState) -> Option<Outcome> {
        let (then, now) = (&self.definition.sweep, &definition.sweep);
        let same = then.objective == now.objective
            && then.replicates == now.replicates
            && then.judged() == now.judged()
            && self.definition.max_epochs == definition.max_epochs;
        let curve = trial.curve.clone();
        match &trial.state {
            State::Failed { error } => Some(Outcome::Failed { error: error.clone() }),
            State::Done { objectives } if same => Some(Outcome::Done {
                objectives: objectives.clone(),
                curve,
            }),
            State::Paused if same => Some(Outcome::Paused { curve }),
            _ => None,
        }
    }
}

fn study(definition: &Definition) -> Result<Study, SweepError> {
    Study::new(
        &definition.sweep,
        &definition.own,
        definition.seed,
        definition.max_epochs,
    )
}
