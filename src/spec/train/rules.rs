//! What makes a recipe impossible.
//!
//! The rules are the same whenever they are looked at: when the file is read, with what the file alone
//! tells of the data, and when the training begins, with what the dataset tells. A rule that needs a
//! fact that is not known yet is silent.

use super::check::{length_mistakes, optimizer_mistakes, schedule_mistakes};
use super::text_rules::text_mistakes;
use super::{Augment, ClassWeights, Loss, Select, Train, TrainingLength};
use crate::schema::TokenRoles;
use crate::spec::diagnostic::nearest;
use crate::spec::formats::SampleKind;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;
use crate::spec::tasks::{TaskRules, TaughtBy};

/// What is known of the data that a recipe is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct DataFacts<'a> {
    /// What is predicted, where the recipe does not choose otherwise.
    pub task: Option<&'a TaskRules>,
    /// What samples are.
    pub kind: Option<SampleKind>,
    /// The tokens of the longest sample, of those that are not packed.
    pub longest: Option<usize>,
    /// One more than the largest token.
    pub vocabulary: Option<usize>,
    /// The tokens with a meaning of their own.
    pub roles: Option<TokenRoles>,
    /// How many classes, labels or numbers there are to predict.
    pub outputs: Option<usize>,
    /// Their names, where those are known.
    pub names: &'a [String],
    /// How many samples there are to train on.
    pub samples: Option<u64>,
    /// Whether there are samples to validate on.
    pub validated: Option<bool>,
}

/// The mistakes of `train`, whose paths begin at the recipe, for data of which `facts` is known, where
/// `tasks` are those that there are.
pub fn recipe_mistakes(train: &Train, facts: &DataFacts<'_>, tasks: &[&TaskRules]) -> Vec<Mistake> {
    let mut mistakes = length_mistakes(train);
    mistakes.extend(optimizer_mistakes(train));
    mistakes.extend(schedule_mistakes(train));
    let mut facts = *facts;
    if let Some(name) = &train.task {
        let chosen = tasks.iter().copied().find(|task| task.name == *name);
        mistakes.extend(task_mistake(train, name, chosen, &facts, tasks));
        facts.task = chosen;
    } else {
        facts.task = facts.task.map(|task| task.for_model(&train.model, tasks));
    }
    mistakes.extend(loss_mistakes(train, &facts));
    mistakes.extend(distill_mistake(train, &facts));
    mistakes.extend(monitor_mistake(train, &facts, tasks));
    mistakes.extend(data_mistakes(train, &facts));
    mistakes.extend(pixel_mistake(train, &facts));
    mistakes.extend(text_mistakes(train, &facts));
    mistakes.extend(validation_mistake(train, &facts));
    mistakes.extend(step_mistakes(train, &facts));
    mistakes
}

/// A task that is not there, or that the data is not for.
fn task_mistake(
    train: &Train,
    name: &str,
    chosen: Option<&TaskRules>,
    facts: &DataFacts<'_>,
    tasks: &[&TaskRules],
) -> Option<Mistake> {
    let Some(chosen) = chosen else {
        let known: Vec<&str> = tasks.iter().map(|task| task.name).collect();
        return Some(
            Mistake::new(["task"], format!("there is no task `{name}`"))
                .help(TaskRules::choose(name, &known)),
        );
    };
    let held = facts.task.filter(|held| held.data != chosen.data)?;
    let message = format!(
        "the task `{name}` predicts {}, and `{}` has {}",
        chosen.predicts, train.data, held.predicts
    );
    Some(Mistake::new(["task"], message).help("leave it out, or take other data"))
}

