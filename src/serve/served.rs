//! What the server knows of a model.

use std::sync::Arc;

use super::tensor::{InputTensor, TensorInfo, TensorValues};
use super::writing::WritingModel;
use crate::data::ReadText;
use crate::memory::settle;

/// What a model takes and gives, by name.
pub trait ModelInterface: Send + Sync {
    /// What it can be given.
    fn inputs(&self) -> &[TensorInfo];

    /// Whether one of the inputs is enough; otherwise all are needed.
    fn takes_one_of(&self) -> bool;

    /// What it gives.
    fn outputs(&self) -> &[TensorInfo];

    /// Bytes of a row that are held while it waits, at most.
    fn row_bytes(&self) -> usize;

    /// Bytes of a text in a request, on average at most.
    fn text_bytes(&self) -> usize {
        256
    }
}

/// A model that can be served: whatever is asked about it comes to rows, one a sample, which are put together to batches.
///
/// Making rows of a request, asking about rows, and making an answer of the outputs are three steps, so that only the
/// second one waits for its turn.
pub trait Served: ModelInterface {
    /// The rows of a request for `rows` samples.
    ///
    /// # Errors
    /// A sentence for whoever asks: what is wrong with which input.
    fn rows(&self, inputs: Vec<InputTensor>, rows: usize) -> Result<ServedRows, String>;

    /// Rows to try the model with.
    fn trials(&self) -> ServedRows;

    /// The outputs for each row. They do not depend on the other rows.
    ///
    /// # Errors
    /// The model cannot be asked: a sentence.
    fn answer(&self, rows: ServedRows) -> Result<Vec<Vec<f32>>, String>;

    /// Whether outputs of a row can be told as they are: all that they say is finite.
    fn is_sound(&self, outputs: &[f32]) -> bool {
        outputs.iter().all(|output| output.is_finite())
    }

    /// What the outputs of all of a request's rows say under the output `index`: as many values as its [`TensorInfo`]
    /// tells for each. `texts` are the rows themselves, where they are texts.
    fn tensor(&self, index: usize, outputs: &[Vec<f32>], texts: &[Arc<ReadText>]) -> TensorValues;
}

/// What a network is shown of samples, a row each.
#[derive(Clone, Debug, PartialEq)]
pub enum ServedRows {
    /// Numbers, all finite, `width` a row.
    Numbers {
        /// One row after another.
        values: Vec<f32>,
        /// Numbers of a row.
        width: usize,
    },
    /// Texts as tokens.
    Texts(Vec<Arc<ReadText>>),
}

impl ServedRows {
    /// Rows of `width` numbers to try a model with: of zeros, of ones, and of all that is usual once numbers are normalised.
    pub fn trials(width: usize) -> Self {
        let usual = (0..width).map(|place| (place * 7 % 13) as f32 / 3.0 - 2.0);
        let rows = vec![0.0; width].into_iter().chain(vec![1.0; width]);
        Self::Numbers {
            values: rows.chain(usual).collect(),
            width,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers { values, width } => values.len() / (*width).max(1),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Numbers { values, .. } => size_of_val(values.as_slice()),
            Self::Texts(texts) => texts.iter().map(|text| text_bytes(text)).sum(),
        }
    }

    /// The texts, where they are such.
    pub fn texts(&self) -> &[Arc<ReadText>] {
        match self {
            Self::Numbers { .. } => &[],
            Self::Texts(texts) => texts,
        }
    }

    /// Puts rows of the same model behind them.
    pub fn append(&mut self, others: Self) {
        match (self, others) {
            (Self::Numbers { values, .. }, Self::Numbers { values: mut more, .. }) => {
                values.append(&mut more);
            }
            (Self::Texts(texts), Self::Texts(mut more)) => texts.append(&mut more),
            // Those of a model are all of a kind.
            (Self::Numbers { .. }, Self::Texts(_)) | (Self::Texts(_), Self::Numbers { .. }) => {}
        }
    }

    /// The same rows in their order, at most `most` at a time.
    pub fn pieces(self, most: usize) -> Vec<Self> {
        let most = most.max(1);
        if self.len() <= most {
            return vec![self];
        }
        match self {
            Self::Numbers { values, width } => {
                let pieces = values.chunks(most.saturating_mul(width.max(1)));
                let piece = |values: &[f32]| Self::Numbers {
                    values: values.to_vec(),
                    width,
                };
                pieces.map(piece).collect()
            }
            Self::Texts(texts) => texts
                .chunks(most)
                .map(|piece| Self::Texts(piece.to_vec()))
                .collect(),
        }
    }
}

fn text_bytes(text: &ReadText) -> usize {
    let of_token = if text.segments.is_some() { 8 } else { 4 };
    text.ids.len() * of_token + text.text.len() + size_of_val(text.words.as_slice())
}

/// What a model does.
pub enum ServedModel {
    /// It says something of each row.
    Rows(Box<dyn Served>),
    /// It goes on with texts.
    Writing(Box<WritingModel>),
}

impl ServedModel {
    /// What it takes and gives.
    pub fn interface(&self) -> &dyn ModelInterface {
        match self {
            Self::Rows(model) => model.as_ref(),
            Self::Writing(model) => model.as_ref(),
        }
    }
}

/// A model with the word for what it is.
pub struct ModelVersion {
    /// The model.
    pub model: ServedModel,
    /// What clients know this version by: the beginning of its fingerprint.
    pub version: String,
    /// The digest of what the model is made of.
    pub fingerprint: String,
}

impl ModelVersion {
    /// Asks about a few rows. What goes on with texts was tried when it was loaded. What loading took is given back.
    ///
    /// # Errors
    /// No sound answer comes: a sentence.
    pub fn check(&self) -> Result<(), String> {
        let checked = self.answers();
        settle();
        checked
    }

    fn answers(&self) -> Result<(), String> {
        let ServedModel::Rows(model) = &self.model else {
            return Ok(());
        };
        let rows = model.trials();
        let asked = rows.len();
        let outputs = model.answer(rows)?;
        if outputs.len() != asked {
            return Err(format!(
                "it gives outputs for {} samples where it is asked about {asked}",
                outputs.len()
            ));
        }
        match outputs.iter().all(|outputs| model.is_sound(outputs)) {
            true => Ok(()),
            false => Err(
                "its outputs for samples that it is tried with are not finite: its weights are damaged"
                    .to_owned(),
            ),
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
