//! What happens to a node before it has ended: it is settled, and started where it has to run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Dispatcher, StageReport, StartedStage};
use crate::event::{Event, Level, Monitor};
use crate::exec::capacity::{Needs, threads};
use crate::exec::durations::estimates;
use crate::exec::scheduler::Verdict;
use crate::exec::stage_run::{Failure, InputSource, StageRun};
use crate::plan::{Decision, NodeIndex, NodeSource, PlanError, Reason};
use crate::stages::{StageError, Surroundings};

impl Dispatcher<'_> {
    /// Finds out what is to be done about a node.
    pub(super) fn settle(&mut self, index: NodeIndex) -> Verdict {
        if matches!(self.plan.node(index).decision, Decision::Pending(_))
            && let Err(error) = self.plan.settle(index)
        {
            return self.cannot_settle(index, error);
        }
        match &self.plan.node(index).decision {
            Decision::Reuse(_) => {
                self.tell_reused(index, 0);
                Verdict::Known {
                    changed: self.is_changed(index),
                }
            }
            Decision::Run(..) => {
                // What a feeder asks for comes in the order in which it asks.
                if self.feeder.is_none() && self.scheduler.wants_estimates() {
                    self.scheduler
                        .estimate(&estimates(self.plan, &self.options.durations));
                }
                let capacity = self.options.executor.capacity();
                let device = self.options.surroundings.device;
                Verdict::Run(Needs::of(&self.plan.node(index).stage, capacity, device))
            }
            Decision::Pending(_) => Verdict::Pending,
        }
    }

    /// Takes note that a node cannot be decided about.
    fn cannot_settle(&mut self, index: NodeIndex, error: PlanError) -> Verdict {
        match error {
            PlanError::Lost { node, source, .. } => match self.note_loss(index, node, source) {
                Some(upstream) => Verdict::Lost(upstream),
                None => Verdict::Failed,
            },
            error => {
                let failure = Failure::from(StageError::failed(error.to_string()));
                self.troubles.insert(index, failure);
                Verdict::Failed
            }
        }
    }

    /// Starts a node, which was decided to run.
    pub(super) fn start(&mut self, index: NodeIndex, attempt: u32, needs: Needs, gpus: Option<String>) {
        let node = self.plan.node(index);
        let Decision::Run(key, reason) = &node.decision else {
            // The scheduler starts what was settled to run, and has it settled again where that is taken back.
            let failure = Failure::from(StageError::failed(
                "nothing is known of why it runs: a mistake of Erlen's; please report it",
            ));
            drop(
                self.sender
                    .send((index, StageReport::Ended(Box::new(Err(failure))))),
            );
            return;
        };
        let (key, reason) = ((**key).clone(), (**reason).clone());
        let (name, stage) = (node.name().clone(), Arc::clone(&node.stage));
        if let (Some(message), 1) = (
            Needs::exceeding(&stage, self.options.executor.capacity()),
            attempt,
        ) {
            let message = format!("{name}: {message}; it runs with what there is");
            self.tell(&Event::Notice {
                level: Level::Warning,
                message,
            });
        }
        let started = Event::StageStarted {
            stage: name.clone(),
            kind: stage.kind.name().to_owned(),
            fingerprint: key.fingerprint(),
            reason: reason.to_string(),
            attempt,
            key: serde_json::to_string(&key).ok().map(Arc::from),
        };
        self.tell(&started);
        let run = StageRun {
            name: name.to_string(),
            seed: self.plan.node(index).seed,
            key: key.clone(),
            forced: reason == Reason::Forced,
            reason,
            inputs: self.input_sources(index),
            limits: self.limits.get(&index).cloned(),
            needs,
            surroundings: Surroundings {
                threads: threads(&stage.kind, needs),
                gpus,
                ..self.options.surroundings.clone()
            },
            executor: Arc::clone(&self.options.executor),
            store: self.store.clone(),
            stage,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let running = StartedStage {
            key,
            stop: Arc::clone(&stop),
        };
        self.running.insert(index, running);
        self.spawn(index, run, stop);
    }

    /// Runs a stage on a thread of its own.
    fn spawn(&self, index: NodeIndex, run: StageRun, stop: Arc<AtomicBool>) {
        let sender = self.sender.clone();
        let thread = std::thread::Builder::new().name(run.name.clone());
        let spawned = thread.spawn(move || {
            // Where nobody listens any more, there is nobody to tell.
            let report = |report| drop(sender.send((index, report)));
            let monitor = {
                let sender = sender.clone();
                let activity = move |activity| drop(sender.send((index, StageReport::Activity(activity))));
                Monitor::new(activity, stop)
            };
            let waiting = || report(StageReport::Waiting);
            let leased = || report(StageReport::Leased);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run.run(&monitor, &waiting, &leased)
            }))
            .unwrap_or_else(|_| {
                let error = StageError::failed("the stage panicked: a mistake of Erlen's; please report it");
                Err(error.into())
            });
            report(StageReport::Ended(Box::new(result)));
        });
        if let Err(error) = spawned {
            let error = StageError::failed(format!("no thread could be started: {error}"));
            let report = StageReport::Ended(Box::new(Err(error.into())));
            drop(self.sender.send((index, report)));
        }
    }

    fn input_sources(&self, index: NodeIndex) -> BTreeMap<String, InputSource> {
        let mut inputs = BTreeMap::new();
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
}
