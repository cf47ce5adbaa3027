//! The brain of a sweep: from the trials that were started and ended to the next ones.
//!
//! In go the `sweep:` section of a pipeline, a seed and what became of earlier trials; out come
//! [`TrialJob`]s: which trial to run next, with which values, and how far. Nothing here runs, reads or
//! writes anything, and the same definition, seed and outcomes give the same jobs in the same
//! order, whatever the timing. So whoever keeps a list of starts and outcomes can build the same
//! [`Study`] again.

mod error;
mod job;
mod journal;
mod known;
mod points;
mod pruner;
mod rank;
mod replay;
mod sampler;
mod scale;
mod space;
mod study;
#[cfg(test)]
mod tests;
mod trial;

use indexmap::IndexMap;
use serde_json::Value;

pub use error::SweepError;
pub use job::{JobOutcome, Proposal, TrialJob};
pub use journal::{Journal, JournalEntry};
pub use replay::{Change, Definition, Replay};
pub use study::Study;
pub use trial::{TrialPhase, TrialState};

/// A value for every swept parameter, in the order of the space. Parameters that are not used,
/// because the condition of their `when` does not hold, have the pipeline file's own value.
pub type Values = IndexMap<String, Value>;
