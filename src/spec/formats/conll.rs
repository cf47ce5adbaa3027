//! The options of `conll`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::tokenizers;
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::spec::choice::Named;
use crate::spec::kinds::{Accepts, Input};
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;
use crate::spec::reference::Reference;

/// Words with tags, as CoNLL's shared tasks have them: a word a line, its columns between tabs or blanks, and a blank
/// line behind each sentence. The first token of a word bears its tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConllOptions {
    /// Which files of a folder: a pattern such as `*.conll`. Without it those in `.conll`, `.iob`, `.bio` and `.txt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// The tokenizer: a stage, a Hugging Face folder, or a `tokenizer.json`.
    pub tokenizer: Reference,
    /// The column of the word, from 0; negative: from the end.
    #[serde(default)]
    pub word: i32,
    /// The column of the tag, from 0; negative: from the end.
    #[serde(default = "last")]
    pub tag: i32,
    /// What a line begins with that is no word, such as `#`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The most tokens of a sentence, special ones included; what is behind them is left out. Without it what the
    /// tokenizer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<NonZeroU32>,
}

impl Named for ConllOptions {
    const NAME: &'static str = "conll";
}

impl FormatOptions for ConllOptions {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::TokenClasses,
            samples: SampleKind::Texts,
            outputs: None,
            brings_val: false,
        }
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::field("tokenizer", &self.tokenizer)]
    }

    fn accepts(&self, _: &str) -> Accepts {
        tokenizers()
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["tokens"]
    }

    fn since(&self) -> u32 {
        8
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if self.word == self.tag {
            mistakes.push(
                Mistake::new(["tag"], "words and their tags cannot stand in one column")
                    .help("give the tag's column, from 0, or from -1 at the end"),
            );
        }
        if self.comment.as_deref() == Some("") {
            mistakes.push(
                Mistake::new(["comment"], "every line begins with nothing")
                    .help("write what comments begin with, such as \"#\", or remove it"),
            );
        }
        mistakes
    }
}

fn last() -> i32 {
    -1
}
