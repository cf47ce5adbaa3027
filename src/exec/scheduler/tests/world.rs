//! A made-up world that carries out what the scheduler wants, and looks whether that is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::queue::MOST_PASSES;
use super::super::*;
use crate::exec::capacity::Needs;

/// What the tries of a node come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ScriptedEnd {
    Done,
    /// Done, with another result than the last time.
    DoneOtherwise,
    Failed,
    Paused,
    StoppedByOthers,
    /// It finds the result of the first node that it waits for lost.
    InputLost,
}

/// A node, and what will become of it.
#[derive(Clone, Debug)]
pub(super) struct ScriptedNode {
    /// Each counts modulo the node's number.
    pub upstream: Vec<usize>,
    pub needs: Needs,
    pub policy: Policy,
    pub seconds: u64,
    /// Whether its result is known before.
    pub known: bool,
    /// How its tries end, in turn; all further ones are done.
    pub ends: Vec<ScriptedEnd>,
    /// How often it cannot be settled.
    pub unsettled: u32,
    /// When it is asked for, in seconds; it is added to the graph before that.
    pub wanted: u64,
}

/// What happens in a run.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub nodes: Vec<ScriptedNode>,
    pub capacity: Capacity,
    pub jobs: usize,
    pub keep_going: bool,
    pub interrupted: Option<u64>,
}

/// What became of a node in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Done,
    Failed,
    Skipped { because: usize },
    Paused,
    Interrupted,
}

/// A running node.
struct Job {
    until: Instant,
    end: JobEnd,
    /// The results that it took in.
    inputs: Vec<u32>,
}

pub(super) struct World {
    scenario: Scenario,
    upstream: Vec<Vec<usize>>,
    pub scheduler: Scheduler,
    begun: Instant,
    now: Instant,
    running: BTreeMap<usize, Job>,
    /// What has to run and did not start yet, each with how many others started since.
    queued: BTreeMap<usize, u32>,
    /// The result of each node, where that is known.
    results: Vec<Option<u32>>,
    /// The results that are kept, by node and what it took in.
    kept: BTreeMap<(usize, Vec<u32>), u32>,
    /// The results that were lost.
    before: BTreeMap<usize, u32>,
    /// A number for the next result.
    next: u32,
    tries: Vec<usize>,
    unsettled: Vec<u32>,
    pub starts: Vec<u32>,
    pub fates: BTreeMap<usize, Fate>,
}

impl World {
    pub fn new(scenario: Scenario) -> Self {
        let count = scenario.nodes.len();
        let upstream: Vec<Vec<usize>> = scenario
            .nodes
            .iter()
            .enumerate()
            .map(|(number, node)| {
                let upstream: BTreeSet<usize> = match number {
                    0 => BTreeSet::new(),
                    _ => node.upstream.iter().map(|other| other % number).collect(),
                };
                upstream.into_iter().collect()
            })
            .collect();
        let now = Instant::now();
        let mut world = Self {
            scheduler: Scheduler::new(&scenario.capacity, scenario.jobs, scenario.keep_going),
            begun: now,
            now,
            running: BTreeMap::new(),
            queued: BTreeMap::new(),
            results: vec![None; count],
            kept: BTreeMap::new(),
            before: BTreeMap::new(),
            next: u32::try_from(count).unwrap(),
            tries: vec![0; count],
            unsettled: scenario.nodes.iter().map(|node| node.unsettled).collect(),
            starts: vec![0; count],
            fates: BTreeMap::new(),
            upstream,
            scenario,
        };
        // What is known is known for the results that the others would have the first time.
        for number in 0..count {
            if world.scenario.nodes[number].known {
                let inputs = world.upstream[number]
                    .iter()
                    .map(|&other| first_result(other))
                    .collect();
                world.kept.insert((number, inputs), first_result(number));
            }
        }
        world
    }

    fn at(&self, seconds: u64) -> Instant {
        self.begun + Duration::from_secs(seconds)
    }

    /// Lets everything happen.
    pub fn run(&mut self) {
        let mut wanted: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (number, node) in self.scenario.nodes.iter().enumerate() {
            wanted.entry(node.wanted).or_default().push(number);
        }
        let mut interruption = self.scenario.interrupted.map(|seconds| self.at(seconds));
        for _ in 0..100_000 {
            let mut facts = Vec::new();
            if interruption.is_some_and(|at| at <= self.now) {
                interruption = None;
                facts.push(Fact::Interrupted);
            }
            while let Some(entry) = wanted.first_entry()
                && self.begun + Duration::from_secs(*entry.key()) <= self.now
            {
                for number in entry.remove() {
                    self.add_up_to(number);
                    self.fates.remove(&number);
                    facts.push(Fact::Wanted(NodeIndex::new(number)));
                }
            }
            let ended: Vec<usize> = self
                .running
                .iter()
                .filter(|(_, job)| job.until <= self.now)
                .map(|(&number, _)| number)
                .collect();
            for number in ended {
                facts.push(self.end(number));
            }
            self.tell(facts);
            let over = self.scheduler.is_over();
            if over && (wanted.is_empty() || !self.scheduler.may_start()) {
                return;
            }
            let times = self
                .running
                .values()
                .map(|job| job.until)
                .chain(self.scheduler.wakes_at());
            let times = times
                .chain(wanted.keys().map(|&seconds| self.at(seconds)))
                .chain(interruption);
            self.now = times
                .min()
                .expect("what is not over waits for something")
                .max(self.now);
        }
        panic!("it does not end");
    }

