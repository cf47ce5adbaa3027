//! Heads that give numbers in the units of the targets.
//!
//! A training predicts numbers whose mean is 0 and whose spread is 1, and its card says how they are scaled. Programs that
//! load a folder of Hugging Face's know of no such thing, so there the scale is part of the last layer.

use super::fitting::core_name;
use super::folder::PretrainedFolder;
use crate::train::tensor_file::{HostTensor, NamedTensors};

/// The layers that give numbers, by the families' names for them.
const OUTPUT_LAYERS: [&str; 3] = ["classifier.out_proj", "classifier", "score"];

/// What the parameter `name` of `folder` is part of: the end of its name, where it is one of the last layer.
fn part_of_outputs(folder: &PretrainedFolder, name: &str) -> Option<&'static str> {
    let core = core_name(folder.family(), name);
    let ends = OUTPUT_LAYERS.iter().filter_map(|layer| core.strip_prefix(layer));
    ends.into_iter().find_map(|end| match end {
        ".weight" => Some("weight"),
        ".bias" => Some("bias"),
        _ => None,
    })
}

/// Makes the scale of the numbers that `folder` predicts a part of its last layer, which is among `tensors`.
///
/// # Errors
/// A last layer without a bias, which cannot hold a mean, or of other outputs than the scale: a sentence.
pub(super) fn in_units(folder: &PretrainedFolder, tensors: &mut NamedTensors) -> Result<(), String> {
    let Some(scale) = folder.scale() else {
        return Ok(());
    };
    let mut found = Vec::new();
    for (name, tensor) in tensors.iter_mut() {
        let Some(part) = part_of_outputs(folder, name) else {
            continue;
        };
        let mut values = tensor
            .widened()
            .map_err(|problem| format!("`{name}`: {problem}"))?;
        let outputs = scale.std.len();
        if outputs == 0 || scale.mean.len() != outputs || !values.len().is_multiple_of(outputs) {
            return Err(format!(
                "`{name}` is {:?}, and the targets have {outputs} deviations and {} means",
                tensor.shape(),
                scale.mean.len()
            ));
        }
        let width = (values.len() / outputs).max(1);
        for (index, value) in values.iter_mut().enumerate() {
            *value *= scale.std[index / width];
            if part == "bias" {
                *value += scale.mean[index / width];
            }
        }
        *tensor = HostTensor::from_f32(tensor.shape().to_vec(), &values);
        found.push(part);
    }
    match found.contains(&"bias") || !found.contains(&"weight") {
        true => Ok(()),
        false => Err(
            "the numbers that it predicts are shifted by the mean of the targets in training, and its last layer has no bias \
             for that: train it with `standardize_targets: false`"
                .to_owned(),
        ),
    }
}
