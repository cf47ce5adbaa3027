//! Which nodes of a plan wait, run and are done. The plan may grow meanwhile.

use std::collections::HashMap;

use crate::plan::{NodeIndex, Plan};
use crate::spec::EpochLimits;

/// Where a node stands.
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// Nobody asked for it.
    Idle,
    /// It waits for so many others.
    Waiting(usize),
    /// Everything that it needs is there: it is ready, waits for resources, or runs.
    Active,
    /// Its result is known.
    Done,
    /// It failed or stopped, or something that it waited for did; it can be asked for again.
    Ended,
}

/// What became of asking for a node.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// It will end later.
    Later,
    /// It was done before.
    Done,
}

/// What became of holding a node back.
#[derive(Debug, PartialEq)]
pub(super) enum Held {
    /// It waits.
    Waits,
    /// There is nothing to wait for.
    Free,
    /// This one, which it needs, ended without a result.
    Never(NodeIndex),
}

/// The nodes' phases.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    phases: Vec<Phase>,
    limits: HashMap<NodeIndex, EpochLimits>,
}

impl Nodes {
    fn phase(&mut self, index: NodeIndex) -> &mut Phase {
        if self.phases.len() <= index.index() {
            self.phases.resize(index.index() + 1, Phase::Idle);
        }
        &mut self.phases[index.index()]
    }

    /// Asks for a node and all that it needs. What can start at once is added to `ready`, each node
    /// after those that it waits for.
    pub fn ask(&mut self, plan: &Plan, index: NodeIndex, ready: &mut Vec<NodeIndex>) -> Asked {
        match self.phase(index) {
            Phase::Done => return Asked::Done,
            Phase::Waiting(_) | Phase::Active => return Asked::Later,
            Phase::Idle | Phase::Ended => {}
        }
        let mut upstream: Vec<NodeIndex> = plan.upstream(index).collect();
        upstream.sort_unstable();
        let mut waits = 0;
        for other in upstream {
            waits += usize::from(self.ask(plan, other, ready) == Asked::Later);
        }
        *self.phase(index) = if waits == 0 {
            ready.push(index);
            Phase::Active
        } else {
            Phase::Waiting(waits)
        };
        Asked::Later
    }

    /// Sets how far a node goes for now.
    pub fn limit(&mut self, index: NodeIndex, limits: Option<EpochLimits>) {
        match limits {
            Some(limits) => drop(self.limits.insert(index, limits)),
            None => drop(self.limits.remove(&index)),
        }
    }

    /// How far a node goes for now.
    pub fn limits(&self, index: NodeIndex) -> Option<&EpochLimits> {
        self.limits.get(&index)
    }

    /// Takes note that a node is done; gives what waited for it alone.
    pub fn finish(&mut self, plan: &Plan, index: NodeIndex) -> Vec<NodeIndex> {
        *self.phase(index) = Phase::Done;
        let mut freed = Vec::new();
        for next in plan.downstream(index) {
            if let Phase::Waiting(waits) = self.phase(next) {
                *waits -= 1;
                if *waits == 0 {
                    *self.phase(next) = Phase::Active;
                    freed.push(next);
                }
            }
        }
        freed.sort_unstable();
        freed
    }

    /// Takes note that a node ended without a result; gives what waited for it, which ends with it.
    pub fn end(&mut self, plan: &Plan, index: NodeIndex) -> Vec<NodeIndex> {
        *self.phase(index) = Phase::Ended;
        let mut ended = Vec::new();
        let mut stack: Vec<NodeIndex> = plan.downstream(index).collect();
        while let Some(next) = stack.pop() {
            if matches!(self.phase(next), Phase::Waiting(_)) {
                *self.phase(next) = Phase::Ended;
                ended.push(next);
                stack.extend(plan.downstream(next));
            }
        }
        ended.sort_unstable();
        ended
    }

    /// Takes note that a node that was done has to be brought up to date again: what waits for others waits
    /// for it too.
    pub fn reopen(&mut self, plan: &Plan, index: NodeIndex) {
        *self.phase(index) = Phase::Active;
        for next in plan.downstream(index) {
            if let Phase::Waiting(waits) = self.phase(next) {
                *waits += 1;
            }
        }
    }

    /// Has an active node wait for those that it needs and that are open again.
    pub fn hold_back(&mut self, plan: &Plan, index: NodeIndex) -> Held {
        let mut waits = 0;
        for other in plan.upstream(index) {
            match self.phase(other) {
                Phase::Waiting(_) | Phase::Active => waits += 1,
                Phase::Ended => return Held::Never(other),
                Phase::Idle | Phase::Done => {}
            }
        }
        if waits == 0 {
            return Held::Free;
        }
        *self.phase(index) = Phase::Waiting(waits);
        Held::Waits
    }

    /// Whether a node is done.
    pub fn is_done(&mut self, index: NodeIndex) -> bool {
        *self.phase(index) == Phase::Done
    }

    /// The nodes that were asked for and have not ended.
    pub fn open(&self) -> Vec<NodeIndex> {
        let open = self.phases.iter().enumerate();
        open.filter(|(_, phase)| matches!(phase, Phase::Waiting(_) | Phase::Active))
            .map(|(index, _)| NodeIndex::new(index))
            .collect()
    }
}
