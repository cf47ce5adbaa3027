//! A model that is asked about rows which are ready for its network.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use super::components::Components;
use super::ensemble_member::EnsembleMember;
use super::error::TrainError;
use super::inference::to_units;
use super::tasks::{OutputMeaning, PredictedColumn, PredictedValue, Task};
use crate::data::{DataError, Example};
use crate::schema::{InputShape, Schema};

/// A model that is loaded once and asked about rows: what its network is shown of each sample, in numbers. Making rows
/// of samples and asking about them are two steps, so that they can be taken by different threads, and rows of many
/// requests be put together.
///
/// On the CPU a row gets the bits that [`super::Predictor`] gives its sample, whatever it is asked about together with.
pub struct RowPredictor {
    member: EnsembleMember,
    task: Arc<dyn Task>,
    device: Device,
}

impl RowPredictor {
    /// Loads the model in `folder`.
    ///
    /// # Errors
    /// There is none, it cannot be read, does not say what it is shown, or is shown something else than images or rows
    /// of numbers.
    pub fn load(folder: &Path, device: Device, components: &Components) -> Result<Self, TrainError> {
        let (member, task) = EnsembleMember::alone(folder, &device, components)?;
        Ok(Self { member, task, device })
    }

    /// What a sample holds: the inputs alone.
    pub fn shown(&self) -> &Schema {
        &self.member.shown
    }

    /// The shape of a row.
    pub fn shape(&self) -> InputShape {
        self.member.card.input
    }

    /// Whether the model says something of each pixel of an image.
    pub fn judges_pixels(&self) -> bool {
        self.member.network().judges_pixels()
    }

    /// The names of the outputs.
    pub fn names(&self) -> &[String] {
        &self.member.card.target.names
    }

    /// What the outputs are called, and what they mean.
    pub fn meaning(&self) -> OutputMeaning {
        self.task.meaning()
    }

    /// What is told of each sample.
    pub fn columns(&self) -> Vec<PredictedColumn> {
        self.task.predicted_columns(self.names())
    }

    /// The row of a sample.
    ///
    /// # Errors
    /// A sentence: it is not what the model is shown, or cannot be decoded.
    pub fn row(&self, example: Example) -> Result<Vec<f32>, String> {
        self.member.rows(&[example]).map_err(|error| match error {
            TrainError::Data(DataError::Input { problem, .. }) => problem,
            other => other.to_string(),
        })
    }

    /// The row of an image whose `pixels`, `[H, W, C]`, have the network's size and need nothing but normalisation.
    pub fn pixel_row(&self, pixels: &[u8]) -> Vec<f32> {
        self.member.card.normalization.of_interleaved(pixels)
    }

    /// The outputs for `rows`, one after another: `[N, outputs]`, as the network gives them, which an ONNX file does
    /// too. The work is shared by the threads of the current pool.
    ///
    /// # Errors
    /// The arithmetic fails, or a device's memory does not suffice.
    pub fn outputs(&self, rows: Vec<f32>) -> Result<Vec<f32>, TrainError> {
        self.member.outputs(rows, &self.device, false)
    }

    /// Whether outputs of some rows are finite, in the targets' own units too.
    pub fn is_finite(&self, outputs: &[f32]) -> bool {
        let mut in_units = outputs.to_vec();
        to_units(&mut in_units, &self.member.card.target);
        outputs.iter().chain(&in_units).all(|output| output.is_finite())
    }

    /// The values under [`RowPredictor::columns`] of a sample that the network gives `outputs` for.
    pub fn values(&self, outputs: &[f32]) -> Vec<PredictedValue<'_>> {
        let mut in_units = outputs.to_vec();
        to_units(&mut in_units, &self.member.card.target);
        self.task.predicted(&in_units, self.names())
    }
}
