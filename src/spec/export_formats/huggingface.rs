//! The format `huggingface`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ExportFormatOptions;
use crate::spec::choice::Named;
use crate::spec::train::Precision;

/// A folder of a model of text that `from_pretrained` of versions 4 and 5 of transformers loads alike: `config.json`,
/// `model.safetensors`, and the tokenizer's files where the model has any beside it. The model may be a folder of the
/// project with one already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HuggingFaceOptions {
    /// The format of the numbers: `f32`, `bf16` or `f16`. As they are by default: byte for byte.
    #[serde(default)]
    pub dtype: Option<Precision>,
}

impl Named for HuggingFaceOptions {
    const NAME: &'static str = "huggingface";
}

impl ExportFormatOptions for HuggingFaceOptions {
    fn takes_folders(&self) -> bool {
        true
    }
}
