//! The `tokenizer` kind: documents, or a tokenizer that is already there, become one for this pipeline.

mod models;
mod special;

use std::num::NonZeroU32;
use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Named;
use super::diagnostic::Diagnostic;
use super::documents::Documents;
use super::kinds::{Accepts, Input, StageKind};
use super::mistake::{Mistake, placed};
use super::pipeline::StageSpec;
use super::reference::Reference;
use crate::metric::MetricTable;

pub use models::{
    BpeOptions, CharOptions, TokenizerModel, UnicodeForm, UnigramOptions, WordOptions, WordPieceOptions,
};
pub use special::SpecialTokenOptions;

/// Trains a tokenizer on documents, or takes one that is there.
///
/// One of `bpe`, `wordpiece`, `unigram`, `word`, `char` and `from` says which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokenizer {
    /// The files with the documents to train on; with `from`, to measure on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Reference>,
    /// How the documents are laid out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<Documents>,
    /// Byte pair encoding, as GPT-2 and Llama 3 have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bpe: Option<BpeOptions>,
    /// WordPiece, as BERT has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wordpiece: Option<WordPieceOptions>,
    /// A unigram language model of pieces, as T5 has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unigram: Option<UnigramOptions>,
    /// A token a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<WordOptions>,
    /// A token a character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub char: Option<CharOptions>,
    /// A tokenizer that is there: a Hugging Face folder, or a `tokenizer.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Reference>,
    /// Tokens with a meaning of their own.
    #[serde(default, skip_serializing_if = "SpecialTokenOptions::is_default")]
    pub special: SpecialTokenOptions,
    /// Whether `special.bos` is put before each text that is encoded.
    #[serde(default, skip_serializing_if = "is_false")]
    pub add_bos: bool,
    /// Whether `special.eos` is put behind each text that is encoded.
    #[serde(default, skip_serializing_if = "is_false")]
    pub add_eos: bool,
    /// The most tokens that models for it take, as `model_max_length` tells other programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<NonZeroU32>,
    /// A file with the Jinja template that conversations are written by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<Reference>,
}

impl Named for Tokenizer {
    const NAME: &'static str = "tokenizer";
}

impl StageKind for Tokenizer {
    fn inputs(&self) -> Vec<Input> {
        let inputs = [
            ("input", &self.input),
            ("from", &self.from),
            ("chat_template", &self.chat_template),
        ];
        inputs
            .into_iter()
            .filter_map(|(name, reference)| Some(Input::field(name, reference.as_ref()?)))
            .collect()
    }

    fn accepts(&self, role: &str) -> Accepts {
        match role {
            "input" => Accepts::stages_or_files(&["download", "command"]),
            _ => Accepts::stages_or_files(&["download", "command", "tokenizer"]),
        }
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["input", "from", "chat_template"]
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        let measured = self.input.is_some().then_some(["bytes_per_token", "unknown"]);
        let names = ["vocabulary"].into_iter().chain(measured.into_iter().flatten());
        Some(names.map(str::to_owned).collect())
    }

    fn mistakes(
        &self,
        _: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        placed(&[], self.contradictions(), place)
    }
}

