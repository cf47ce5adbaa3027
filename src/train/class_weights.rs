//! Weights of classes that are measured, or told by names.

use crate::data::Split;
use crate::event::Monitor;
use crate::spec::{ClassWeights, CrossEntropy, Loss, counted_that, shortened};

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
        let mut count = |class: u32| {
            if let Some(count) = samples.get_mut(class as usize)
                && Some(class) != ignored
            {
                *count += 1;
            }
        };
        for index in 0..split.len() {
            match split.pixel_classes(index) {
                // What is no class is beyond all of them.
                Some(pixels) => pixels.iter().for_each(|class| count(u32::from(*class))),
                None => split.classes(index).into_iter().for_each(&mut count),
            }
        }
    }
    Loss::CrossEntropy(CrossEntropy {
        class_weights: Some(ClassWeights::in_order(weights.of(classes, &samples))),
        ignore_index,
        label_smoothing,
    })
}

/// Tells of classes that `loss` weighs as 1 because the names that it weighs leave them out: as a warning where these
/// are but a few, since one may be forgotten.
pub fn tell_unweighted(loss: Option<&Loss>, classes: &[String], monitor: &Monitor) {
    let Some(Loss::CrossEntropy(CrossEntropy {
        class_weights: Some(ClassWeights::ByName(weights)),
        ..
    })) = loss
    else {
        return;
    };
    let unweighted: Vec<String> = classes
        .iter()
        .filter(|class| !weights.contains_key(*class))
        .cloned()
        .collect();
    if unweighted.is_empty() {
        return;
    }
    let told = format!(
        "`class_weights` leaves out {} 1: {}",
        counted_that(unweighted.len(), "class", ["which weighs", "which weigh"]),
        shortened(&unweighted)
    );
    match unweighted.len() < classes.len() - unweighted.len() {
        true => monitor.warn(told),
        false => monitor.info(told),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::event::{Activity, Level};

    #[test]
    fn classes_without_a_weight_are_told() {
        let told = |loss: serde_json::Value| {
            let heard: Arc<Mutex<Vec<(bool, String)>>> = Arc::default();
            let hears = Arc::clone(&heard);
            let hear = move |activity| {
                if let Activity::Notice { level, message } = activity {
                    hears.lock().unwrap().push((level == Level::Warning, message));
                }
            };
            let monitor = Monitor::new(hear, Arc::default());
            let loss: Loss = serde_json::from_value(loss).unwrap();
            let classes = ["cat", "dog", "emu"].map(str::to_owned);
            tell_unweighted(Some(&loss), &classes, &monitor);
            drop(monitor);
            heard.lock().unwrap().clone()
        };
        let weighted = |weights| json!({"cross_entropy": {"class_weights": weights}});
        assert_eq!(
            told(weighted(json!({"cat": 5, "dog": 5}))),
            [(
                true,
                "`class_weights` leaves out 1 class which weighs 1: emu".to_owned()
            )]
        );
        assert_eq!(
            told(weighted(json!({"emu": 5}))),
            [(
                false,
                "`class_weights` leaves out 2 classes which weigh 1: cat, dog".to_owned()
            )]
        );
        for all in [
            json!({"cat": 1, "dog": 2, "emu": 3}),
            json!([1, 2, 3]),
            json!("balanced"),
        ] {
            assert!(told(weighted(all)).is_empty());
        }
    }
}
