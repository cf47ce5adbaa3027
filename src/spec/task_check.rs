//! What a dataset's task, where the file itself tells it, does not allow: in the training on it, and
//! in the evaluation of what was trained.

use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;

use super::diagnostic::Diagnostic;
use super::{Evaluate, Format, Kind, Loss, Monitored, Reference, Stage, Task, Train};

/// What is predicted from the dataset that `reference` names, and whether its samples are images;
/// nothing where a command makes it.
pub(super) fn data_of(stages: &IndexMap<String, Arc<Stage>>, reference: &Reference) -> Option<(Task, bool)> {
    let Kind::Preprocess(preprocess) = &stages.get(reference.stage()?)?.kind else {
        return None;
    };
    Some(match &preprocess.format {
        Format::Csv(csv) => (csv.task, csv.image.is_some()),
        _ => (Task::Classification, true),
    })
}

/// What a training asks of its data that the data does not have.
pub(super) fn train_task_mistakes(
    stages: &IndexMap<String, Arc<Stage>>,
    train: &Train,
    mistakes: &mut Vec<Diagnostic>,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) {
    let Some((task, images)) = data_of(stages, &train.data) else {
        return;
    };
    let mut tell = |path: &[&str], message: String, help: &str| {
        mistakes.push(Diagnostic::new(message, place(path)).help(help.to_owned()));
    };
    let has = format!("`{}` has {} to predict", train.data, task.predicts());
    if train.loss.as_ref().is_some_and(|loss| loss.task() != task) {
        let help = format!("use {}, or leave `loss` out", Loss::choices(task));
        tell(&["loss"], format!("this loss does not fit: {has}"), &help);
    }
    // A monitor that contradicts the loss is told with the loss.
    if let (Some(monitor), None) = (train.monitor, &train.loss)
        && !monitor.is_measured(task)
    {
        let help = format!("use {}", Monitored::choices(task));
        tell(&["monitor"], format!("this figure is not measured: {has}"), &help);
    }
    if train.standardize_targets && task != Task::Regression {
        let message = format!("`standardize_targets` is for numbers, and {has}");
        tell(&["standardize_targets"], message, "leave it out");
    }
    let sections = [
        ("augment", train.augment.is_empty()),
        ("eval_transforms", train.eval_transforms.is_empty()),
    ];
    for (section, empty) in sections {
        if !empty && !images {
            let message = format!("`{section}` changes images, and `{}` is a table", train.data);
            tell(&[section], message, "leave it out");
        }
    }
}

/// What an evaluation measures that the data does not have.
pub(super) fn evaluate_task_mistakes(
    stages: &IndexMap<String, Arc<Stage>>,
    evaluate: &Evaluate,
    mistakes: &mut Vec<Diagnostic>,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) {
    let Some((task, images)) = data_of(stages, &evaluate.data) else {
        return;
    };
    for (index, metric) in evaluate.metrics.iter().enumerate() {
        if !metric.tasks().contains(&task) {
            let message = format!(
                "`{}` is not defined: `{}` has {} to predict",
                metric.as_str(),
                evaluate.data,
                task.predicts()
            );
            let span = place(&["metrics", &index.to_string()]);
            mistakes.push(Diagnostic::new(message, span).help("take it out"));
        }
    }
    if evaluate.test_time_flip && !images {
        let message = format!(
            "`test_time_flip` mirrors images, and `{}` is a table",
            evaluate.data
        );
        mistakes.push(Diagnostic::new(message, place(&["test_time_flip"])).help("leave it out"));
    }
}
