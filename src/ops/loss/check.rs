//! Whether outputs, targets and the options of a loss fit each other.

use super::{Loss, Targets};
use crate::ops::error::OpError;

/// Fails unless `loss` is defined for `samples` rows of `width` outputs and these targets.
pub(super) fn check(samples: usize, width: usize, targets: Targets<'_>, loss: &Loss) -> Result<(), OpError> {
    let wrong = |problem: String| Err(OpError::shape(loss.name(), problem));
    if width == 0 {
        return wrong("there are no outputs to compare".to_owned());
    }
    let (given, wanted) = match targets {
        Targets::Classes(classes) => (classes.len(), samples),
        Targets::Probabilities(values) | Targets::Values(values) => (values.len(), samples * width),
    };
    if given != wanted {
        return wrong(format!(
            "{given} targets for outputs of shape [{samples}, {width}]"
        ));
    }
    match loss {
        Loss::CrossEntropy {
            label_smoothing,
            class_weights,
            ignore_index,
        } => {
            if !(0.0..=1.0).contains(label_smoothing) {
                return wrong(format!("label smoothing {label_smoothing} is not in [0, 1]"));
            }
            if let Some(weights) = class_weights {
                check_weights(loss, "class weights", weights, width)?;
            }
            match targets {
                Targets::Classes(classes) => check_classes(classes, width, *ignore_index),
                Targets::Probabilities(_) if ignore_index.is_some() => wrong(
                    "`ignore_index` has no meaning for targets that are probabilities, such as those of mixed \
                     samples"
                        .to_owned(),
                ),
                Targets::Probabilities(values) => check_shares(loss, values, width),
                Targets::Values(_) => wrong("it compares with classes, and the targets are numbers".to_owned()),
            }
        }
        Loss::BinaryCrossEntropy { pos_weight } => {
            if let Some(weights) = pos_weight {
                check_weights(loss, "positive weights", weights, width)?;
            }
            match targets {
                Targets::Values(values) => check_shares(loss, values, width),
                _ => wrong("it compares with labels, and the targets are classes".to_owned()),
            }
        }
        Loss::Mse => check_numbers(loss, targets, width),
        Loss::Huber { delta } if !(delta.is_finite() && *delta > 0.0) => {
            wrong(format!("delta {delta} is not over 0"))
        }
        Loss::Huber { .. } => check_numbers(loss, targets, width),
    }
}

fn check_weights(loss: &Loss, what: &str, weights: &[f32], width: usize) -> Result<(), OpError> {
    if weights.len() != width {
        let problem = format!("{} {what} for {width} outputs", weights.len());
        return Err(OpError::shape(loss.name(), problem));
    }
    match weights
        .iter()
        .find(|weight| !(weight.is_finite() && **weight >= 0.0))
    {
        Some(weight) => {
            let problem = format!("one of the {what} is {weight}, which is not 0 or more");
            Err(OpError::shape(loss.name(), problem))
        }
        None => Ok(()),
    }
}

fn check_classes(classes: &[u32], width: usize, ignored: Option<u32>) -> Result<(), OpError> {
    let is_wrong = |&class: &u32| class as usize >= width && ignored != Some(class);
    match classes.iter().position(is_wrong) {
        Some(index) => Err(OpError::Label {
            index,
            label: classes[index],
            classes: width,
        }),
        None => Ok(()),
    }
}

/// Probabilities, or labels that may have been mixed.
fn check_shares(loss: &Loss, values: &[f32], width: usize) -> Result<(), OpError> {
    match values.iter().position(|value| !(0.0..=1.0).contains(value)) {
        Some(index) => {
            let problem = format!(
                "the target of sample {} is {}, which is not between 0 and 1",
                index / width,
                values[index]
            );
            Err(OpError::shape(loss.name(), problem))
        }
        None => Ok(()),
    }
}

fn check_numbers(loss: &Loss, targets: Targets<'_>, width: usize) -> Result<(), OpError> {
    let Targets::Values(values) = targets else {
        let problem = "it compares with numbers, and the targets are classes";
        return Err(OpError::shape(loss.name(), problem));
    };
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => {
            let problem = format!("the target of sample {} is {}", index / width, values[index]);
            Err(OpError::shape(loss.name(), problem))
        }
        None => Ok(()),
    }
}
