//! From a journal's entries to the study as it stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{JobOutcome, JournalEntry, Study, SweepError, TrialJob, TrialPhase, TrialState, Values};
use crate::metric::MetricTable;
use crate::spec::{Objective, Search, Sweep, same_value};

/// All that decides which trials there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The space, the search, the objectives.
    pub sweep: Sweep,
    /// The values that the pipeline itself gives its parameters, swept or not.
    pub own: Values,
    /// The seed of all draws.
    pub seed: u64,
    /// The epochs of the judged training, where that is one number: successive halving has no rung
    /// beyond it.
    pub max_epochs: Option<u32>,
    /// What the pruner judges by. Journals of earlier versions do not have it.
    #[serde(default)]
    pub judged: Option<Objective>,
}

impl Definition {
    /// What the pruner judges by, where there is one.
    pub fn judged(&self) -> Option<Objective> {
        let by_name = || self.sweep.judged(&MetricTable::built_in());
        self.judged.clone().or_else(by_name)
    }

    /// Whether a sweep that began as `earlier` can be carried on under this definition as if it had
    /// been the same all along: what differs is at most how many trials are wanted, and how fast.
    pub fn continues(&self, earlier: &Self) -> bool {
        let essence = |definition: &Self| {
            let mut essence = definition.clone();
            essence.sweep.parallel = None;
            essence.sweep.time = None;
            essence.judged = definition.judged();
            match &mut essence.sweep.search {
                Search::Grid(_) => {}
                Search::Random(options) | Search::Sobol(options) => {
                    options.trials = std::num::NonZeroU32::MIN;
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
    running: BTreeMap<u32, (TrialJob, String)>,
    change: Option<Change>,
}

/// What a change of the definition did to the trials that there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Trials that fit the new definition and are part of it.
    pub kept: usize,
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
            study: Study::new(&definition)?,
            definition,
            running: BTreeMap::new(),
            change: None,
        })
    }

    /// The study that `entries` lead to under `current`, the definition as it is now, and the entry
    /// that must follow them where the definition is another than that of the last ones.
    ///
    /// A definition that was there before is taken up where it was left. One that is new takes over
    /// what fits it of all the others, the latest first.
    ///
    /// # Errors
    /// There is no point in the space.
    pub fn of(
        entries: Vec<JournalEntry>,
        current: &Definition,
    ) -> Result<(Self, Option<JournalEntry>), SweepError> {
        // The latest definition stands last.
        let mut studies: Vec<Self> = Vec::new();
        for entry in entries {
            match entry {
                JournalEntry::Defined { definition } => take_up(&mut studies, *definition)?,
                entry => {
                    if let Some(study) = studies.last_mut() {
                        study.apply(entry);
                    }
                }
            }
        }
        let goes_on = studies
            .last()
            .is_some_and(|study| current.continues(&study.definition));
        let is_known = studies.iter().any(|study| current.continues(&study.definition));
        take_up(&mut studies, current.clone())?;
        let mut replay = match studies.pop() {
            Some(replay) => replay,
            None => Self::new(current.clone())?,
        };
        if is_known {
            replay.change = None;
        }
        let entry = (!goes_on).then(|| JournalEntry::Defined {
            definition: Box::new(current.clone()),
        });
        Ok((replay, entry))
    }

    /// Takes note of an entry that is no definition.
    pub fn apply(&mut self, entry: JournalEntry) {
        match entry {
            JournalEntry::Defined { .. } => {}
            JournalEntry::Started { job, worker } => {
                // A job that is taken over stands in the journal once more.
                let known = self.running.contains_key(&job.number);
                if known || self.study.start(job.clone()) {
                    self.running.insert(job.number, (job, worker));
                }
            }
            JournalEntry::Ended { job, outcome } => {
                if self.running.remove(&job).is_some() {
                    self.study.end(job, outcome);
                }
            }
            JournalEntry::Retried { trial } => self.study.retry(trial),
        }
    }

    /// The study.
    pub fn study(&mut self) -> &mut Study {
        &mut self.study
    }

    /// The jobs that were handed out and have not ended, with who does them.
    pub fn running(&self) -> impl Iterator<Item = (&TrialJob, &str)> {
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

    /// Takes over what fits of an earlier study.
    fn adopt(&mut self, earlier: &Self) {
        let mut change = self.change.unwrap_or(Change { kept: 0, dropped: 0 });
        for trial in earlier.study.trials() {
            let outcome = earlier.outcome_under(&self.definition, trial);
            let values = earlier.values_under(&self.definition, &trial.values);
            if values.is_some_and(|values| self.study.adopt(values, outcome)) {
                change.kept += 1;
            } else {
                change.dropped += 1;
            }
        }
        self.change = Some(change);
    }

    /// A trial's values as the other definition's parameters; none where a parameter that is not
    /// swept there had another value.
    fn values_under(&self, definition: &Definition, values: &Values) -> Option<Values> {
        // A parameter that there was not then has had the value that it has now.
        let mut all = definition.own.clone();
        all.extend(self.definition.own.clone());
        all.extend(values.clone());
        let same = definition
            .own
            .iter()
            .filter(|(name, _)| !definition.sweep.params.contains_key(*name))
            .all(|(name, value)| all.get(name).is_some_and(|own| same_value(own, value)));
        let swept = definition.sweep.params.keys();
        same.then(|| {
            swept
                .map(|name| Some((name.clone(), all.get(name)?.clone())))
                .collect::<Option<Values>>()
        })?
    }

    /// What stands of a trial's outcome. Where objectives, replicates or what is judged changed, the
    /// trial is run again, and what the store knows of it is reused.
    fn outcome_under(&self, definition: &Definition, trial: &TrialState) -> Option<JobOutcome> {
        let (then, now) = (&self.definition.sweep, &definition.sweep);
        let same = then.objective == now.objective
            && then.replicates == now.replicates
            && self.definition.judged() == definition.judged()
            && self.definition.max_epochs == definition.max_epochs;
        let curve = trial.curve.clone();
        match &trial.state {
            TrialPhase::Failed { error } => Some(JobOutcome::Failed { error: error.clone() }),
            TrialPhase::Done { objectives } if same => Some(JobOutcome::Done {
                objectives: objectives.clone(),
                curve,
            }),
            TrialPhase::Paused if same => Some(JobOutcome::Paused { curve }),
            _ => None,
        }
    }
}

/// Puts the study of `definition` last: one that it continues, or else a new one.
fn take_up(studies: &mut Vec<Replay>, definition: Definition) -> Result<(), SweepError> {
    let known = studies
        .iter()
        .rposition(|study| definition.continues(&study.definition));
    let replay = match known {
        Some(at) => {
            let mut replay = studies.remove(at);
            replay.study.revise(&definition.sweep);
            replay.definition = definition;
            replay
        }
        None => {
            let mut replay = Replay::new(definition)?;
            for earlier in studies.iter().rev() {
                replay.adopt(earlier);
            }
            replay
        }
    };
    studies.push(replay);
    Ok(())
}
