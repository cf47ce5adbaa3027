//! Whether a file of weights fits a recipe's model, told before there is any data.
//!
//! The samples' shape and the number of outputs are not known then. The model is outlined for several of
//! each, and what differs between the outlines may be anything.

use std::collections::BTreeMap;
use std::path::Path;

use super::components::Components;
use super::huggingface::adapter_alone;
use super::low_rank::ADAPTER_FILE;
use super::model_file::{CARD_FILE, WEIGHTS_FILE};
use super::state_dict::{Fitting, StateDict, WantedTensor, WantedTensors};
use crate::models::{Models, NetworkLayout};
use crate::schema::InputShape;
use crate::spec;

/// Sides of images that are tried: vision transformers need one that their patches divide.
const SIDES: [usize; 8] = [224, 112, 160, 96, 120, 252, 320, 352];

/// Outlines of each kind of samples that are compared.
const OUTLINES: usize = 2;

/// What is wrong with the weights at `path`, a file or the folder of a model, for `model`, as far as their
/// description tells. Only that is read.
pub fn init_problem(model: &spec::Model, path: &Path, components: &Components) -> Option<String> {
    if has_card_beside(path) {
        return Some(format!(
            "the model's card, `{CARD_FILE}`, stands beside it, and tells its columns, classes and normalisation: name the \
             stage or the folder, not the file in it, so that they are compared"
        ));
    }
    if let Some(problem) = adapter_alone(path) {
        return Some(problem);
    }
    // Such a folder was written by a training, whole and with our own names.
    if path.join(ADAPTER_FILE).is_file() {
        return None;
    }
    let file = match StateDict::open(path) {
        Ok(file) => file,
        Err(problem) => return Some(problem),
    };
    let outlines = outlines(model, &components.models);
    let mut outlines = outlines.into_iter();
    let mut wanted = WantedTensors::of(model.name(), outlines.next()?);
    for other in outlines {
        let other = WantedTensors::of(model.name(), other);
        generalise(&mut wanted.tensors, &other.tensors);
    }
    Fitting::find(&wanted, &file).err()
}

/// Whether `path` is the file of weights of a model that a stage made, with its card beside it.
pub(super) fn has_card_beside(path: &Path) -> bool {
    let is_file = path.file_name().is_some_and(|name| name == WEIGHTS_FILE) && path.is_file();
    let text = path
        .parent()
        .map(|folder| std::fs::read_to_string(folder.join(CARD_FILE)));
    let card = text
        .and_then(Result::ok)
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    is_file && card.is_some_and(|card| card.get("architecture").is_some())
}

/// The model for several kinds of samples and numbers of outputs.
fn outlines(model: &spec::Model, models: &Models) -> Vec<NetworkLayout> {
    let of = |inputs: &[InputShape]| -> Vec<NetworkLayout> {
        let built = inputs
            .iter()
            .enumerate()
            .filter_map(|(index, input)| models.outline(model, *input, 2 + index).ok());
        built.take(OUTLINES).collect()
    };
    let image = |(index, side): (usize, &usize)| InputShape::Image {
        channels: 3 + index,
        height: *side,
        width: *side,
    };
    let images: Vec<InputShape> = SIDES.iter().enumerate().map(image).collect();
    let rows = [5, 7].map(|columns| InputShape::Features { columns });
    let (images, rows) = (of(&images), of(&rows));
    // One outline does not tell what depends on the data.
    let kinds = [images, rows]
        .into_iter()
        .filter(|outlines| outlines.len() == OUTLINES);
    kinds.flatten().collect()
}

/// Takes what differs from `other` as unknown.
fn generalise(tensors: &mut BTreeMap<String, WantedTensor>, other: &BTreeMap<String, WantedTensor>) {
    for (name, wanted) in tensors {
        let Some(other) = other.get(name) else {
            continue;
        };
        for (side, other) in wanted.shape.iter_mut().zip(&other.shape) {
            if side != other {
                *side = None;
            }
        }
    }
}