fn loss_mistakes(train: &Train, facts: &DataFacts<'_>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let Some(loss) = &train.loss else {
        return mistakes;
    };
    if let Some(task) = facts.task
        && !task.losses.contains(&loss.as_str())
    {
        let help = match task.losses {
            [] => "leave `loss` out".to_owned(),
            losses => format!("use {}, or leave `loss` out", losses.join(" or ")),
        };
        let message = format!(
            "this loss does not fit: `{}` has {} to predict",
            train.data, task.predicts
        );
        mistakes.push(Mistake::new(["loss"], message).help(help));
        return mistakes;
    }
    let at = |option: &str| ["loss".to_owned(), loss.as_str().to_owned(), option.to_owned()];
    let counted = |option: &str, given: usize| {
        let outputs = facts.outputs.filter(|outputs| *outputs != given)?;
        let names = match facts.names {
            [] => String::new(),
            names => format!(" ({})", shortened(names)),
        };
        let message = format!(
            "`{option}` has {}, and `{}` has {outputs}{names}",
            crate::spec::counted(given, "value"),
            train.data
        );
        Some(Mistake::new(at(option), message).help("give one for each, in that order"))
    };
    match loss {
        Loss::CrossEntropy(given) => {
            if let Some(weights) = &given.class_weights {
                if let ClassWeights::InOrder(weights) = weights {
                    mistakes.extend(counted("class_weights", weights.len()));
                }
                let mut wrong = Vec::from_iter(weights.mistake());
                if !facts.names.is_empty() {
                    wrong.extend(weights.foreign(facts.names));
                }
                mistakes.extend(wrong.into_iter().map(|mistake| Mistake {
                    path: at("class_weights").into_iter().chain(mistake.path).collect(),
                    ..mistake
                }));
            }
            if let Some(index) = given.ignore_index {
                if train.augment.iter().any(Augment::mixes) {
                    let message = "`ignore_index` has no meaning for samples that are mixed";
                    mistakes.push(
                        Mistake::new(at("ignore_index"), message).help("leave it out, or mixup and cutmix"),
                    );
                }
                let is_beyond = |outputs: &usize| usize::try_from(index).is_ok_and(|index| index >= *outputs);
                if let Some(outputs) = facts.outputs.filter(is_beyond) {
                    let message = format!(
                        "`ignore_index: {index}` is no class: `{}` has {outputs}",
                        train.data
                    );
                    mistakes.push(Mistake::new(at("ignore_index"), message).help("count the classes from 0"));
                }
            }
        }
        Loss::BinaryCrossEntropy(given) => {
            if let Some(weights) = &given.pos_weight {
                mistakes.extend(counted("pos_weight", weights.len()));
            }
        }
        Loss::Mse(_) | Loss::Huber(_) => {}
    }
    mistakes
}

/// Teachers of what is not learnt from others, and a temperature where there are no probabilities.
fn distill_mistake(train: &Train, facts: &DataFacts<'_>) -> Option<Mistake> {
    let (distill, task) = (train.distill.as_ref()?, facts.task?);
    match task.taught {
        None => {
            let message = format!(
                "classes and numbers of whole samples are learnt from a teacher, and `{}` has {} to predict",
                train.data, task.predicts
            );
            Some(Mistake::new(["distill"], message).help("leave it out"))
        }
        Some(TaughtBy::Distance) if distill.temperature.is_some() => {
            let message = format!(
                "a temperature is for the probabilities of classes, and `{}` has {} to predict",
                train.data, task.predicts
            );
            Some(Mistake::new(["distill", "temperature"], message).help("leave it out"))
        }
        Some(_) => None,
    }
}

/// A figure that is to decide and is not measured.
fn monitor_mistake(train: &Train, facts: &DataFacts<'_>, tasks: &[&TaskRules]) -> Option<Mistake> {
    let monitor = train.monitor.as_ref()?;
    let fits = |task: &&TaskRules| {
        let loss = train.loss.as_ref();
        loss.is_none_or(|loss| task.losses.contains(&loss.as_str()))
    };
    // A loss that does not fit the data is told by itself.
    let of_data = facts.task.filter(fits);
    let possible: Vec<&TaskRules> = match of_data {
        Some(task) => vec![task],
        None => tasks.iter().copied().filter(fits).collect(),
    };
    let mut known: Vec<String> = Vec::new();
    for name in possible.iter().flat_map(|task| task.monitors()) {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    if known.contains(monitor) {
        return None;
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let message = match (&train.loss, of_data) {
        (Some(_), _) => format!("with this loss there is no `{monitor}`"),
        (None, Some(task)) => format!(
            "`{monitor}` is not measured: `{}` has {} to predict",
            train.data, task.predicts
        ),
        (None, None) => format!("there is no figure `{monitor}`"),
    };
    let help = match (nearest(monitor, known.iter().copied()), &train.loss) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, Some(_)) => format!("monitor {}", known.join(" or ")),
        (None, None) => format!("use {}", known.join(" or ")),
    };
    Some(Mistake::new(["monitor"], message).help(help))
}

