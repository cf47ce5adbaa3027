//! What the file itself tells of the data that a training or an evaluation is for.

use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;

use super::diagnostic::Diagnostic;
use super::evaluate::SplitName;
use super::evaluate_rules::evaluate_mistakes;
use super::kinds::Input;
use super::mistake::{Mistake, placed};
use super::models::TextHead;
use super::preprocess::TargetKind;
use super::tasks::TaskRules;
use super::train::{DataFacts, DistillOptions, recipe_mistakes};
use super::vocabulary::Vocabulary;
use super::{Evaluate, Export, Preprocess, PretrainedOptions, Quantize, Reference, StageSpec, Train};

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

/// Teachers that predict something else than the training, or that are shown something else, as far as the file tells.
pub(super) fn teacher_mistakes(
    stages: &IndexMap<String, Arc<StageSpec>>,
    train: &Train,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) -> Vec<Diagnostic> {
    let (task, facts) = (task_of(stages, train), data_of(stages, &train.data));
    let inputs = train.distill.iter().flat_map(DistillOptions::inputs);
    let mistake = |input: Input| {
        let other = training_behind(stages, &input.reference)?;
        let other_facts = data_of(stages, &other.data);
        let name = &input.reference;
        let message = match (task, task_of(stages, other)) {
            (Some(task), Some(taught)) if task != taught => {
                format!(
                    "`{name}` predicts {}, and this training {}",
                    taught.predicts, task.predicts
                )
            }
            _ => match (facts.kind, other_facts.kind) {
                (Some(kind), Some(other_kind)) if kind != other_kind => format!(
                    "`{name}` learnt from `{}`, {}, and `{}` is {}",
                    other.data,
                    other_kind.dataset(),
                    train.data,
                    kind.dataset()
                ),
                _ => return None,
            },
        };
        let help = "name a model of the same task for the same inputs";
        Some(Mistake::new(input.path, message).help(help))
    };
    placed(&[], inputs.filter_map(mistake).collect(), place)
}

/// What `train` predicts, where the file tells.
fn task_of(stages: &IndexMap<String, Arc<StageSpec>>, train: &Train) -> Option<&'static TaskRules> {
    let vocabulary = Vocabulary::current();
    match &train.task {
        Some(name) => vocabulary.task(name),
        None => {
            let of_data = data_of(stages, &train.data).task;
            of_data.map(|task| task.for_model(&train.model, vocabulary.tasks()))
        }
    }
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
    let mut mistakes = evaluate_mistakes(evaluate, task, samples, facts.outputs);
    mistakes.extend(missing_split(stages, &evaluate.data, evaluate.split, "split"));
    placed(&[], mistakes, place)
}

/// That the data of `reference` has no split of the name `split`, as far as the file tells; `path` asks for it.
pub(super) fn missing_split(
    stages: &IndexMap<String, Arc<StageSpec>>,
    reference: &Reference,
    split: SplitName,
    path: &'static str,
) -> Option<Mistake> {
    let is_missing = split == SplitName::Val && data_of(stages, reference).validated == Some(false);
    let mistake = || {
        Mistake::new(
            [path],
            format!("`{path}` asks for the validation split, but `{reference}` has no val split"),
        )
        .help("add `split: {val: 0.1}` to its preprocess stage, or name another split")
    };
    is_missing.then(mistake)
}

/// Why the model `reference` cannot be compared with another one sample by sample, as far as the file tells.
pub(super) fn gate_mistake(
    stages: &IndexMap<String, Arc<StageSpec>>,
    reference: &Reference,
) -> Option<Mistake> {
    let head = head_of(stages, training_behind(stages, reference)?)?;
    match head {
        TextHead::Causal | TextHead::Masked | TextHead::Similarity => {
            let message = format!(
                "a gate compares answers about samples, and `{reference}` has the head `{}`",
                head.name()
            );
            Some(Mistake::new(["gate"], message).help("leave it out, and have `evaluate` judge both models"))
        }
        TextHead::Classification | TextHead::Tokens => None,
    }
}

