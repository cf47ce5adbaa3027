//! What a field of tokens knows of its vocabulary.

use serde::{Deserialize, Serialize};

/// The vocabulary that tokens are indices into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenVocabulary {
    /// One more than the largest token.
    pub size: u32,
    /// The digest of the tokenizer's file.
    pub digest: String,
    /// Tokens with a meaning of their own.
    #[serde(default)]
    pub roles: TokenRoles,
}

/// Tokens with a meaning of their own, as far as the vocabulary has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenRoles {
    /// What fills up shorter samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad: Option<u32>,
    /// What stands for an unknown part of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unk: Option<u32>,
    /// The beginning of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos: Option<u32>,
    /// The end of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos: Option<u32>,
    /// What a text is classified at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cls: Option<u32>,
    /// What stands between two texts and behind the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sep: Option<u32>,
    /// What hides a token that is to be guessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<u32>,
}
