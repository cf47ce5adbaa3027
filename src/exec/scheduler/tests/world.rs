//! A made-up world that carries out what the scheduler wants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::*;
use super::scenario::{Fate, Scenario};

/// A running node.
pub(super) struct Job {
    pub until: Instant,
    pub end: JobEnd,
    /// The results that it took in.
    pub inputs: Vec<u32>,
}

pub(super) struct World {
    pub scenario: Scenario,
    pub upstream: Vec<Vec<usize>>,
    pub scheduler: Scheduler,
    pub begun: Instant,
    pub now: Instant,
    pub running: BTreeMap<usize, Job>,
    /// What has to run and did not start yet, each with how many others started since.
    pub queued: BTreeMap<usize, u32>,
    /// The result of each node, where that is known.
    pub results: Vec<Option<u32>>,
    /// The results that are kept, by node and what it took in.
    pub kept: BTreeMap<(usize, Vec<u32>), u32>,
    /// The results that were lost.
    pub before: BTreeMap<usize, u32>,
    /// A number for the next result.
    pub next: u32,
    pub tries: Vec<usize>,
    pub unsettled: Vec<u32>,
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

    fn carry_out(&mut self, action: SchedulerAction, facts: &mut Vec<Fact>) {
        match action {
            SchedulerAction::Settle(node) => facts.push(Fact::Settled(node, self.settle(node.index()))),
            SchedulerAction::Start {
                node,
                attempt,
                needs,
                gpus,
            } => {
                self.start(node.index(), attempt, needs, gpus.as_deref());
                facts.push(Fact::Leased(node));
            }
            SchedulerAction::Stop(node) => {
                let until = self.now + Duration::from_secs(1);
                // It may have ended at the same moment.
                if let Some(job) = self.running.get_mut(&node.index()) {
                    job.until = until;
                    job.end = JobEnd::Stopped;
                }
            }
            SchedulerAction::Done(node) => {
                assert!(self.results[node.index()].is_some());
                self.fates.insert(node.index(), Fate::Done);
            }
            SchedulerAction::Failed {
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
            SchedulerAction::Interrupted(node) => {
                assert!(self.scheduler.is_interrupted());
                self.fates.insert(node.index(), Fate::Interrupted);
            }
            SchedulerAction::Paused(node) => {
                self.fates.insert(node.index(), Fate::Paused);
            }
            SchedulerAction::Skip { node, because } => {
                assert!(!self.running.contains_key(&node.index()));
                self.fates.insert(
                    node.index(),
                    Fate::Skipped {
                        because: because.index(),
                    },
                );
            }
            SchedulerAction::AwaitRemake { node, upstream, .. } => {
                assert!(self.upstream[node.index()].contains(&upstream.index()));
                self.results[node.index()] = None;
            }
            SchedulerAction::Reopen(node) => {
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
            SchedulerAction::Reconsider(node) => {
                assert!(!self.running.contains_key(&node.index()));
                self.results[node.index()] = None;
                self.queued.remove(&node.index());
            }
        }
    }

    /// The results that a node takes in, if all are known.
    pub(super) fn inputs(&self, number: usize) -> Option<Vec<u32>> {
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

    /// Whether `node` needs `other`, directly or not.
    pub fn needs(&self, node: usize, other: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut stack = vec![node];
        while let Some(next) = stack.pop() {
            if seen.insert(next) {
                stack.extend(&self.upstream[next]);
            }
        }
        node != other && seen.contains(&other)
    }
}

/// The result that a node has the first time.
pub(super) fn first_result(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}
