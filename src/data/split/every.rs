//! Splits by the places of samples alone, as published experiments often have them.

use crate::data::error::DataError;
use crate::spec::{EverySample, SplitName};

/// Moves every so manieth sample of the train split, counted from 1 by `units`, to another one.
pub(super) fn carve_every(
    every: EverySample,
    units: &[u32],
    splits: &mut [SplitName],
) -> Result<(), DataError> {
    let requests = [(SplitName::Test, every.test), (SplitName::Val, every.val)];
    for (split, unit) in splits.iter_mut().zip(units) {
        let is_meant = |number: u32| (unit % number) == number - 1;
        if *split == SplitName::Train {
            let found = requests
                .iter()
                .find(|(_, number)| number.is_some_and(|number| is_meant(number.get())));
            *split = found.map_or(SplitName::Train, |(name, _)| *name);
        }
    }
    for (name, number) in requests {
        if number.is_some() && !splits.contains(&name) {
            return Err(DataError::Options(format!(
                "there are too few samples for `split.every.{0}`, which leaves none for the {0} split: make it smaller",
                name.as_str()
            )));
        }
    }
    if splits.contains(&SplitName::Train) {
        return Ok(());
    }
    Err(DataError::Options(
        "`split.every` leaves nothing to train on: make its numbers larger".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_decide_and_parts_stay_together() {
        let every = |json: &str| serde_json::from_str::<EverySample>(json).unwrap();
        let units = [0, 0, 1, 2, 3, 3, 4, 5];
        let mut splits = [Train; 8];
        carve_every(every(r#"{"val": 2, "test": 4}"#), &units, &mut splits).unwrap();
        use SplitName::{Test, Train, Val};
        assert_eq!(splits, [Train, Train, Val, Train, Test, Test, Train, Val]);
        let mut few = [Train; 3];
        let error = carve_every(every(r#"{"val": 10}"#), &[0, 1, 2], &mut few).unwrap_err();
        assert!(error.to_string().contains("split.every.val"), "{error}");
    }
}
