//! Where stages run: an [`Executor`] starts a job somewhere and watches it until it has ended.
//!
//! The dispatcher decides when a job starts, holds its lease and commits its result. An executor only
//! places it: [in the calling process](InProcessExecutor) or [in a process of its own](ProcessExecutor). What it
//! needs to know stands in the [`Job`], which is serialisable, so that the job may as well run on another
//! machine; what it did, it leaves in the job's folders and tells in its [`JobReport`].

mod in_process;
mod process;

use std::fmt::Debug;

pub use in_process::InProcessExecutor;
pub use process::ProcessExecutor;

use crate::event::Monitor;
use crate::exec::capacity::{Capacity, Needs};
use crate::stages::{Job, Outcome, Registry, StageError};
use crate::store::Lease;

/// Starts jobs, and watches them.
pub trait Executor: Debug + Send + Sync {
    /// What there is for all jobs together.
    fn capacity(&self) -> &Capacity;

    /// The kinds of the jobs that it places.
    fn registry(&self) -> &Registry;

    /// Starts `job`, which takes `needs` of the capacity. The `lease` is the right to fill the job's output
    /// folder. Whoever calls holds it until the job has ended; an executor whose job may live on
    /// when the calling process dies hands the right on to it as well, by whatever means reach it.
    ///
    /// # Errors
    /// The job cannot be started.
    fn start<'job>(
        &self,
        job: &'job Job,
        needs: Needs,
        lease: &Lease,
    ) -> Result<Box<dyn RunningJob + 'job>, StageError>;
}

/// A job that was started.
pub trait RunningJob {
    /// Waits on the calling thread until the job has ended; hands what it tells meanwhile to `monitor`, and
    /// asks it to stop once `monitor` says so.
    ///
    /// # Errors
    /// What the job failed with, [`StageError::Interrupted`] where it was asked to stop, or how it died.
    fn wait(self: Box<Self>, monitor: &Monitor) -> Result<JobReport, StageError>;
}

/// What a job did.
#[derive(Clone, Debug, PartialEq)]
pub struct JobReport {
    /// What its stage gives.
    pub outcome: Outcome,
    /// Its peak memory in bytes, by its own account or by that of whatever ran it, where known.
    pub peak_memory: Option<u64>,
}
