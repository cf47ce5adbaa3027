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
    /// In regression, how targets were shifted and scaled.
    pub scale: Option<TargetScale>,
}

impl ModelTarget {
    /// How many outputs a sample gets.
    pub fn outputs(&self) -> usize {
        self.names.len()
    }
}
