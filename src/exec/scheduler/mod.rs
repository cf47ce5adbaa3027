//! Decides what starts when.
//!
//! In go facts and the time, out come actions; in between there is no thread, no channel, no clock, no store and no
//! event. Whoever carries the actions out tells the scheduler what came of them. The policies:
//!
//! - A stage is settled (looked up, decided about) once all that it waits for is done; what has to run is queued, the
//!   longest way to the end first ([`queue`]), and starts as far as resources reach ([`pool`]).
//! - A stage that fails is tried again, as often as it says, after a pause that doubles. Then what waits for it is
//!   skipped, and nothing new starts, unless the run is to keep going.
//! - A stage that runs for longer than its timeout is stopped, and has failed.
//! - A result that is found lost when a stage wants it is made again, and the stage waits for that ([`losses`]).
//! - A stage that stops before its end on purpose has ended, unless another one waits for its result.

mod ending;
mod losses;
mod nodes;
mod pool;
mod protocol;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use nodes::{Asked, NodePhase, Nodes};
use pool::{Grant, Pool};
pub(super) use protocol::{Cause, Fact, JobEnd, SchedulerAction, TryPolicy, Verdict};
use queue::Queue;

use crate::exec::capacity::Capacity;
use crate::plan::NodeIndex;

/// The state of a run.
pub(super) struct Scheduler {
    nodes: Nodes,
    pool: Pool,
    keep_going: bool,
    /// Nodes that are to be settled.
    ready: VecDeque<NodeIndex>,
    /// The one that is being settled.
    settling: Option<NodeIndex>,
    /// Nodes that have to run and wait for resources.
    queue: Queue,
    /// The seconds from each node's start to the end of all that waits for it, where estimates are known.
    remaining: Option<Vec<f64>>,
    running: BTreeMap<NodeIndex, RunningNode>,
    /// Failed nodes that are tried again at these moments.
    resting: Vec<(Instant, NodeIndex)>,
    /// Nodes that failed for good, in this order.
    failed: Vec<NodeIndex>,
    interrupted: bool,
    has_losses: bool,
    /// What is to be done about the facts so far.
    actions: Vec<SchedulerAction>,
}

/// A node that runs.
struct RunningNode {
    grant: Grant,
    /// Known once the right to make the result is granted: waiting for it does not count.
    deadline: Option<Instant>,
    timed_out: bool,
}

impl Scheduler {
    /// A scheduler of at most `jobs` stages at once, which together take no more than `capacity`.
    /// `keep_going` says whether others go on after a failure.
    pub fn new(capacity: &Capacity, jobs: usize, keep_going: bool) -> Self {
        Self {
            nodes: Nodes::default(),
            pool: Pool::new(capacity, jobs),
            keep_going,
            ready: VecDeque::new(),
            settling: None,
            queue: Queue::default(),
            remaining: None,
            running: BTreeMap::new(),
            resting: Vec::new(),
            failed: Vec::new(),
            interrupted: false,
            has_losses: false,
            actions: Vec::new(),
        }
    }

    /// How many nodes were added.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds the node whose number is [`len`](Self::len); it waits for `upstream`, which were added before.
    pub fn add(&mut self, upstream: Vec<NodeIndex>, policy: TryPolicy) {
        self.nodes.add(upstream, policy);
        self.remaining = None;
    }

    /// Whether it is unknown how long the way to the end is: what is queued next then comes in the nodes' order.
    pub fn wants_estimates(&self) -> bool {
        self.remaining.is_none()
    }

    /// Takes note of how many seconds each node is expected to run: 0 where its result is known.
    pub fn estimate(&mut self, seconds: &[f64]) {
        self.remaining = Some(self.nodes.remaining(seconds));
    }

    /// Takes note of `facts`, in their order, at the time `now`; gives what is to be done, in this order. Where
    /// that is to settle a node, its answer comes before any other fact.
    pub fn handle(&mut self, facts: impl IntoIterator<Item = Fact>, now: Instant) -> Vec<SchedulerAction> {
        for fact in facts {
            self.note(fact, now);
        }
        self.stop_late(now);
        self.end_rests(now);
        self.advance();
        std::mem::take(&mut self.actions)
    }

