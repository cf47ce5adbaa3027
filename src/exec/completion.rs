//! What a run came to.

use std::time::Instant;

use crate::event::{Event, RunStatus};

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// How it ended.
    pub status: RunStatus,
    pub(super) counts: StageCounts,
    pub(super) failed: usize,
    pub(super) broken: bool,
    pub(super) begun: Instant,
}

impl Completion {
    /// Whether the run ended because what fed it could not go on.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether any stage ran and succeeded.
    pub fn made_results(&self) -> bool {
        self.counts.ran > 0
    }

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
pub(super) struct StageCounts {
    pub ran: usize,
    pub reused: usize,
    pub skipped: usize,
}
