//! Carries a sweep out: takes jobs from the study, has the dispatcher run their stages, and writes
//! into the journal what came of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::active::ActiveJob;
use super::outcome::{curve_of, means, objective_values, results};
use super::setting::{Replicates, SweepSetting};
use crate::app::error::AppError;
use crate::event::{Event, TrialOutcome};
use crate::exec::{End, Feeder, More, WantedNodes};
use crate::plan::{Decision, NodeIndex, Plan};
use crate::report::{Results, Summary};
use crate::store::Store;
use crate::sweep::{JobOutcome, Journal, JournalEntry, Proposal, Replay, TrialJob, TrialPhase, TrialState};

/// A sweep that is being carried out.
pub(super) struct Driver<'a> {
    setting: &'a SweepSetting,
    store: &'a Store,
    replay: Replay,
    journal: Journal,
    /// The nodes of the trials that this process has looked at.
    nodes: HashMap<u32, Replicates>,
    /// The jobs that this process does.
    active: BTreeMap<u32, ActiveJob>,
    /// Known trials some of whose results have to be made again.
    repairs: Option<WantedNodes>,
    /// How many trials this process runs at once.
    most: usize,
    /// After this moment no new trial starts.
    deadline: Option<Instant>,
    /// Whether the moment came before the sweep's end.
    late: bool,
}

impl<'a> Driver<'a> {
    /// A driver that goes on where `journal` stands.
    ///
    /// # Errors
    /// The journal cannot be read or written, or there is no point in the space.
    pub fn new(
        setting: &'a SweepSetting,
        store: &'a Store,
        mut journal: Journal,
        most: usize,
        retry_failed: bool,
    ) -> Result<Self, AppError> {
        let definition = setting.definition();
        let replay = journal.turn(|entries, _| {
            let (mut replay, defined) = Replay::of(entries, &definition)?;
            let mut added: Vec<JournalEntry> = defined.into_iter().collect();
            if retry_failed {
                let failed: Vec<u32> = replay
                    .study()
                    .trials()
                    .iter()
                    .filter(|trial| matches!(trial.state, TrialPhase::Failed { .. }))
                    .map(|trial| trial.number)
                    .collect();
                for trial in failed {
                    replay.apply(JournalEntry::Retried { trial });
                    added.push(JournalEntry::Retried { trial });
                }
            }
            Ok::<_, AppError>((replay, added))
        })?;
        let deadline = setting
            .sweep
            .time
            .and_then(|time| Instant::now().checked_add(time.0));
        Ok(Self {
            setting,
            store,
            replay,
            journal,
            nodes: HashMap::new(),
            active: BTreeMap::new(),
            repairs: None,
            most,
            deadline,
            late: false,
        })
    }

    /// Whether time was up before every trial had its turn.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// The study as it stands.
    pub fn replay(&mut self) -> &mut Replay {
        &mut self.replay
    }

    /// Adds to `plan` every trial that has come to its end, whoever ran it; gives all trials' nodes.
    ///
    /// # Errors
    /// As for [`SweepSetting::plan`].
    pub fn complete(&mut self, plan: &mut Plan) -> Result<&HashMap<u32, Replicates>, AppError> {
        for trial in self.replay.study().trials() {
            if matches!(trial.state, TrialPhase::Done { .. }) && !self.nodes.contains_key(&trial.number) {
                // A trial that cannot be planned any more (a file is gone) is one that is missing.
                if let Ok(replicates) = self.setting.plan(plan, trial.number, &trial.values)? {
                    self.nodes.insert(trial.number, replicates);
                }
            }
        }
        Ok(&self.nodes)
    }

    /// What is known of all trials, for tables and pages.
    pub fn results(&mut self, file: String, plan: &Plan) -> Results {
        results(
            self.setting,
            file,
            plan,
            self.replay.study().trials(),
            &self.nodes,
        )
    }

    /// What is missing of the trials that are known to be done: results that were evicted since.
    fn repairs(&mut self, plan: &mut Plan) -> Result<WantedNodes, AppError> {
        self.complete(plan)?;
        let mut missing: Vec<NodeIndex> = self
            .nodes
            .values()
            .flatten()
            .flat_map(|nodes| self.setting.targets.iter().map(|name| nodes[name]))
            .filter(|&index| !matches!(plan.node(index).decision, Decision::Reuse(..)))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        Ok(missing.into_iter().map(|index| (index, None)).collect())
    }