    fn note(&mut self, fact: Fact, now: Instant) {
        match fact {
            Fact::Wanted(node) => {
                if self.nodes.ask(node, &mut self.ready) == Asked::Done {
                    self.actions.push(SchedulerAction::Done(node));
                }
            }
            Fact::Settled(node, verdict) => {
                self.settling = None;
                self.settled(node, verdict, now);
            }
            Fact::Leased(node) => {
                let timeout = self.nodes.policy(node).timeout;
                if let Some(running) = self.running.get_mut(&node) {
                    running.deadline = timeout.and_then(|timeout| now.checked_add(timeout));
                }
            }
            Fact::Ended(node, end) => {
                if let Some(running) = self.running.remove(&node) {
                    self.pool.give(running.grant);
                    self.ended(node, end, running.timed_out, now);
                }
            }
            Fact::Interrupted => {
                if !self.interrupted {
                    self.interrupted = true;
                    self.actions
                        .extend(self.running.keys().map(|&node| SchedulerAction::Stop(node)));
                }
            }
        }
    }

    fn settled(&mut self, node: NodeIndex, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::Known { changed } => self.finish(node, changed),
            Verdict::Run(needs) => {
                let remaining = self.remaining.as_ref();
                let seconds = remaining.and_then(|seconds| seconds.get(node.index()));
                self.nodes.set(node, NodePhase::Queued);
                self.queue.push(node, needs, *seconds.unwrap_or(&0.0));
            }
            Verdict::Pending => self.hold_back(node),
            Verdict::Failed => self.fail(node, Cause::Reported, now),
            Verdict::Lost(upstream) => self.lost(node, upstream, now),
        }
    }

    /// Asks those to stop that run for longer than they may.
    fn stop_late(&mut self, now: Instant) {
        for (&node, running) in &mut self.running {
            if !running.timed_out && running.deadline.is_some_and(|deadline| deadline <= now) {
                running.timed_out = true;
                self.actions.push(SchedulerAction::Stop(node));
            }
        }
    }

    /// Readies what has rested for long enough.
    fn end_rests(&mut self, now: Instant) {
        let (due, resting): (Vec<_>, Vec<_>) = self.resting.drain(..).partition(|(until, _)| *until <= now);
        self.resting = resting;
        for (_, node) in due {
            self.nodes.set(node, NodePhase::Ready);
            self.ready.push_back(node);
        }
    }

    /// Has the next node settled; once all are, starts what has to run as far as resources reach.
    fn advance(&mut self) {
        if !self.may_start() || self.settling.is_some() {
            return;
        }
        if let Some(node) = self.ready.pop_front() {
            self.nodes.set(node, NodePhase::Settling);
            self.settling = Some(node);
            self.actions.push(SchedulerAction::Settle(node));
            return;
        }
        for (waiting, grant) in self.queue.start(&mut self.pool) {
            self.nodes.set(waiting.node, NodePhase::Running);
            self.actions.push(SchedulerAction::Start {
                node: waiting.node,
                attempt: self.nodes.tries(waiting.node) + 1,
                needs: waiting.needs,
                gpus: grant.visible_gpus(),
            });
            let running = RunningNode {
                grant,
                deadline: None,
                timed_out: false,
            };
            self.running.insert(waiting.node, running);
        }
    }

    /// Whether anything new may start.
    pub fn may_start(&self) -> bool {
        !self.interrupted && (self.keep_going || self.failed.is_empty())
    }

    /// Whether the run was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Whether nothing runs, and nothing will start unless further nodes are wanted.
    pub fn is_over(&self) -> bool {
        let waits = !(self.ready.is_empty()
            && self.settling.is_none()
            && self.queue.is_empty()
            && self.resting.is_empty());
        self.running.is_empty() && !(self.may_start() && waits)
    }

    /// Whether a further node could start at once, if it does not need much.
    pub fn has_room(&self) -> bool {
        self.ready.is_empty() && self.queue.is_empty() && !self.pool.is_exhausted()
    }

    /// When there is something to do even if no fact comes.
    pub fn wakes_at(&self) -> Option<Instant> {
        let running = self.running.values().filter(|running| !running.timed_out);
        let deadlines = running.filter_map(|running| running.deadline);
        let rests = self.resting.iter().map(|(until, _)| *until);
        deadlines.chain(rests).min()
    }

    /// Whether a result was ever found lost.
    pub fn met_losses(&self) -> bool {
        self.has_losses
    }

    /// The nodes that failed for good, in this order.
    pub fn failed(&self) -> &[NodeIndex] {
        &self.failed
    }

    /// The nodes that were wanted and have not ended, in their order.
    pub fn unfinished(&self) -> impl Iterator<Item = NodeIndex> {
        self.nodes.open()
    }
}

/// The pause before the next try after so many failed ones (at least one): a second, and each further one twice as
/// long, up to about a minute.
fn pause_after(attempts: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(1);
    const MOST: u32 = 64;
    FIRST * 2u32.saturating_pow(attempts.saturating_sub(1)).min(MOST)
}
