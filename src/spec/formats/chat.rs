//! The options of `chat`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::tokenizers;
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::spec::choice::Named;
use crate::spec::kinds::{Accepts, Input};
use crate::spec::preprocess::TargetKind;
use crate::spec::reference::Reference;

/// Conversations: JSON lines with a list of messages in each, written as text by the tokenizer's chat template. What
/// assistants say is learnt, by default nothing else; each token's mask says so, so that neither padding nor `eos` is
/// taken for the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatOptions {
    /// Which files of a folder: a pattern such as `*.jsonl`. Without it those in `.jsonl` and `.ndjson`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// The tokenizer: a stage, a Hugging Face folder, or a `tokenizer.json`.
    pub tokenizer: Reference,
    /// A file with the Jinja template; without it the tokenizer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Reference>,
    /// The field of the messages: a list of objects with `role` and `content`.
    #[serde(default = "messages")]
    pub messages: String,
    /// The field of the tools that a model may call, where conversations have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<String>,
    /// What is learnt.
    #[serde(default)]
    pub targets: ChatTargets,
    /// The most tokens of a conversation; a longer one is a bad sample. Without it what the tokenizer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<NonZeroU32>,
}

/// What of a conversation is learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatTargets {
    /// What assistants say.
    #[default]
    Assistant,
    /// All of it.
    All,
}

impl Named for ChatOptions {
    const NAME: &'static str = "chat";
}

impl FormatOptions for ChatOptions {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::NextToken,
            samples: SampleKind::Texts,
            outputs: None,
            brings_val: false,
        }
    }

    fn inputs(&self) -> Vec<Input> {
        let template = self
            .template
            .as_ref()
            .map(|template| Input::field("template", template));
        std::iter::once(Input::field("tokenizer", &self.tokenizer))
            .chain(template)
            .collect()
    }

    fn accepts(&self, _: &str) -> Accepts {
        tokenizers()
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["tokens"]
    }
}

fn messages() -> String {
    "messages".to_owned()
}