/// Why the model `reference` does not go on with texts, as far as the file tells.
pub(super) fn generation_mistake(
    stages: &IndexMap<String, Arc<StageSpec>>,
    reference: &Reference,
) -> Option<Mistake> {
    let train = training_behind(stages, reference)?;
    let message = if train.model.text().is_none() && train.model.base().is_none() {
        format!(
            "`{reference}` is a `{}`, and only a model of text goes on with texts",
            train.model.name()
        )
    } else {
        let head = head_of(stages, train).filter(|head| *head != TextHead::Causal)?;
        format!(
            "the head of `{reference}` is `{}`, and only a model with the head `causal` goes on with texts",
            head.name()
        )
    };
    let help = "name a training of `gpt2` or `llama` on documents without a label";
    Some(Mistake::new(["model"], message).help(help))
}

/// Why the model of the stage `name` says nothing of new samples, as far as the file tells, and what to do; that it goes on
/// with texts is no reason where it `may_write`.
pub fn silence_of(
    stages: &IndexMap<String, Arc<StageSpec>>,
    name: &str,
    may_write: bool,
) -> Option<(String, &'static str)> {
    match head_of(stages, training_of(stages, name)?)? {
        TextHead::Causal if !may_write => Some((
            format!("`{name}` goes on with texts, and says nothing of them"),
            "have a `generate` stage go on with prompts, or `erlen serve` answer them",
        )),
        TextHead::Masked => Some((
            format!("`{name}` guesses hidden tokens, and says nothing of texts"),
            "train it for what is to be told, by `model: {pretrained: {from: ...}}`",
        )),
        _ => None,
    }
}

/// Which of the models `references` say nothing of new samples, with the paths where they stand.
pub(super) fn silent_models(
    stages: &IndexMap<String, Arc<StageSpec>>,
    references: impl Iterator<Item = Input>,
) -> Vec<Mistake> {
    let mistake = |input: Input| {
        let (message, help) = silence_of(stages, input.reference.stage()?, false)?;
        Some(Mistake::new(input.path, message).help(help))
    };
    references.filter_map(mistake).collect()
}

/// The training whose model `reference` is, by itself, exported or quantized.
pub(super) fn training_behind<'a>(
    stages: &'a IndexMap<String, Arc<StageSpec>>,
    reference: &'a Reference,
) -> Option<&'a Train> {
    training_of(stages, reference.stage()?)
}

/// The same of the stage `name`.
fn training_of<'a>(stages: &'a IndexMap<String, Arc<StageSpec>>, name: &'a str) -> Option<&'a Train> {
    let mut name = name;
    // Stages that wait for each other are told by themselves.
    for _ in 0..stages.len() {
        let kind = &stages.get(name)?.kind;
        if let Some(train) = kind.options::<Train>() {
            return Some(train);
        }
        let model = match kind.options::<Export>() {
            Some(export) => &export.model,
            None => &kind.options::<Quantize>()?.model,
        };
        name = model.stage()?;
    }
    None
}

/// The head of the model of text that `train` makes; nothing where only its folder or its data tells.
fn head_of(stages: &IndexMap<String, Arc<StageSpec>>, train: &Train) -> Option<TextHead> {
    let vocabulary = Vocabulary::current();
    let text = train.model.text();
    let pretrained = train.model.options::<PretrainedOptions>();
    let given = text.and_then(|text| text.head);
    if let Some(head) = given.or_else(|| pretrained?.head) {
        return Some(head);
    }
    let task = match &train.task {
        Some(name) => vocabulary.task(name),
        None => {
            let of_data = data_of(stages, &train.data).task;
            // Whether documents teach the next token or hidden ones hangs on the model.
            let of_data = of_data.filter(|task| text.is_some() || task.data != TargetKind::NextToken);
            of_data.map(|task| task.for_model(&train.model, vocabulary.tasks()))
        }
    };
    match task {
        Some(task) => Some(task.head),
        None => text.filter(|text| !text.is_causal).map(|_| TextHead::Masked),
    }
}
