//! Texts on their way to a network: a split's tokens as one run, cut into rows, put together to batches.
//!
//! A [`TokenRun`] is all tokens of a split, one text behind the other. [`TextRows`] says which of them make up each row,
//! the unit that is shuffled: a whole text, a window of the run, or several pieces of texts that are packed together.
//! A [`TextLoader`] serves the rows as batches in which nothing is filled up: their tokens stand one behind the other,
//! and a token sees those of its own sequence alone.
//!
//! A batch is a function of seed, pass and index, whatever was served before it.

mod batch;
mod batches;
mod loader;
mod masking;
mod packing;
mod rows;
mod run;
mod targets;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use batch::TextBatch;
pub use loader::{TextLoader, TextLoaderConfig};
pub use rows::{RowRule, TextRows, TokenSequence};
pub use run::TokenRun;
pub use targets::TextGoal;
