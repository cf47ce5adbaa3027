//! From input files to a dataset.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::DataError;
use super::formats;
use super::intake::Intake;
use crate::event::Monitor;
use crate::spec::{Preprocess, SplitName};

/// What a prepared dataset holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Samples by split.
    pub splits: BTreeMap<SplitName, u64>,
    /// The number of classes.
    pub classes: usize,
    /// Samples left out because they could not be read.
    pub skipped: u64,
}

/// Reads `input` as `options` say and writes a dataset into `folder`. Images are decoded on the
/// current rayon pool.
///
/// # Errors
/// The input is not in the given format, has bad samples (unless they are to be skipped) or classes
/// that are too small for the splits; reading or writing fails; `monitor` asks to stop.
pub fn prepare(
    options: &Preprocess,
    input: &Path,
    folder: &Path,
    monitor: &Monitor,
) -> Result<Prepared, DataError> {
    let mut intake = Intake::new(folder, options.on_error, monitor);
    let classes = formats::read(&options.format, input, &mut intake)?;
    intake.finish(classes, &options.split)
}
