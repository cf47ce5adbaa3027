//! Whoever follows a run.

use super::{Event, RunStatus};

/// Something that follows a run: shows it, keeps it, or passes it on. A run has a list of them, and
/// tells each the same events in the same order.
pub trait Sink: Send {
    /// Takes note of one more fact.
    fn event(&mut self, event: &Event);

    /// Writes what is still to be written of a run that ends as `status`. Called once, when all but
    /// [`Event::RunFinished`] has been told. What went wrong, if anything, is then told to the other
    /// sinks: following a run never fails it.
    fn close(&mut self, _status: RunStatus) -> Option<String> {
        None
    }
}