    fn add_up_to(&mut self, number: usize) {
        while self.scheduler.len() <= number {
            let next = self.scheduler.len();
            let upstream = self.upstream[next]
                .iter()
                .map(|&other| NodeIndex::new(other))
                .collect();
            self.scheduler.add(upstream, self.scenario.nodes[next].policy);
        }
    }

    fn tell(&mut self, mut facts: Vec<Fact>) {
        loop {
            let actions = self.scheduler.handle(facts.drain(..), self.now);
            for action in actions {
                self.carry_out(action, &mut facts);
            }
            if facts.is_empty() {
                break;
            }
        }
        self.check_that_nothing_idles();
    }

    fn carry_out(&mut self, action: Action, facts: &mut Vec<Fact>) {
        match action {
            Action::Settle(node) => facts.push(Fact::Settled(node, self.settle(node.index()))),
            Action::Start {
                node,
                attempt,
                needs,
                gpus,
            } => {
                self.start(node.index(), attempt, needs, gpus.as_deref());
                facts.push(Fact::Leased(node));
            }
            Action::Stop(node) => {
                let until = self.now + Duration::from_secs(1);
                let job = self.running.get_mut(&node.index()).expect("what is stopped runs");
                *job = Job {
                    until,
                    end: JobEnd::Stopped,
                    inputs: std::mem::take(&mut job.inputs),
                };
            }
            Action::Done(node) => {
                assert!(self.results[node.index()].is_some());
                self.fates.insert(node.index(), Fate::Done);
            }
            Action::Failed {
                node,
                attempt,
                retrying,
                ..
            } => {
                assert!(attempt <= self.scenario.nodes[node.index()].policy.retries + 1);
                assert!(!retrying || !self.scheduler.is_interrupted());
                if !retrying {
                    self.fates.insert(node.index(), Fate::Failed);
                }
            }
            Action::Interrupted(node) => {
                assert!(self.scheduler.is_interrupted());
                self.fates.insert(node.index(), Fate::Interrupted);
            }
            Action::Paused(node) => drop(self.fates.insert(node.index(), Fate::Paused)),
            Action::Skip { node, because } => {
                assert!(!self.running.contains_key(&node.index()));
                self.fates.insert(
                    node.index(),
                    Fate::Skipped {
                        because: because.index(),
                    },
                );
            }
            Action::AwaitRemake { node, upstream, .. } => {
                assert!(self.upstream[node.index()].contains(&upstream.index()));
                self.results[node.index()] = None;
            }
            Action::Reopen(node) => {
                let number = node.index();
                self.fates.remove(&number);
                if let Some(result) = self.results[number].take() {
                    self.before.entry(number).or_insert(result);
                }
                let downstream: Vec<usize> = self
                    .queued
                    .keys()
                    .copied()
                    .filter(|&next| self.upstream[next].contains(&number))
                    .collect();
                for next in downstream {
                    self.queued.remove(&next);
                }
            }
            Action::Reconsider(node) => {
                assert!(!self.running.contains_key(&node.index()));
                self.results[node.index()] = None;
                self.queued.remove(&node.index());
            }
        }
    }

    /// The results that a node takes in, if all are known.
    fn inputs(&self, number: usize) -> Option<Vec<u32>> {
        self.upstream[number]
            .iter()
            .map(|&other| self.results[other])
            .collect()
    }

    fn settle(&mut self, number: usize) -> Verdict {
        if self.unsettled[number] > 0 {
            self.unsettled[number] -= 1;
            return match self.upstream[number].first() {
                Some(&other) if self.unsettled[number] % 2 == 1 => {
                    self.lose(other);
                    Verdict::Lost(NodeIndex::new(other))
                }
                _ => Verdict::Failed,
            };
        }
        let Some(inputs) = self.inputs(number) else {
            return Verdict::Pending;
        };
        match self.kept.get(&(number, inputs)) {
            Some(&result) => {
                self.results[number] = Some(result);
                Verdict::Known {
                    changed: self.is_changed(number),
                }
            }
            None => {
                self.queued.insert(number, 0);
                Verdict::Run(self.scenario.nodes[number].needs)
            }
        }
    }

