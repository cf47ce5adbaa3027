//! What follows when a node ends.

use std::time::Instant;

use super::nodes::NodePhase;
use super::protocol::{Cause, JobEnd, SchedulerAction};
use super::{Scheduler, pause_after};
use crate::plan::NodeIndex;

impl Scheduler {
    /// Takes note of how a running node ended.
    pub(super) fn ended(&mut self, node: NodeIndex, end: JobEnd, timed_out: bool, now: Instant) {
        match end {
            JobEnd::Done { outdated: true, .. } => self.reopen(node),
            JobEnd::Done { changed, .. } => self.finish(node, changed),
            JobEnd::Failed => self.fail(node, Cause::Reported, now),
            JobEnd::Stopped if timed_out => self.fail(node, Cause::TimedOut, now),
            JobEnd::Stopped if self.interrupted => {
                self.nodes.set(node, NodePhase::Ended);
                self.actions.push(SchedulerAction::Interrupted(node));
            }
            JobEnd::Stopped => self.fail(node, Cause::StoppedByOthers, now),
            JobEnd::Paused => {
                self.actions.push(SchedulerAction::Paused(node));
                if self.nodes.is_waited_for(node) {
                    self.nodes.set(node, NodePhase::Ready);
                    self.ready.push_back(node);
                } else {
                    self.nodes.set(node, NodePhase::Ended);
                }
            }
            JobEnd::InputLost(upstream) => self.lost(node, upstream, now),
        }
    }

    /// Takes note that a node is up to date: what waited for it alone is ready.
    pub(super) fn finish(&mut self, node: NodeIndex, changed: bool) {
        self.nodes.finish(node, &mut self.ready);
        if changed {
            self.changed(node);
        }
        self.actions.push(SchedulerAction::Done(node));
    }

    /// Takes note that a node failed: it is tried again, or all that waits for it ends with it.
    pub(super) fn fail(&mut self, node: NodeIndex, cause: Cause, now: Instant) {
        let attempt = self.nodes.tries(node) + 1;
        let retrying = attempt <= self.nodes.policy(node).retries && self.may_start();
        self.actions.push(SchedulerAction::Failed {
            node,
            attempt,
            retrying,
            cause,
        });
        if retrying {
            self.nodes.set_tries(node, attempt);
            self.nodes.set(node, NodePhase::Resting);
            self.resting.push((now + pause_after(attempt), node));
            return;
        }
        self.failed.push(node);
        self.end_with(node, node);
    }

    /// Ends a node, and all that waits for it, since `because` has no result.
    pub(super) fn end_with(&mut self, node: NodeIndex, because: NodeIndex) {
        for next in self.nodes.end(node) {
            self.actions.push(SchedulerAction::Skip { node: next, because });
        }
    }
}
