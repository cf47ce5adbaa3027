//! How a sweep looks: a line for each trial that ended, a row for each that runs.
//!
//! Both parts read the same events, each with a [`SweepTally`] of where the sweep stands and [`TrialColumns`]
//! that line up the trials' values: [`SweepLines`] are the lines that stay, [`SweepRows`] belong to
//! the live block. The stages of trials are theirs; those that trials share are shown as ever.

mod columns;
mod lines;
mod rows;
mod tally;
#[cfg(test)]
mod tests;

use columns::TrialColumns;
pub(super) use lines::SweepLines;
pub(super) use rows::SweepRows;
use tally::{BestTrial, SweepTally};

use crate::event::{Event, StageId};

/// A trial's values by the parameters' names.
type TrialValues = indexmap::IndexMap<String, serde_json::Value>;

/// The stage that `event` tells of and its trial, where it is a trial's stage.
fn trial_of(event: &Event) -> Option<(&StageId, u32)> {
    let stage = event.stage()?;
    Some((stage, stage.trial()?))
}

/// The ranks of parts that leave from the last on, however many they are.
fn ranks(first: u8) -> impl Iterator<Item = u8> {
    (first..200).chain(std::iter::repeat(200))
}
