//! What the types of a recipe cannot say about optimizer, schedule and loss.

use miette::SourceSpan;

use super::{Augment, Loss, Monitored, Optimizer, Schedule, Train};
use crate::spec::diagnostic::Diagnostic;

/// Options of optimizer, groups, schedule and loss that contradict each other. `place` gives the
/// span of a path within the recipe.
pub(in crate::spec) fn learning_mistakes(
    train: &Train,
    mistakes: &mut Vec<Diagnostic>,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) {
    optimizer_mistakes(train, mistakes, place);
    schedule_mistakes(train, mistakes, place);
    loss_mistakes(train, mistakes, place);
}

fn optimizer_mistakes(train: &Train, mistakes: &mut Vec<Diagnostic>, place: &dyn Fn(&[&str]) -> SourceSpan) {
    if let Optimizer::Sgd(sgd) = &train.optimizer
        && sgd.nesterov
    {
        let path = &["optimizer", "sgd", "nesterov"];
        if sgd.momentum.get() == 0.0 {
            mistakes.push(
                Diagnostic::new("`nesterov` needs a `momentum` over 0", place(path))
                    .help("add `momentum: 0.9`, or leave `nesterov` out"),
            );
        }
        if sgd.dampening.get() > 0.0 {
            mistakes.push(
                Diagnostic::new("`nesterov` and `dampening` exclude each other", place(path))
                    .help("leave one of them out"),
            );
        }
    }
    for (index, group) in train.groups.iter().enumerate() {
        if group.parameters.is_empty() {
            mistakes.push(
                Diagnostic::new(
                    "the group has no parameters",
                    place(&["groups", &index.to_string(), "parameters"]),
                )
                .help("name them by patterns, such as `layer4.*`"),
            );
        }
    }
}

fn schedule_mistakes(train: &Train, mistakes: &mut Vec<Diagnostic>, place: &dyn Fn(&[&str]) -> SourceSpan) {
    match &train.schedule {
        Schedule::Multistep(steps) => {
            let path = ["schedule", "multistep", "milestones"];
            if steps.milestones.is_empty() {
                mistakes.push(
                    Diagnostic::new("there are no milestones", place(&path))
                        .help("list the epochs at which the learning rate changes"),
                );
            }
            let falls = steps.milestones.windows(2).position(|pair| pair[0] >= pair[1]);
            if let Some(index) = falls {
                let index = (index + 1).to_string();
                mistakes.push(
                    Diagnostic::new(
                        "the milestones do not rise",
                        place(&[&path[..], &[index.as_str()]].concat()),
                    )
                    .help("list each epoch once, the earliest first"),
                );
            }
        }
        Schedule::Plateau(_) => {
            // Of use is a figure after the warm-up and before the last epoch.
            let (Some(every), None) = (train.validate.epochs, train.validate.steps) else {
                return;
            };
            let warm = train.warmup.as_ref().map_or(0, |warmup| warmup.epochs.get());
            let first = (warm / every + 1).saturating_mul(every.get());
            if every.get() > 1 && first >= train.epochs.get() {
                mistakes.push(
                    Diagnostic::new(
                        format!(
                            "`schedule: plateau` goes by validations, and the first that it could go by is after \
                             epoch {first} of {}",
                            train.epochs
                        ),
                        place(&["validate", "epochs"]),
                    )
                    .help("validate more often"),
                );
            }
        }
        _ => {}
    }
}

