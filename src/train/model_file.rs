//! A trained model as files: `model.safetensors` and its card, `model.json`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::components::Components;
use super::error::TrainError;
use super::exported_card::read_exported;
use super::feed::TextReading;
use super::huggingface::{PretrainedFolder, adapter_alone};
use super::low_rank;
use super::meeting::KnownModel;
use super::quantized::{CardQuantization, read_quantized};
use super::tasks::{ModelTarget, Task, Tasks};
use super::tensor_file::{NamedTensors, TensorFile, encode, to_host, write_atomically};
use crate::data::{Augmentation, Dataset, Normalization, SEGMENTS};
use crate::event::{Metrics, Monitor};
use crate::models::{ModelError, Models, Network};
use crate::quantization::QuantizedNetwork;
use crate::schema::{FieldKind, InputShape, Schema};
use crate::spec;

/// Whether models of texts are read: not in a program that only asks models, in which nothing that they need is linked.
pub(super) const READS_TEXTS: bool = cfg!(feature = "full");

/// What is said of a model of texts where they are not read.
pub(super) const OF_TEXTS: &str =
    "it is a model of texts, and this program is built without them: `erlen predict` asks it";

/// The file with the weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The file of an ONNX export.
const ONNX_FILE: &str = "model.onnx";
/// The file with the card.
pub const CARD_FILE: &str = "model.json";

/// What has to be known to use a model's weights. It holds no dates and no times: the same training
/// gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The version of this layout.
    pub card_version: u32,
    /// The architecture, as a pipeline file spells it.
    pub architecture: spec::Model,
    /// The shape of one sample where it reaches the network; images are `[C, H, W]`.
    pub input: InputShape,
    /// What a sample of the training data held: a table's columns with their categories. Nothing on
    /// cards of version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Schema>,
    /// How texts reach the network, where samples are texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextReading>,
    /// What the outputs mean.
    pub target: ModelTarget,
    /// What is done to each image first.
    pub transforms: Vec<spec::EvalTransform>,
    /// What is done to each channel (or column) first.
    pub normalization: Normalization,
    /// The loss that is reported: the recipe's without smoothing and weights; nothing where the task
    /// has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_loss: Option<spec::Loss>,
    /// The arithmetic that it was trained with.
    pub precision: spec::Precision,
    /// What multiplied in training, see [`crate::ops::arithmetic`]: several where it went on with other kernels. Nothing on
    /// cards that do not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<String>,
    /// The tokens that end a text, where the model that this one was made from names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<u32>,
    /// Samples a micro-batch in training.
    pub batch_size: u32,
    /// The seed of everything drawn.
    pub seed: u64,
    /// The number of parameters, frozen ones included.
    pub parameters: u64,
    /// Epochs of training.
    pub epochs: u32,
    /// The epoch whose weights these are, from 1.
    pub selected_epoch: u32,
    /// Optimizer steps that led to them.
    pub selected_step: u64,
    /// The figures of that epoch.
    pub metrics: Metrics,
    /// The low-rank changes that were trained, where the weights themselves were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<spec::LoraOptions>,
    /// How it was quantized, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<CardQuantization>,
}

impl Card {
    /// The version that is written. 2: tasks other than classification, transforms, the loss. 3: the
    /// inputs by name.
    pub const VERSION: u32 = 3;

    /// The version of the cards of quantized models, whose weights earlier versions would take for something else.
    pub const QUANTIZED: u32 = 4;

    /// The oldest version that is read.
    const OLDEST: u32 = 2;

    /// Whether samples are pairs of texts whose tokens tell which of the two they are of.
    pub fn is_of_pairs(&self) -> bool {
        self.inputs
            .as_ref()
            .is_some_and(|inputs| inputs.field(SEGMENTS).is_some())
    }
}

/// A model with its weights.
pub struct TrainedModel {
    /// What it is.
    pub card: Card,
    /// The network, with the weights loaded. That of a quantized model has no parameters that it could tell.
    pub network: Network,
    /// What the network of a quantized model is made of.
    pub quantized: Option<Arc<QuantizedNetwork>>,
}

