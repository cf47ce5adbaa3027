//! A model that is asked about texts which are tokens already.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use super::components::Components;
use super::ensemble_member::EnsembleMember;
use super::error::TrainError;
use super::inference::to_units;
use super::tasks::{OutputMeaning, PredictedColumn, PredictedValue, Task};
use crate::data::{ReadText, TextForm, TextReader};
use crate::schema::TextFields;

/// A model that is loaded once and asked about texts: what the whole of a text is, what its words are, or where it is
/// among others. Making tokens of texts and asking about them are two steps, as of
/// [`RowPredictor`](super::RowPredictor).
///
/// On the CPU a text gets the bits that [`super::Predictor`] gives it, whatever it is asked about together with.
pub struct TextPredictor {
    member: EnsembleMember,
    task: Arc<dyn Task>,
    device: Device,
}

impl TextPredictor {
    /// Loads the model in `folder`.
    ///
    /// # Errors
    /// There is none, it cannot be read, is not shown texts, or says nothing of them.
    pub fn load(folder: &Path, device: Device, components: &Components) -> Result<Self, TrainError> {
        let (member, task) = EnsembleMember::alone(folder, &device, components)?;
        if member.reader().is_none() {
            return Err(TrainError::CannotPredict {
                path: folder.to_owned(),
                problem: "it is shown something else than texts".to_owned(),
            });
        }
        Ok(Self { member, task, device })
    }

    /// What texts are called in the records that the model was trained on.
    pub fn fields(&self) -> TextFields {
        let field = self.member.shown.input();
        let texts = field.and_then(|field| field.texts.as_deref());
        texts.cloned().unwrap_or_default()
    }

    /// The most tokens of a text.
    pub fn most_tokens(&self) -> usize {
        self.member.reader().map_or(0, TextReader::most)
    }

    /// Whether each word gets outputs of its own, so that those of a text are as many as its tokens.
    pub fn is_of_words(&self) -> bool {
        let form = self.member.reader().map(TextReader::form);
        form == Some(TextForm::Words)
    }

    /// The names of the outputs; an embedding's numbers have none.
    pub fn names(&self) -> &[String] {
        &self.member.card.target.names
    }

    /// How many outputs a text or a word gets.
    pub fn outputs_each(&self) -> usize {
        self.member.card.target.outputs()
    }

    /// What the outputs are called, and what they mean.
    pub fn meaning(&self) -> OutputMeaning {
        self.task.meaning()
    }

    /// What is told of each text.
    pub fn columns(&self) -> Vec<PredictedColumn> {
        self.task.predicted_columns(self.names())
    }

    /// The tokens of `text`, and of the second text of a pair.
    ///
    /// # Errors
    /// A sentence: it holds no text, or cannot be encoded.
    pub fn read(&self, text: &str, pair: Option<&str>) -> Result<ReadText, String> {
        match self.member.reader() {
            Some(reader) => reader.read(text, pair),
            None => Err("the model is not shown texts".to_owned()),
        }
    }

    /// The outputs for each of `texts`, as the network gives them: [`TextPredictor::outputs_each`], or so many for each of
    /// its tokens. The work is shared by the threads of the current pool.
    ///
    /// # Errors
    /// The arithmetic fails, or a device's memory does not suffice.
    pub fn outputs(&self, texts: &[&ReadText]) -> Result<Vec<Vec<f32>>, TrainError> {
        self.member.text_outputs(texts, &self.device)
    }

    /// Whether outputs are finite, in the targets' own units too.
    pub fn is_finite(&self, outputs: &[f32]) -> bool {
        let in_units = self.in_units(outputs);
        outputs.iter().chain(&in_units).all(|output| output.is_finite())
    }

    /// The values under [`TextPredictor::columns`] of `text`, which the network gives `outputs` for.
    pub fn values(&self, outputs: &[f32], text: &ReadText) -> Vec<PredictedValue<'_>> {
        self.task
            .predicted_of_text(&self.in_units(outputs), self.names(), text)
    }

    fn in_units(&self, outputs: &[f32]) -> Vec<f32> {
        let mut in_units = outputs.to_vec();
        to_units(&mut in_units, &self.member.card.target);
        in_units
    }
}
