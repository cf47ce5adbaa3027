//! Trainings of low-rank changes: what is trained, and how the rest is kept.
//!
//! Such a training's model is two files: `adapter.safetensors` with what was trained, and `base.safetensors` with what was
//! not, the same bytes for all trainings that begin with the same weights, so that a store keeps them once. Whoever
//! reads the model gets the network as it was built, with the changes in its weights.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::Device;

use super::components::Components;
use super::error::TrainError;
use super::model_file::{CARD_FILE, read_card, write_tensors};
use super::tensor_file::{NamedTensors, TensorFile, read_tensors, to_device};
use crate::models::{Network, is_low_rank};
use crate::spec::{LoraOptions, fits_pattern};

/// The file with what was trained.
pub const ADAPTER_FILE: &str = "adapter.safetensors";

/// The file with the weights that stayed as they were.
pub const BASE_FILE: &str = "base.safetensors";

/// How the names of the weights end of which each has a row for each rank.
const DOWN: &str = ".lora_A.weight";

/// Gives `network` the changes of `options`, and returns the names of the parameters that are trained: those of the
/// changes, of the output layer of a task, and what `options` name besides.
///
/// # Errors
/// A target that fits no linear layer, or a pattern that fits no parameter: a sentence.
pub(super) fn adapt(
    network: &mut Network,
    options: &LoraOptions,
    seed: u64,
) -> Result<BTreeSet<String>, String> {
    network.adapt(options, seed).map_err(|error| error.to_string())?;
    let names = || {
        network
            .parameters()
            .iter()
            .map(|parameter| parameter.name.as_str())
    };
    for pattern in &options.also {
        if !names().any(|name| fits_pattern(pattern, name)) {
            return Err(format!("`{pattern}` in `also` fits no parameter of the model"));
        }
    }
    let head = network.task_head().map(|parameter| parameter.name.as_str());
    let also = names().filter(|name| options.also.iter().any(|pattern| fits_pattern(pattern, name)));
    let changes = names().filter(|name| is_low_rank(name));
    Ok(changes.chain(head).chain(also).map(str::to_owned).collect())
}

/// The parts of a network's state: what stays as it is, and the rest.
pub(super) fn split(network: &Network, state: NamedTensors) -> (NamedTensors, NamedTensors) {
    let frozen = network.parameters().iter().filter(|parameter| parameter.frozen);
    let frozen: BTreeSet<&str> = frozen.map(|parameter| parameter.name.as_str()).collect();
    state
        .into_iter()
        .partition(|(name, _)| frozen.contains(name.as_str()))
}

/// Writes such a model's weights into `folder`.
///
/// # Errors
/// A file cannot be written.
pub fn write_adapter(folder: &Path, base: &NamedTensors, trained: &NamedTensors) -> Result<(), TrainError> {
    write_tensors(&folder.join(BASE_FILE), base)?;
    write_tensors(&folder.join(ADAPTER_FILE), trained)
}

/// Loads such a model's weights, which are in `files`, into `network`, which is as it was built and is so again afterwards.
pub(super) fn load(
    network: &mut Network,
    files: &[TensorFile],
    folder: &Path,
    options: &LoraOptions,
    device: &Device,
) -> Result<(), TrainError> {
    let mut tensors = NamedTensors::new();
    for file in files {
        tensors.extend(file.read_all()?);
    }
    let mut load = || -> Result<(), String> {
        // Changes are made before they are filled.
        let rank = options.rank.get();
        let mut changes = tensors.iter().filter(|(name, _)| name.ends_with(DOWN)).peekable();
        if changes.peek().is_none() {
            return Err("it holds no low-rank changes, and the card tells of some".to_owned());
        }
        let is_other = |shape: &[usize]| shape.first().is_none_or(|own| *own as u64 != u64::from(rank));
        if let Some((name, tensor)) = changes.find(|(_, tensor)| is_other(tensor.shape())) {
            return Err(format!(
                "the card tells of changes of rank {rank}, and `{name}` is {:?}",
                tensor.shape()
            ));
        }
        network.adapt(options, 0).map_err(|error| error.to_string())?;
        let tensors = to_device(&tensors, device)?;
        network.load_state(&tensors).map_err(|error| error.to_string())?;
        network.merge().map_err(|error| error.to_string())
    };
    load().map_err(|problem| TrainError::BadFile {
        path: folder.join(ADAPTER_FILE),
        problem,
    })
}

/// The weights that the changes of the model in `folder` were made of, with what was trained in full; nothing where there are
/// no changes.
///
/// # Errors
/// A file is missing or damaged.
pub(super) fn unmerged_weights(folder: &Path) -> Result<Option<NamedTensors>, TrainError> {
    let path = folder.join(ADAPTER_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let mut tensors = read_tensors(&folder.join(BASE_FILE))?;
    tensors.extend(read_tensors(&path)?);
    tensors.retain(|name, _| !is_low_rank(name));
    Ok(Some(tensors))
}

/// The weights of the model of low-rank changes in `folder`, with the changes in them; nothing where there is none.
///
/// # Errors
/// A file is missing or damaged.
pub(super) fn merged_weights(
    folder: &Path,
    components: &Components,
) -> Result<Option<NamedTensors>, TrainError> {
    if !folder.join(ADAPTER_FILE).is_file() {
        return Ok(None);
    }
    let card = components
        .vocabulary
        .reading(|| read_card(&folder.join(CARD_FILE)))?;
    let model = super::model_file::TrainedModel::of_card(card, folder, &Device::Cpu, components)?;
    model.weights().map(Some)
}
