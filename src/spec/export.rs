//! The `export` kind: a model in a form that other programs read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Named;
use super::export_formats::ExportFormat;
use super::kinds::{Accepts, Input, StageKind};
use super::reference::Reference;
use crate::metric::MetricTable;

/// Writes a trained model for use elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// A model made by `train`; for the format `huggingface` a folder too that a Hugging Face program has written.
    pub model: Reference,
    /// Stages whose metrics belong on the model's card.
    #[serde(default)]
    pub metrics: Vec<Reference>,
    /// The file format.
    #[serde(default)]
    pub format: ExportFormat,
}

impl Named for Export {
    const NAME: &'static str = "export";
}

/// Version 2: the card tells the inputs by name, the task, the loss and the batch size.
impl StageKind for Export {
    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Vec<Input> {
        let metrics = self.metrics.iter().enumerate().map(|(index, reference)| Input {
            role: format!("metrics.{}", reference.to_string().replace('/', ".")),
            path: vec!["metrics".to_owned(), index.to_string()],
            reference: reference.clone(),
        });
        std::iter::once(Input::field("model", &self.model))
            .chain(metrics)
            .collect()
    }

    fn accepts(&self, role: &str) -> Accepts {
        match role {
            "model" if self.format.takes_folders() => {
                Accepts::stages_or_files(&["train", "export", "download", "command"])
            }
            "model" => Accepts::stages(&["train", "command"]),
            _ => Accepts::stages(&["evaluate", "train", "command"]),
        }
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["model", "metrics"]
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}
