//! What a run came to.

use std::collections::HashMap;
use std::time::Instant;

use crate::event::{Event, Metrics, RunStatus};

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How it ended.
    pub status: RunStatus,
    /// The metrics of every stage whose result is known now, by name.
    pub metrics: HashMap<String, Metrics>,
    pub(super) counts: Counts,
    pub(super) failed: usize,
    pub(super) begun: Instant,
}

impl Summary {
    /// The event that closes the run, to be told once everything made of its results is written.
    pub fn finished(&self) -> Event {
        Event::RunFinished {
            status: self.status,
            ran: self.counts.ran,
            reused: self.counts.reused,
            failed: self.failed,
            skipped: self.counts.skipped,
            seconds: self.begun.elapsed().as_secs_f64(),
        }
    }
}

/// How many stages ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub ran: usize,
    pub reused: usize,
    pub skipped: usize,
}
