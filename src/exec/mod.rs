//! Runs a plan.
//!
//! In goes a [`Plan`](crate::plan::Plan); out come artifacts in the store and a stream of
//! [`Event`](crate::event::Event)s. The [`scheduler`] decides, without any thread or clock, what starts when;
//! the [`dispatcher`]'s thread owns the plan, hands the scheduler facts and does what it wants. Each running stage
//! has a thread of its own ([`stage_run`]) that leases the stage's fingerprint, lays out its inputs, has an
//! [`Executor`] place it and commits its result.

mod capacity;
mod completion;
mod dispatcher;
mod durations;
mod executor;
mod feeder;
mod lineage;
mod scheduler;
mod stage_run;
#[cfg(test)]
mod tests;
mod unfinished;
mod worker;

pub use capacity::{Capacity, Needs};
pub use completion::Completion;
pub use dispatcher::{ExecutionOptions, execute};
pub use durations::Durations;
pub use executor::{Executor, InProcessExecutor, JobReport, ProcessExecutor, RunningJob};
pub use feeder::{End, Feeder, More, WantedNodes};
pub use worker::serve;