/// What the data has to be, and is not.
fn data_mistakes(train: &Train, facts: &DataFacts<'_>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if let Some(task) = facts
        .task
        .filter(|task| train.standardize_targets == Some(true) && !task.standardizes)
    {
        let message = format!(
            "`standardize_targets` is for numbers, and `{}` has {} to predict",
            train.data, task.predicts
        );
        mistakes.push(Mistake::new(["standardize_targets"], message).help("leave it out"));
    }
    let sections = [
        ("augment", train.augment.is_empty()),
        ("eval_transforms", train.eval_transforms.is_empty()),
    ];
    for (section, empty) in sections {
        if let Some(kind) = facts.kind.filter(|kind| !empty && *kind != SampleKind::Images) {
            let message = format!(
                "`{section}` changes images, and `{}` is {}",
                train.data,
                kind.dataset()
            );
            mistakes.push(Mistake::new([section], message).help("leave it out"));
        }
    }
    mistakes
}

/// A network of pixels for what is said of whole images, or the other way round.
fn pixel_mistake(train: &Train, facts: &DataFacts<'_>) -> Option<Mistake> {
    let task = facts.task?;
    let wanted = task.data == TargetKind::Segmentation;
    // A network of text is told of elsewhere.
    if wanted == train.model.judges_pixels() || train.model.text().is_some() || train.model.base().is_some() {
        return None;
    }
    let (judged, help) = match wanted {
        true => ("whole images", "use `unet`"),
        false => (
            "each pixel",
            "use another model, or data with masks (`format: {masks: ...}`)",
        ),
    };
    let message = format!(
        "`{}` says something of {judged}, and `{}` has {} to predict",
        train.model.name(),
        train.data,
        task.predicts
    );
    Some(Mistake::new(["model"], message).help(help))
}

/// What goes by a validation split that is not there.
fn validation_mistake(train: &Train, facts: &DataFacts<'_>) -> Option<Mistake> {
    if facts.validated != Some(false) {
        return None;
    }
    let (path, asks): (&[&str], _) = if train.select == Select::Best {
        (
            &["select"],
            "`select: best` chooses the weights by a figure of".to_owned(),
        )
    } else if train.early_stop.is_some() {
        (
            &["early_stop"],
            "`early_stop` ends the training by a figure of".to_owned(),
        )
    } else if train.schedule.needs_validation() {
        let name = train.schedule.name();
        (
            &["schedule"],
            format!("`schedule: {name}` changes the learning rate by a figure of"),
        )
    } else if let Some(samples) = train.validate.samples {
        (
            &["validate", "samples"],
            format!("`validate: {{samples: {samples}}}` judges a part of"),
        )
    } else {
        return None;
    };
    let message = format!(
        "{asks} the validation split, but `{}` has no val split",
        train.data
    );
    let help = "add `split: {val: 0.1}` to its preprocess stage, or leave the option out";
    Some(Mistake::new(path, message).help(help))
}

/// What does not fit the number of optimizer steps.
fn step_mistakes(train: &Train, facts: &DataFacts<'_>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let TrainingLength::Epochs(epochs) = train.length() else {
        return mistakes;
    };
    let Some(samples) = facts.samples else {
        return mistakes;
    };
    let batches = train.batches(samples);
    if batches == 0 {
        let message = format!(
            "with `drop_last`, a `batch_size` of {} leaves none of the {samples} training samples",
            train.batch_size
        );
        mistakes.push(Mistake::new(["batch_size"], message).help("make it smaller"));
        return mistakes;
    }
    let steps = batches.div_ceil(train.accumulate.get());
    let what = if train.schedule.needs_validation() {
        format!("`schedule: {}`", train.schedule.name())
    } else if train.early_stop.is_some() {
        "`early_stop`".to_owned()
    } else {
        return mistakes;
    };
    if !validates_before_the_last(train, epochs, steps) {
        let message = format!(
            "{what} goes by validations, and none falls before the last of {epochs} epochs ({steps} steps each)"
        );
        mistakes.push(Mistake::new(["validate"], message).help("validate more often, or leave it out"));
    }
    mistakes
}

/// Whether a validation falls before the last epoch, of `steps` optimizer steps.
fn validates_before_the_last(train: &Train, epochs: u32, steps: u32) -> bool {
    let every = &train.validate;
    let by_epoch = match (every.epochs, every.steps) {
        (Some(every), _) => every.get() < epochs,
        (None, None) => epochs > 1,
        (None, Some(_)) => false,
    };
    let before_the_last = u64::from(epochs.saturating_sub(1)) * u64::from(steps);
    let by_step = every
        .steps
        .is_some_and(|every| u64::from(every.get()) <= before_the_last);
    by_epoch || by_step
}

/// The first of a list of names.
pub fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}
