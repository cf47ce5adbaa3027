//! One of the models that are asked about samples from outside a dataset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;

use super::components::Components;
use super::error::TrainError;
use super::inference::{Inference, KeptPasses};
use super::model_file::{Card, OF_TEXTS, READS_TEXTS, TrainedModel};
use super::tasks::Task;
use super::tensor_file::input_tensor;
use crate::data::{
    ArrayValues, Collation, DataError, Example, PipelineOptions, ReadText, SEGMENTS, SamplePipeline,
    TOKENIZER_FOLDER, TextForm, TextGoal, TextReader,
};
use crate::models::{Network, NetworkInput, TokenBatch};
use crate::schema::{FieldKind, InputShape, Schema, TextFields};
use crate::spec;

/// The file with a tokenizer.
const TOKENIZER_FILE: &str = "tokenizer.json";

/// One of the models.
pub(super) struct EnsembleMember {
    pub card: Card,
    network: Network,
    kept: KeptPasses,
    /// What it is shown.
    pub shown: Schema,
    reading: MemberReading,
    /// Which of its outputs each of the first model's is.
    pub order: Vec<usize>,
}

/// How samples become what a model is shown.
enum MemberReading {
    Rows(Box<SamplePipeline>),
    Texts(Box<TextReader>),
}

impl EnsembleMember {
    /// The model in `folder`, which is asked by itself, and what it predicts.
    ///
    /// # Errors
    /// There is none, it cannot be read, or cannot be asked.
    pub fn alone(
        folder: &Path,
        device: &Device,
        components: &Components,
    ) -> Result<(Self, Arc<dyn Task>), TrainError> {
        let model = TrainedModel::load(folder, device, components)?;
        let target = &model.card.target;
        let task = components.tasks.shared(&target.task);
        let task = task.ok_or_else(|| TrainError::UnknownTask {
            task: target.task.clone(),
        })?;
        let order = (0..target.names.len()).collect();
        let member = Self::new(model, order, &*task, folder);
        let mut member = member.map_err(|problem| TrainError::CannotPredict {
            path: folder.to_owned(),
            problem,
        })?;
        member.kept = KeptPasses::alone(member.card.input);
        Ok((member, task))
    }

