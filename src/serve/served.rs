//! What the server knows of a model.

use super::tensor::{InputTensor, TensorInfo, TensorValues};

/// A model that can be served: whatever is asked about it comes to rows of numbers, one a sample, which are put together
/// to batches.
///
/// Making rows of a request, asking about rows, and making an answer of the outputs are three steps, so that only the
/// second one waits for its turn.
pub trait Served: Send + Sync {
    /// What it can be given.
    fn inputs(&self) -> &[TensorInfo];

    /// Whether one of the inputs is enough; otherwise all are needed.
    fn takes_one_of(&self) -> bool;

    /// What it gives.
    fn outputs(&self) -> &[TensorInfo];

    /// Numbers in a row.
    fn row_len(&self) -> usize;

    /// Outputs of a row.
    fn output_len(&self) -> usize;

    /// The rows of a request for `rows` samples, one after another: `rows` times [`Served::row_len`] numbers, all finite.
    ///
    /// # Errors
    /// A sentence for whoever asks: what is wrong with which input.
    fn rows(&self, inputs: Vec<InputTensor>, rows: usize) -> Result<Vec<f32>, String>;

    /// The outputs for rows, [`Served::output_len`] for each. Those of a row do not depend on the other rows.
    ///
    /// # Errors
    /// The model cannot be asked: a sentence.
    fn answer(&self, rows: Vec<f32>) -> Result<Vec<f32>, String>;

    /// Whether outputs of some rows can be told as they are: all that they say is finite.
    fn is_sound(&self, outputs: &[f32]) -> bool {
        outputs.iter().all(|output| output.is_finite())
    }

    /// What the outputs of all of a request's rows say under the output `index`: as many values as its
    /// [`TensorInfo`] tells for each.
    fn tensor(&self, index: usize, outputs: &[f32]) -> TensorValues;
}

/// A model with the word for what it is.
pub struct ModelVersion {
    /// The model.
    pub model: Box<dyn Served>,
    /// What clients know this version by: the beginning of its fingerprint.
    pub version: String,
    /// The digest of what the model is made of.
    pub fingerprint: String,
}

impl ModelVersion {
    /// Asks about a row of zeros.
    ///
    /// # Errors
    /// No sound answer comes: a sentence.
    pub fn check(&self) -> Result<(), String> {
        let outputs = self.model.answer(vec![0.0; self.model.row_len()])?;
        if outputs.len() != self.model.output_len() {
            return Err(format!(
                "it gives {} outputs for a sample and should give {}",
                outputs.len(),
                self.model.output_len()
            ));
        }
        match self.model.is_sound(&outputs) {
            true => Ok(()),
            false => Err("its outputs for zeros are not finite: its weights are damaged".to_owned()),
        }
    }
}

/// Where versions of a model come from.
pub trait ModelSupply: Send {
    /// Another version than the one with this `fingerprint`, where there is one by now.
    ///
    /// # Errors
    /// It cannot be told, or cannot be loaded: a sentence.
    fn newer_than(&mut self, fingerprint: &str) -> Result<Option<ModelVersion>, String>;
}