    /// Takes note of how a node ended. Gives what is to be started then, and the jobs that ended.
    fn note(&mut self, node: NodeIndex, end: &End) -> (WantedNodes, Vec<(u32, End)>) {
        let (mut starts, mut ended) = (Vec::new(), Vec::new());
        for (number, active) in &mut self.active {
            let replicates = &self.nodes[&active.job.trial];
            let whole = || targets(self.setting, replicates);
            let end = active.note(node, end, whole, &mut starts);
            ended.extend(end.map(|end| (*number, end)));
        }
        (starts, ended)
    }

    /// Writes down what came of a job, and tells it.
    fn finish(
        &mut self,
        plan: &Plan,
        number: u32,
        end: End,
        emit: &mut dyn FnMut(&Event),
    ) -> Result<(), AppError> {
        let Some(active) = self.active.remove(&number) else {
            return Ok(());
        };
        let trial = active.job.trial;
        let mut deviations = Vec::new();
        let outcome = match end {
            End::Paused(curve) => JobOutcome::Paused { curve },
            End::Failed { error, .. } => JobOutcome::Failed { error },
            End::Done => match objective_values(self.setting, plan, &self.nodes[&trial]) {
                Err(error) => JobOutcome::Failed { error },
                Ok(values) => {
                    let summaries = values.iter().filter_map(|values| Summary::of(values));
                    deviations = summaries.map(|summary| summary.std).collect();
                    JobOutcome::Done {
                        objectives: means(&values),
                        curve: curve_of(self.setting, plan, self.store, &self.nodes[&trial]),
                    }
                }
            },
        };
        let entry = JournalEntry::Ended {
            job: number,
            outcome: outcome.clone(),
        };
        let Self { journal, replay, .. } = self;
        journal.turn(|entries, _| {
            follow(replay, entries)?;
            replay.apply(entry.clone());
            Ok::<_, AppError>(((), vec![entry]))
        })?;
        emit(&Event::TrialFinished {
            trial,
            values: active.job.values.clone(),
            outcome: match outcome {
                JobOutcome::Done { objectives, .. } => TrialOutcome::Done {
                    objectives,
                    deviations,
                },
                JobOutcome::Paused { curve } => TrialOutcome::Pruned {
                    epoch: u32::try_from(curve.len()).unwrap_or(u32::MAX),
                    value: curve.last().copied().unwrap_or(f64::NAN),
                },
                JobOutcome::Failed { error } => TrialOutcome::Failed { error },
            },
            best: self.replay.study().best().contains(&trial),
            seconds: active.begun.elapsed().as_secs_f64(),
        });
        Ok(())
    }

    /// The next job, if there is one for this process now.
    fn take_job(&mut self) -> Result<Proposal, AppError> {
        let is_past = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        let Self {
            journal,
            replay,
            active,
            late,
            ..
        } = self;
        journal.turn(|entries, worker| {
            follow(replay, entries)?;
            let orphan = replay.running().find(|(job, by)| {
                !active.contains_key(&job.number) && *by != worker.name() && !worker.is_alive(by)
            });
            let proposal = match orphan {
                Some((job, _)) => Proposal::Run(job.clone()),
                None => replay.study().propose()?,
            };
            let others = replay.running().any(|(job, _)| !active.contains_key(&job.number));
            let (proposal, added) = match proposal {
                Proposal::Run(_) if is_past => {
                    *late = true;
                    (Proposal::Finished, Vec::new())
                }
                // What others do is not waited for any longer.
                Proposal::Wait if is_past && active.is_empty() => {
                    *late = true;
                    (Proposal::Finished, Vec::new())
                }
                Proposal::Run(job) => {
                    let entry = JournalEntry::Started {
                        job: job.clone(),
                        worker: worker.name().to_owned(),
                    };
                    replay.apply(entry.clone());
                    (Proposal::Run(job), vec![entry])
                }
                // Another process may yet die and leave its job to this one.
                Proposal::Finished if others && !is_past => (Proposal::Wait, Vec::new()),
                other => (other, Vec::new()),
            };
            Ok::<_, AppError>((proposal, added))
        })
    }

