//! What a model predicts.

use serde::{Deserialize, Serialize};

use crate::data::TargetScale;

/// What a model predicts, as its card keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelTarget {
    /// The name of the task.
    pub task: String,
    /// The classes', labels' or numbers' names, in the order of the outputs.
    pub names: Vec<String>,
    /// How many outputs there are, where they have no names: those of a vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// In regression, how targets were shifted and scaled.
    pub scale: Option<TargetScale>,
}

impl ModelTarget {
    /// How many outputs a sample, or each of its tokens, gets.
    pub fn outputs(&self) -> usize {
        self.width.unwrap_or(self.names.len())
    }
}
