//! The dispatcher: starts what can start, takes note of what ends.

mod losses;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use losses::Losses;

use crate::event::{Activity, Event, Level, Monitor, RunStatus};
use crate::exec::capacity::{Grant, Needs, Pool, threads};
use crate::exec::durations::{Durations, remaining};
use crate::exec::executor::Executor;
use crate::exec::feeder::{End, Feeder, More};
use crate::exec::log::tail;
use crate::exec::nodes::{Asked, Nodes};
use crate::exec::queue::{Queue, Waiting};
use crate::exec::stage_run::{Done, Failure, InputSource, StageRun};
use crate::exec::summary::{Counts, Summary};
use crate::plan::{Decision, NodeIndex, NodeSource, Plan, Reason, StageKey};
use crate::stages::{StageError, Surroundings};
use crate::store::{Action, Lookup, Store};

/// How often the dispatcher looks at the clock and at the stop flag.
const LOOK: Duration = Duration::from_millis(50);

/// The first pause before another try; each further one is twice as long.
const BACKOFF: Duration = Duration::from_secs(1);

/// How to run a plan.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most stages at once.
    pub jobs: usize,
    /// Whether to go on with what does not depend on a failed stage.
    pub keep_going: bool,
    /// Where stages run.
    pub executor: Arc<dyn Executor>,
    /// What every stage finds around it; which threads and graphics processors are its own is said as it
    /// starts.
    pub surroundings: Surroundings,
    /// How long stages of these names took before, in seconds: what has the longest way to the end goes
    /// first. Asked for once something has to run.
    pub durations: Durations,
}

/// Brings every stage of `plan` up to date; with a `feeder`, only what it asks for, and it may add
/// to the plan. Each fact is handed to `emit`, in order, on the calling thread (all but the last: see
/// [`Summary::finished`]). Once `stop` is set nothing new starts, and running stages are asked to save
/// what they need for a resume.
pub fn execute(
    plan: &mut Plan,
    feeder: Option<&mut dyn Feeder>,
    store: &Store,
    options: &Options,
    stop: &AtomicBool,
    emit: &mut dyn FnMut(&Event),
) -> Summary {
    let begun = Instant::now();
    let (sender, receiver) = channel();
    let mut dispatcher = Dispatcher {
        store,
        options,
        emit,
        sender,
        pool: Pool::new(options.executor.capacity(), options.jobs),
        ready: VecDeque::new(),
        queue: Queue::default(),
        remaining: None,
        later: Vec::new(),
        nodes: Nodes::default(),
        running: HashMap::new(),
        failed: Vec::new(),
        interrupted: false,
        broken: false,
        exhausted: feeder.is_none(),
        feeder: feeder.map(|feeder| feeder as &mut dyn Feeder),
        ended: Vec::new(),
        counts: Counts::default(),
        losses: Losses::default(),
        plan,
    };
    store.tidy();
    dispatcher.run(&receiver, stop);
    dispatcher.finish(begun)
}

/// A stage that runs.
struct Running {
    grant: Grant,
    key: StageKey,
    attempt: u32,
    /// Known once the lease is granted: waiting for it does not count.
    deadline: Option<Instant>,
    timed_out: bool,
    stop: Arc<AtomicBool>,
}

enum Message {
    Activity(NodeIndex, Activity),
    Waiting(NodeIndex),
    Leased(NodeIndex),
    Ended(NodeIndex, Box<Result<Done, Failure>>),
}

struct Dispatcher<'a> {
    plan: &'a mut Plan,
    store: &'a Store,
    options: &'a Options,
    emit: &'a mut dyn FnMut(&Event),
    sender: Sender<Message>,
    pool: Pool,
    /// Nodes whose inputs are there: each with its number of failed tries.
    ready: VecDeque<(NodeIndex, u32)>,
    /// Nodes that have to run and wait for resources.
    queue: Queue,
    /// The seconds from each node's start to the end of all that waits for it, once they are needed.
    remaining: Option<Vec<f64>>,
    /// What is tried again once a pause is over.
    later: Vec<(Instant, NodeIndex, u32)>,
    nodes: Nodes,
    running: HashMap<NodeIndex, Running>,
    failed: Vec<NodeIndex>,
    interrupted: bool,
    /// The feeder cannot go on.
    broken: bool,
    feeder: Option<&'a mut dyn Feeder>,
    /// The feeder has nothing more.
    exhausted: bool,
    /// What the feeder has not been told yet.
    ended: Vec<(NodeIndex, End)>,
    counts: Counts,
    losses: Losses,
}

