//! What the outputs of a head for classes, labels or numbers are called.

use serde_json::{Map, Value, json};

use super::config::ConfigFile;
use crate::spec::{CLASSIFICATION, MULTI_LABEL, REGRESSION};

/// The outputs of a head, as a `config.json` tells of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderLabels {
    /// Their names, in order.
    pub names: Vec<String>,
    /// Whether a single one is a number, or several may hold at once.
    pub kind: LabelKind,
}

/// What the outputs mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// One of them holds.
    Classes,
    /// Several may hold.
    Several,
    /// They are numbers.
    Numbers,
}

impl LabelKind {
    const NAMES: [(Self, &'static str); 3] = [
        (Self::Classes, "single_label_classification"),
        (Self::Several, "multi_label_classification"),
        (Self::Numbers, "regression"),
    ];

    /// The task of samples with such outputs.
    pub fn task(self) -> &'static str {
        match self {
            Self::Classes => CLASSIFICATION.name,
            Self::Several => MULTI_LABEL.name,
            Self::Numbers => REGRESSION.name,
        }
    }

    /// The kind of a task's outputs.
    pub fn of_task(task: &str) -> Self {
        let found = Self::NAMES.iter().find(|(kind, _)| kind.task() == task);
        found.map_or(Self::Classes, |(kind, _)| *kind)
    }
}

impl FolderLabels {
    /// What `config` tells: `id2label`, or `num_labels`, or two as transformers has it.
    pub fn read(config: &mut ConfigFile) -> Self {
        let names = match config.value(&["id2label"]).cloned() {
            Some(Value::Object(labels)) => in_order(&labels).unwrap_or_else(|| {
                config.refuse("`id2label` does not number its labels from 0 on");
                Vec::new()
            }),
            Some(_) => {
                config.refuse("`id2label` is no object");
                Vec::new()
            }
            None => {
                let count = config
                    .size(&["num_labels", "_num_labels"])
                    .map_or(2, |count| count.get());
                (0..count).map(|index| format!("LABEL_{index}")).collect()
            }
        };
        let kind = match config.text("problem_type") {
            None if names.len() == 1 => LabelKind::Numbers,
            None => LabelKind::Classes,
            Some(told) => {
                let found = LabelKind::NAMES.iter().find(|(_, name)| *name == told);
                found.map_or_else(
                    || {
                        config.refuse(format!("`problem_type: {told}` is unknown"));
                        LabelKind::Classes
                    },
                    |(kind, _)| *kind,
                )
            }
        };
        Self { names, kind }
    }

    /// Tells of them in a `config.json`: both directions, as one alone leaves the other empty.
    pub fn write(&self, fields: &mut Map<String, Value>) {
        let numbered = || self.names.iter().enumerate();
        let by_number: Map<String, Value> = numbered()
            .map(|(index, name)| (index.to_string(), json!(name)))
            .collect();
        let by_name: Map<String, Value> = numbered()
            .map(|(index, name)| (name.clone(), json!(index)))
            .collect();
        fields.insert("id2label".to_owned(), Value::Object(by_number));
        fields.insert("label2id".to_owned(), Value::Object(by_name));
    }

    /// Tells what they mean, of a head for whole samples.
    pub fn write_kind(&self, fields: &mut Map<String, Value>) {
        let found = LabelKind::NAMES.iter().find(|(kind, _)| *kind == self.kind);
        if let Some((_, name)) = found {
            fields.insert("problem_type".to_owned(), json!(name));
        }
    }
}

/// Labels by their numbers, which are texts in JSON.
fn in_order(labels: &Map<String, Value>) -> Option<Vec<String>> {
    let of_number = |index: usize| Some(labels.get(&index.to_string())?.as_str()?.to_owned());
    (0..labels.len()).map(of_number).collect()
}
