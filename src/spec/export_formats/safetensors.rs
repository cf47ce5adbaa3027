//! The format `safetensors`, which has no options.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ExportFormatOptions;
use crate::spec::choice::Named;

/// `model.safetensors` with PyTorch's names and layouts, and `model.json`, its card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "safetensors")]
pub struct SafetensorsOptions;

impl Named for SafetensorsOptions {
    const NAME: &'static str = "safetensors";
}

impl ExportFormatOptions for SafetensorsOptions {}
