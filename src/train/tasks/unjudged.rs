//! What stands in the place of losses and figures in a program that only asks models: nothing of them is linked there.

use std::path::Path;

use super::TaskTally;
use crate::data::{DataError, Split};
use crate::train::error::TrainError;

/// Whether this program compares what models say with what is right.
pub(super) const JUDGES: bool = cfg!(feature = "full");

/// It does not.
pub(super) fn unjudged() -> TrainError {
    DataError::Options("this program only asks models, and judges none".to_owned()).into()
}

/// Counts nothing.
#[derive(Debug)]
pub(super) struct NoTally;

impl TaskTally for NoTally {
    fn add(&mut self, _outputs: &[f32], _split: &Split, _index: usize) -> Result<(), TrainError> {
        Err(unjudged())
    }

    fn figure(&self, _name: &str) -> Option<f64> {
        None
    }

    fn write(&self, _metric: &str, _names: &[String], _folder: &Path) -> Result<(), TrainError> {
        Err(unjudged())
    }
}
