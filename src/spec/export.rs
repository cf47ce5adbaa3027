//! The `export` kind: a model in a form that other programs read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::Reference;

/// Writes a trained model for use elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// A model made by `train`.
    pub model: Reference,
    /// Stages whose metrics belong on the model's card.
    #[serde(default)]
    pub metrics: Vec<Reference>,
    /// The file format.
    #[serde(default)]
    pub format: ExportFormat,
}

/// The file format of an exported model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// `model.safetensors` with PyTorch's names and layouts, and `model.json`, its card.
    #[default]
    Safetensors,
}
