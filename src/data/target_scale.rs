//! The scale of numbers that are to be predicted.

use serde::{Deserialize, Serialize};

use super::error::DataError;

/// How the numbers that are to be predicted are shifted and scaled: `(target - mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetScale {
    /// The mean of each number.
    pub mean: Vec<f32>,
    /// The standard deviation of each number.
    pub std: Vec<f32>,
}

impl TargetScale {
    /// Scales the targets of one sample in place.
    pub fn apply(&self, targets: &mut [f32]) {
        for ((target, mean), std) in targets.iter_mut().zip(&self.mean).zip(&self.std) {
            *target = (*target - mean) / std;
        }
    }

    /// Checks that it is for `count` numbers that can be scaled.
    pub(super) fn check(&self, count: usize) -> Result<(), DataError> {
        let usable = |std: &f32| std.is_finite() && *std > 0.0;
        if self.mean.len() == count
            && self.std.len() == count
            && self.mean.iter().all(|mean| mean.is_finite())
            && self.std.iter().all(usable)
        {
            return Ok(());
        }
        Err(DataError::Options(format!(
            "targets are scaled by {} means and {} deviations, and there are {count}: each needs a finite mean \
             and a deviation over 0",
            self.mean.len(),
            self.std.len()
        )))
    }
}
