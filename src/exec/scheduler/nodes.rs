//! The graph of nodes, and where each stands. It may grow meanwhile.

use std::collections::VecDeque;

use super::protocol::TryPolicy;
use crate::plan::NodeIndex;

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodePhase {
    /// Nobody asked for it.
    Idle,
    /// It waits for so many others.
    Waiting(usize),
    /// Everything that it needs is there: it is to be settled.
    Ready,
    /// It is being settled.
    Settling,
    /// It has to run, and waits for resources.
    Queued,
    /// It runs.
    Running,
    /// It failed, and is tried again after a pause.
    Resting,
    /// Its result is known.
    Done,
    /// It failed or stopped, or something that it waited for did; it can be asked for again.
    Ended,
}

impl NodePhase {
    /// Whether it was asked for and has not ended.
    fn is_open(self) -> bool {
        !matches!(self, Self::Idle | Self::Done | Self::Ended)
    }
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

#[derive(Debug)]
struct ScheduledNode {
    upstream: Vec<NodeIndex>,
    downstream: Vec<NodeIndex>,
    policy: TryPolicy,
    phase: NodePhase,
    /// Tries that failed.
    tries: u32,
    /// How often something that it takes in was lost.
    losses: u32,
}

/// The nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes(Vec<ScheduledNode>);

impl Nodes {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a node that waits for `upstream`, which were added before.
    pub fn add(&mut self, mut upstream: Vec<NodeIndex>, policy: TryPolicy) {
        upstream.sort_unstable();
        let node = NodeIndex::new(self.0.len());
        for other in &upstream {
            self.0[other.index()].downstream.push(node);
        }
        self.0.push(ScheduledNode {
            upstream,
            downstream: Vec::new(),
            policy,
            phase: NodePhase::Idle,
            tries: 0,
            losses: 0,
        });
    }

    pub fn phase(&self, node: NodeIndex) -> NodePhase {
        self.0[node.index()].phase
    }

    pub fn set(&mut self, node: NodeIndex, phase: NodePhase) {
        self.0[node.index()].phase = phase;
    }

    pub fn policy(&self, node: NodeIndex) -> TryPolicy {
        self.0[node.index()].policy
    }

    /// Tries of a node that failed.
    pub fn tries(&self, node: NodeIndex) -> u32 {
        self.0[node.index()].tries
    }

    pub fn set_tries(&mut self, node: NodeIndex, tries: u32) {
        self.0[node.index()].tries = tries;
    }

    /// Takes note that something that a node takes in was lost; gives how often that was so.
    pub fn note_loss(&mut self, node: NodeIndex) -> u32 {
        let node = &mut self.0[node.index()];
        node.losses += 1;
        node.losses
    }

    /// The nodes that wait for `node`.
    pub fn downstream(&self, node: NodeIndex) -> Vec<NodeIndex> {
        self.0[node.index()].downstream.clone()
    }

    /// Whether another node that was asked for waits for this one.
    pub fn is_waited_for(&self, node: NodeIndex) -> bool {
        let mut downstream = self.0[node.index()].downstream.iter();
        downstream.any(|&next| matches!(self.phase(next), NodePhase::Waiting(_)))
    }

    /// Asks for a node and all that it needs. What can be settled at once is added to `ready`, each node
    /// after those that it waits for.
    pub fn ask(&mut self, node: NodeIndex, ready: &mut VecDeque<NodeIndex>) -> Asked {
        if self.phase(node) == NodePhase::Done {
            return Asked::Done;
        }
        let mut stack = vec![node];
        while let Some(&top) = stack.last() {
            if !matches!(self.phase(top), NodePhase::Idle | NodePhase::Ended) {
                stack.pop();
                continue;
            }
            let before = stack.len();
            let mut waits = 0;
            for &other in self.0[top.index()].upstream.iter().rev() {
                match self.phase(other) {
                    NodePhase::Idle | NodePhase::Ended => stack.push(other),
                    NodePhase::Done => {}
                    _ => waits += 1,
                }
            }
            if stack.len() > before {
                continue;
            }
            stack.pop();
            self.set_tries(top, 0);
            if waits == 0 {
                ready.push_back(top);
                self.set(top, NodePhase::Ready);
            } else {
                self.set(top, NodePhase::Waiting(waits));
            }
        }
        Asked::Later
    }

    /// Takes note that a node is done; adds what waited for it alone to `ready`.
    pub fn finish(&mut self, node: NodeIndex, ready: &mut VecDeque<NodeIndex>) {
        self.set(node, NodePhase::Done);
        for place in 0..self.0[node.index()].downstream.len() {
            let next = self.0[node.index()].downstream[place];
            match self.phase(next) {
                NodePhase::Waiting(1) => {
                    self.set(next, NodePhase::Ready);
                    ready.push_back(next);
                }
                NodePhase::Waiting(waits) => self.set(next, NodePhase::Waiting(waits - 1)),
                _ => {}
            }
        }
    }

    /// Takes note that a node ended without a result; gives what waited for it, which ends with it.
    pub fn end(&mut self, node: NodeIndex) -> Vec<NodeIndex> {
        self.set(node, NodePhase::Ended);
        let mut ended = Vec::new();
        let mut stack = self.downstream(node);
        while let Some(next) = stack.pop() {
            if matches!(self.phase(next), NodePhase::Waiting(_)) {
                self.set(next, NodePhase::Ended);
                ended.push(next);
                stack.extend(&self.0[next.index()].downstream);
            }
        }
        ended.sort_unstable();
        ended
    }

    /// Takes note that a node has to be brought up to date again. Where it was done, what waits for others waits for
    /// it too.
    pub fn reopen(&mut self, node: NodeIndex) {
        let was_done = self.phase(node) == NodePhase::Done;
        self.set(node, NodePhase::Ready);
        self.set_tries(node, 0);
        for next in self.downstream(node) {
            if let NodePhase::Waiting(waits) = self.phase(next)
                && was_done
            {
                self.set(next, NodePhase::Waiting(waits + 1));
            }
        }
    }

    /// Has a node that does not wait do so for those that it needs and that are open again.
    pub fn hold_back(&mut self, node: NodeIndex) -> Held {
        let mut waits = 0;
        for &other in &self.0[node.index()].upstream {
            match self.phase(other) {
                NodePhase::Ended => return Held::Never(other),
                phase => waits += usize::from(phase.is_open()),
            }
        }
        if waits == 0 {
            self.set(node, NodePhase::Ready);
            return Held::Free;
        }
        self.set(node, NodePhase::Waiting(waits));
        Held::Waits
    }

    /// The nodes that were asked for and have not ended.
    pub fn open(&self) -> impl Iterator<Item = NodeIndex> {
        let open = self.0.iter().enumerate().filter(|(_, node)| node.phase.is_open());
        open.map(|(index, _)| NodeIndex::new(index))
    }

    /// The seconds from each node's start to the end of all that waits for it, where `seconds` says how long each
    /// node runs.
    pub fn remaining(&self, seconds: &[f64]) -> Vec<f64> {
        let mut remaining = vec![0.0; self.0.len()];
        // What waits for a node was added after it.
        for (index, node) in self.0.iter().enumerate().rev() {
            let behind = node.downstream.iter().map(|next| remaining[next.index()]);
            remaining[index] = seconds.get(index).unwrap_or(&0.0) + behind.fold(0.0, f64::max);
        }
        remaining
    }
}
