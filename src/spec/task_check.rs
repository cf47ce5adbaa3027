//! What the file itself tells of the data that a training or an evaluation is for.

use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;

use super::diagnostic::Diagnostic;
use super::evaluate_rules::evaluate_mistakes;
use super::mistake::Mistake;
use super::tasks::TaskRules;
use super::train::{DataFacts, recipe_mistakes};
use super::{Cifar100Labels, Evaluate, Format, Kind, Reference, Stage, Task, Train};

/// What is known of the dataset that `reference` names; nothing where a command makes it.
pub(super) fn data_of(stages: &IndexMap<String, Arc<Stage>>, reference: &Reference) -> DataFacts<'static> {
    let stage = reference.stage().and_then(|stage| stages.get(stage));
    let Some(Kind::Preprocess(preprocess)) = stage.map(|stage| &stage.kind) else {
        return DataFacts::default();
    };
    let (holds, images, outputs) = match &preprocess.format {
        Format::Csv(csv) => {
            let columns = csv.label.as_slice().len();
            let outputs = (csv.task != Task::Classification).then_some(columns);
            (csv.task, csv.image.is_some(), outputs)
        }
        Format::Cifar10(_) => (Task::Classification, true, Some(10)),
        Format::Cifar100(options) => {
            let classes = match options.labels {
                Cifar100Labels::Fine => 100,
                Cifar100Labels::Coarse => 20,
            };
            (Task::Classification, true, Some(classes))
        }
        Format::Idx(_) | Format::ImageFolder(_) => (Task::Classification, true, None),
    };
    // Folders of images may bring a val split of their own.
    let brings_none = !matches!(preprocess.format, Format::ImageFolder(_)) && preprocess.split.val.is_none();
    DataFacts {
        task: TaskRules::BUILT_IN.into_iter().find(|task| task.data == holds),
        images: Some(images),
        outputs,
        validated: brings_none.then_some(false),
        ..DataFacts::default()
    }
}

/// What makes a training impossible.
pub(super) fn train_mistakes(
    stages: &IndexMap<String, Arc<Stage>>,
    train: &Train,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) -> Vec<Diagnostic> {
    let facts = data_of(stages, &train.data);
    placed(recipe_mistakes(train, &facts, &TaskRules::BUILT_IN), place)
}

/// What an evaluation measures that the data does not have.
pub(super) fn evaluation_mistakes(
    stages: &IndexMap<String, Arc<Stage>>,
    evaluate: &Evaluate,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) -> Vec<Diagnostic> {
    let model = evaluate.model.stage().and_then(|stage| stages.get(stage));
    let chosen = match model.map(|stage| &stage.kind) {
        Some(Kind::Train(train)) => train.task.as_deref(),
        _ => None,
    };
    let facts = data_of(stages, &evaluate.data);
    let task = match chosen {
        Some(name) => TaskRules::BUILT_IN.into_iter().find(|task| task.name == name),
        None => facts.task,
    };
    let (Some(task), Some(images)) = (task, facts.images) else {
        return Vec::new();
    };
    placed(evaluate_mistakes(evaluate, task, images), place)
}

/// Mistakes with their places in the file.
fn placed(mistakes: Vec<Mistake>, place: &dyn Fn(&[&str]) -> SourceSpan) -> Vec<Diagnostic> {
    let diagnostic = |mistake: Mistake| {
        let path: Vec<&str> = mistake.path.iter().map(String::as_str).collect();
        Diagnostic {
            help: mistake.help,
            ..Diagnostic::new(mistake.message, place(&path))
        }
    };
    mistakes.into_iter().map(diagnostic).collect()
}