    /// The model in `folder`, whose outputs have the order `order`. An error says why it cannot be asked.
    pub fn new(
        model: TrainedModel,
        order: Vec<usize>,
        task: &dyn Task,
        folder: &Path,
    ) -> Result<Self, String> {
        let TrainedModel { card, network, .. } = model;
        let Some(shown) = card.inputs.as_ref().map(Schema::inputs) else {
            return Err(match card.text {
                Some(_) => no_tokenizer(),
                None => "it was made by an Erlen that did not keep what a model is shown: train it again"
                    .to_owned(),
            });
        };
        let (shown, reading) = match card.text {
            Some(_) if !READS_TEXTS => return Err(OF_TEXTS.to_owned()),
            Some(_) => {
                let (shown, reader) = text_reader(&card, &shown, task, folder)?;
                (shown, MemberReading::Texts(Box::new(reader)))
            }
            None => {
                let options = PipelineOptions {
                    augment: card.transforms.iter().map(spec::Augment::from).collect(),
                    normalization: card.normalization.clone(),
                    target_scale: None,
                    collation: Collation::default(),
                };
                let pipeline = SamplePipeline::new(&shown, options).map_err(|error| error.to_string())?;
                if pipeline.shape() != Some(card.input) {
                    return Err("its card contradicts itself about what it is shown".to_owned());
                }
                (shown, MemberReading::Rows(Box::new(pipeline)))
            }
        };
        Ok(Self {
            card,
            network,
            kept: KeptPasses::default(),
            shown,
            reading,
            order,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What makes tokens of texts, where it is shown texts.
    pub fn reader(&self) -> Option<&TextReader> {
        match &self.reading {
            MemberReading::Texts(reader) if READS_TEXTS => Some(reader),
            _ => None,
        }
    }

    /// What the network is shown of a batch, row by row.
    pub fn rows(&self, examples: &[Example]) -> Result<Vec<f32>, TrainError> {
        let lacks = || DataError::Options("the samples lack numbers to show the network".into());
        let MemberReading::Rows(pipeline) = &self.reading else {
            return Err(lacks().into());
        };
        let mut batch = pipeline.batch(examples)?;
        let array = pipeline
            .schema()
            .input()
            .and_then(|field| batch.take(&field.name));
        let Some(ArrayValues::F32(rows)) = array.map(|array| array.values) else {
            return Err(lacks().into());
        };
        Ok(rows)
    }

    /// The outputs for the rows of a batch, as the network gives them.
    pub fn outputs(
        &self,
        rows: Vec<f32>,
        device: &Device,
        test_time_flip: bool,
    ) -> Result<Vec<f32>, TrainError> {
        let shape = self.card.input;
        let mirrored = test_time_flip.then(|| rows.clone());
        let samples = rows.len() / shape.len().max(1);
        let inputs = input_tensor(rows, samples, shape, device)?;
        self.inference(device).outputs(&inputs, mirrored)
    }

    /// The outputs for each of `texts`, as the network gives them: a row, or one for each token. They go through it one
    /// behind the other, and nothing is filled up, so that a text's outputs do not depend on the others.
    pub fn text_outputs(&self, texts: &[&ReadText], device: &Device) -> Result<Vec<Vec<f32>>, TrainError> {
        let (mut ids, mut segments, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        for text in texts {
            ids.extend_from_slice(&text.ids);
            segments.extend(text.segments.iter().flatten());
            offsets.push(ids.len());
        }
        let tokens = TokenBatch::ragged(&ids, &offsets, device)?;
        let tokens = match segments.is_empty() {
            true => tokens,
            false => tokens.with_types(&segments)?,
        };
        let answer = self.inference(device).answer(&NetworkInput::Tokens(tokens))?;
        let values = answer.outputs(self.card.precision)?;
        let values = values.flatten_all()?.to_vec1::<f32>()?;
        let width = self.card.target.outputs();
        let of_words = self
            .reader()
            .is_some_and(|reader| reader.form() == TextForm::Words);
        let mut rest = values.as_slice();
        let outputs = texts.iter().map(|text| {
            let rows = if of_words { text.ids.len() } else { 1 };
            let (own, behind) = rest.split_at(rest.len().min(rows * width));
            rest = behind;
            own.to_vec()
        });
        Ok(outputs.collect())
    }

    fn inference<'a>(&'a self, device: &'a Device) -> Inference<'a> {
        Inference {
            network: &self.network,
            precision: self.card.precision,
            shape: self.card.input,
            device,
            kept: &self.kept,
        }
    }
}

fn no_tokenizer() -> String {
    "there is no tokenizer beside it, by which texts would become what it is shown: export it again from the training, or \
     put the tokenizer's files into its folder"
        .to_owned()
}

/// What texts of `card`'s model are called, and what makes tokens of them.
fn text_reader(
    card: &Card,
    shown: &Schema,
    task: &dyn Task,
    folder: &Path,
) -> Result<(Schema, TextReader), String> {
    let form = match task.text_goal() {
        TextGoal::NextToken => {
            return Err(
                "it goes on with texts, and says nothing of them: a `generate` stage and `erlen serve` have it do so"
                    .to_owned(),
            );
        }
        TextGoal::MaskedTokens => {
            return Err(
                "it guesses hidden tokens, and says nothing of texts: train it for that first, by \
                 `model: {pretrained: {from: ...}}`"
                    .to_owned(),
            );
        }
        TextGoal::Tokens => TextForm::Words,
        TextGoal::Samples if shown.field(SEGMENTS).is_some() => TextForm::Pair,
        TextGoal::Samples | TextGoal::Pairs => TextForm::Single,
    };
    let field = shown.input().filter(|field| field.kind == FieldKind::Tokens);
    let Some(field) = field else {
        return Err("its card contradicts itself about what it is shown".to_owned());
    };
    let tokenizer = tokenizer_beside(folder).ok_or_else(no_tokenizer)?;
    let context = card.architecture.text().map_or(usize::MAX, |text| text.context);
    let InputShape::Tokens { vocabulary, .. } = card.input else {
        return Err("its card contradicts itself about what it is shown".to_owned());
    };
    let reader = TextReader::open(&tokenizer, field, form, context, vocabulary);
    let reader = reader.map_err(|error| error.to_string())?;
    let known = field.texts.as_deref().cloned().unwrap_or_default();
    let texts = TextFields {
        text: known.text,
        // Of texts that were compared each one is asked about by itself.
        pair: (form == TextForm::Pair).then(|| known.pair.unwrap_or_else(|| "pair".to_owned())),
    };
    let shown = Schema::new(vec![field.clone().with_texts(texts)])?;
    Ok((shown, reader))
}

/// Where the tokenizer of the model in `folder` is.
fn tokenizer_beside(folder: &Path) -> Option<PathBuf> {
    if folder.is_file() {
        return Some(folder.to_owned());
    }
    let places = [folder.to_owned(), folder.join(TOKENIZER_FOLDER)];
    places
        .into_iter()
        .find(|place| place.join(TOKENIZER_FILE).is_file())
}
