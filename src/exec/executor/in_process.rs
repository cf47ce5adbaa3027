//! Jobs in the calling process.

use super::{Executor, JobReport, RunningJob};
use crate::event::Monitor;
use crate::exec::capacity::{Capacity, Needs};
use crate::exec::kinds::runner_of;
use crate::stages::{Job, StageError};
use crate::store::Lease;

/// Runs every job in the calling process: for tests, and for use as a library.
#[derive(Clone, Debug)]
pub struct InProcessExecutor {
    capacity: Capacity,
}

impl InProcessExecutor {
    /// Runs jobs as far as `capacity` reaches.
    pub fn new(capacity: Capacity) -> Self {
        Self { capacity }
    }
}

impl Executor for InProcessExecutor {
    fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    fn start<'job>(
        &self,
        job: &'job Job,
        _: Needs,
        _: &Lease,
    ) -> Result<Box<dyn RunningJob + 'job>, StageError> {
        Ok(Box::new(JobHere(job)))
    }
}

/// A job that runs on the thread that waits for it.
pub(super) struct JobHere<'job>(pub &'job Job);

impl RunningJob for JobHere<'_> {
    fn wait(self: Box<Self>, monitor: &Monitor) -> Result<JobReport, StageError> {
        Ok(JobReport {
            outcome: runner_of(&self.0.kind).run(self.0, monitor)?,
            // The process has other jobs too.
            peak_memory: None,
        })
    }
}