    /// Puts a job's trial into the plan; gives what is to be started for it.
    fn begin(
        &mut self,
        plan: &mut Plan,
        job: TrialJob,
        emit: &mut dyn FnMut(&Event),
    ) -> Result<WantedNodes, AppError> {
        let trials = self.replay.study().trials();
        let known = trials.iter().find(|trial| trial.number == job.trial);
        let continued_from = known.map(TrialState::epochs).filter(|epochs| *epochs > 0);
        emit(&Event::TrialStarted {
            trial: job.trial,
            values: job.values.clone(),
            continued_from,
        });
        let trial = job.trial;
        if !self.nodes.contains_key(&trial) {
            match self.setting.plan(plan, trial, &job.values)? {
                Ok(replicates) => drop(self.nodes.insert(trial, replicates)),
                Err(error) => {
                    let number = job.number;
                    self.active
                        .insert(number, ActiveJob::new(job, None, BTreeSet::new()));
                    let node = NodeIndex::end();
                    self.finish(plan, number, End::Failed { node, error }, emit)?;
                    return Ok(Vec::new());
                }
            }
        }
        let replicates = &self.nodes[&trial];
        let judged = self.setting.judged.as_ref();
        let judged = judged.map(|judged| replicates[0][&judged.stage]);
        let active = ActiveJob::new(job, judged, targets(self.setting, replicates));
        let starts = active.starts();
        self.active.insert(active.job.number, active);
        Ok(starts)
    }

    fn step(
        &mut self,
        plan: &mut Plan,
        ended: Vec<(NodeIndex, End)>,
        free: bool,
        emit: &mut dyn FnMut(&Event),
    ) -> Result<More, AppError> {
        if self.repairs.is_none() {
            let repairs = self.repairs(plan)?;
            self.repairs = Some(repairs.clone());
            if !repairs.is_empty() {
                return Ok(More::Start(repairs));
            }
        }
        let mut starts = Vec::new();
        for (node, end) in ended {
            if let End::Failed { node, error } = &end
                && let stage = plan.node(*node).name()
                && stage.trial().is_none()
            {
                return Err(AppError::Stopped(format!(
                    "all trials need the stage `{stage}`, which failed: {error}; mend it, and run the sweep again"
                )));
            }
            let (more, finished) = self.note(node, &end);
            starts.extend(more);
            for (number, end) in finished {
                self.finish(plan, number, end, emit)?;
            }
        }
        if !starts.is_empty() {
            return Ok(More::Start(starts));
        }
        if self.active.len() >= self.most || !free {
            return Ok(More::Wait);
        }
        Ok(match self.take_job()? {
            Proposal::Run(job) => More::Start(self.begin(plan, job, emit)?),
            Proposal::Finished if self.active.is_empty() => More::Finished,
            Proposal::Wait | Proposal::Finished => More::Wait,
        })
    }
}

impl Feeder for Driver<'_> {
    fn next(
        &mut self,
        plan: &mut Plan,
        ended: Vec<(NodeIndex, End)>,
        free: bool,
        emit: &mut dyn FnMut(&Event),
    ) -> Result<More, String> {
        self.step(plan, ended, free, emit)
            .map_err(|error| error.to_string())
    }
}

/// Takes note of what other processes wrote.
fn follow(replay: &mut Replay, entries: Vec<JournalEntry>) -> Result<(), AppError> {
    for entry in entries {
        if let JournalEntry::Defined { definition } = &entry
            && !replay.definition().continues(definition)
        {
            return Err(AppError::Stopped(
                "another process goes on with this sweep under a changed definition; run the command again to join in"
                    .to_owned(),
            ));
        }
        replay.apply(entry);
    }
    Ok(())
}

/// The nodes that a trial has to bring up to date.
fn targets(setting: &SweepSetting, replicates: &Replicates) -> BTreeSet<NodeIndex> {
    let of = |nodes: &HashMap<String, NodeIndex>| -> Vec<NodeIndex> {
        setting.targets.iter().map(|name| nodes[name]).collect()
    };
    replicates.iter().flat_map(of).collect()
}
