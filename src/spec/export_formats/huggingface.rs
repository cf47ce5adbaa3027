//! The format `huggingface`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ExportFormatOptions;
use super::rules::{no_changes, not_of_text};
use crate::spec::Train;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::train::Precision;

/// A folder of a model of text that `from_pretrained` of versions 4 and 5 of transformers loads alike: `config.json`,
/// `model.safetensors`, and the tokenizer's files where the model has any beside it. The model may be a folder of the
/// project with one already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HuggingFaceOptions {
    /// The format of the numbers: `f32`, `bf16` or `f16`. As they are by default: byte for byte.
    #[serde(default)]
    pub dtype: Option<Precision>,
    /// Whether low-rank changes (`lora`) become part of the weights. Where not, the folder holds the weights that they
    /// were made of, with the output layer that was trained, and its folder `adapter` what `peft` writes.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub merge: bool,
}

impl Default for HuggingFaceOptions {
    fn default() -> Self {
        Self {
            dtype: None,
            merge: true,
        }
    }
}

fn yes() -> bool {
    true
}

fn is_yes(merge: &bool) -> bool {
    *merge
}

impl Named for HuggingFaceOptions {
    const NAME: &'static str = "huggingface";
}

impl ExportFormatOptions for HuggingFaceOptions {
    fn takes_folders(&self) -> bool {
        true
    }

    fn model_mistake(&self, train: &Train) -> Option<Mistake> {
        let changes = || {
            no_changes(
                train,
                "there is nothing that could be left unmerged (`merge: false`)",
            )
        };
        let changes = (!self.merge).then(changes).flatten();
        not_of_text(Self::NAME, train).or(changes)
    }
}
