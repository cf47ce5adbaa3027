//! The options of `text`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FormatFacts, FormatOptions, SampleKind};
use crate::spec::choice::Named;
use crate::spec::documents::Documents;
use crate::spec::kinds::{Accepts, Input};
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;
use crate::spec::reference::Reference;

/// Texts as tokens. Documents without a label are kept whole, for language models; those with one, or pairs, are
/// samples of at most `max_length` tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextOptions {
    /// How the documents are laid out, and what is to be predicted for them.
    pub documents: Documents,
    /// The tokenizer: a stage, a Hugging Face folder, or a `tokenizer.json`.
    pub tokenizer: Reference,
    /// The most tokens of a sample, special ones included; longer ones are cut, of pairs the longer text, of
    /// texts that are compared each. Without it what the tokenizer says. Documents without a label are never cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<NonZeroU32>,
    /// Longer texts become several samples, each of which begins with so many of the last tokens of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<NonZeroU32>,
    /// What a document without a label begins with. Without it what the tokenizer puts before texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<DocumentBegin>,
    /// What a document without a label ends with. Without it the tokenizer's `eos`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<DocumentEnd>,
}

/// What a document begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentBegin {
    /// Nothing.
    None,
    /// The tokenizer's `bos`.
    Bos,
}

/// What a document ends with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentEnd {
    /// Nothing.
    None,
    /// The tokenizer's `eos`.
    Eos,
    /// A text, such as a line break.
    Text(String),
}

impl Named for TextOptions {
    const NAME: &'static str = "text";
}

impl TextOptions {
    /// Whether documents are samples with something to be predicted for them, or pairs; else they are for language
    /// models.
    pub fn is_labelled(&self) -> bool {
        let is_pair = self
            .documents
            .records()
            .is_some_and(|records| records.pair.is_some() || records.compare);
        is_pair || self.documents.label().is_some()
    }
}

impl FormatOptions for TextOptions {
    fn facts(&self) -> FormatFacts {
        let records = self.documents.records();
        let labelled = records.and_then(|records| Some((records, records.label.as_ref()?)));
        let (task, outputs) = match labelled {
            // A number, or nothing but that they belong together.
            Some((records, _)) if records.compare => (TargetKind::Similarity, Some(1)),
            None if records.is_some_and(|records| records.compare) => (TargetKind::Similarity, Some(0)),
            None => (TargetKind::NextToken, None),
            Some((records, label)) => {
                let columns = label.as_slice().len();
                let is_counted = match records.task {
                    TargetKind::MultiLabel => columns > 1,
                    TargetKind::Regression => true,
                    TargetKind::Classification
                    | TargetKind::NextToken
                    | TargetKind::TokenClasses
                    | TargetKind::Similarity
                    | TargetKind::Segmentation
                    | TargetKind::Detection => false,
                };
                (records.task, is_counted.then_some(columns))
            }
        };
        FormatFacts {
            task,
            samples: SampleKind::Texts,
            outputs,
            brings_val: false,
        }
    }

    fn has_columns(&self) -> bool {
        self.documents.records().is_some()
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
        match &self.documents {
            _ if self.is_labelled() => 8,
            Documents::Csv(_) => 7,
            _ => 6,
        }
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = under_field("documents", self.documents.mistakes());
        let is_labelled = self.is_labelled();
        let lengths = [("max_length", self.max_length), ("stride", self.stride)];
        for (field, _) in lengths
            .iter()
            .filter(|(_, length)| length.is_some() && !is_labelled)
        {
            mistakes.push(
                Mistake::new([*field], "documents for language models are kept whole")
                    .help("remove it: a training cuts them into pieces of its own length; or name a `label`"),
            );
        }
        let ends = [("begin", self.begin.is_some()), ("end", self.end.is_some())];
        for (field, _) in ends.iter().filter(|(_, is_given)| *is_given && is_labelled) {
            mistakes.push(
                Mistake::new([*field], "samples begin and end as the tokenizer says")
                    .help("remove it; it is for documents without a label"),
            );
        }
        if self.stride.is_some()
            && self
                .documents
                .records()
                .is_some_and(|records| records.pair.is_some())
        {
            mistakes.push(
                Mistake::new(["stride"], "pairs are cut, and do not become several samples")
                    .help("remove it"),
            );
        }
        if self.stride.is_some() && self.stride >= self.max_length && self.max_length.is_some() {
            mistakes.push(
                Mistake::new(
                    ["stride"],
                    "samples would have nothing but what the ones before end with",
                )
                .help("make it smaller than `max_length`"),
            );
        }
        if self
            .documents
            .records()
            .is_some_and(|records| records.pair.is_some() && records.label.is_none() && !records.compare)
        {
            mistakes.push(
                Mistake::new(
                    ["documents", self.documents.name(), "pair"],
                    "there is nothing to be predicted for pairs",
                )
                .help("name the field of the label by `label`, or write `compare: true` to learn that they belong together"),
            );
        }
        mistakes
    }
}

/// What a tokenizer may be.
pub(super) fn tokenizers() -> Accepts {
    Accepts::stages_or_files(&["tokenizer", "download", "command"])
}

/// Mistakes in what stands in the field `field`.
fn under_field(field: &str, mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let deeper = |mistake: Mistake| Mistake {
        path: std::iter::once(field.to_owned()).chain(mistake.path).collect(),
        ..mistake
    };
    mistakes.into_iter().map(deeper).collect()
}
