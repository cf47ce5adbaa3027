//! Sweeps: many trials of one pipeline.
//!
//! The study ([`crate::sweep`]) says which job comes next; here it meets the plan, the executor and the
//! store: what a trial's values make of the pipeline ([`setting`]), what its results come to
//! ([`outcome`]), what is known without running anything ([`known`]), and the trials that run
//! ([`driver`], [`run`]).

mod active;
mod driver;
pub(super) mod known;
mod outcome;
pub(super) mod run;
pub(super) mod setting;
