//! How far a job is that this process does.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::exec::{End, WantedNodes};
use crate::plan::NodeIndex;
use crate::spec::EpochLimits;
use crate::sweep::TrialJob;

/// A job that this process does.
pub(super) struct ActiveJob {
    pub job: TrialJob,
    pub begun: Instant,
    phase: JobPhase,
    /// What has not ended yet.
    open: BTreeSet<NodeIndex>,
    error: Option<String>,
}

/// How far a job is.
#[derive(Clone, Copy, PartialEq)]
enum JobPhase {
    /// The judged training of the first replicate runs, within its limits.
    Judged,
    /// Everything that is left runs.
    Whole,
}

impl ActiveJob {
    /// A job that begins: with the `judged` training, if the job has limits, or else with all that its
    /// trial needs.
    pub fn new(job: TrialJob, judged: Option<NodeIndex>, whole: BTreeSet<NodeIndex>) -> Self {
        let (phase, open) = match judged.filter(|_| job.limits.is_some()) {
            Some(judged) => (JobPhase::Judged, BTreeSet::from([judged])),
            None => (JobPhase::Whole, whole),
        };
        Self {
            job,
            begun: Instant::now(),
            phase,
            open,
            error: None,
        }
    }

    /// What is to be started when it begins.
    pub fn starts(&self) -> WantedNodes {
        let limits = match self.phase {
            JobPhase::Judged => self.job.limits.clone(),
            JobPhase::Whole => None,
        };
        self.open.iter().map(|&index| (index, limits.clone())).collect()
    }

    /// Takes note of how a node ended, which need not be one of its own. Adds to `starts` what follows,
    /// which may be `whole`: all that the trial needs. Gives how the job ended, once it has.
    pub fn note(
        &mut self,
        node: NodeIndex,
        end: &End,
        whole: impl FnOnce() -> BTreeSet<NodeIndex>,
        starts: &mut WantedNodes,
    ) -> Option<End> {
        if !self.open.remove(&node) {
            return None;
        }
        match (end, self.phase) {
            (End::Done, JobPhase::Judged) => {
                self.phase = JobPhase::Whole;
                self.open = whole();
                starts.extend(self.starts());
            }
            (End::Done, JobPhase::Whole) => {}
            // Another trial may share the training, and have other limits.
            (End::Paused(curve), JobPhase::Judged) => match reached(self.job.limits.as_ref(), curve) {
                Some(curve) => return Some(End::Paused(curve)),
                None => {
                    self.open.insert(node);
                    starts.push((node, self.job.limits.clone()));
                }
            },
            (End::Paused(_), JobPhase::Whole) => {
                self.open.insert(node);
                starts.push((node, None));
            }
            (End::Failed { error, .. }, _) => {
                self.error.get_or_insert_with(|| error.clone());
            }
        }
        if !self.open.is_empty() {
            return None;
        }
        Some(match self.error.take() {
            Some(error) => End::Failed { node, error },
            None => End::Done,
        })
    }
}

/// The curve up to where the limits end; nothing where it does not reach so far.
fn reached(limits: Option<&EpochLimits>, curve: &[f64]) -> Option<Vec<f64>> {
    let limits = limits?;
    let end = (1..=curve.len()).find(|&epochs| limits.pause(&curve[..epochs]))?;
    Some(curve[..end].to_vec())
}