impl TrainedModel {
    /// Loads the model in `folder`, which `train` or `export` made, or a Hugging Face program.
    ///
    /// # Errors
    /// A file is missing or damaged, or the weights are not exactly those of the architecture.
    pub fn load(folder: &Path, device: &Device, components: &Components) -> Result<Self, TrainError> {
        if PretrainedFolder::is_at(folder) {
            if !READS_TEXTS {
                return Err(TrainError::BadFile {
                    path: folder.to_owned(),
                    problem: OF_TEXTS.to_owned(),
                });
            }
            return Self::of_folder(folder, device, components);
        }
        if let Some(problem) = adapter_alone(folder) {
            return Err(TrainError::BadFile {
                path: folder.to_owned(),
                problem,
            });
        }
        if folder.join(ONNX_FILE).is_file() && !folder.join(WEIGHTS_FILE).is_file() {
            let problem = "it is an ONNX export, for other programs: name the stage that it was made from";
            return Err(TrainError::BadFile {
                path: folder.to_owned(),
                problem: problem.to_owned(),
            });
        }
        let card = components
            .vocabulary
            .reading(|| read_any_card(&folder.join(CARD_FILE), &components.tasks))?;
        Self::of_card(card, folder, device, components)
    }

    /// The same, where the card has been read.
    ///
    /// # Errors
    /// As [`TrainedModel::load`].
    pub(super) fn of_card(
        card: Card,
        folder: &Path,
        device: &Device,
        components: &Components,
    ) -> Result<Self, TrainError> {
        let opened = |name: &str| TensorFile::open(&folder.join(name));
        let blank = |files: &[TensorFile], device: &Device| {
            let held = files
                .iter()
                .map(TensorFile::numbers)
                .fold(0, usize::saturating_add);
            let (model, outputs) = (&card.architecture, card.target.outputs());
            let blank = components
                .models
                .blank_for(model, card.input, outputs, held, device);
            blank.map_err(|error| match error {
                ModelError::Unfilled { .. }
                | ModelError::SampleTooLarge { .. }
                | ModelError::TooLarge { .. }
                | ModelError::TooDeep { .. } => TrainError::BadFile {
                    path: folder.join(CARD_FILE),
                    problem: error.to_string(),
                },
                error => error.into(),
            })
        };
        if let Some(options) = &card.lora {
            let files = [opened(low_rank::BASE_FILE)?, opened(low_rank::ADAPTER_FILE)?];
            let mut network = blank(&files, device)?;
            low_rank::load(&mut network, &files, folder, options, device)?;
            return Ok(Self {
                card,
                network,
                quantized: None,
            });
        }
        let path = folder.join(WEIGHTS_FILE);
        let files = [opened(WEIGHTS_FILE)?];
        if let Some(quantization) = &card.quantization {
            let blank = blank(&files, &Device::Cpu)?;
            let quantized = read_quantized(&card, quantization, &blank, files[0].read_all()?);
            let quantized = quantized.map_err(|problem| TrainError::BadFile { path, problem })?;
            return Ok(Self {
                network: Arc::clone(&quantized)
                    .into_network(&blank, true)
                    .map_err(TrainError::from)?,
                quantized: Some(quantized),
                card,
            });
        }
        let (network, [file]) = (blank(&files, device)?, files);
        let loaded = network.load_each(&file.layouts(), |name| file.read_to(name, device));
        loaded.map_err(|error| match error {
            TrainError::Model(error) => TrainError::BadFile {
                path,
                problem: error.to_string(),
            },
            error => error,
        })?;
        Ok(Self {
            card,
            network,
            quantized: None,
        })
    }

    /// The weights and running statistics.
    ///
    /// # Errors
    /// A device's memory cannot be read.
    pub fn weights(&self) -> Result<NamedTensors, TrainError> {
        Ok(to_host(&self.network.state()?)?)
    }

    /// The network, on the CPU, with low-rank changes, where it has any, as part of its weights.
    ///
    /// # Errors
    /// Memory that the device does not have.
    pub fn merged(&self, models: &Models) -> Result<Network, TrainError> {
        let card = &self.card;
        let outputs = card.target.outputs();
        let network = models.blank(&card.architecture, card.input, outputs, &Device::Cpu)?;
        network.load_state(&self.network.state()?)?;
        Ok(network)
    }

