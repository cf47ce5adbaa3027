//! How the `export` kind runs.

mod huggingface;
mod list;
mod onnx;
mod peft;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::Device;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::data::Normalization;
use crate::event::{Metrics, Monitor};
use crate::schema::{InputShape, Schema};
use crate::spec::{EvalTransform, Export, Loss, METRICS_FILE, Model, Precision, SafetensorsOptions};
use crate::train::{
    self, CARD_FILE, CardQuantization, ModelTarget, OutputMeaning, TextReading, TrainError, TrainedModel,
    WEIGHTS_FILE, on_threads, read_card,
};

use super::{Job, Outcome, Registry, StageError, StageRunner, own_tokenizer};

pub use list::{ExportedModel, ModelWriter, ModelWriters};

/// The inputs with this prefix hold other stages' figures.
const METRICS_ROLE: &str = "metrics.";

/// Writes the input `model` for other programs.
///
/// The artifact, in the format `safetensors`: `model.safetensors`, with PyTorch's names and layouts, and
/// `model.json`, a card that says how to use it, what it reached (from the inputs `metrics.STAGE`) and
/// what it was made from. In the format `onnx`, `model.onnx` and the same card. In the format `huggingface`, a folder as transformers writes them; in the format `peft`, one
/// of low-rank changes as PEFT writes them.
impl StageRunner for Export {
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let folder = job.input("model")?;
        let mut metrics = BTreeMap::new();
        for (role, path) in &job.inputs {
            if let Some(stage) = role.strip_prefix(METRICS_ROLE) {
                let figures = read_metrics(path)
                    .map_err(|problem| StageError::failed(format!("the metrics of `{stage}`: {problem}")))?;
                metrics.insert(stage.to_owned(), figures);
            }
        }
        let written = on_threads(job.surroundings.threads, || {
            let (writers, components) = (registry.model_writers(), registry.training());
            let written = writers.write_from_folder(&self.format, folder, job, components, monitor);
            if let Some(written) = written {
                return Ok(written);
            }
            // Loading checks that the weights are whole and are those of the architecture.
            let model = TrainedModel::load(folder, &Device::Cpu, registry.training())?;
            let of_quantized = model.quantized.as_ref();
            if let Some(mistake) = of_quantized.and_then(|_| self.format.quantized_mistake()) {
                return Err(TrainError::Quantized(mistake.told("export")));
            }
            let exported = ExportedModel {
                meaning: model.task(&registry.training().tasks)?.meaning(),
                model: &model,
                folder,
                metrics,
                job,
                components: registry.training(),
                monitor,
            };
            Ok(registry.model_writers().write(&self.format, &exported))
        })?;
        written?;
        Ok(Outcome::default())
    }
}

impl ModelWriter for SafetensorsOptions {
    fn write(&self, exported: &ExportedModel<'_>) -> Result<(), TrainError> {
        write(exported)
    }
}

/// The exported card: for people and programs that have never heard of Erlen.
#[derive(Serialize)]
struct ExportCard<'a> {
    architecture: &'a Model,
    parameters: u64,
    weights: ExportedWeights,
    /// The tokens that end a text.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ends: &'a [u32],
    input: ExportedInput<'a>,
    output: ExportedOutput<'a>,
    /// How its weights and tensors were rounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantization: Option<&'a CardQuantization>,
    training: ExportedTraining<'a>,
    metrics: BTreeMap<String, Metrics>,
    provenance: ExportedProvenance<'a>,
}

#[derive(Serialize)]
struct ExportedWeights {
    file: &'static str,
    format: &'static str,
    layout: &'static str,
}

#[derive(Serialize)]
struct ExportedInput<'a> {
    shape: InputShape,
    /// The inputs by name: a table's columns with their categories, in the order of the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'a Schema>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    transforms: &'a [EvalTransform],
    layout: &'static str,
    range: &'static str,
    normalization: &'a Normalization,
    /// How texts reach the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a TextReading>,
}

struct ExportedOutput<'a> {
    meaning: OutputMeaning,
    target: &'a ModelTarget,
}

impl Serialize for ExportedOutput<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut output = serializer.serialize_map(None)?;
        output.serialize_entry("task", &self.target.task)?;
        output.serialize_entry("layout", self.meaning.layout)?;
        output.serialize_entry("meaning", self.meaning.meaning)?;
        output.serialize_entry(self.meaning.names, &self.target.names)?;
        if let Some(width) = self.target.width {
            output.serialize_entry("width", &width)?;
        }
        // How to get from outputs to the targets' own units: times `std`, plus `mean`.
        if let Some(scale) = &self.target.scale {
            output.serialize_entry("scale", scale)?;
        }
        output.end()
    }
}

