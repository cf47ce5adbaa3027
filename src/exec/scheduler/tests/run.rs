//! A run whose clock is turned by hand, and whose stages end as they are told.

use std::time::{Duration, Instant};

use super::super::*;
use crate::exec::capacity::Needs;

/// A run on a machine of four cores whose clock is turned by hand.
pub(super) struct Run {
    pub scheduler: Scheduler,
    pub now: Instant,
}

impl Run {
    /// A run of nodes that wait for those whose numbers are given.
    pub fn of(upstream: &[&[usize]], policy: TryPolicy, keep_going: bool) -> Self {
        let capacity = Capacity {
            cpus: 4,
            memory: None,
            gpus: Vec::new(),
        };
        let mut scheduler = Scheduler::new(&capacity, 4, keep_going);
        for upstream in upstream {
            scheduler.add(upstream.iter().map(|&number| node(number)).collect(), policy);
        }
        Self {
            scheduler,
            now: Instant::now(),
        }
    }

    pub fn tell(&mut self, facts: &[Fact]) -> Vec<SchedulerAction> {
        self.scheduler.handle(facts.iter().copied(), self.now)
    }

    /// Wants all nodes, and answers that each has to run on one core; gives what else is to be done.
    pub fn want_all(&mut self) -> Vec<SchedulerAction> {
        let wanted: Vec<Fact> = (0..self.scheduler.len())
            .map(|number| Fact::Wanted(node(number)))
            .collect();
        self.tell_and_settle(&wanted)
    }

    /// Tells `facts`; every node that is to be settled then has to run on one core.
    pub fn tell_and_settle(&mut self, facts: &[Fact]) -> Vec<SchedulerAction> {
        self.tell_and_answer(facts, |_| Verdict::Run(cores(1)))
    }

    pub fn tell_and_answer(
        &mut self,
        facts: &[Fact],
        answer: impl Fn(usize) -> Verdict,
    ) -> Vec<SchedulerAction> {
        let mut done = Vec::new();
        let mut facts = facts.to_vec();
        loop {
            let actions = self.tell(&facts);
            let asked = actions.iter().find_map(|action| match action {
                SchedulerAction::Settle(node) => Some(*node),
                _ => None,
            });
            done.extend(
                actions
                    .into_iter()
                    .filter(|action| !matches!(action, SchedulerAction::Settle(_))),
            );
            match asked {
                Some(node) => facts = vec![Fact::Settled(node, answer(node.index()))],
                None => return done,
            }
        }
    }

    pub fn wait(&mut self, seconds: f64) -> Vec<SchedulerAction> {
        self.now += Duration::from_secs_f64(seconds);
        self.tell_and_settle(&[])
    }
}

pub(super) fn node(number: usize) -> NodeIndex {
    NodeIndex::new(number)
}

pub(super) fn cores(cpus: usize) -> Needs {
    Needs {
        cpus,
        memory: 0,
        gpus: None,
    }
}

pub(super) fn ended(number: usize, end: JobEnd) -> Fact {
    Fact::Ended(node(number), end)
}

pub(super) const DONE: JobEnd = JobEnd::Done {
    changed: false,
    outdated: false,
};

pub(super) fn retries(retries: u32) -> TryPolicy {
    TryPolicy {
        retries,
        timeout: None,
    }
}

/// The nodes that start, in order, each with its attempt.
pub(super) fn starts(actions: &[SchedulerAction]) -> Vec<(usize, u32)> {
    let started = actions.iter().filter_map(|action| match action {
        SchedulerAction::Start { node, attempt, .. } => Some((node.index(), *attempt)),
        _ => None,
    });
    started.collect()
}