    /// What the model predicts, one of `tasks`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn task<'a>(&self, tasks: &'a Tasks) -> Result<&'a dyn Task, TrainError> {
        let name = &self.card.target.task;
        tasks
            .named(name)
            .ok_or_else(|| TrainError::UnknownTask { task: name.clone() })
    }

    /// What the model knows of data by name.
    pub fn known(&self) -> KnownModel {
        KnownModel {
            inputs: self.card.inputs.clone(),
            target: self.card.target.clone(),
            normalization: Some(self.card.normalization.clone()),
        }
    }

    /// The samples of `dataset` as the model knows them; see [`KnownModel::meet`].
    ///
    /// # Errors
    /// It is not what the model was trained for; the message names what differs.
    pub fn meet(
        &self,
        dataset: &Dataset,
        tasks: &Tasks,
        folder: &Path,
        monitor: &Monitor,
    ) -> Result<Dataset, TrainError> {
        let dataset = self
            .known()
            .meet(dataset, self.task(tasks)?, tasks, folder, monitor)?;
        self.check_shape(&dataset)?;
        Ok(dataset)
    }

    /// The same for what the model is shown alone: of what is to be predicted nothing is asked.
    ///
    /// # Errors
    /// As for [`TrainedModel::meet`].
    pub fn meet_inputs(
        &self,
        dataset: &Dataset,
        folder: &Path,
        monitor: &Monitor,
    ) -> Result<Dataset, TrainError> {
        let dataset = self.known().meet_inputs(dataset, folder, monitor)?;
        self.check_shape(&dataset)?;
        Ok(dataset)
    }

    fn check_shape(&self, dataset: &Dataset) -> Result<(), TrainError> {
        // Of texts the tokenizer was compared, and lengths are checked where they are cut.
        let is_text = dataset.input().kind == FieldKind::Tokens;
        if is_text && matches!(self.card.input, InputShape::Tokens { .. }) {
            return Ok(());
        }
        let transforms: Vec<spec::Augment> = self.card.transforms.iter().map(spec::Augment::from).collect();
        let augmentation = Augmentation::new(&transforms, dataset.schema())?;
        let input = augmentation.input_after();
        if input.input_shape() != Some(self.card.input) {
            return Err(TrainError::Mismatch {
                what: "the shape of a sample",
                model: self.card.input.of_sample(),
                data: match is_text {
                    true => "tokens".to_owned(),
                    false => input.to_string(),
                },
            });
        }
        Ok(())
    }
}

/// Reads the card of a trained or of an exported model.
///
/// # Errors
/// The file is missing or is not a card.
fn read_any_card(path: &Path, tasks: &Tasks) -> Result<Card, TrainError> {
    let text = read_text(path)?;
    let bad = |problem: String| TrainError::BadFile {
        path: path.to_owned(),
        problem,
    };
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    // Before the architecture is looked for, which is none of those that are there.
    let of_texts = [
        &value["text"],
        &value["input"]["tokens"],
        &value["input"]["text"],
        &value["input"]["shape"]["tokens"],
    ];
    if !READS_TEXTS && of_texts.iter().any(|found| !found.is_null()) {
        return Err(bad(OF_TEXTS.to_owned()));
    }
    match value.get("card_version").is_none() && value.get("architecture").is_some() {
        true => read_exported(&text, tasks),
        false => parsed_card(&text),
    }
    .map_err(bad)
}

fn read_text(path: &Path) -> Result<String, TrainError> {
    fs::read_to_string(path).map_err(|source| TrainError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Reads a model's card.
///
/// # Errors
/// The file is missing or is not a card.
pub fn read_card(path: &Path) -> Result<Card, TrainError> {
    parsed_card(&read_text(path)?).map_err(|problem| TrainError::BadFile {
        path: path.to_owned(),
        problem,
    })
}

/// The card of a trained model that `text` is, or what is wrong with it.
fn parsed_card(text: &str) -> Result<Card, String> {
    let card: Card = serde_json::from_str(text).map_err(|error| format!("not a model's card: {error}"))?;
    match (Card::OLDEST..=Card::QUANTIZED).contains(&card.card_version) {
        true => Ok(card),
        false => Err(format!(
            "its version is {}, but this Erlen reads versions {} to {}; train the model again",
            card.card_version,
            Card::OLDEST,
            Card::QUANTIZED
        )),
    }
}

/// Writes a model's weights into `folder`, in the order of their names.
///
/// # Errors
/// The file cannot be written.
pub fn write_weights(folder: &Path, weights: &NamedTensors) -> Result<(), TrainError> {
    write_tensors(&folder.join(WEIGHTS_FILE), weights)
}

/// Writes tensors into a file, in the order of their names.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write_tensors(path: &Path, weights: &NamedTensors) -> Result<(), TrainError> {
    let entries = weights.iter().map(|(name, tensor)| (name.as_str(), tensor));
    // `format: pt` is what programs of the PyTorch world look for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = encode(entries, metadata).map_err(|problem| TrainError::BadFile {
        path: path.to_owned(),
        problem,
    })?;
    write_atomically(path, &bytes)
}

/// Writes `value` as indented JSON with a final newline.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let failed = |source| TrainError::Write {
        path: path.to_owned(),
        source,
    };
    let mut text = serde_json::to_string_pretty(value).map_err(|error| failed(error.into()))?;
    text.push('\n');
    fs::write(path, text).map_err(failed)
}
