//! What texts are called where they come from.

use serde::{Deserialize, Serialize};

/// The fields of the records that tokens were made of, so that other records are read alike later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFields {
    /// The field of the text.
    pub text: String,
    /// The field of a second text, where samples are pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
}

impl Default for TextFields {
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            pair: None,
        }
    }
}
