//! What the file itself tells of the data that a training or an evaluation is for.

use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;

use super::diagnostic::Diagnostic;
use super::evaluate_rules::evaluate_mistakes;
use super::mistake::placed;
use super::train::{DataFacts, recipe_mistakes};
use super::vocabulary::Vocabulary;
use super::{Evaluate, Preprocess, Reference, StageSpec, Train};

/// What is known of the dataset that `reference` names; nothing where a command makes it.
pub(super) fn data_of(
    stages: &IndexMap<String, Arc<StageSpec>>,
    reference: &Reference,
) -> DataFacts<'static> {
    let stage = reference.stage().and_then(|stage| stages.get(stage));
    let Some(preprocess) = stage.and_then(|stage| stage.kind.options::<Preprocess>()) else {
        return DataFacts::default();
    };
    let facts = preprocess.format.facts();
    let brings_none = !facts.brings_val && !preprocess.makes_val();
    DataFacts {
        task: Vocabulary::current().task_for(facts.task),
        kind: Some(facts.samples),
        outputs: facts.outputs,
        validated: brings_none.then_some(false),
        ..DataFacts::default()
    }
}

/// What makes a training impossible.
pub(super) fn train_mistakes(
    stages: &IndexMap<String, Arc<StageSpec>>,
    train: &Train,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) -> Vec<Diagnostic> {
    let vocabulary = Vocabulary::current();
    let facts = data_of(stages, &train.data);
    placed(&[], recipe_mistakes(train, &facts, vocabulary.tasks()), place)
}

/// What an evaluation measures that the data does not have.
pub(super) fn evaluation_mistakes(
    stages: &IndexMap<String, Arc<StageSpec>>,
    evaluate: &Evaluate,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) -> Vec<Diagnostic> {
    let train = evaluate.training(stages);
    let facts = data_of(stages, &evaluate.data);
    let vocabulary = Vocabulary::current();
    let task = match train.and_then(|train| train.task.as_deref()) {
        Some(name) => vocabulary.task(name),
        None => facts.task.map(|task| match train {
            Some(train) => task.for_model(&train.model, vocabulary.tasks()),
            None => task,
        }),
    };
    let (Some(task), Some(samples)) = (task, facts.kind) else {
        return Vec::new();
    };
    placed(&[], evaluate_mistakes(evaluate, task, samples), place)
}
