//! The format `peft`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ExportFormatOptions;
use super::rules::{no_changes, not_of_text};
use crate::spec::Train;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;

/// The low-rank changes of a model of text that `lora` trained, as Hugging Face's PEFT keeps them:
/// `adapter_model.safetensors`, `adapter_config.json`, a `README.md`, and the tokenizer's files where the model has any
/// beside it. What was trained in full, such as the output layer, is among them; the other weights are the base's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeftOptions {
    /// Where programs that load the adapter find its base: a name on Hugging Face's hub, or a relative path. Without it
    /// the adapter names none, and whoever loads it has to load the base too.
    #[serde(default)]
    pub base: Option<String>,
}

impl Named for PeftOptions {
    const NAME: &'static str = "peft";
}

impl ExportFormatOptions for PeftOptions {
    fn is_whole(&self) -> bool {
        false
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let problem = self.base.as_deref().and_then(base_problem);
        let help =
            "write a name on the hub, such as `sentence-transformers/all-MiniLM-L6-v2`, or a relative path";
        problem
            .map(|problem| Mistake::new(["base"], problem).help(help))
            .into_iter()
            .collect()
    }

    fn model_mistake(&self, train: &Train) -> Option<Mistake> {
        let changes = "there is nothing that `peft` could hold";
        not_of_text(Self::NAME, train).or_else(|| no_changes(train, changes))
    }
}

/// Why a base cannot be called so, if it cannot: a path of one machine is none of another.
fn base_problem(base: &str) -> Option<String> {
    let is_drive = base.as_bytes().get(1) == Some(&b':');
    if base.trim() != base || base.is_empty() {
        Some("it is empty, or has spaces around it".to_owned())
    } else if base.starts_with(['/', '\\', '~']) || is_drive {
        Some(format!("`{base}` is a path of this machine, which no other has"))
    } else {
        None
    }
}
