//! Carries out what the [`Scheduler`] wants: its loop hands facts in and does what comes out.
//!
//! The calling thread owns the plan and the scheduler. It [settles and starts](starting) nodes, each running
//! stage on a thread of its own, whose [reports](StageReport) come back through a channel, and
//! [tells](ending) what became of them.

mod ending;
mod starting;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::event::{Activity, Event, Level, RunStatus};
use crate::exec::completion::{Completion, StageCounts};
use crate::exec::durations::Durations;
use crate::exec::executor::Executor;
use crate::exec::feeder::{End, Feeder, More};
use crate::exec::scheduler::{Fact, Scheduler, SchedulerAction, TryPolicy};
use crate::exec::stage_run::{Done, Failure};
use crate::fingerprint::Digest;
use crate::plan::{NodeIndex, Plan, StageKey};
use crate::spec::{EpochLimits, PipelineSource};
use crate::stages::Surroundings;
use crate::store::Store;

/// How often the dispatcher looks at the stop flag.
const LOOK: Duration = Duration::from_millis(50);

/// How to run a plan.
#[derive(Clone, Debug)]
pub struct ExecutionOptions {
    /// The most stages at once.
    pub jobs: usize,
    /// Whether to go on with what does not depend on a failed stage.
    pub keep_going: bool,
    /// Where stages run.
    pub executor: Arc<dyn Executor>,
    /// What every stage finds around it; which threads and graphics processors are its own is said as it
    /// starts.
    pub surroundings: Surroundings,
    /// The file of the pipeline, to point into where a stage finds a field at fault.
    pub source: PipelineSource,
    /// How long stages of these names took before, in seconds: what has the longest way to the end goes
    /// first. Asked for once something has to run.
    pub durations: Durations,
}

/// Brings every stage of `plan` up to date; with a `feeder`, only what it asks for, and it may add
/// to the plan. Each fact is handed to `emit`, in order, on the calling thread (all but the last: see
/// [`Completion::finished`]). Once `stop` is set nothing new starts, and running stages are asked to save
/// what they need for a resume.
pub fn execute(
    plan: &mut Plan,
    feeder: Option<&mut dyn Feeder>,
    store: &Store,
    options: &ExecutionOptions,
    stop: &AtomicBool,
    emit: &mut dyn FnMut(&Event),
) -> Completion {
    let begun = Instant::now();
    let (sender, reports) = channel();
    let mut dispatcher = Dispatcher {
        scheduler: Scheduler::new(options.executor.capacity(), options.jobs, options.keep_going),
        store,
        options,
        emit,
        sender,
        running: HashMap::new(),
        limits: HashMap::new(),
        troubles: HashMap::new(),
        errors: HashMap::new(),
        before: HashMap::new(),
        ran: HashSet::new(),
        is_exhausted: feeder.is_none(),
        is_broken: false,
        feeder: feeder.map(|feeder| feeder as &mut dyn Feeder),
        ended: Vec::new(),
        counts: StageCounts::default(),
        plan,
    };
    store.tidy();
    dispatcher.run(&reports, stop);
    dispatcher.finish(begun)
}

/// What a running stage's thread tells.
enum StageReport {
    Activity(Activity),
    /// Another process holds the lease.
    Waiting,
    /// The lease is granted.
    Leased,
    Ended(Box<Result<Done, Failure>>),
}

/// A stage that runs.
struct StartedStage {
    key: StageKey,
    stop: Arc<AtomicBool>,
}

struct Dispatcher<'a> {
    plan: &'a mut Plan,
    scheduler: Scheduler,
    store: &'a Store,
    options: &'a ExecutionOptions,
    emit: &'a mut dyn FnMut(&Event),
    sender: Sender<(NodeIndex, StageReport)>,
    running: HashMap<NodeIndex, StartedStage>,
    /// How far nodes go for now.
    limits: HashMap<NodeIndex, EpochLimits>,
    /// What went wrong with nodes, until the scheduler says what follows from that.
    troubles: HashMap<NodeIndex, Failure>,
    /// What the nodes that failed for good failed with.
    errors: HashMap<NodeIndex, String>,
    /// The artifacts that were lost, by the node that makes each again.
    before: HashMap<NodeIndex, Digest>,
    /// The nodes that ran.
    ran: HashSet<NodeIndex>,
    feeder: Option<&'a mut dyn Feeder>,
    /// The feeder has nothing more.
    is_exhausted: bool,
    /// The feeder cannot go on.
    is_broken: bool,
    /// What the feeder has not been told yet.
    ended: Vec<(NodeIndex, End)>,
    counts: StageCounts,
}

