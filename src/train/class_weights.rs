//! Weights of classes that are measured, or told by names.

use crate::data::Split;
use crate::spec::{ClassWeights, CrossEntropy, Loss};

/// `loss` with a weight for each of `classes` in their order, where it weighs classes in another way; what is
/// measured is measured on `split`. Samples of a class that is ignored do not count.
pub(super) fn with_weights_in_order(loss: Loss, classes: &[String], split: &Split) -> Loss {
    let Loss::CrossEntropy(CrossEntropy {
        class_weights: Some(weights),
        ignore_index,
        label_smoothing,
    }) = loss
    else {
        return loss;
    };
    let mut samples = vec![0; classes.len()];
    if weights == ClassWeights::Balanced {
        let ignored = ignore_index.and_then(|index| u32::try_from(index).ok());
        for class in (0..split.len()).filter_map(|index| split.class(index)) {
            if let Some(count) = samples.get_mut(class as usize)
                && Some(class) != ignored
            {
                *count += 1;
            }
        }
    }
    Loss::CrossEntropy(CrossEntropy {
        class_weights: Some(ClassWeights::in_order(weights.of(classes, &samples))),
        ignore_index,
        label_smoothing,
    })
}
