//! A sweep, from its first trial to its last.

use std::collections::BTreeSet;

use super::job::{JobOutcome, Proposal, TrialJob};
use super::known::{Goal, Known, Standing};
use super::pruner::Pruner;
use super::rank;
use super::sampler::{Draw, Request, Sampler};
use super::space::{Point, Space, Taken};
use super::trial::{TrialPhase, TrialState};
use super::{Definition, SweepError, Values};
use crate::spec::{Objective, Sweep};

/// The pure, deterministic brain of a sweep: it is told what starts and ends, and says what to run.
///
/// Job `j` depends on the outcomes of the jobs up to `j - parallel`, and on which jobs were started
/// before it: others count as under way even where their outcome is known. So the jobs are the same
/// whichever of those that run at once ends first. Only where that leaves nothing to do, the next
/// outcomes are taken into account one after the other.
pub struct Study {
    space: Space,
    sampler: Sampler,
    pruner: Pruner,
    goal: Goal,
    seed: u64,
    parallel: usize,
    trials: Vec<TrialState>,
    /// What lies behind each trial's state.
    records: Vec<Record>,
    taken: Taken,
    /// How many of the trials come from an earlier definition.
    adopted: usize,
    /// Trials that are to be run although they are no new ones.
    waiting: BTreeSet<usize>,
    /// Every job that was started, by number, and whether it has ended.
    jobs: Vec<(TrialJob, bool)>,
    /// So many of the first jobs have ended.
    ended: usize,
}

/// How a trial came to its state.
struct Record {
    point: Point,
    /// The jobs of the trial that were started.
    jobs: usize,
    /// The last of them, by number; 0 for what an earlier definition left.
    last: usize,
    /// The curve as it was before that job.
    before: Vec<f64>,
}

impl Study {
    /// A study in which nothing was started yet.
    ///
    /// # Errors
    /// If there is nothing that the search could do, such as constraints that nothing fulfils.
    pub fn new(definition: &Definition) -> Result<Self, SweepError> {
        let Definition { sweep, seed, .. } = definition;
        let space = Space::new(sweep, &definition.own)?;
        let pruner = Pruner::new(definition)?;
        let goal = Goal {
            objectives: sweep.objective.0.iter().map(Objective::direction).collect(),
            judged: pruner.direction(),
        };
        Ok(Self {
            sampler: Sampler::new(&sweep.search, &space, &goal, *seed)?,
            space,
            pruner,
            goal,
            seed: *seed,
            parallel: parallel(sweep),
            trials: Vec::new(),
            records: Vec::new(),
            taken: Taken::new(),
            adopted: 0,
            waiting: BTreeSet::new(),
            jobs: Vec::new(),
            ended: 0,
        })
    }

    /// What to do next, given what was started and ended so far. Whoever follows it calls
    /// [`Study::start`]; until then the answer stays the same.
    ///
    /// # Errors
    /// If no values were found that fulfil the constraints.
    pub fn propose(&mut self) -> Result<Proposal, SweepError> {
        let next = self.trials.len() + 1;
        let is_blind = self.pruner.is_blind() && self.sampler.is_blind(next as u32, self.adopted as u32);
        if is_blind && let Some(job) = self.decide(0, self.adopted)? {
            return Ok(Proposal::Run(job));
        }
        let first = (self.jobs.len() + 1).saturating_sub(self.parallel);
        for visible in first..=self.jobs.len() {
            if self.ended < visible {
                return Ok(Proposal::Wait);
            }
            if let Some(job) = self.decide(visible, self.trials.len())? {
                return Ok(Proposal::Run(job));
            }
        }
        Ok(Proposal::Finished)
    }

    /// A job was handed out, by this process or another. Whether it is the one that comes next; if
    /// not, nothing changes.
    pub fn start(&mut self, job: TrialJob) -> bool {
        if job.number as usize != self.jobs.len() + 1 {
            return false;
        }
        let index = match (job.trial as usize).checked_sub(1) {
            Some(index) if index < self.trials.len() => index,
            Some(index) if index == self.trials.len() => match self.space.point(&job.values) {
                Some(point) => {
                    self.add(job.values.clone(), point);
                    index
                }
                None => return false,
            },
            _ => return false,
        };
        self.waiting.remove(&index);
        let (trial, record) = (&mut self.trials[index], &mut self.records[index]);
        trial.state = TrialPhase::Running;
        record.before.clone_from(&trial.curve);
        record.last = job.number as usize;
        record.jobs += 1;
        self.jobs.push((job, false));
        true
    }

