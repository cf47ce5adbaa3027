//! The table of an evaluation's predictions.

use std::path::Path;

use crate::data::Split;
use crate::spec::ArtifactTable;
use crate::train::{CsvFile, ModelTarget, Task, TrainError};

/// `predictions.csv`: one row a sample, in the split's order.
pub(super) struct Predictions<'a> {
    file: CsvFile,
    task: &'a dyn Task,
    target: &'a ModelTarget,
}

impl<'a> Predictions<'a> {
    pub fn create(output: &Path, task: &'a dyn Task, target: &'a ModelTarget) -> Result<Self, TrainError> {
        let columns = task.prediction_columns(&target.names);
        let file = CsvFile::create(output, ArtifactTable::PREDICTIONS, columns)?;
        Ok(Self { file, task, target })
    }

    /// Writes the row of the sample `index` of `split`, whose outputs are in the targets' own units.
    pub fn write(&mut self, split: &Split, index: usize, outputs: &[f32]) -> Result<(), TrainError> {
        let cells = self.task.prediction(outputs, split, index, &self.target.names)?;
        self.file.row([split.origin(index)].into_iter().chain(cells))
    }

    pub fn finish(self) -> Result<(), TrainError> {
        self.file.finish()
    }
}
