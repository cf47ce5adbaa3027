//! What tokenizers can be trained, and how.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::mistake::Mistake;

/// The bytes that there are, each of which is a token where tokens are made of bytes.
const BYTES: usize = 256;

/// A form of Unicode that texts are brought into first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnicodeForm {
    /// None: texts stay as they are.
    #[default]
    None,
    /// Canonical composition.
    Nfc,
    /// Canonical decomposition.
    Nfd,
    /// Compatibility composition.
    Nfkc,
    /// Compatibility decomposition.
    Nfkd,
}

/// Byte pair encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BpeOptions {
    /// The number of tokens, special ones included.
    pub vocab_size: NonZeroU32,
    /// Whether tokens are made of bytes, so that no text has an unknown part, as GPT-2's are; else of characters,
    /// with `▁` in the place of spaces.
    #[serde(default = "yes")]
    pub byte_level: bool,
    /// How often two tokens have to stand side by side to become one.
    #[serde(default)]
    pub min_frequency: u64,
    /// Whether texts are brought into lower case first.
    #[serde(default)]
    pub lowercase: bool,
    /// The form of Unicode that texts are brought into first.
    #[serde(default)]
    pub normalize: UnicodeForm,
}

/// WordPiece.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordPieceOptions {
    /// The number of tokens, special ones included.
    pub vocab_size: NonZeroU32,
    /// How often two tokens have to stand side by side to become one.
    #[serde(default)]
    pub min_frequency: u64,
    /// Whether texts are brought into lower case first.
    #[serde(default = "yes")]
    pub lowercase: bool,
    /// Whether accents are removed first; without it just where texts are brought into lower case.
    #[serde(default)]
    pub strip_accents: Option<bool>,
}

/// A unigram language model of pieces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnigramOptions {
    /// The number of tokens, special ones included.
    pub vocab_size: NonZeroU32,
    /// The most characters of a piece.
    #[serde(default = "sixteen")]
    pub max_piece_length: NonZeroU32,
    /// Whether texts are brought into lower case first.
    #[serde(default)]
    pub lowercase: bool,
    /// The form of Unicode that texts are brought into first.
    #[serde(default = "nfkc")]
    pub normalize: UnicodeForm,
}

/// A token a word: what stands between blanks, and punctuation by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordOptions {
    /// The number of tokens, special ones included; the most frequent words are kept.
    pub vocab_size: NonZeroU32,
    /// How often a word has to occur.
    #[serde(default)]
    pub min_frequency: u64,
    /// Whether texts are brought into lower case first.
    #[serde(default)]
    pub lowercase: bool,
    /// The form of Unicode that texts are brought into first.
    #[serde(default)]
    pub normalize: UnicodeForm,
}

/// A token a character, in the order of their code points. Without `special.unk`, a character that did not occur is
/// an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CharOptions {
    /// Characters that are tokens whether they occur or not, such as a line break that stands between documents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alphabet: String,
    /// Whether texts are brought into lower case first.
    #[serde(default)]
    pub lowercase: bool,
    /// The form of Unicode that texts are brought into first.
    #[serde(default)]
    pub normalize: UnicodeForm,
}

/// The options of the tokenizer that is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TokenizerModel<'a> {
    /// Byte pair encoding.
    Bpe(&'a BpeOptions),
    /// WordPiece.
    WordPiece(&'a WordPieceOptions),
    /// A unigram language model of pieces.
    Unigram(&'a UnigramOptions),
    /// A token a word.
    Word(&'a WordOptions),
    /// A token a character.
    Char(&'a CharOptions),
}

impl TokenizerModel<'_> {
    /// As a pipeline file spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bpe(_) => "bpe",
            Self::WordPiece(_) => "wordpiece",
            Self::Unigram(_) => "unigram",
            Self::Word(_) => "word",
            Self::Char(_) => "char",
        }
    }

    /// What contradicts each other, where there are so many special tokens.
    pub(super) fn mistakes(&self, special: usize) -> Vec<Mistake> {
        let (size, least, what) = match self {
            Self::Bpe(options) if options.byte_level => (
                options.vocab_size,
                BYTES + special,
                format!("{BYTES} bytes and {special} special tokens"),
            ),
            Self::Bpe(BpeOptions { vocab_size, .. })
            | Self::WordPiece(WordPieceOptions { vocab_size, .. })
            | Self::Unigram(UnigramOptions { vocab_size, .. })
            | Self::Word(WordOptions { vocab_size, .. }) => (
                *vocab_size,
                special + 1,
                format!("{special} special tokens and anything else"),
            ),
            Self::Char(_) => return Vec::new(),
        };
        if size.get() as usize >= least {
            return Vec::new();
        }
        let mistake = Mistake::new(
            [self.name(), "vocab_size"],
            format!("{size} tokens have no room for {what}"),
        );
        vec![mistake.help(format!("make it {least} or more"))]
    }
}

fn yes() -> bool {
    true
}

fn sixteen() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(15)
}

fn nfkc() -> UnicodeForm {
    UnicodeForm::Nfkc
}