    fn is_changed(&mut self, number: usize) -> bool {
        let before = self.before.remove(&number);
        before.is_some_and(|before| self.results[number] != Some(before))
    }

    fn lose(&mut self, number: usize) {
        if let Some(lost) = self.results[number] {
            self.kept
                .retain(|(node, _), result| *node != number || *result != lost);
        }
    }

    /// What is free, as this side counts it.
    fn free(&self) -> (usize, usize, u64, usize) {
        let Scenario {
            capacity,
            jobs,
            nodes,
            ..
        } = &self.scenario;
        let mut free = (
            *jobs,
            capacity.cpus,
            capacity.memory.unwrap(),
            capacity.gpus.len(),
        );
        for number in self.running.keys() {
            let needs = nodes[*number].needs;
            let left = [
                free.0.checked_sub(1).map(|left| free.0 = left),
                free.1.checked_sub(needs.cpus).map(|left| free.1 = left),
                free.2.checked_sub(needs.memory).map(|left| free.2 = left),
                free.3
                    .checked_sub(needs.gpus.unwrap_or(0))
                    .map(|left| free.3 = left),
            ];
            assert!(left.iter().all(Option::is_some), "more is in use than there is");
        }
        free
    }

    fn start(&mut self, number: usize, attempt: u32, needs: Needs, gpus: Option<&str>) {
        let node = self.scenario.nodes[number].clone();
        assert!(self.scheduler.may_start());
        assert!(!self.running.contains_key(&number), "{number} runs already");
        assert!(
            self.queued.remove(&number).is_some(),
            "{number} does not have to run"
        );
        assert!(attempt <= node.policy.retries + 1);
        assert_eq!(needs, node.needs);
        assert_eq!(gpus.is_some(), needs.gpus.is_some());
        if let (Some(gpus), Some(count)) = (gpus, needs.gpus) {
            assert_eq!(gpus.split(',').filter(|gpu| !gpu.is_empty()).count(), count);
        }
        let inputs = self.inputs(number).expect("all that it waits for is done");
        for passed in self.queued.values_mut() {
            *passed += 1;
        }
        let end = node
            .ends
            .get(self.tries[number])
            .copied()
            .unwrap_or(ScriptedEnd::Done);
        self.tries[number] += 1;
        self.starts[number] += 1;
        let end = match (end, self.upstream[number].first()) {
            (ScriptedEnd::Failed, _) => JobEnd::Failed,
            (ScriptedEnd::Paused, _) => JobEnd::Paused,
            (ScriptedEnd::StoppedByOthers, _) => JobEnd::Stopped,
            (ScriptedEnd::InputLost, Some(&other)) => JobEnd::InputLost(NodeIndex::new(other)),
            (ScriptedEnd::DoneOtherwise, _) => JobEnd::Done {
                changed: true,
                outdated: false,
            },
            _ => JobEnd::Done {
                changed: false,
                outdated: false,
            },
        };
        let until = self.now + Duration::from_secs(node.seconds);
        self.running.insert(number, Job { until, end, inputs });
        self.free();
    }

    /// The fact that a job ended.
    fn end(&mut self, number: usize) -> Fact {
        let job = self.running.remove(&number).unwrap();
        let end = match job.end {
            JobEnd::Done {
                changed: otherwise, ..
            } => {
                self.next += u32::from(otherwise);
                let result = if otherwise {
                    self.next
                } else {
                    first_result(number)
                };
                self.kept.insert((number, job.inputs.clone()), result);
                self.results[number] = Some(result);
                let outdated = self.inputs(number).is_some_and(|inputs| inputs != job.inputs);
                JobEnd::Done {
                    changed: !outdated && self.is_changed(number),
                    outdated,
                }
            }
            JobEnd::InputLost(upstream) => {
                self.lose(upstream.index());
                job.end
            }
            end => end,
        };
        Fact::Ended(NodeIndex::new(number), end)
    }

    /// Whatever has to run and fits runs, unless one that does not fit was passed over for too long.
    fn check_that_nothing_idles(&self) {
        let free = self.free();
        let fits = |number: &usize| {
            let needs = self.scenario.nodes[*number].needs;
            free.0 >= 1 && free.1 >= needs.cpus && free.2 >= needs.memory && free.3 >= needs.gpus.unwrap_or(0)
        };
        let idle = self.queued.keys().find(|number| fits(number));
        let impatient = self.queued.values().any(|passed| *passed >= MOST_PASSES);
        // Where all cores are taken, nothing more starts.
        if let Some(idle) = idle
            && self.scheduler.may_start()
            && !impatient
        {
            panic!("{idle} could run");
        }
    }

    /// Whether `node` needs `other`, directly or not.
    pub fn needs(&self, node: usize, other: usize) -> bool {
        self.upstream[node]
            .iter()
            .any(|&upstream| upstream == other || self.needs(upstream, other))
    }
}

/// The result that a node has the first time.
fn first_result(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}