    /// A job ended. One that was not started, or has ended before, changes nothing.
    pub fn end(&mut self, job: u32, outcome: JobOutcome) {
        let number = job as usize;
        match number.checked_sub(1).and_then(|index| self.jobs.get_mut(index)) {
            Some((job, ended @ false)) => {
                *ended = true;
                take(&mut self.trials[job.trial as usize - 1], outcome);
            }
            _ => return,
        }
        while self.jobs.get(self.ended).is_some_and(|(_, ended)| *ended) {
            self.ended += 1;
        }
    }

    /// Takes over a trial of an earlier definition, before anything is started. It is kept if its
    /// values are (still) a point of the space, and counts as one of the trials that are wanted.
    /// Without an outcome it is run. Whether it was kept.
    pub fn adopt(&mut self, values: Values, outcome: Option<JobOutcome>) -> bool {
        let Some(point) = self.space.point(&values) else {
            return false;
        };
        let is_new = !self.taken.contains(&self.space.key(&point));
        let has_room = self
            .sampler
            .wanted()
            .is_none_or(|wanted| self.trials.len() < wanted);
        if !self.jobs.is_empty() || !is_new || !has_room || self.space.broken(&values).is_some() {
            return false;
        }
        self.add(values, point);
        let index = self.adopted;
        self.adopted += 1;
        match outcome {
            Some(outcome) => take(&mut self.trials[index], outcome),
            None => {
                self.waiting.insert(index);
            }
        }
        true
    }

    /// A trial that failed is to be run again. What is no failed trial stays as it is.
    pub fn retry(&mut self, trial: u32) {
        let Some(index) = (trial as usize).checked_sub(1) else {
            return;
        };
        if let Some(trial) = self.trials.get_mut(index)
            && matches!(trial.state, TrialPhase::Failed { .. })
        {
            trial.state = TrialPhase::Waiting;
            self.waiting.insert(index);
        }
    }

    /// Takes over from `sweep` how many trials are wanted, and how many may run at once. What was
    /// started and ended so far stays.
    pub fn revise(&mut self, sweep: &Sweep) {
        self.sampler.set_trials(sweep.search.trials());
        self.parallel = parallel(sweep);
    }

    /// How many trials there will be, where that is known.
    pub fn wanted(&self) -> Option<usize> {
        self.sampler.wanted()
    }

    /// All trials so far, by number.
    pub fn trials(&self) -> &[TrialState] {
        &self.trials
    }

    /// The jobs that were started and have not ended.
    pub fn running(&self) -> impl Iterator<Item = &TrialJob> {
        self.jobs[self.ended..]
            .iter()
            .filter(|(_, ended)| !ended)
            .map(|(job, _)| job)
    }

    /// The number of the best trial that came to its end, the first of several equals. With several
    /// objectives the numbers of all that no other is better than. A trial with an objective that is no finite
    /// number is never the best.
    pub fn best(&self) -> Vec<u32> {
        let done: Vec<(u32, Vec<f64>)> = self
            .trials
            .iter()
            .filter_map(|trial| match &trial.state {
                TrialPhase::Done { objectives } => Some((trial.number, self.goal.losses(objectives))),
                _ => None,
            })
            .filter(|(_, losses)| losses.iter().all(|loss| loss.is_finite()))
            .collect();
        match self.goal.objectives.len() {
            0 => Vec::new(),
            1 => {
                let best = done.iter().min_by(|left, right| left.1[0].total_cmp(&right.1[0]));
                best.map(|(number, _)| *number).into_iter().collect()
            }
            _ => {
                let losses: Vec<&[f64]> = done.iter().map(|(_, losses)| losses.as_slice()).collect();
                let front = rank::front(&losses);
                front.into_iter().map(|index| done[index].0).collect()
            }
        }
    }

