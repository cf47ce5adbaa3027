//! Texts that go through the model together.

use crate::data::batch::Array;

/// Rows of texts that go through the model together, their tokens one behind the other.
#[derive(Clone, Debug, PartialEq)]
pub struct TextBatch {
    /// The batch's index within its pass.
    pub index: usize,
    /// The numbers of the rows.
    pub rows: Vec<u32>,
    /// The tokens, `[tokens]`.
    pub ids: Vec<u32>,
    /// Of each token the text that it is of, where samples are pairs.
    pub segments: Option<Vec<u32>>,
    /// The sequences: sequence `i` has the tokens `offsets[i]..offsets[i + 1]`.
    pub offsets: Vec<usize>,
    /// What each sequence's dropout is drawn by.
    pub keys: Vec<u32>,
    /// Where the tokens of each row end.
    pub ends: Vec<usize>,
    /// What is to be predicted: a whole number for each token, [`crate::schema::NO_CLASS`] where nothing is, or
    /// something for each row.
    pub targets: Array,
}
