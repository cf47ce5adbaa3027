//! What the types of a recipe cannot say about optimizer and schedule.

use super::Train;
use crate::spec::mistake::{Mistake, under};

/// Options of the optimizer and of groups that contradict each other.
pub(super) fn optimizer_mistakes(train: &Train) -> Vec<Mistake> {
    let mut mistakes = under(["optimizer", train.optimizer.name()], train.optimizer.mistakes());
    for (index, group) in train.groups.iter().enumerate() {
        if group.parameters.is_empty() {
            let path = ["groups", &index.to_string(), "parameters"];
            mistakes.push(
                Mistake::new(path, "the group has no parameters")
                    .help("name them by patterns, such as `layer4.*`"),
            );
        }
    }
    mistakes
}

/// Options of the schedule that contradict each other or the epochs.
pub(super) fn schedule_mistakes(train: &Train) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if let Some(warmup) = &train.warmup
        && warmup.epochs >= train.epochs
    {
        let message = format!("the warm-up takes {} epochs of {}", warmup.epochs, train.epochs);
        mistakes.push(
            Mistake::new(["warmup", "epochs"], message).help("leave at least one epoch for the schedule"),
        );
    }
    mistakes.extend(under(
        ["schedule", train.schedule.name()],
        train.schedule.mistakes(),
    ));
    if train.schedule.needs_validation() {
        mistakes.extend(late_validation_mistake(train));
    }
    mistakes
}

/// A schedule that no validation could be part of: of use is a figure after the warm-up and before the
/// last epoch.
fn late_validation_mistake(train: &Train) -> Option<Mistake> {
    let (Some(every), None) = (train.validate.epochs, train.validate.steps) else {
        return None;
    };
    let warm = train.warmup.as_ref().map_or(0, |warmup| warmup.epochs.get());
    let first = (warm / every + 1).saturating_mul(every.get());
    (every.get() > 1 && first >= train.epochs.get()).then(|| {
        let message = format!(
            "`schedule: {}` goes by validations, and the first that it could go by is after epoch {first} of {}",
            train.schedule.name(),
            train.epochs
        );
        Mistake::new(["validate", "epochs"], message).help("validate more often")
    })
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
                "schedule: {multistep: {milestones: [2, 5, 4]}}",
                "4: the milestones fall",
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
            "schedule: {multistep: {milestones: [2, 2, 4]}}",
            "loss: {cross_entropy: {ignore_index: -100}}",
            "loss: {cross_entropy: {class_weights: balanced}}",
            "loss: {cross_entropy: {class_weights: {no: 1, yes: 2.5}}}",
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