impl Dispatcher<'_> {
    fn run(&mut self, reports: &Receiver<(NodeIndex, StageReport)>, stop: &AtomicBool) {
        self.tell(&Event::RunStarted {
            pipeline: self.plan.pipeline().to_owned(),
            stages: self
                .plan
                .order()
                .iter()
                .map(|&index| self.plan.node(index).names.len())
                .sum(),
        });
        self.add_nodes();
        let wanted = match self.feeder {
            None => self.plan.order(),
            Some(_) => &[],
        };
        let mut facts: Vec<Fact> = wanted.iter().map(|&index| Fact::Wanted(index)).collect();
        loop {
            if stop.load(Ordering::Relaxed) {
                facts.insert(0, Fact::Interrupted);
            }
            self.schedule(facts);
            self.consult();
            let has_more = !self.is_exhausted || !self.ended.is_empty();
            if self.scheduler.is_over() && !(self.scheduler.may_start() && has_more) {
                return;
            }
            facts = Vec::new();
            if let Ok((index, report)) = reports.recv_timeout(self.patience()) {
                facts.extend(self.note_report(index, report));
                // What else has arrived belongs to the same moment.
                while let Ok((index, report)) = reports.try_recv() {
                    facts.extend(self.note_report(index, report));
                }
            }
        }
    }

    /// How long to wait for a report.
    fn patience(&self) -> Duration {
        let wakes = self.scheduler.wakes_at();
        wakes.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()).min(LOOK))
    }

    /// Tells the scheduler of the nodes that the plan grew by.
    fn add_nodes(&mut self) {
        for number in self.scheduler.len()..self.plan.order().len() {
            let index = NodeIndex::new(number);
            let stage = &self.plan.node(index).stage;
            let policy = TryPolicy {
                retries: stage.retries,
                timeout: stage.timeout.map(|timeout| timeout.0),
            };
            self.scheduler.add(self.plan.upstream(index).collect(), policy);
        }
    }

    /// Hands `facts` to the scheduler and does what it wants, until there is nothing to do but wait.
    fn schedule(&mut self, mut facts: Vec<Fact>) {
        loop {
            let actions = self.scheduler.handle(facts.drain(..), Instant::now());
            for action in actions {
                facts.extend(self.carry_out(action));
            }
            if facts.is_empty() {
                return;
            }
        }
    }

    /// Does what the scheduler wants; gives what it is to be told of that.
    fn carry_out(&mut self, action: SchedulerAction) -> Option<Fact> {
        match action {
            SchedulerAction::Settle(index) => return Some(Fact::Settled(index, self.settle(index))),
            SchedulerAction::Start {
                node,
                attempt,
                needs,
                gpus,
            } => self.start(node, attempt, needs, gpus),
            SchedulerAction::Stop(index) => {
                if let Some(running) = self.running.get(&index) {
                    running.stop.store(true, Ordering::Relaxed);
                }
            }
            SchedulerAction::Done(index) => self.note_end(index, End::Done),
            SchedulerAction::Failed {
                node,
                attempt,
                retrying,
                cause,
            } => self.tell_failed(node, attempt, retrying, cause),
            SchedulerAction::Interrupted(index) => self.tell_interrupted(index),
            SchedulerAction::Paused(index) => self.tell_paused(index),
            SchedulerAction::Skip { node, because } => self.skip(node, because),
            SchedulerAction::AwaitRemake {
                node,
                upstream,
                attempt,
            } => self.await_remake(node, upstream, attempt),
            SchedulerAction::Reopen(index) => self.reopen(index),
            SchedulerAction::Reconsider(index) => self.plan.reconsider(index),
        }
        None
    }

    /// Tells the feeder what ended, and takes what it wants to be done next.
    fn consult(&mut self) {
        while let Some(feeder) = &mut self.feeder
            && !self.scheduler.is_interrupted()
        {
            let free = !self.is_exhausted && self.scheduler.has_room();
            let ended = std::mem::take(&mut self.ended);
            match feeder.next(self.plan, ended, free, &mut *self.emit) {
                Ok(More::Start(wanted)) => {
                    self.add_nodes();
                    let mut facts = Vec::with_capacity(wanted.len());
                    for (index, limits) in wanted {
                        match limits {
                            Some(limits) => drop(self.limits.insert(index, limits)),
                            None => drop(self.limits.remove(&index)),
                        }
                        facts.push(Fact::Wanted(index));
                    }
                    self.schedule(facts);
                }
                Ok(More::Wait) => return,
                Ok(More::Finished) => {
                    self.is_exhausted = true;
                    return;
                }
                Err(message) => {
                    self.tell(&Event::Notice {
                        level: Level::Warning,
                        message,
                    });
                    self.is_broken = true;
                    self.schedule(vec![Fact::Interrupted]);
                }
            }
        }
    }

    /// Takes note of how a node ended, for the feeder.
    fn note_end(&mut self, index: NodeIndex, end: End) {
        if self.feeder.is_some() {
            self.ended.push((index, end));
        }
    }

    /// Skips what is left over; gives what the run came to.
    fn finish(mut self, begun: Instant) -> Completion {
        let left: Vec<NodeIndex> = self.scheduler.unfinished().collect();
        let first_failed = self.scheduler.failed().first().copied();
        for index in left {
            match first_failed {
                Some(because) => self.tell_skipped(index, because, 0),
                None => self.counts.skipped += self.plan.node(index).names.len(),
            }
        }
        let failed = self.scheduler.failed().len();
        let status = if self.scheduler.is_interrupted() && !self.is_broken {
            RunStatus::Interrupted
        } else if failed == 0 && !self.is_broken {
            RunStatus::Done
        } else {
            RunStatus::Failed
        };
        Completion {
            status,
            counts: self.counts,
            failed,
            broken: self.is_broken,
            begun,
        }
    }

    fn tell(&mut self, event: &Event) {
        (self.emit)(event);
    }
}
