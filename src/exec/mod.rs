//! Runs a plan.
//!
//! In goes a [`Plan`](crate::plan::Plan); out come artifacts in the store and a stream of
//! [`Event`](crate::event::Event)s. The dispatcher's thread owns the plan and decides what may
//! start; each running stage has a thread of its own ([`task`]) that leases the stage's
//! fingerprint, lays out its inputs, places it (here, or in a [`worker`] process) and commits its
//! result.

mod dispatcher;
mod durations;
mod feeder;
mod log;
mod nodes;
mod queue;
mod resources;
mod summary;
mod task;
mod unfinished;
mod worker;

pub use dispatcher::{Options, execute};
pub use durations::Durations;
pub use feeder::{End, Feeder, More, Wanted};
pub use resources::Machine;
pub use summary::Summary;
pub use task::{Placement, stage_for};
pub use worker::serve;
