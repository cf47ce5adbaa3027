//! What a recipe may ask of each task: all that can be said of a task without tensors.

mod classification;
mod masked_token;
mod metric;
mod multi_label;
mod next_token;
mod regression;
mod segmentation;
mod similarity;
mod token_classes;

use indexmap::IndexSet;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::diagnostic::nearest;
use super::models::{Model, TextHead};
use super::preprocess::TargetKind;
use super::vocabulary::Vocabulary;

pub use classification::CLASSIFICATION;
pub use masked_token::MASKED_TOKEN;
pub use metric::{
    EntityF1Options, EntityMode, EntityScheme, EvaluationMetric, MetricDetail, PerplexityOptions,
};
pub use multi_label::MULTI_LABEL;
pub use next_token::NEXT_TOKEN;
pub use regression::REGRESSION;
pub use segmentation::SEGMENTATION;
pub use similarity::SIMILARITY;
pub use token_classes::TOKEN_CLASSES;

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
    /// The head of a network of text for it.
    pub head: TextHead,
    /// The metric that is told beside the loss.
    pub score: &'static str,
    /// Metrics that are measured on the validation split beside the loss and the score.
    pub further: &'static [&'static str],
    /// What decides where a recipe does not choose: `val_loss`, or `val_` and the score.
    pub monitor: &'static str,
    /// Whether targets can be standardised.
    pub standardizes: bool,
    /// How what is predicted is learnt from other models, where it can be.
    pub taught: Option<TaughtBy>,
    /// What an evaluation can be asked for, beside the loss and the predictions.
    pub metrics: &'static [TaskMetric],
}

/// How far a model is from another one that it learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaughtBy {
    /// By the divergence of the probabilities of classes at a temperature.
    Divergence,
    /// By the squared distance of numbers.
    Distance,
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
    /// Whether it compares with numbers that pairs of texts may have or not.
    pub of_numbers: bool,
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
static OF_EVERY_TASK: [TaskMetric; 3] = [
    TaskMetric {
        name: "loss",
        about: "The mean of the loss that the model was trained with, without label smoothing and weights of \
                classes or positives; where targets were standardised, of the standardised ones.",
        figures: &[],
        always: false,
        of_numbers: false,
    },
    TaskMetric {
        name: EvaluationMetric::PREDICTIONS.as_str(),
        about: "`predictions.csv`: each sample's truth and what was predicted for it, with the probabilities of \
                classes and labels.",
        figures: &[],
        always: false,
        of_numbers: false,
    },
    TaskMetric {
        name: EvaluationMetric::SPEED.as_str(),
        about: "How fast the model answers on the machine that runs the stage, without the reading of samples: \
                `samples_per_second` in batches as in training, `latency_ms` of a sample alone. Unlike all other \
                figures they are not the same each time.",
        figures: &["samples_per_second", "latency_ms"],
        always: false,
        of_numbers: false,
    },
];

impl TaskRules {
    /// The rules of the tasks that this crate brings.
    pub const BUILT_IN: [&'static Self; 8] = [
        &CLASSIFICATION,
        &MULTI_LABEL,
        &REGRESSION,
        &SEGMENTATION,
        &TOKEN_CLASSES,
        &SIMILARITY,
        &NEXT_TOKEN,
        &MASKED_TOKEN,
    ];

    /// What is measured on the validation split, each of which can decide.
    pub fn monitors(&self) -> Vec<String> {
        let names = ["loss", self.score]
            .into_iter()
            .chain(self.further.iter().copied());
        names.map(|name| format!("val_{name}")).collect()
    }

    /// Whether what is predicted can be listed sample by sample, in a few words each.
    fn lists_predictions(&self) -> bool {
        !matches!(self.data, TargetKind::NextToken | TargetKind::Segmentation)
    }

    /// This task, which data is for where nothing else is asked for, or the first of `tasks` for such data whose head
    /// `model` can have where that is a network of text.
    pub(super) fn for_model<'a>(&'a self, model: &Model, tasks: &[&'a Self]) -> &'a Self {
        let Some(text) = model.text().filter(|text| !text.can_have(self.head)) else {
            return self;
        };
        let mut others = tasks.iter().copied();
        let other = others.find(|task| task.data == self.data && text.can_have(task.head));
        other.unwrap_or(self)
    }

    /// The metric that an evaluation calls `name`.
    pub fn metric(&self, name: &str) -> Option<&TaskMetric> {
        self.metrics
            .iter()
            .chain(&OF_EVERY_TASK)
            .find(|metric| metric.name == name)
            .filter(|metric| {
                metric.name != EvaluationMetric::PREDICTIONS.as_str() || self.lists_predictions()
            })
    }

    /// What to say where `name`, of this kind of thing, is not among `known`.
    pub(super) fn choose(name: &str, known: &[&str]) -> String {
        match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use {}", known.join(" or ")),
        }
    }
}
