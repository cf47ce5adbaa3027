//! The options of `pretrained`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelOptions;
use super::text_head::TextHead;
use crate::spec::choice::Named;
use crate::spec::reference::Reference;

/// A model of text that is there: architecture, sizes and weights are those of its folder. GPT-2, BERT, DistilBERT,
/// RoBERTa, Llama, Qwen 2 and 3, and Mistral are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainedOptions {
    /// A folder as Hugging Face's programs write it, a GGUF file with a Llama, or a stage of kind `train` or `export`. It
    /// counts by its content.
    pub from: Reference,
    /// What the model is to give. By default what there is to predict. A head that the folder does not have is
    /// drawn, which is told.
    #[serde(default)]
    pub head: Option<TextHead>,
    /// Whether the embedding is the output layer's weight too, where the folder does not tell it as it is.
    #[serde(default)]
    pub tied: Option<bool>,
}

impl Named for PretrainedOptions {
    const NAME: &'static str = "pretrained";
}

impl ModelOptions for PretrainedOptions {
    fn base(&self) -> Option<(&'static str, &Reference)> {
        Some(("from", &self.from))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::{Pipeline, SpecError};

    fn parsed(model: &str, more: &str) -> Result<Pipeline, SpecError> {
        let source = format!(
            "stages:\n  d: {{command: {{run: make, outputs: [o]}}}}\n  m: {{train: {{data: d, model: {model}, epochs: 1, \
             optimizer: {{sgd: {{lr: 0.1}}}}{more}}}}}\n"
        );
        Pipeline::parse(Path::new("p.yaml"), &source, &[])
    }

    #[test]
    fn what_cannot_be_is_told() {
        let told = |model: &str, more: &str| {
            let error = parsed(model, more).err().map(|error| error.mistakes);
            let told = error.into_iter().flatten().map(|mistake| mistake.to_string());
            told.collect::<Vec<_>>().join("; ")
        };
        let two = told("{pretrained: {from: ./a}}", ", init: {from: ./b}");
        assert_eq!(
            two,
            "the training would begin with these weights and with those of `./a`"
        );
        assert!(told("{pretrained: {from: d, head: next}}", "").contains("next"));
        assert!(told("{pretrained: {from: nowhere}}", "").contains("there is no stage `nowhere`"));
        assert!(told("pretrained", "").contains("from"));
        assert_eq!(told("{pretrained: {from: d}}", ""), "");
    }
}
