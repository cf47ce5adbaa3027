//! What running stages report, as facts for the scheduler; and what follows from that, as events.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Dispatcher, StageReport};
use crate::event::Event;
use crate::exec::feeder::End;
use crate::exec::scheduler::{Cause, Fact, JobEnd};
use crate::exec::stage_run::{Done, Failure};
use crate::fingerprint::Digest;
use crate::plan::{Decision, NodeIndex, NodeSource, StageKey};
use crate::stages::{StageError, kept_log, log_tail};
use crate::store::{Action, Lookup, StoreError};

impl Dispatcher<'_> {
    /// Takes note of what a running stage reports; gives the fact that the scheduler is to be told.
    pub(super) fn note_report(&mut self, index: NodeIndex, report: StageReport) -> Option<Fact> {
        let stage = || self.plan.node(index).name().clone();
        match report {
            StageReport::Activity(activity) => {
                let stage = stage();
                self.tell(&Event::StageActivity { stage, activity });
                None
            }
            StageReport::Waiting => {
                let stage = stage();
                self.tell(&Event::StageWaiting { stage });
                None
            }
            StageReport::Leased => Some(Fact::Leased(index)),
            StageReport::Ended(result) => {
                let running = self.running.remove(&index);
                let end = match *result {
                    Ok(done) => self.succeed(index, running.map(|running| running.key), done),
                    Err(failure) => self.end_of(index, failure),
                };
                Some(Fact::Ended(index, end))
            }
        }
    }

    fn succeed(&mut self, index: NodeIndex, key: Option<StageKey>, done: Done) -> JobEnd {
        let Done {
            action,
            reused,
            seconds,
            peak_memory,
            printed,
        } = done;
        if reused {
            self.plan.finish(index, action);
            self.tell_reused(index, 0);
            return JobEnd::Done {
                changed: self.is_changed(index),
                outdated: false,
            };
        }
        let unchanged = key
            .as_ref()
            .is_some_and(|key| self.equals_earlier(index, key, &action));
        self.counts.ran += 1;
        self.ran.insert(index);
        self.tell_printed(index, printed);
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
        let outdated = key.is_some_and(|key| self.is_outdated(index, &key.inputs));
        JobEnd::Done {
            changed: !outdated && self.is_changed(index),
            outdated,
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

    /// Whether what a node has now is not what it had before that was lost.
    pub(super) fn is_changed(&mut self, index: NodeIndex) -> bool {
        let Some(before) = self.before.remove(&index) else {
            return false;
        };
        let action = self.plan.node(index).decision.action();
        action.map(|action| action.artifact) != Some(before)
    }

    /// Whether what a stage took in when it started is not what it would take in now.
    fn is_outdated(&self, index: NodeIndex, inputs: &BTreeMap<String, Digest>) -> bool {
        if !self.scheduler.met_losses() {
            return false;
        }
        match self.plan.contents(self.plan.node(index)) {
            Ok((contents, waits_for)) => waits_for.is_empty() && contents != *inputs,
            Err(_) => false,
        }
    }

    /// How a stage ended that has no result.
    fn end_of(&mut self, index: NodeIndex, failure: Failure) -> JobEnd {
        let end = match &failure {
            Failure::Stage { error, .. } => match error {
                StageError::Interrupted => JobEnd::Stopped,
                StageError::Paused { .. } => JobEnd::Paused,
                StageError::Failed { .. } => JobEnd::Failed,
            },
            Failure::InputLost { role, .. } => {
                let mut inputs = self.plan.node(index).inputs.iter();
                let upstream = inputs.find_map(|input| match &input.source {
                    NodeSource::Stage { node, .. } if input.role == *role => Some(*node),
                    _ => None,
                });
                return match (upstream, failure) {
                    (Some(upstream), Failure::InputLost { error, .. }) => {
                        let lost = self.note_loss(index, upstream, error);
                        lost.map_or(JobEnd::Failed, JobEnd::InputLost)
                    }
                    (_, failure) => {
                        self.troubles.insert(index, failure);
                        JobEnd::Failed
                    }
                };
            }
        };
        self.troubles.insert(index, failure);
        end
    }

    /// Takes note that the result of `upstream`, which a node takes in, is lost. Gives that node again, unless
    /// the store cannot forget the result.
    pub(super) fn note_loss(
        &mut self,
        index: NodeIndex,
        upstream: NodeIndex,
        error: StoreError,
    ) -> Option<NodeIndex> {
        let forsaken = match &self.plan.node(upstream).decision {
            Decision::Reuse(action) => self.store.forsake(action),
            _ => Ok(()),
        };
        let (lost, error) = match forsaken {
            Ok(()) => (Some(upstream), error),
            Err(error) => (None, error),
        };
        let role = self.plan.node(upstream).name().to_string();
        self.troubles.insert(index, Failure::InputLost { role, error });
        lost
    }

    /// Tells that a node's stages, from the number `first` of its names on, have its result.
    pub(super) fn tell_reused(&mut self, index: NodeIndex, first: usize) {
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

    /// Tells what a stage printed that is about to end, if it did.
    fn tell_printed(&mut self, index: NodeIndex, text: Option<String>) {
        let stage = self.plan.node(index).name().clone();
        if let Some(text) = text {
            self.tell(&Event::StagePrinted { stage, text });
        }
    }

    pub(super) fn tell_failed(&mut self, index: NodeIndex, attempt: u32, retrying: bool, cause: Cause) {
        let node = self.plan.node(index);
        let trouble = self.troubles.remove(&index);
        let log = match &trouble {
            Some(Failure::Stage { log, .. }) => log.clone(),
            _ => None,
        };
        let error = match (cause, trouble) {
            (Cause::TimedOut, _) => {
                let limit = node.stage.timeout.map_or(0.0, |timeout| timeout.0.as_secs_f64());
                format!(
                    "stopped after its timeout of {limit} s; raise `timeout`, or find out what takes so long"
                )
            }
            (Cause::StoppedByOthers, _) => {
                let again = match node.stage.kind.keeps_unfinished() {
                    true => "run again to go on from what it had done",
                    false => "run again, and it begins anew",
                };
                format!("stopped by a signal from outside; {again}")
            }
            (Cause::Reported, Some(Failure::Stage { error, .. })) => self.told(index, &error),
            (Cause::Reported, Some(Failure::InputLost { error, .. })) => error.to_string(),
            (Cause::Reported, None) => "it failed".to_owned(),
        };
        let tail = log.as_deref().map(log_tail).unwrap_or_default();
        self.tell_printed(index, log.as_deref().and_then(kept_log));
        self.tell(&Event::StageFailed {
            stage: self.plan.node(index).name().clone(),
            error: error.clone(),
            log: log.filter(|_| !tail.is_empty()),
            tail,
            attempt,
            retrying,
        });
        if retrying {
            return;
        }
        self.errors.insert(index, error.clone());
        self.note_end(index, End::Failed { node: index, error });
        // Stages that are equal to this one have no result either.
        self.tell_skipped(index, index, 1);
    }

    /// What a stage says of its failure; where fields of the pipeline are at fault, with their places.
    fn told(&self, index: NodeIndex, error: &StageError) -> String {
        let node = self.plan.node(index);
        match error {
            StageError::Failed { mistakes, .. } if !mistakes.is_empty() => {
                let source = &self.options.source;
                source.told(node.name().stage(), node.stage.kind.name(), mistakes)
            }
            _ => error.to_string(),
        }
    }

    /// Skips a node since `because` has no result.
    pub(super) fn skip(&mut self, index: NodeIndex, because: NodeIndex) {
        self.tell_skipped(index, because, 0);
        let error = self.errors.get(&because).cloned().unwrap_or_else(|| {
            let because = self.plan.node(because).name();
            format!("`{because}`, whose result it takes in, has none any more")
        });
        self.note_end(index, End::Failed { node: because, error });
    }

    /// Tells that a node's stages, from the number `first` of its names on, are skipped.
    pub(super) fn tell_skipped(&mut self, index: NodeIndex, because: NodeIndex, first: usize) {
        let because = self.plan.node(because).name().to_string();
        let names = self.plan.node(index).names.clone();
        for stage in names.into_iter().skip(first) {
            self.counts.skipped += 1;
            self.tell(&Event::StageSkipped {
                stage,
                because: because.clone(),
            });
        }
    }

    pub(super) fn tell_interrupted(&mut self, index: NodeIndex) {
        self.troubles.remove(&index);
        let node = self.plan.node(index);
        let (kept, names) = (node.stage.kind.keeps_unfinished(), node.names.clone());
        for stage in names {
            self.tell(&Event::StageInterrupted { stage, kept });
        }
    }

    pub(super) fn tell_paused(&mut self, index: NodeIndex) {
        // It has gone as far as it was to go.
        self.limits.remove(&index);
        let Some(Failure::Stage {
            error: StageError::Paused { curve },
            ..
        }) = self.troubles.remove(&index)
        else {
            return;
        };
        let epoch = u32::try_from(curve.len()).unwrap_or(u32::MAX);
        for stage in self.plan.node(index).names.clone() {
            self.tell(&Event::StagePaused { stage, epoch });
        }
        self.note_end(index, End::Paused(curve));
    }

    /// Has a node wait until `upstream`, whose result was found lost, is up to date again.
    pub(super) fn await_remake(&mut self, index: NodeIndex, upstream: NodeIndex, attempt: u32) {
        let what = match self.troubles.remove(&index) {
            Some(Failure::InputLost { error, .. }) => match error {
                StoreError::Evicted { what } => format!("{what} is missing from the store"),
                StoreError::Corrupt { what } => what,
                other => other.to_string(),
            },
            _ => "something that it takes in is lost".to_owned(),
        };
        let made_by = self.plan.node(upstream).name().to_string();
        self.tell(&Event::StageFailed {
            stage: self.plan.node(index).name().clone(),
            error: format!("{what}; `{made_by}`, which made it, comes first"),
            log: None,
            tail: Vec::new(),
            attempt,
            retrying: true,
        });
        self.plan.reconsider(index);
    }

    /// Takes back that a node is up to date, and what was decided on the ground of that.
    pub(super) fn reopen(&mut self, index: NodeIndex) {
        let node = self.plan.node(index);
        // Its first name ran; those of equal stages, or all if it did not run, were told as reused.
        self.counts.reused -= node.names.len() - usize::from(self.ran.contains(&index));
        if let Some(action) = node.decision.action() {
            let artifact = action.artifact;
            self.before.entry(index).or_insert(artifact);
        }
        self.plan.reconsider(index);
        let downstream: Vec<NodeIndex> = self.plan.downstream(index).collect();
        for next in downstream {
            let has_key = matches!(self.plan.node(next).decision, Decision::Run(..));
            if has_key && !self.running.contains_key(&next) {
                self.plan.reconsider(next);
            }
        }
    }
}
