//! Jobs in the calling process.

use super::{Executor, JobReport, RunningJob};
use crate::event::Monitor;
use crate::exec::capacity::{Capacity, Needs};
use crate::stages::{Job, Registry, StageError};
use crate::store::Lease;

/// Runs every job in the calling process: for tests, and for use as a library.
#[derive(Clone, Debug)]
pub struct InProcessExecutor {
    capacity: Capacity,
    registry: Registry,
}

impl InProcessExecutor {
    /// Runs jobs of the kinds of `registry`, as far as `capacity` reaches.
    pub fn new(capacity: Capacity, registry: Registry) -> Self {
        Self { capacity, registry }
    }
}

impl Executor for InProcessExecutor {
    fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn start<'job>(
        &self,
        job: &'job Job,
        _: Needs,
        _: &Lease,
    ) -> Result<Box<dyn RunningJob + 'job>, StageError> {
        let registry = self.registry.clone();
        Ok(Box::new(JobHere { job, registry }))
    }
}

/// A job that runs on the thread that waits for it.
pub(super) struct JobHere<'job> {
    pub job: &'job Job,
    pub registry: Registry,
}

impl RunningJob for JobHere<'_> {
    fn wait(self: Box<Self>, monitor: &Monitor) -> Result<JobReport, StageError> {
        Ok(JobReport {
            outcome: self.registry.run(self.job, monitor)?,
            // The process has other jobs too.
            peak_memory: None,
        })
    }
}
