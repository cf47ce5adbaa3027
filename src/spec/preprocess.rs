//! The `preprocess` kind: files of a known format become one dataset.

use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Named;
use super::diagnostic::Diagnostic;
use super::formats::Format;
use super::kinds::{Accepts, Input, StageKind};
use super::mistake::placed;
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::values::Share;
use crate::metric::MetricTable;

/// Reads files of a known format, splits them and writes one memory-mappable dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The files.
    pub input: Reference,
    /// How they are laid out.
    pub format: Format,
    /// Splits carved from the training samples. A split that the files already have stays as it is.
    #[serde(default)]
    pub split: SplitOptions,
    /// What to do with a sample that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
}

impl Named for Preprocess {
    const NAME: &'static str = "preprocess";
}

/// Version 2: the dataset file's layout 2. Version 3: the layout 3, which names the fields of a sample.
impl StageKind for Preprocess {
    fn version(&self) -> u32 {
        3
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::field("input", &self.input)]
    }

    fn accepts(&self, _: &str) -> Accepts {
        Accepts::stages_or_files(&["download", "command"])
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["input"]
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        Some(
            ["train", "val", "test", "classes", "skipped"]
                .map(str::to_owned)
                .into(),
        )
    }

    fn mistakes(
        &self,
        _: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        let shares = [self.split.val, self.split.test];
        let sum: f64 = shares.iter().flatten().map(|share| share.get()).sum();
        if sum >= 1.0 {
            let mistake = Diagnostic::new(format!("the shares add up to {sum}"), place(&["split"]));
            mistakes.push(mistake.help("leave something to train on: make them smaller"));
        }
        let format = ["format", self.format.name()];
        mistakes.extend(placed(&format, self.format.mistakes(), place));
        mistakes
    }
}

/// Shares of the training samples that become other splits: stratified by class, and decided by
/// each sample's content, so that neither order nor file names matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitOptions {
    /// The validation split's share.
    #[serde(default)]
    pub val: Option<Share>,
    /// The test split's share.
    #[serde(default)]
    pub test: Option<Share>,
}

/// What to do with a sample that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Stop and name it.
    #[default]
    Fail,
    /// Leave it out, name it in the log and count it in the metrics.
    Skip,
}

/// What is to be predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// One of some classes.
    #[default]
    Classification,
    /// For each of some labels, whether it applies: columns of 0 and 1.
    MultiLabel,
    /// One or more numbers.
    Regression,
}

impl TargetKind {
    /// What a model for it predicts, in words.
    pub fn predicts(self) -> &'static str {
        match self {
            Self::Classification => "classes",
            Self::MultiLabel => "several labels",
            Self::Regression => "numbers",
        }
    }
}
