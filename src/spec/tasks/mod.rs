//! What a recipe may ask of each task: all that can be said of a task without tensors.

mod classification;
mod metric;
mod multi_label;
mod regression;

use indexmap::IndexSet;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::diagnostic::nearest;
use super::preprocess::TargetKind;
use super::vocabulary::Vocabulary;

pub use classification::CLASSIFICATION;
pub use metric::EvaluationMetric;
pub use multi_label::MULTI_LABEL;
pub use regression::REGRESSION;

/// What a recipe may ask of a task.
#[derive(Debug, PartialEq, Eq)]
pub struct TaskRules {
    /// The name, as `task` of a recipe chooses it and a model's card keeps it.
    pub name: &'static str,
    /// What the data has to hold.
    pub data: TargetKind,
    /// What a model for it predicts, such as `classes`.
    pub predicts: &'static str,
    /// What the outputs are, such as `the classes`.
    pub outputs: &'static str,
    /// The losses that fit, by their names in a recipe, the default first. None where the task has a
    /// loss of its own.
    pub losses: &'static [&'static str],
    /// The metric that is told beside the loss.
    pub score: &'static str,
    /// What decides where a recipe does not choose: `val_loss`, or `val_` and the score.
    pub monitor: &'static str,
    /// Whether targets can be standardised.
    pub standardizes: bool,
    /// What an evaluation can be asked for, beside the loss and the predictions.
    pub metrics: &'static [TaskMetric],
}

/// Something that an evaluation can be asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct TaskMetric {
    /// The name, as `metrics` of an evaluation has it.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// The figures that it gives; none where it is only a file.
    pub figures: &'static [&'static str],
    /// Whether it is measured without being asked for.
    pub always: bool,
}

/// What `per_class` gives.
const MACRO_MEANS: [&str; 3] = ["macro_precision", "macro_recall", "macro_f1"];

/// The schema of a field that names a task, or nothing.
pub(super) fn task_names(_: &mut SchemaGenerator) -> Schema {
    let vocabulary = Vocabulary::current();
    one_of(vocabulary.tasks().iter().map(|task| task.name.to_owned()))
}

/// The schema of a field that names what a task measures on the validation split, or nothing.
pub(super) fn monitor_names(_: &mut SchemaGenerator) -> Schema {
    let vocabulary = Vocabulary::current();
    one_of(vocabulary.tasks().iter().flat_map(|task| task.monitors()))
}

fn one_of(names: impl Iterator<Item = String>) -> Schema {
    let names: IndexSet<Option<String>> = names.map(Some).chain([None]).collect();
    json_schema!({"enum": names})
}

/// What any task's evaluation can be asked for.
static OF_EVERY_TASK: [TaskMetric; 2] = [
    TaskMetric {
        name: "loss",
        about: "The mean of the loss that the model was trained with, without label smoothing and weights of \
                classes or positives; where targets were standardised, of the standardised ones.",
        figures: &[],
        always: false,
    },
    TaskMetric {
        name: EvaluationMetric::PREDICTIONS.as_str(),
        about: "`predictions.csv`: each sample's truth and what was predicted for it, with the probabilities of \
                classes and labels.",
        figures: &[],
        always: false,
    },
];

impl TaskRules {
    /// The rules of the tasks that this crate brings.
    pub const BUILT_IN: [&'static Self; 3] = [&CLASSIFICATION, &MULTI_LABEL, &REGRESSION];

    /// What is measured on the validation split, each of which can decide.
    pub fn monitors(&self) -> [String; 2] {
        ["val_loss".to_owned(), format!("val_{}", self.score)]
    }

    /// The metric that an evaluation calls `name`.
    pub fn metric(&self, name: &str) -> Option<&TaskMetric> {
        self.metrics
            .iter()
            .chain(&OF_EVERY_TASK)
            .find(|metric| metric.name == name)
    }

    /// What to say where `name`, of this kind of thing, is not among `known`.
    pub(super) fn choose(name: &str, known: &[&str]) -> String {
        match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use {}", known.join(" or ")),
        }
    }
}
