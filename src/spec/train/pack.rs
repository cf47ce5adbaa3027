//! How texts become the rows that a network is trained on.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How documents become the rows that a language model is trained and judged on. Each token is predicted from those
/// before it once in a pass, but for the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Tokens of a row; by default as many as the model has positions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<NonZeroU32>,
    /// What documents have to do with each other.
    #[serde(default)]
    pub documents: PackedDocuments,
}

/// What documents have to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PackedDocuments {
    /// Nothing: they are cut into pieces of at most a row, several of which share a row (best-fit) without seeing each
    /// other; each begins with the first position, and the first token of a document is not predicted.
    #[default]
    Separate,
    /// They are one text, one behind the other, of which each row is a window. With `epochs` the windows follow each
    /// other and are shuffled; with `steps` each begins anywhere.
    Joined,
}