impl Dispatcher<'_> {
    fn run(&mut self, receiver: &Receiver<Message>, stop: &AtomicBool) {
        self.tell(&Event::RunStarted {
            pipeline: self.plan.pipeline().to_owned(),
            stages: self
                .plan
                .order()
                .iter()
                .map(|&index| self.plan.node(index).names.len())
                .sum(),
        });
        if self.feeder.is_none() {
            for index in self.plan.order().to_vec() {
                self.ask(index);
            }
        }
        loop {
            if stop.load(Ordering::Relaxed) {
                self.interrupt();
            }
            self.resume_later();
            self.consult();
            self.start_ready();
            let more = !(self.ready.is_empty()
                && self.queue.is_empty()
                && self.later.is_empty()
                && self.ended.is_empty()
                && self.exhausted);
            if self.running.is_empty() && (!self.may_start() || !more) {
                return;
            }
            if !self.ended.is_empty() && self.may_start() {
                continue;
            }
            match receiver.recv_timeout(LOOK) {
                Ok(message) => {
                    self.take(message);
                    // What else has arrived belongs to the same moment.
                    while let Ok(message) = receiver.try_recv() {
                        self.take(message);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.enforce_deadlines();
        }
    }

    /// Whether anything new may start.
    fn may_start(&self) -> bool {
        !self.interrupted && (self.options.keep_going || self.failed.is_empty())
    }

    fn interrupt(&mut self) {
        if !self.interrupted {
            self.interrupted = true;
            for running in self.running.values() {
                running.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Asks for a node; what can start at once is ready then.
    fn ask(&mut self, index: NodeIndex) -> Asked {
        let mut ready = Vec::new();
        let asked = self.nodes.ask(self.plan, index, &mut ready);
        self.ready.extend(ready.into_iter().map(|index| (index, 0)));
        asked
    }

    /// Tells the feeder what ended, and takes what it wants to be done next.
    fn consult(&mut self) {
        while let Some(feeder) = &mut self.feeder
            && !self.interrupted
        {
            let free = !self.exhausted
                && self.ready.is_empty()
                && self.queue.is_empty()
                && !self.pool.is_exhausted();
            let ended = std::mem::take(&mut self.ended);
            let emit = &mut *self.emit;
            match feeder.next(self.plan, ended, free, emit) {
                Ok(More::Start(wanted)) => {
                    for (index, limits) in wanted {
                        self.nodes.limit(index, limits);
                        if self.ask(index) == Asked::Done {
                            self.ended.push((index, End::Done));
                        }
                    }
                }
                Ok(More::Wait) => return,
                Ok(More::Finished) => {
                    self.exhausted = true;
                    return;
                }
                Err(message) => {
                    self.tell(&Event::Notice {
                        level: Level::Warning,
                        message,
                    });
                    self.broken = true;
                    self.interrupt();
                }
            }
        }
    }

    /// Takes note of how a node ended, for the feeder.
    fn note(&mut self, index: NodeIndex, end: End) {
        if self.feeder.is_some() {
            self.ended.push((index, end));
        }
    }

    fn resume_later(&mut self) {
        let now = Instant::now();
        let (due, later) = self.later.drain(..).partition(|(when, ..)| *when <= now);
        self.later = later;
        let due: Vec<(Instant, NodeIndex, u32)> = due;
        self.ready
            .extend(due.into_iter().map(|(_, index, tries)| (index, tries)));
    }

    /// Decides about what is ready, and starts what has to run as far as resources reach.
    fn start_ready(&mut self) {
        while self.may_start()
            && let Some((index, tries)) = self.ready.pop_front()
        {
            if matches!(self.plan.node(index).decision, Decision::Pending(_))
                && let Err(error) = self.plan.settle(index)
            {
                self.cannot_settle(index, tries, &error);
                continue;
            }
            match &self.plan.node(index).decision {
                Decision::Reuse(_) => self.reuse(index),
                Decision::Run(..) => self.wait(index, tries),
                Decision::Pending(_) => self.hold_back(index, tries),
            }
        }
        if !self.may_start() {
            return;
        }
        for (waiting, grant) in self.queue.start(&mut self.pool) {
            let Decision::Run(key, reason) = &self.plan.node(waiting.node).decision else {
                // What it takes in turned out to be lost.
                self.pool.give(grant);
                self.hold_back(waiting.node, waiting.tries);
                continue;
            };
            let (key, reason) = ((**key).clone(), (**reason).clone());
            self.start(&waiting, grant, key, &reason);
        }
    }

    /// Queues a node that has to run.
    fn wait(&mut self, index: NodeIndex, tries: u32) {
        let stage = &self.plan.node(index).stage;
        let capacity = self.options.executor.capacity();
        let needs = Needs::of(stage, capacity, self.options.surroundings.device);
        // What a feeder asks for comes in the order in which it asks.
        let seconds = match &self.feeder {
            None => *self
                .remaining
                .get_or_insert_with(|| remaining(self.plan, &self.options.durations))
                .get(index.index())
                .unwrap_or(&0.0),
            Some(_) => 0.0,
        };
        self.queue.push(index, tries, needs, seconds);
    }

    fn start(&mut self, waiting: &Waiting, grant: Grant, key: StageKey, reason: &Reason) {
        let Waiting {
            node: index,
            tries,
            needs,
            ..
        } = *waiting;
        let node = self.plan.node(index);
        let (name, stage) = (node.name().clone(), node.stage.clone());
        if let (Some(message), 0) = (Needs::exceed(&stage, self.options.executor.capacity()), tries) {
            let message = format!("{name}: {message}; it runs with what there is");
            self.tell(&Event::Notice {
                level: Level::Warning,
                message,
            });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let run = StageRun {
            name: name.to_string(),
            seed: self.plan.node(index).seed,
            key: key.clone(),
            forced: *reason == Reason::Forced,
            inputs: self.input_sources(index),
            limits: self.nodes.limits(index).cloned(),
            needs,
            surroundings: Surroundings {
                threads: threads(&stage.kind, needs),
                gpus: grant.visible_gpus(),
                ..self.options.surroundings.clone()
            },
            executor: Arc::clone(&self.options.executor),
            store: self.store.clone(),
            stage,
        };
        let kind = run.stage.kind.name().to_owned();
        let attempt = tries + 1;
        let started = Event::StageStarted {
            stage: name.clone(),
            kind,
            fingerprint: key.fingerprint(),
            reason: reason.to_string(),
            attempt,
            key: serde_json::to_string(&key).ok().map(Arc::from),
        };
        self.tell(&started);
        let running = Running {
            grant,
            key,
            attempt,
            deadline: None,
            timed_out: false,
            stop: Arc::clone(&stop),
        };
        self.running.insert(index, running);
        let sender = self.sender.clone();
        let spawned = std::thread::Builder::new().name(name.to_string()).spawn(move || {
            let monitor = {
                let sender = sender.clone();
                Monitor::new(
                    move |activity| drop(sender.send(Message::Activity(index, activity))),
                    stop,
                )
            };
            let waiting = || drop(sender.send(Message::Waiting(index)));
            let leased = || drop(sender.send(Message::Leased(index)));
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run.run(&monitor, &waiting, &leased)
            }))
            .unwrap_or_else(|_| {
                let error = StageError::failed("the stage panicked: a mistake of Erlen's; please report it");
                Err(error.into())
            });
            drop(sender.send(Message::Ended(index, Box::new(result))));
        });
        if let Err(error) = spawned {
            let error = StageError::failed(format!("no thread could be started: {error}"));
            drop(
                self.sender
                    .send(Message::Ended(index, Box::new(Err(error.into())))),
            );
        }
    }

    fn input_sources(&self, index: NodeIndex) -> std::collections::BTreeMap<String, InputSource> {
        let mut inputs = std::collections::BTreeMap::new();
        for input in &self.plan.node(index).inputs {
            let source = match &input.source {
                NodeSource::Project { path, digest } => InputSource::Project {
                    path: path.clone(),
                    digest: *digest,
                },
                NodeSource::Stage { node, path } => match self.plan.node(*node).decision.action() {
                    Some(action) => InputSource::Artifact {
                        artifact: action.artifact,
                        path: path.clone(),
                    },
                    None => continue,
                },
            };
            inputs.insert(input.role.clone(), source);
        }
        inputs
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Activity(index, activity) => {
                let stage = self.plan.node(index).name().clone();
                self.tell(&Event::StageActivity { stage, activity });
            }
            Message::Waiting(index) => {
                let stage = self.plan.node(index).name().clone();
                self.tell(&Event::StageWaiting { stage });
            }
            Message::Leased(index) => {
                let timeout = self.plan.node(index).stage.timeout;
                if let Some(running) = self.running.get_mut(&index) {
                    running.deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout.0));
                }
            }
            Message::Ended(index, result) => {
                let Some(running) = self.running.remove(&index) else {
                    return;
                };
                self.pool.give(running.grant.clone());
                match *result {
                    Ok(done) => self.succeed(index, running, done),
                    Err(failure) => self.end_without_result(index, &running, failure),
                }
            }
        }
    }

    fn succeed(&mut self, index: NodeIndex, running: Running, done: Done) {
        let Done {
            action,
            reused,
            seconds,
            peak_memory,
        } = done;
        if reused {
            self.plan.finish(index, action);
            self.reuse(index);
            return;
        }
        let unchanged = self.equals_earlier(index, &running.key, &action);
        self.counts.ran += 1;
        self.losses.note_run(index);
        self.tell(&Event::StageFinished {
            stage: self.plan.node(index).name().clone(),
            fingerprint: action.fingerprint,
            artifact: action.artifact,
            metrics: action.metrics.clone(),
            seconds,
            peak_memory,
            unchanged,
        });
        self.plan.finish(index, action);
        // Stages that are equal to this one share its result.
        self.tell_reused(index, 1);
        self.release(index);
        if self.is_outdated(index, &running.key.inputs) {
            self.reopen(index);
        }
    }

    /// Whether the result is what the nearest earlier result of another key was.
    fn equals_earlier(&self, index: NodeIndex, key: &StageKey, action: &Action) -> bool {
        let Some(earlier) = self.plan.earlier(self.plan.node(index)) else {
            return false;
        };
        if earlier.key == *key {
            return false;
        }
        match self.store.look_up(&earlier.key.fingerprint()) {
            Ok(Lookup::Hit(before)) => before.artifact == action.artifact,
            _ => false,
        }
    }

    fn reuse(&mut self, index: NodeIndex) {
        self.tell_reused(index, 0);
        self.release(index);
    }

    /// Tells that a node's stages, from the number `first` of its names on, have its result.
    fn tell_reused(&mut self, index: NodeIndex, first: usize) {
        let node = self.plan.node(index);
        let Decision::Reuse(action) = &node.decision else {
            return;
        };
        for name in &node.names[first..] {
            self.counts.reused += 1;
            let event = Event::StageReused {
                stage: name.clone(),
                fingerprint: action.fingerprint,
                artifact: action.artifact,
                metrics: action.metrics.clone(),
                key: Some(Arc::from(action.key.as_str())),
            };
            (self.emit)(&event);
        }
    }

    /// Takes note that a node is done: what waited for it alone is ready.
    fn release(&mut self, index: NodeIndex) {
        let freed = self.nodes.finish(self.plan, index);
        self.ready.extend(freed.into_iter().map(|index| (index, 0)));
        self.compare_with_lost(index);
        self.note(index, End::Done);
    }

    fn end_without_result(&mut self, index: NodeIndex, running: &Running, failure: Failure) {
        let (error, log) = match failure {
            Failure::Stage { error, log } => (error, log),
            Failure::InputLost { role, error } => {
                return self.input_lost(index, running.attempt - 1, &role, &error);
            }
        };
        match error {
            StageError::Interrupted if !running.timed_out => {
                self.nodes.end(self.plan, index);
                for stage in self.plan.node(index).names.clone() {
                    self.tell(&Event::StageInterrupted { stage });
                }
            }
            StageError::Interrupted => {
                let limit = self
                    .plan
                    .node(index)
                    .stage
                    .timeout
                    .map_or(0.0, |timeout| timeout.0.as_secs_f64());
                let error = StageError::failed(format!(
                    "stopped after its timeout of {limit} s; raise `timeout`, or find out what takes so long"
                ));
                self.fail(index, running.attempt, &error, log);
            }
            StageError::Paused { curve } => {
                self.nodes.end(self.plan, index);
                let epoch = u32::try_from(curve.len()).unwrap_or(u32::MAX);
                for stage in self.plan.node(index).names.clone() {
                    self.tell(&Event::StagePaused { stage, epoch });
                }
                self.note(index, End::Paused(curve));
            }
            error => self.fail(index, running.attempt, &error, log),
        }
    }

    fn fail(&mut self, index: NodeIndex, attempt: u32, error: &StageError, log: Option<PathBuf>) {
        let node = self.plan.node(index);
        let (stage, retries) = (node.name().clone(), node.stage.retries);
        let retrying = attempt <= retries && !self.interrupted;
        let tail = log.as_deref().map(tail).unwrap_or_default();
        self.tell(&Event::StageFailed {
            stage: stage.clone(),
            error: error.to_string(),
            log: log.filter(|_| !tail.is_empty()),
            tail,
            attempt,
            retrying,
        });
        if retrying {
            let pause = BACKOFF * 2u32.saturating_pow(attempt - 1).min(64);
            self.later.push((Instant::now() + pause, index, attempt));
            return;
        }
        self.failed.push(index);
        let end = End::Failed {
            node: index,
            error: error.to_string(),
        };
        self.note(index, end.clone());
        // Stages that are equal to this one have no result either.
        let names = self.plan.node(index).names.clone();
        for name in names.into_iter().skip(1) {
            self.counts.skipped += 1;
            self.tell(&Event::StageSkipped {
                stage: name,
                because: stage.to_string(),
            });
        }
        self.end_with(index, &stage.to_string(), &end);
    }

    /// Ends a node, and all that waits for it, since the stage `because` has no result.
    fn end_with(&mut self, index: NodeIndex, because: &str, end: &End) {
        for next in self.nodes.end(self.plan, index) {
            self.skip(next, because);
            self.note(next, end.clone());
        }
    }

    fn skip(&mut self, index: NodeIndex, because: &str) {
        for name in self.plan.node(index).names.clone() {
            self.counts.skipped += 1;
            self.tell(&Event::StageSkipped {
                stage: name,
                because: because.to_owned(),
            });
        }
    }

    fn enforce_deadlines(&mut self) {
        let now = Instant::now();
        for running in self.running.values_mut() {
            if !running.timed_out && running.deadline.is_some_and(|deadline| deadline <= now) {
                running.timed_out = true;
                running.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Skips what is left over; gives what the run came to.
    fn finish(mut self, begun: Instant) -> Summary {
        let left = self.nodes.open();
        let because = self
            .failed
            .first()
            .map(|&index| self.plan.node(index).name().to_string());
        for index in left {
            match &because {
                Some(because) => self.skip(index, because),
                None => self.counts.skipped += self.plan.node(index).names.len(),
            }
        }
        let status = if self.interrupted && !self.broken {
            RunStatus::Interrupted
        } else if self.failed.is_empty() && !self.broken {
            RunStatus::Done
        } else {
            RunStatus::Failed
        };
        Summary {
            status,
            counts: self.counts,
            failed: self.failed.len(),
            broken: self.broken,
            begun,
        }
    }

    fn tell(&mut self, event: &Event) {
        (self.emit)(event);
    }
}
