//! Where work comes from that is not known when a run begins: the next trials of a sweep.

use crate::event::Event;
use crate::plan::{NodeIndex, Plan};
use crate::spec::EpochLimits;

/// Adds work to a plan while it is carried out.
pub trait Feeder {
    /// Takes note of how nodes ended that were asked for, and says what to do next. Called whenever
    /// something ended, and several times a second. Where `free` is false there is nothing free to
    /// begin something new with; what was begun may still be carried on.
    ///
    /// # Errors
    /// Why the run cannot go on, as a sentence; everything that runs is then interrupted.
    fn next(
        &mut self,
        plan: &mut Plan,
        ended: Vec<(NodeIndex, End)>,
        free: bool,
        emit: &mut dyn FnMut(&Event),
    ) -> Result<More, String>;
}

/// Nodes, and how far each is to go for now.
pub type WantedNodes = Vec<(NodeIndex, Option<EpochLimits>)>;

/// What to do next.
#[derive(Debug)]
pub enum More {
    /// Bring these nodes up to date, with all that they need, as far as their limits allow.
    Start(WantedNodes),
    /// Nothing, until something ends.
    Wait,
    /// Nothing any more, once what runs has ended.
    Finished,
}

/// How a node ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Its result is known.
    Done,
    /// It reached its limits: the judged figure of each epoch so far.
    Paused(Vec<f64>),
    /// It failed, or something that it needs did.
    Failed {
        /// The node that failed.
        node: NodeIndex,
        /// What went wrong there.
        error: String,
    },
}