#[derive(Serialize)]
struct ExportedTraining<'a> {
    precision: Precision,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    kernels: &'a [String],
    /// What is reported as the loss; nothing where the task has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<&'a Loss>,
    batch_size: u32,
    seed: u64,
    epochs: u32,
    selected_epoch: u32,
    metrics: Metrics,
}

#[derive(Serialize)]
struct ExportedProvenance<'a> {
    erlen: &'static str,
    fingerprint: String,
    inputs: &'a BTreeMap<String, String>,
}

/// The card of a model whose weights stand as `weights` says.
fn export_card<'a>(exported: &'a ExportedModel<'_>, weights: ExportedWeights) -> ExportCard<'a> {
    let ExportedModel {
        model,
        meaning,
        metrics,
        job,
        ..
    } = exported;
    let card = &model.card;
    let (layout, range) = match card.input {
        InputShape::Image { .. } => ("N,C,H,W", "pixels from 0 to 255 divided by 255"),
        InputShape::Features { .. } => (
            "N,F",
            "numbers as they are in the source, 0 or 1 for each category",
        ),
        InputShape::Tokens { .. } => ("N,T", "numbers of tokens in the tokenizer's vocabulary"),
    };
    ExportCard {
        architecture: &card.architecture,
        parameters: card.parameters,
        weights,
        ends: &card.ends,
        input: ExportedInput {
            shape: card.input,
            fields: card.inputs.as_ref(),
            transforms: &card.transforms,
            layout,
            range,
            normalization: &card.normalization,
            text: card.text.as_ref(),
        },
        output: ExportedOutput {
            meaning: *meaning,
            target: &card.target,
        },
        quantization: card.quantization.as_ref(),
        training: ExportedTraining {
            precision: card.precision,
            kernels: &card.kernels,
            loss: card.reported_loss.as_ref(),
            batch_size: card.batch_size,
            seed: card.seed,
            epochs: card.epochs,
            selected_epoch: card.selected_epoch,
            metrics: card.metrics.clone(),
        },
        metrics: metrics.clone(),
        provenance: ExportedProvenance {
            erlen: env!("CARGO_PKG_VERSION"),
            fingerprint: job.fingerprint.to_string(),
            inputs: &job.provenance,
        },
    }
}

fn write(exported: &ExportedModel<'_>) -> Result<(), TrainError> {
    let ExportedModel {
        model, folder, job, ..
    } = exported;
    let card = export_card(
        exported,
        ExportedWeights {
            file: WEIGHTS_FILE,
            format: "safetensors",
            layout: "names and shapes of PyTorch (convolutions O,I,H,W), f32",
        },
    );
    train::write_json(&job.output.join(CARD_FILE), &card)?;
    own_tokenizer::take_over(folder, &job.output)?;
    if model.card.lora.is_some() {
        return train::write_weights(&job.output, &model.weights()?);
    }
    let target = job.output.join(WEIGHTS_FILE);
    // Read and written rather than copied: a copy would take over the store's read-only mode.
    let source = folder.join(WEIGHTS_FILE);
    let bytes = fs::read(&source).map_err(|error| TrainError::Read {
        path: source,
        source: error,
    })?;
    fs::write(&target, bytes).map_err(|source| TrainError::Write { path: target, source })
}

/// The figures in a stage's artifact: those in `metrics.json`, or those on a trained model's card.
fn read_metrics(folder: &Path) -> Result<Metrics, String> {
    let path = if folder.is_dir() {
        folder.join(METRICS_FILE)
    } else {
        folder.to_owned()
    };
    if path.exists() {
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        return serde_json::from_str(&text)
            .map_err(|error| format!("`{}` is not an object of numbers ({error})", path.display()));
    }
    let card = folder.join(CARD_FILE);
    if card.exists() {
        return read_card(&card)
            .map(|card| card.metrics)
            .map_err(|error| error.to_string());
    }
    Err(format!(
        "`{}` holds neither metrics.json nor a trained model; name a stage of the kind `evaluate` or `train`",
        folder.display()
    ))
}

#[cfg(test)]
mod tests;
