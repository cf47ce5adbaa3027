//! The kinds of stages, and what of each is part of a stage's key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Command, Download, Evaluate, Export, Preprocess, Reference, Train};
use crate::metric::MetricTable;

/// What a stage does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Bytes from a project file or a URL.
    Download(Download),
    /// Files of a known format become a dataset.
    Preprocess(Preprocess),
    /// A dataset and an architecture become weights.
    Train(Box<Train>),
    /// A model's figures on one split.
    Evaluate(Evaluate),
    /// A model in a form that other programs read.
    Export(Export),
    /// Any program.
    Command(Command),
}

/// An input of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// What the stage calls it: `data`, `model`, a command's variable.
    pub role: String,
    /// Where it stands in the kind's fields.
    pub path: Vec<String>,
    /// What is referred to.
    pub reference: Reference,
}

impl Input {
    fn field(name: &str, reference: &Reference) -> Self {
        Self {
            role: name.to_owned(),
            path: vec![name.to_owned()],
            reference: reference.clone(),
        }
    }
}

impl Kind {
    /// The names of all kinds.
    pub const NAMES: [&str; 6] = ["download", "preprocess", "train", "evaluate", "export", "command"];

    /// The name, as it is written in a pipeline file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Download(_) => "download",
            Self::Preprocess(_) => "preprocess",
            Self::Train(_) => "train",
            Self::Evaluate(_) => "evaluate",
            Self::Export(_) => "export",
            Self::Command(_) => "command",
        }
    }

    /// The version of what the kind does. Raising one makes every earlier result of that kind
    /// stale; do it when the same fields and inputs give other bytes than before.
    ///
    /// - `preprocess` 2: the dataset file's layout 2.
    /// - `preprocess` 3: the dataset file's layout 3, which names the fields of a sample.
    /// - `train` 2: sums in the order of the register tiles, 3x3 kernels by Winograd.
    /// - `train` 3: dropout, stochastic depth, mixup and CutMix are drawn by epoch and sample instead of by
    ///   micro-batch, a sample is mixed with the next of the epoch instead of with one of its
    ///   micro-batch, and the gradients of four and more micro-batches are summed pairwise.
    /// - `evaluate` 2: the same, and batch norm without rounding the convolution's result first.
    ///
    /// All other kinds are at version 1.
    pub fn version(&self) -> u32 {
        match self {
            Self::Preprocess(_) | Self::Train(_) => 3,
            Self::Evaluate(_) => 2,
            _ => 1,
        }
    }

    /// Whether the kind draws random numbers, so that the seed is part of its key.
    pub fn draws(&self) -> bool {
        matches!(self, Self::Train(_))
    }

    /// Whether the kind computes enough to deserve a process of its own.
    pub fn is_heavy(&self) -> bool {
        !matches!(self, Self::Download(_) | Self::Command(_))
    }

    /// What the stage takes in.
    pub fn inputs(&self) -> Vec<Input> {
        match self {
            Self::Download(download) => match download.local_file() {
                Some(path) if download.sha256.is_none() => vec![Input {
                    role: "file".to_owned(),
                    path: vec!["url".to_owned()],
                    reference: Reference::Project(path),
                }],
                _ => Vec::new(),
            },
            Self::Preprocess(preprocess) => vec![Input::field("input", &preprocess.input)],
            Self::Train(train) => {
                let init = train.init.iter().map(|init| Input {
                    role: "init".to_owned(),
                    path: vec!["init".to_owned(), "from".to_owned()],
                    reference: init.from.clone(),
                });
                std::iter::once(Input::field("data", &train.data))
                    .chain(init)
                    .collect()
            }
            Self::Evaluate(evaluate) => {
                vec![
                    Input::field("model", &evaluate.model),
                    Input::field("data", &evaluate.data),
                ]
            }
            Self::Export(export) => {
                let metrics = export.metrics.iter().enumerate().map(|(index, reference)| Input {
                    role: format!("metrics.{}", reference.to_string().replace('/', ".")),
                    path: vec!["metrics".to_owned(), index.to_string()],
                    reference: reference.clone(),
                });
                std::iter::once(Input::field("model", &export.model))
                    .chain(metrics)
                    .collect()
            }
            Self::Command(command) => command
                .inputs
                .iter()
                .map(|(name, reference)| Input {
                    role: name.clone(),
                    path: vec!["inputs".to_owned(), name.clone()],
                    reference: reference.clone(),
                })
                .collect(),
        }
    }

    /// The fields that the output depends on, beside the inputs' contents, with every default
    /// filled in.
    pub fn key_fields(&self) -> Value {
        let mut fields = match self {
            Self::Download(download) => download.key_fields(),
            Self::Preprocess(preprocess) => to_value(preprocess),
            Self::Train(train) => to_value(train),
            Self::Evaluate(evaluate) => to_value(evaluate),
            Self::Export(export) => to_value(export),
            Self::Command(command) => to_value(command),
        };
        let left_out: &[&str] = match self {
            Self::Download(_) => &[],
            Self::Preprocess(_) => &["input"],
            Self::Train(_) => &["data", "init", "checkpoint", "log_every"],
            Self::Evaluate(_) => &["model", "data"],
            Self::Export(_) => &["model", "metrics"],
            Self::Command(_) => &["inputs"],
        };
        if let Value::Object(fields) = &mut fields {
            fields.retain(|name, _| !left_out.contains(&name.as_str()));
            // Secrets are the only variables that are no plain values.
            if let (Self::Command(_), Some(Value::Object(env))) = (self, fields.get_mut("env")) {
                env.retain(|_, value| !value.is_object());
            }
        }
        fields
    }

    /// The names of the metrics that the stage will report, where they are known beforehand.
    pub fn metrics(&self, known: &MetricTable) -> Option<Vec<String>> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        match self {
            Self::Download(_) | Self::Export(_) => Some(Vec::new()),
            Self::Preprocess(_) => Some(owned(&["train", "val", "test", "classes", "skipped"])),
            Self::Train(_) => Some([known.of_epochs(), owned(&["parameters", "epochs"])].concat()),
            Self::Evaluate(evaluate) => Some(evaluate.metric_names(known)),
            Self::Command(command) if command.metrics.is_none() => Some(Vec::new()),
            Self::Command(_) => None,
        }
    }
}

fn to_value(fields: &impl Serialize) -> Value {
    serde_json::to_value(fields).expect("the vocabulary serialises to JSON")
}
