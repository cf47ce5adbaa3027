//! The format `onnx`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ExportFormatOptions;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;

/// `model.onnx`, a model that ONNX Runtime, OpenVINO and others run: the batch (and the length of texts) free, batch norms
/// within the weights before them, classes, normalisation and provenance among its metadata. Beside it `model.json`, its
/// card, and the tokenizer's files where the model has any; weights of 2 GiB and more are in `model.onnx.data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnnxExportOptions {
    /// The version of the operators, from 17 to 27: runtimes run those that they know. By default 20.
    #[serde(default)]
    pub opset: Opset,
    /// What the model takes.
    #[serde(default)]
    pub input: OnnxInput,
    /// The format of its numbers. Inputs and outputs are f32 in any case.
    #[serde(default)]
    pub dtype: OnnxNumbers,
}

/// A version of ONNX's operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Opset(u8);

impl Opset {
    const RANGE: std::ops::RangeInclusive<u8> = 17..=27;

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl Default for Opset {
    fn default() -> Self {
        Self(20)
    }
}

impl TryFrom<u8> for Opset {
    type Error = String;

    fn try_from(opset: u8) -> Result<Self, String> {
        match Self::RANGE.contains(&opset) {
            true => Ok(Self(opset)),
            false => Err(format!(
                "opset {opset} is none of those that are written, from {} to {}",
                Self::RANGE.start(),
                Self::RANGE.end()
            )),
        }
    }
}

impl From<Opset> for u8 {
    fn from(opset: Opset) -> Self {
        opset.0
    }
}

impl JsonSchema for Opset {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Opset".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A version of ONNX's operators.",
            "type": "integer",
            "minimum": *Self::RANGE.start(),
            "maximum": *Self::RANGE.end(),
        })
    }
}

/// What an ONNX model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnnxInput {
    /// What the network takes: `input`, f32, images as N,C,H,W, normalised as the card says; of texts `input_ids` and,
    /// where a text's filling must be told from its tokens, `attention_mask`; of pairs of texts `token_type_ids` too.
    #[default]
    Tensor,
    /// Images as they are: `pixels`, bytes as N,H,W,C from 0 to 255, which the model normalises.
    Pixels,
}

/// The format of an ONNX model's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnnxNumbers {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the size. Runtimes widen them where a processor does not multiply them.
    F16,
}

impl Named for OnnxExportOptions {
    const NAME: &'static str = "onnx";
}

impl ExportFormatOptions for OnnxExportOptions {
    fn takes_folders(&self) -> bool {
        true
    }

    fn quantized_mistake(&self) -> Option<Mistake> {
        let message = "the weights of a quantized model have eight bits already";
        let mistake = || Mistake::new(["dtype"], message).help("leave `dtype` out");
        (self.dtype == OnnxNumbers::F16).then(mistake)
    }

    fn model_mistake(&self, train: &crate::spec::Train) -> Option<Mistake> {
        let is_text = train.model.text().is_some() || train.model.base().is_some();
        (self.input == OnnxInput::Pixels && is_text).then(|| {
            Mistake::new(
                Vec::<String>::new(),
                "`input: pixels` is for models of images, and this one takes texts",
            )
            .help("leave `input` out")
        })
    }
}
