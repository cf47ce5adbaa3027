//! Known results that turn out to be lost when they are wanted.
//!
//! A plan takes a result for known when its files are there, or promised by a remote. When a stage that
//! takes it in starts, they may be gone: the remote went away, somebody emptied a folder, a disk flipped a bit.
//! Then what made it makes it again, and the stage waits for that. Where what comes out is not what was lost, all
//! that was decided on the ground of that is decided again.

use std::time::Instant;

use super::Scheduler;
use super::nodes::{Held, NodePhase};
use super::protocol::{Cause, SchedulerAction};
use crate::plan::NodeIndex;

/// How often a stage may find that something it takes in is lost.
pub(super) const MOST_LOSSES: u32 = 3;

impl Scheduler {
    /// Takes note that a node cannot go on since the result of `upstream`, which it takes in, is lost.
    pub(super) fn lost(&mut self, node: NodeIndex, upstream: NodeIndex, now: Instant) {
        self.has_losses = true;
        if self.nodes.note_loss(node) > MOST_LOSSES || self.failed.contains(&upstream) {
            self.fail(node, Cause::Reported, now);
            return;
        }
        self.actions.push(SchedulerAction::AwaitRemake {
            node,
            upstream,
            attempt: self.nodes.tries(node) + 1,
        });
        if self.nodes.phase(upstream) == NodePhase::Done {
            self.reopen(upstream);
        }
        self.hold_back(node);
    }

    /// Has a node that is done, or just ran, brought up to date again.
    pub(super) fn reopen(&mut self, node: NodeIndex) {
        self.actions.push(SchedulerAction::Reopen(node));
        // How long the way to the end is has changed.
        self.remaining = None;
        self.nodes.reopen(node);
        self.hold_back(node);
        for next in self.nodes.downstream(node) {
            if self.nodes.phase(next) == NodePhase::Queued {
                self.queue.remove(next);
                self.hold_back(next);
            }
        }
    }

    /// Takes note that a node that was made again is not what it was.
    pub(super) fn changed(&mut self, node: NodeIndex) {
        for next in self.nodes.downstream(node) {
            match self.nodes.phase(next) {
                NodePhase::Done => self.reopen(next),
                NodePhase::Running => {}
                NodePhase::Queued => {
                    self.actions.push(SchedulerAction::Reconsider(next));
                    self.queue.remove(next);
                    self.hold_back(next);
                }
                _ => self.actions.push(SchedulerAction::Reconsider(next)),
            }
        }
    }

    /// Readies a node, once all that it needs is there again; where that can never be, it ends.
    pub(super) fn hold_back(&mut self, node: NodeIndex) {
        match self.nodes.hold_back(node) {
            Held::Waits => {}
            Held::Free => self.ready.push_back(node),
            Held::Never(upstream) => {
                self.actions.push(SchedulerAction::Skip {
                    node,
                    because: upstream,
                });
                self.end_with(node, upstream);
            }
        }
    }
}
