//! Whether outputs, targets and the options of a loss fit each other.

use super::{LossFunction, LossTargets};
use crate::ops::error::OpError;

/// Fails unless `loss` is defined for `samples` rows of `width` outputs and these targets.
pub(super) fn check(
    samples: usize,
    width: usize,
    targets: LossTargets<'_>,
    loss: &LossFunction,
) -> Result<(), OpError> {
    let wrong = |problem: String| Err(OpError::shape(loss.name(), problem));
    if width == 0 {
        return wrong("there are no outputs to compare".to_owned());
    }
    let (given, wanted) = match targets {
        LossTargets::Classes(classes) => (classes.len(), samples),
        LossTargets::Probabilities(values) | LossTargets::Values(values) => (values.len(), samples * width),
    };
    if given != wanted {
        return wrong(format!(
            "{given} targets for outputs of shape [{samples}, {width}]"
        ));
    }
    match loss {
        LossFunction::CrossEntropy {
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
                LossTargets::Classes(classes) => check_classes(classes, width, *ignore_index),
                LossTargets::Probabilities(_) if ignore_index.is_some() => wrong(
                    "`ignore_index` has no meaning for targets that are probabilities, such as those of mixed \
                     samples"
                        .to_owned(),
                ),
                LossTargets::Probabilities(values) => check_shares(loss, values, width),
                LossTargets::Values(_) => wrong("it compares with classes, and the targets are numbers".to_owned()),
            }
        }
        LossFunction::BinaryCrossEntropy { pos_weight } => {
            if let Some(weights) = pos_weight {
                check_weights(loss, "positive weights", weights, width)?;
            }
            match targets {
                LossTargets::Values(values) => check_shares(loss, values, width),
                _ => wrong("it compares with labels, and the targets are classes".to_owned()),
            }
        }
        LossFunction::Mse => check_numbers(loss, targets, width),
        LossFunction::Huber { delta } if !(delta.is_finite() && *delta > 0.0) => {
            wrong(format!("delta {delta} is not over 0"))
        }
        LossFunction::Distillation { temperature } if !(temperature.is_finite() && *temperature > 0.0) => {
            wrong(format!("temperature {temperature} is not over 0"))
        }
        LossFunction::Huber { .. } | LossFunction::Distillation { .. } => check_numbers(loss, targets, width),
    }
}

fn check_weights(loss: &LossFunction, what: &str, weights: &[f32], width: usize) -> Result<(), OpError> {
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
fn check_shares(loss: &LossFunction, values: &[f32], width: usize) -> Result<(), OpError> {
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

fn check_numbers(loss: &LossFunction, targets: LossTargets<'_>, width: usize) -> Result<(), OpError> {
    let LossTargets::Values(values) = targets else {
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