    fn add(&mut self, values: Values, point: Point) {
        self.taken.insert(self.space.key(&point));
        // In the order of the space, whoever wrote them.
        let names = self.space.parameters.iter().map(|parameter| &parameter.name);
        let values = names
            .filter_map(|name| Some((name.clone(), values.get(name)?.clone())))
            .collect();
        self.trials.push(TrialState {
            number: self.trials.len() as u32 + 1,
            values,
            state: TrialPhase::Waiting,
            curve: Vec::new(),
        });
        self.records.push(Record {
            point,
            jobs: 0,
            last: 0,
            before: Vec::new(),
        });
    }

    /// The next job, where the outcomes of the first `visible` jobs are known, and of the first
    /// `trials` trials.
    fn decide(&mut self, visible: usize, trials: usize) -> Result<Option<TrialJob>, SweepError> {
        let known = known(&self.trials, &self.records, self.adopted, visible, trials);
        let again = self.waiting.first().copied();
        if let Some(index) = again.or_else(|| self.pruner.next(&known)) {
            return Ok(Some(self.again(index, &known)));
        }
        let is_wanted = self
            .sampler
            .wanted()
            .is_none_or(|wanted| self.trials.len() < wanted);
        if is_wanted {
            let request = Request {
                space: &self.space,
                goal: &self.goal,
                seed: self.seed,
                trial: self.trials.len() as u32 + 1,
                known: &known,
                taken: &self.taken,
            };
            match self.sampler.draw(&request)? {
                Draw::Point(point) => {
                    return Ok(Some(TrialJob {
                        number: self.jobs.len() as u32 + 1,
                        trial: request.trial,
                        values: self.space.values(&point),
                        limits: self.pruner.limits(0, &known),
                    }));
                }
                Draw::Unknown => return Ok(None),
                Draw::Exhausted => {}
            }
        }
        let is_quiet = known.iter().all(|trial| trial.standing != Standing::Open);
        let last = is_quiet.then(|| self.pruner.last(&known)).flatten();
        Ok(last.map(|index| self.again(index, &known)))
    }

    fn again(&self, index: usize, known: &[Known]) -> TrialJob {
        let trial = &self.trials[index];
        TrialJob {
            number: self.jobs.len() as u32 + 1,
            trial: trial.number,
            values: trial.values.clone(),
            limits: self.pruner.limits(trial.curve.len(), known),
        }
    }
}

/// How many of the latest jobs a proposal does not know the outcome of.
fn parallel(sweep: &Sweep) -> usize {
    sweep.parallel.map_or(1, |parallel| parallel.get() as usize)
}

/// The first `count` trials, where the outcomes of the first `visible` jobs are known.
fn known<'a>(
    trials: &'a [TrialState],
    records: &'a [Record],
    adopted: usize,
    visible: usize,
    count: usize,
) -> Vec<Known<'a>> {
    let pairs = trials.iter().zip(records).take(count);
    pairs
        .enumerate()
        .map(|(index, (trial, record))| {
            let (standing, curve) = match &trial.state {
                TrialPhase::Waiting => (Standing::Open, &trial.curve),
                TrialPhase::Running => (Standing::Open, &record.before),
                _ if record.last > visible => (Standing::Open, &record.before),
                TrialPhase::Paused => (Standing::Paused, &trial.curve),
                TrialPhase::Failed { .. } => (Standing::Failed, &trial.curve),
                TrialPhase::Done { objectives } => (Standing::Done { objectives }, &trial.curve),
            };
            Known {
                point: &record.point,
                adopted: index < adopted,
                jobs: record.jobs,
                standing,
                curve,
            }
        })
        .collect()
}

/// Brings a trial's state up to date.
fn take(trial: &mut TrialState, outcome: JobOutcome) {
    let (state, curve) = match outcome {
        JobOutcome::Done { objectives, curve } => (TrialPhase::Done { objectives }, curve),
        JobOutcome::Paused { curve } => (TrialPhase::Paused, curve),
        JobOutcome::Failed { error } => (TrialPhase::Failed { error }, Vec::new()),
    };
    trial.state = state;
    // A failure takes nothing away of what is known.
    if !curve.is_empty() {
        trial.curve = curve;
    }
}
