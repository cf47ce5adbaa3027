//! The card of an exported model, read back.

use serde::Deserialize;

use super::feed::TextReading;
use super::model_file::Card;
use super::tasks::{ModelTarget, Tasks};
use crate::data::{Normalization, TargetScale};
use crate::event::Metrics;
use crate::schema::{InputShape, Schema};
use crate::spec;

/// Samples that are asked about together where a card does not tell with how many it was trained.
const BATCH_SIZE: u32 = 32;

/// What of an exported card is needed to use the model here; the rest is for other programs.
#[derive(Deserialize)]
struct ReadExport {
    architecture: spec::Model,
    parameters: u64,
    #[serde(default)]
    ends: Vec<u32>,
    input: ReadInput,
    output: serde_json::Value,
    training: ReadTraining,
}

#[derive(Deserialize)]
struct ReadInput {
    shape: InputShape,
    #[serde(default)]
    fields: Option<Schema>,
    #[serde(default)]
    transforms: Vec<spec::EvalTransform>,
    normalization: Normalization,
    #[serde(default)]
    text: Option<TextReading>,
}

#[derive(Deserialize)]
struct ReadTraining {
    precision: spec::Precision,
    #[serde(default)]
    loss: Option<spec::Loss>,
    #[serde(default)]
    kernels: Vec<String>,
    #[serde(default)]
    batch_size: Option<u32>,
    seed: u64,
    epochs: u32,
    selected_epoch: u32,
    metrics: Metrics,
}

/// The card of the model that an exported card, `text`, tells of, which predicts one of `tasks`.
///
/// # Errors
/// A sentence: it is no such card, or does not tell enough.
pub(super) fn read_exported(text: &str, tasks: &Tasks) -> Result<Card, String> {
    let card: ReadExport =
        serde_json::from_str(text).map_err(|error| format!("not a model's card: {error}"))?;
    let (input, training) = (card.input, card.training);
    Ok(Card {
        card_version: Card::VERSION,
        architecture: card.architecture,
        input: input.shape,
        inputs: input.fields,
        text: input.text,
        target: read_target(&card.output, tasks)?,
        transforms: input.transforms,
        normalization: input.normalization,
        reported_loss: training.loss,
        precision: training.precision,
        kernels: training.kernels,
        ends: card.ends,
        batch_size: training.batch_size.unwrap_or(BATCH_SIZE),
        seed: training.seed,
        parameters: card.parameters,
        epochs: training.epochs,
        selected_epoch: training.selected_epoch,
        selected_step: 0,
        metrics: training.metrics,
        lora: None,
        quantization: None,
    })
}

/// What the outputs mean.
fn read_target(output: &serde_json::Value, tasks: &Tasks) -> Result<ModelTarget, String> {
    let Some(name) = output["task"].as_str() else {
        return Err(
            "it was exported by an Erlen that did not tell the task: export the model again".to_owned(),
        );
    };
    let Some(task) = tasks.named(name) else {
        return Err(format!(
            "the model is for the task `{name}`, which this program does not have"
        ));
    };
    let bad = |error: serde_json::Error| format!("not a model's card: `output`: {error}");
    Ok(ModelTarget {
        task: task.rules().name.to_owned(),
        names: Vec::deserialize(&output[task.meaning().names]).map_err(bad)?,
        width: Option::<usize>::deserialize(&output["width"]).map_err(bad)?,
        scale: Option::<TargetScale>::deserialize(&output["scale"]).map_err(bad)?,
    })
}
