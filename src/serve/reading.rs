//! Trained models of texts, to be served: those that say something of a text.

use std::path::Path;
use std::sync::Arc;

use super::served::{ModelInterface, Served, ServedRows};
use super::tensor::{Datatype, InputTensor, TensorInfo, TensorValues};
use super::told::{ToldGroup, told_outputs};
use crate::data::ReadText;
use crate::schema::TextFields;
use crate::train::{Components, DeviceChoice, TextPredictor, TrainError};

/// Bytes of a text, on average at most: some thousands of words.
const TEXT_BYTES: usize = 64 << 10;

/// What the model is tried with.
const TRIALS: [&str; 3] = [
    "a",
    "The weather was better than anybody had hoped.",
    "1,234.5 (ä) ?!",
];

/// A model that says something of texts: their class, labels or numbers, what their words are, or where they are among
/// others.
///
/// It takes the texts by the names that the records had which it was trained on, and gives what `predict` tells; of whole
/// texts the network's outputs too.
pub struct ReadingModel {
    predictor: TextPredictor,
    fields: TextFields,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    /// The first output is the network's own.
    is_raw: bool,
    told: Vec<ToldGroup>,
}

impl ReadingModel {
    /// Loads the model in `folder`.
    ///
    /// # Errors
    /// As [`TextPredictor::load`].
    pub fn load(folder: &Path, device: DeviceChoice, components: &Components) -> Result<Self, TrainError> {
        let predictor = TextPredictor::load(folder, device.open()?, components)?;
        let fields = predictor.fields();
        let most = predictor.most_tokens();
        let description = match predictor.is_of_words() {
            true => format!("texts of at most {most} tokens"),
            false => format!(
                "texts; what is behind the first {most} tokens is not looked at, and the answer's `texts_cut` says of how many"
            ),
        };
        let names = std::iter::once(&fields.text).chain(&fields.pair);
        let inputs = names.map(|name| TensorInfo::new(name, Datatype::Bytes, Vec::new(), &description));
        let inputs = inputs.collect();
        let names = predictor.names();
        let is_raw = !predictor.is_of_words() && !names.is_empty();
        let raw = is_raw.then(|| TensorInfo {
            labels: names.to_vec(),
            ..TensorInfo::new(
                predictor.meaning().tensor,
                Datatype::Fp32,
                vec![names.len()],
                "the network's outputs, as an exported ONNX model gives them",
            )
        });
        let (infos, told): (Vec<TensorInfo>, Vec<ToldGroup>) =
            told_outputs(&predictor.columns(), predictor.outputs_each())
                .into_iter()
                .unzip();
        Ok(Self {
            outputs: raw.into_iter().chain(infos).collect(),
            predictor,
            fields,
            inputs,
            is_raw,
            told,
        })
    }
}

impl ModelInterface for ReadingModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn takes_one_of(&self) -> bool {
        false
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn row_bytes(&self) -> usize {
        // A token, the text that it is of, and what is kept of its word.
        self.predictor.most_tokens().saturating_mul(64)
    }

    fn text_bytes(&self) -> usize {
        TEXT_BYTES
    }
}

impl Served for ReadingModel {
    fn rows(&self, inputs: Vec<InputTensor>, rows: usize) -> Result<ServedRows, String> {
        let (mut texts, mut pairs) = (Vec::new(), None);
        for InputTensor { name, values } in inputs {
            let TensorValues::Strings(values) = values else {
                return Err(format!("input `{name}` has values of a type that no text has"));
            };
            let values: Result<Vec<String>, _> = values.into_iter().map(String::from_utf8).collect();
            let values = values.map_err(|_| format!("input `{name}`: a text is not UTF-8"))?;
            match name == self.fields.text {
                true => texts = values,
                false => pairs = Some(values),
            }
        }
        if texts.len() != rows || pairs.as_ref().is_some_and(|pairs| pairs.len() != rows) {
            return Err("the inputs are not what the model is shown".to_owned());
        }
        let read = texts.iter().enumerate().map(|(row, text)| {
            let pair = pairs.as_ref().map(|pairs| pairs[row].as_str());
            let read = self.predictor.read(text, pair);
            read.map(Arc::new)
                .map_err(|problem| format!("row {}: {problem}", row + 1))
        });
        Ok(ServedRows::Texts(read.collect::<Result<_, _>>()?))
    }

    fn trials(&self) -> ServedRows {
        let trials = TRIALS.iter().map(|text| {
            let pair = self.fields.pair.as_ref().map(|_| *text);
            // A tokenizer may have no token for it.
            let blank = |_| ReadText {
                ids: vec![0],
                segments: pair.map(|_| vec![0]),
                ..ReadText::default()
            };
            Arc::new(self.predictor.read(text, pair).unwrap_or_else(blank))
        });
        ServedRows::Texts(trials.collect())
    }

    fn answer(&self, rows: ServedRows) -> Result<Vec<Vec<f32>>, String> {
        let texts: Vec<&ReadText> = rows.texts().iter().map(Arc::as_ref).collect();
        self.predictor.outputs(&texts).map_err(|error| error.to_string())
    }

    fn is_sound(&self, outputs: &[f32]) -> bool {
        self.predictor.is_finite(outputs)
    }

    fn tensor(&self, index: usize, outputs: &[Vec<f32>], texts: &[Arc<ReadText>]) -> TensorValues {
        let told = index
            .checked_sub(usize::from(self.is_raw))
            .and_then(|told| self.told.get(told));
        let Some(group) = told else {
            return TensorValues::Floats(outputs.concat());
        };
        let rows = outputs.iter().zip(texts);
        group.tensor(rows.map(|(outputs, text)| self.predictor.values(outputs, text)))
    }
}
