//! Splits in an order, such as that of time: what is tested on comes after what is trained on.

use super::{Shares, requests, train_samples};
use crate::data::digest::ContentDigest;
use crate::data::error::DataError;
use crate::spec::{SplitName, counted};

/// Moves the last samples of the train split to the test split, and those before them to the validation
/// split. Samples that stand at one place of the order stay together, in the later of the splits.
pub(super) fn carve_order(
    shares: Shares,
    orders: &[f64],
    digests: &[ContentDigest],
    splits: &mut [SplitName],
) -> Result<(), DataError> {
    let requests = requests(shares)?;
    let mut ours = train_samples(splits);
    ours.sort_unstable_by(|left, right| {
        let (left, right) = (*left as usize, *right as usize);
        orders[left]
            .total_cmp(&orders[right])
            .then_with(|| digests[left].cmp(&digests[right]))
    });
    let total = ours.len();
    let mut rest = &ours[..];
    // The test split comes first among them, and last in the order.
    for (name, share) in &requests {
        let wanted = ((share * total as f64).round() as usize).max(1);
        let mut start = rest.len().saturating_sub(wanted);
        let place = |at: usize| orders[rest[at] as usize];
        while start > 0 && place(start - 1) == place(start) {
            start -= 1;
        }
        if start == 0 {
            return Err(DataError::Options(format!(
                "the input has {}, too few at different places of the order to fill the {} \
                 split and leave some before it to train on: change `split`, or its `order`",
                counted(total, "training sample"),
                name.as_str()
            )));
        }
        for index in &rest[start..] {
            splits[*index as usize] = *name;
        }
        rest = &rest[..start];
    }
    Ok(())
}
