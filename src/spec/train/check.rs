//! What the types of a recipe cannot say about optimizer and schedule.

use std::num::NonZeroU32;

use super::{Train, TrainingLength};
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

/// Low-rank changes without weights that they could be made of. Told of the file alone: a model that is there has been
/// read by the time that a recipe is carried out.
pub(super) fn lora_mistakes(train: &Train) -> Vec<Mistake> {
    if train.lora.is_none() || train.init.is_some() || train.model.base().is_some() {
        return Vec::new();
    }
    let message = "low-rank changes are made of weights that are there, and these would be drawn";
    vec![
        Mistake::new(["lora"], message)
            .help("name the weights to begin with: `init: {from: STAGE}`, or a file of weights, or a `pretrained` model"),
    ]
}

/// Activations that are to be computed again block by block, of a network that has no blocks.
pub(super) fn blocks_mistake(train: &Train) -> Option<Mistake> {
    if !train.checkpoint_activations {
        return None;
    }
    if train.lora.is_some() {
        let message = "blocks with low-rank changes keep their activations";
        return Some(Mistake::new(["checkpoint_activations"], message).help("leave it out"));
    }
    if train.model.has_blocks() {
        return None;
    }
    let message = format!(
        "`{}` has no blocks whose activations could be computed again",
        train.model.name()
    );
    Some(
        Mistake::new(["checkpoint_activations"], message)
            .help("leave it out; a smaller `batch_size` with `accumulate` saves memory too"),
    )
}

/// How long the training is, said not at all or twice.
pub(super) fn length_mistakes(train: &Train) -> Vec<Mistake> {
    match (train.epochs, train.steps) {
        (None, None) => {
            let message = "the recipe does not say how long to train";
            let help = "add `epochs`, passes over the training split, or `steps`, optimizer steps";
            vec![Mistake::new(Vec::<String>::new(), message).help(help)]
        }
        (Some(_), Some(_)) => {
            let message = "`epochs` and `steps` both say how long to train";
            vec![Mistake::new(["steps"], message).help("leave one of them out")]
        }
        (None, Some(_)) if train.validate.epochs.is_some() => {
            let message = "a training that is measured in steps is validated by steps";
            vec![Mistake::new(["validate", "epochs"], message).help("write `validate: {steps: ...}`")]
        }
        _ => Vec::new(),
    }
}

/// Options of the warm-up that contradict each other or the length.
fn warmup_mistake(train: &Train) -> Option<Mistake> {
    let warmup = train.warmup.as_ref()?;
    let given = [
        ("epochs", warmup.epochs.is_some()),
        ("steps", warmup.steps.is_some()),
        ("fraction", warmup.fraction.is_some()),
    ];
    let given: Vec<&str> = given
        .into_iter()
        .filter_map(|(field, is_given)| is_given.then_some(field))
        .collect();
    let mistake =
        |field: &str, message: String, help: &str| Some(Mistake::new(["warmup", field], message).help(help));
    match (given.as_slice(), train.length()) {
        ([], _) => {
            let message = "the warm-up does not say how long it is";
            let help = "add `steps`, `fraction` (of all steps) or `epochs`";
            Some(Mistake::new(["warmup"], message).help(help))
        }
        ([first, second, ..], _) => mistake(
            second,
            format!("`{first}` and `{second}` both say how long the warm-up is"),
            "leave one of them out",
        ),
        (["epochs"], TrainingLength::Steps { .. }) => mistake(
            "epochs",
            "a training that is measured in steps has no epochs to warm up for".to_owned(),
            "write `warmup: {steps: ...}`",
        ),
        (["epochs"], TrainingLength::Epochs(epochs)) => {
            let warm = warmup.epochs.map_or(0, NonZeroU32::get);
            let message = format!("the warm-up takes {warm} epochs of {epochs}");
            (epochs > 0 && warm >= epochs)
                .then(|| mistake("epochs", message, "leave at least one epoch for the schedule"))
                .flatten()
        }
        (["steps"], TrainingLength::Steps { steps, .. }) => {
            let warm = warmup.steps.map_or(0, NonZeroU32::get);
            let message = format!("the warm-up takes {warm} steps of {steps}");
            (warm >= steps)
                .then(|| mistake("steps", message, "leave at least one step for the schedule"))
                .flatten()
        }
        _ => None,
    }
}

/// Options of the schedule that contradict each other or the epochs.
pub(super) fn schedule_mistakes(train: &Train) -> Vec<Mistake> {
    let mut mistakes = Vec::from_iter(warmup_mistake(train));
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
    let warmup = train.warmup.as_ref();
    let warm = warmup.and_then(|warmup| warmup.epochs).map_or(0, NonZeroU32::get);
    let epochs = train.length().epochs();
    let first = (warm / every + 1).saturating_mul(every.get());
    (every.get() > 1 && first >= epochs).then(|| {
        let message = format!(
            "`schedule: {}` goes by validations, and the first that it could go by is after epoch {first} of {epochs}",
            train.schedule.name(),
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
                "checkpoint_activations: true",
                "true: `mlp` has no blocks whose activations could be computed again",
            ),
            (
                "checkpoint_activations: true, lora: {rank: 1}, init: {from: ./a.pth}",
                "true: blocks with low-rank changes keep their activations",
            ),
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