fn loss_mistakes(train: &Train, mistakes: &mut Vec<Diagnostic>, place: &dyn Fn(&[&str]) -> SourceSpan) {
    if let (Some(monitor), Some(loss)) = (train.monitor, &train.loss)
        && !monitor.is_measured(loss.task())
    {
        mistakes.push(
            Diagnostic::new(
                format!("with this loss there is no `{}`", monitor.as_str()),
                place(&["monitor"]),
            )
            .help(format!("monitor {}", Monitored::choices(loss.task()))),
        );
    }
    let mixes = train
        .augment
        .iter()
        .any(|change| matches!(change, Augment::Mixup(_) | Augment::Cutmix(_)));
    if let Some(Loss::CrossEntropy(loss)) = &train.loss
        && loss.ignore_index.is_some()
        && mixes
    {
        mistakes.push(
            Diagnostic::new(
                "`ignore_index` has no meaning for samples that are mixed",
                place(&["loss", "cross_entropy", "ignore_index"]),
            )
            .help("leave it out, or mixup and cutmix"),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::Pipeline;

    /// The mistakes of a recipe, each as `TEXT AT ITS PLACE: MESSAGE`.
    fn mistakes_of(options: &str) -> Vec<String> {
        let optimizer = if options.contains("optimizer") {
            ""
        } else {
            "optimizer: {sgd: {lr: 0.1}}, "
        };
        let source = format!(
            "stages:\n  d: {{command: {{run: make, outputs: [o]}}}}\n  m: {{train: {{data: d, model: mlp, \
             epochs: 9, {optimizer}{options}}}}}\n"
        );
        match Pipeline::parse(Path::new("p.yaml"), &source, &[]) {
            Ok(_) => Vec::new(),
            Err(error) => {
                let tell = |mistake: &crate::spec::Diagnostic| {
                    let span = mistake.span.unwrap();
                    let place = &source[span.offset()..span.offset() + span.len()];
                    assert!(mistake.help.is_some());
                    format!("{place}: {mistake}")
                };
                error.mistakes.iter().map(tell).collect()
            }
        }
    }

    #[test]
    fn contradictions_are_told_where_they_stand() {
        for (options, told) in [
            (
                "optimizer: {sgd: {lr: 0.1, nesterov: true}}",
                "true: `nesterov` needs a `momentum` over 0",
            ),
            (
                "optimizer: {sgd: {lr: 0.1, momentum: 0.9, dampening: 0.1, nesterov: true}}",
                "true: `nesterov` and `dampening` exclude each other",
            ),
            (
                "groups: [{parameters: []}]",
                "parameters: the group has no parameters",
            ),
            (
                "schedule: {multistep: {milestones: [2, 5, 5]}}",
                "5: the milestones do not rise",
            ),
            (
                "schedule: {multistep: {milestones: []}}",
                "milestones: there are no milestones",
            ),
            (
                "schedule: plateau, validate: {epochs: 10}",
                "10: `schedule: plateau` goes by validations, and the first that it could go by is after epoch 10 of 9",
            ),
            (
                "schedule: plateau, validate: {epochs: 5}, warmup: {epochs: 5}",
                "5: `schedule: plateau` goes by validations, and the first that it could go by is after epoch 10 of 9",
            ),
            (
                "loss: mse, monitor: val_accuracy",
                "val_accuracy: with this loss there is no `val_accuracy`",
            ),
            (
                "loss: cross_entropy, monitor: val_mae",
                "val_mae: with this loss there is no `val_mae`",
            ),
            (
                "loss: {cross_entropy: {ignore_index: 1}}, augment: [mixup]",
                "1: `ignore_index` has no meaning for samples that are mixed",
            ),
        ] {
            assert_eq!(mistakes_of(options), [told], "{options}");
        }
    }

    #[test]
    fn what_fits_is_taken() {
        for options in [
            "optimizer: {sgd: {lr: 0.1, momentum: 0.9, nesterov: true}}",
            "optimizer: {sgd: {lr: 0.1, momentum: 0.9, dampening: 0.1}}",
            "groups: [{parameters: ['fc.*'], frozen: true}]",
            "schedule: {multistep: {milestones: [2, 5, 6]}}",
            "schedule: plateau, validate: {epochs: 2}, warmup: {epochs: 2}",
            "schedule: plateau",
            "loss: huber, monitor: val_mae",
            "monitor: val_mae",
            "loss: {cross_entropy: {ignore_index: 1}}",
        ] {
            assert_eq!(mistakes_of(options), Vec::<String>::new(), "{options}");
        }
    }
}