impl Tokenizer {
    /// What is trained; nothing where a tokenizer is taken that is there, or it is not said which.
    pub fn model(&self) -> Option<TokenizerModel<'_>> {
        self.models().into_iter().next()
    }

    /// The special tokens, with those that the model cannot do without.
    pub fn special_tokens(&self) -> SpecialTokenOptions {
        match self.model() {
            Some(model) => self.special.completed(&model),
            None => self.special.clone(),
        }
    }

    fn models(&self) -> Vec<TokenizerModel<'_>> {
        let all = [
            self.bpe.as_ref().map(TokenizerModel::Bpe),
            self.wordpiece.as_ref().map(TokenizerModel::WordPiece),
            self.unigram.as_ref().map(TokenizerModel::Unigram),
            self.word.as_ref().map(TokenizerModel::Word),
            self.char.as_ref().map(TokenizerModel::Char),
        ];
        all.into_iter().flatten().collect()
    }

    fn contradictions(&self) -> Vec<Mistake> {
        const KINDS: &str = "choose one of bpe, wordpiece, unigram, word, char and from";
        let mut mistakes = Vec::new();
        let models = self.models();
        match (&models[..], &self.from) {
            ([], None) => {
                mistakes.push(Mistake::new([""; 0], "it is not said which tokenizer this is").help(KINDS));
            }
            ([first, second, ..], _) => {
                let problem = format!("this is `{}` and `{}` at once", first.name(), second.name());
                mistakes.push(Mistake::new([second.name()], problem).help(KINDS));
            }
            ([first], Some(_)) => {
                let problem = format!(
                    "a tokenizer is trained (`{}`) and one is taken at once",
                    first.name()
                );
                mistakes.push(Mistake::new(["from"], problem).help(KINDS));
            }
            _ => {}
        }
        if !models.is_empty() && self.input.is_none() {
            mistakes.push(
                Mistake::new([""; 0], "there is nothing to train on")
                    .help("name the files by `input`, and how they are laid out by `documents`"),
            );
        }
        match (&self.input, &self.documents) {
            (Some(_), None) => mistakes.push(
                Mistake::new(["input"], "it is not said how the documents are laid out").help(
                    "add `documents`: text, lines, csv, json or jsonl, such as `documents: {text: {files: \"*.txt\"}}`",
                ),
            ),
            (None, Some(_)) => mistakes.push(
                Mistake::new(["documents"], "there are no files to find documents in")
                    .help("name them by `input`, or remove `documents`"),
            ),
            _ => {}
        }
        if let Some(documents) = &self.documents {
            let found = documents.mistakes().into_iter().map(|mistake| Mistake {
                path: std::iter::once("documents".to_owned())
                    .chain(mistake.path)
                    .collect(),
                ..mistake
            });
            mistakes.extend(found);
            if documents.label().is_some() {
                mistakes.push(
                    Mistake::new(
                        ["documents", documents.name(), "label"],
                        "a tokenizer learns from texts alone",
                    )
                    .help("remove it; a `preprocess` stage reads labels"),
                );
            }
        }
        let special = self.special_tokens();
        mistakes.extend(special.mistakes());
        if let Some(model) = models.first() {
            mistakes.extend(model.mistakes(special.all().len()));
        }
        // A tokenizer that is there may have them.
        if self.from.is_none() {
            for (field, is_asked, token) in [
                ("add_bos", self.add_bos, &special.bos),
                ("add_eos", self.add_eos, &special.eos),
            ] {
                if is_asked && token.is_none() {
                    let name = field.trim_start_matches("add_");
                    mistakes.push(Mistake::new([field], format!("there is no `{name}` token")).help(
                        format!("name it in `special`, such as `special: {{{name}: \"<{name}>\"}}`"),
                    ));
                }
            }
        }
        if (self.add_bos || self.add_eos) && special.cls.is_some() && special.sep.is_some() {
            let field = if self.add_bos { "add_bos" } else { "add_eos" };
            mistakes.push(
                Mistake::new([field], "texts are put between `cls` and `sep` already")
                    .help("remove it, or `cls` and `sep` from `special`"),
            );
        }
        mistakes
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Vec<String> {
        let options: Tokenizer = serde_json::from_str(json).unwrap();
        let mistakes = options.contradictions().into_iter();
        mistakes
            .map(|mistake| format!("{}: {}", mistake.path.join("."), mistake.message))
            .collect()
    }

    #[test]
    fn contradictions_are_told() {
        let documents = r#""input": "raw", "documents": {"lines": {}}"#;
        for (fields, expected) in [
            (documents.to_owned(), ": it is not said which tokenizer"),
            (
                format!(r#"{documents}, "bpe": {{"vocab_size": 300}}, "char": {{}}"#),
                "char: this is `bpe` and `char`",
            ),
            (
                format!(r#"{documents}, "char": {{}}, "from": "./a""#),
                "from: a tokenizer is trained",
            ),
            (r#""char": {}"#.to_owned(), ": there is nothing to train on"),
            (
                r#""char": {}, "input": "raw""#.to_owned(),
                "input: it is not said how",
            ),
            (
                format!(r#"{documents}, "char": {{}}, "add_eos": true"#),
                "add_eos: there is no `eos` token",
            ),
            (
                format!(r#"{documents}, "bpe": {{"vocab_size": 256}}, "special": {{"eos": "<e>"}}"#),
                "bpe.vocab_size: 256 tokens",
            ),
            (
                format!(r#"{documents}, "char": {{}}, "special": {{"pad": "<e>", "eos": "<e>"}}"#),
                "special.pad: `pad` and `eos` are the same token",
            ),
            (
                format!(
                    r#"{documents}, "wordpiece": {{"vocab_size": 300}}, "special": {{"bos": "<s>"}}, "add_bos": true"#
                ),
                "add_bos: texts are put between",
            ),
            (
                r#""input": "raw", "documents": {"csv": {"label": "stars"}}, "char": {}"#.to_owned(),
                "documents.csv.label: a tokenizer learns",
            ),
            (
                r#""input": "raw", "documents": {"json": {"delimiter": ";"}}, "char": {}"#.to_owned(),
                "documents.json.delimiter: records in JSON",
            ),
            (
                r#""input": "raw", "documents": {"text": {"files": "a**"}}, "char": {}"#.to_owned(),
                "documents.text.files: `a**` is no pattern",
            ),
        ] {
            let told = told(&format!("{{{fields}}}"));
            assert!(
                told.len() == 1 && told[0].starts_with(expected),
                "{fields}: {told:?}"
            );
        }
        assert!(told(r#"{"from": "./a"}"#).is_empty());
        assert!(
            told(&format!(
                r#"{{{documents}, "bpe": {{"vocab_size": 257}}, "special": {{"eos": "<e>"}}}}"#
            ))
            .is_empty()
        );
    }

    #[test]
    fn what_a_model_needs_is_there() {
        let options: Tokenizer = serde_json::from_str(r#"{"wordpiece": {"vocab_size": 300}}"#).unwrap();
        assert_eq!(
            options.special_tokens().all(),
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        );
        let options: Tokenizer =
            serde_json::from_str(r#"{"bpe": {"vocab_size": 300, "byte_level": true}}"#).unwrap();
        assert!(options.special_tokens().all().is_empty());
        let options: Tokenizer =
            serde_json::from_str(r#"{"bpe": {"vocab_size": 300, "byte_level": false}}"#).unwrap();
        assert_eq!(options.special_tokens().all(), ["<unk>"]);
    }
}
