//! Known results that turn out to be lost when they are wanted.
//!
//! A plan takes a result for known when its files are there, or promised by a remote. When a stage that
//! takes it in starts, they may be gone: the remote went away, somebody emptied a folder, a disk flipped a bit.
//! Then what made it makes it again, and the stage waits for that.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Dispatcher;
use crate::event::Event;
use crate::exec::feeder::End;
use crate::exec::nodes::Held;
use crate::fingerprint::Digest;
use crate::plan::{Decision, NodeIndex, NodeSource, PlanError};
use crate::stages::StageError;
use crate::store::StoreError;

/// How often a stage may find that something it takes in is lost.
const MOST_LOSSES: u32 = 3;

/// What is remembered about lost results.
#[derive(Default)]
pub(super) struct Losses {
    /// How often each stage met one among what it takes in.
    met: HashMap<NodeIndex, u32>,
    /// What was lost, by the node that makes it again.
    before: HashMap<NodeIndex, Digest>,
    /// The nodes that ran.
    ran: HashSet<NodeIndex>,
}

impl Losses {
    /// Takes note that a node ran.
    pub fn note_run(&mut self, index: NodeIndex) {
        self.ran.insert(index);
    }
}

impl Dispatcher<'_> {
    /// Takes note that a stage could not run since the input `role` is lost.
    pub(super) fn input_lost(&mut self, index: NodeIndex, tries: u32, role: &str, error: &StoreError) {
        let mut inputs = self.plan.node(index).inputs.iter();
        let upstream = inputs.find_map(|input| match &input.source {
            NodeSource::Stage { node, .. } if input.role == role => Some(*node),
            _ => None,
        });
        match upstream {
            Some(upstream) => self.make_again(index, tries, upstream, error),
            None => self.fail(index, tries + 1, &StageError::failed(error.to_string()), None),
        }
    }

    /// Takes note that a stage cannot be decided about.
    pub(super) fn cannot_settle(&mut self, index: NodeIndex, tries: u32, error: &PlanError) {
        match error {
            PlanError::Lost { node, source, .. } => self.make_again(index, tries, *node, source),
            error => self.fail(index, tries + 1, &StageError::failed(error.to_string()), None),
        }
    }

    /// Has `upstream` brought up to date again, and `index`, which wants its files, wait for that.
    fn make_again(&mut self, index: NodeIndex, tries: u32, upstream: NodeIndex, error: &StoreError) {
        let met = self.losses.met.entry(index).or_insert(0);
        *met += 1;
        let hopeless = *met > MOST_LOSSES || self.failed.contains(&upstream);
        let forsaken = match &self.plan.node(upstream).decision {
            Decision::Reuse(action) => self.store.forsake(action),
            _ => Ok(()),
        };
        let given_up = match &forsaken {
            Err(error) => Some(error),
            Ok(()) => hopeless.then_some(error),
        };
        if let Some(error) = given_up {
            self.fail(index, tries + 1, &StageError::failed(error.to_string()), None);
            return;
        }
        let made_by = self.plan.node(upstream).name();
        let what = match error {
            StoreError::Evicted { what } => format!("{what} is missing from the store"),
            StoreError::Corrupt { what } => what.clone(),
            other => other.to_string(),
        };
        self.tell(&Event::StageFailed {
            stage: self.plan.node(index).name().clone(),
            error: format!("{what}; `{made_by}`, which made it, comes first"),
            log: None,
            tail: Vec::new(),
            attempt: tries + 1,
            retrying: true,
        });
        if self.nodes.is_done(upstream) {
            self.reopen(upstream);
        }
        self.plan.reconsider(index);
        self.hold_back(index, tries);
    }

    /// Has a node that was done brought up to date again.
    pub(super) fn reopen(&mut self, index: NodeIndex) {
        let node = self.plan.node(index);
        // Its first name ran; those of equal stages, or all if it did not run, were told as reused.
        self.counts.reused -= node.names.len() - usize::from(self.losses.ran.contains(&index));
        if let Some(action) = node.decision.action() {
            self.losses.before.insert(index, action.artifact);
        }
        self.plan.reconsider(index);
        let downstream: Vec<NodeIndex> = self.plan.downstream(index).collect();
        for next in downstream {
            let has_key = matches!(self.plan.node(next).decision, Decision::Run(..));
            if has_key && !self.running.contains_key(&next) {
                self.plan.reconsider(next);
            }
        }
        self.nodes.reopen(self.plan, index);
        // How long the way to the end is has changed.
        self.remaining = None;
        self.hold_back(index, 0);
    }

    /// Readies a node, once all that it needs is there again; where that can never be, it ends.
    pub(super) fn hold_back(&mut self, index: NodeIndex, tries: u32) {
        match self.nodes.hold_back(self.plan, index) {
            Held::Waits => {}
            Held::Free => self.ready.push_back((index, tries)),
            Held::Never(upstream) => {
                let because = self.plan.node(upstream).name().to_string();
                let end = End::Failed {
                    node: upstream,
                    error: format!("`{because}`, whose result it takes in, has none any more"),
                };
                self.skip(index, &because);
                self.note(index, end.clone());
                self.end_with(index, &because, &end);
            }
        }
    }

    /// Takes note that a node is done. Where it was made again and is not what it was, what was decided on the
    /// ground of that is decided again.
    pub(super) fn compare_with_lost(&mut self, index: NodeIndex) {
        let Some(before) = self.losses.before.remove(&index) else {
            return;
        };
        let now = self
            .plan
            .node(index)
            .decision
            .action()
            .map(|action| action.artifact);
        if now == Some(before) {
            return;
        }
        let downstream: Vec<NodeIndex> = self.plan.downstream(index).collect();
        for next in downstream {
            if self.nodes.is_done(next) {
                self.reopen(next);
            } else if !self.running.contains_key(&next) {
                self.plan.reconsider(next);
            }
        }
    }

    /// Whether what a stage took in when it started is not what it would take in now.
    pub(super) fn is_outdated(&self, index: NodeIndex, inputs: &BTreeMap<String, Digest>) -> bool {
        if self.losses.met.is_empty() {
            return false;
        }
        match self.plan.contents(self.plan.node(index)) {
            Ok((contents, waits_for)) => waits_for.is_empty() && contents != *inputs,
            Err(_) => false,
        }
    }
}
