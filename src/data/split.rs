//! Carving splits from the training samples.
//!
//! Within each class, samples are ranked by the digest of their values. The first `test` share of
//! the ranking goes to the test split, the next `val` share to the validation split, the rest stays.
//! So neither the order of the samples nor the names of their files matter, and adding samples
//! moves few of the others. Samples with equal values stay together, so that no copy of a training
//! sample is ever tested on. Each class gives `round(share * n)` of its `n` samples, but at least
//! one, to each split; it is an error where that leaves none to train on. Samples with several labels
//! or with numbers to be predicted are ranked all together, as if they were one class.
//!
//! Equal samples of different classes, which the classes' rankings may have put into different
//! splits, are brought together afterwards: in the test split if any of them is there, else in the
//! validation split. They are trained on instead where that would take a class's last training sample.

mod crossing;
mod decide;
mod every;
mod folds;
mod groups;
mod order;
#[cfg(test)]
mod tests;

use super::digest::ContentDigest;
use super::error::DataError;
use crate::spec::{SplitName, counted};

pub(super) use crossing::check_groups;
pub(super) use decide::{SplitSamples, decide_splits};

/// The shares of the training samples that become other splits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    pub val: Option<f64>,
    pub test: Option<f64>,
}

/// Moves samples of the train split to others, the same share of each class.
pub(super) fn carve_classes(
    shares: Shares,
    classes: &[String],
    labels: &[u32],
    digests: &[ContentDigest],
    splits: &mut [SplitName],
) -> Result<(), DataError> {
    let requests = requests(shares)?;
    let ours = train_samples(splits);
    if requests.is_empty() || ours.is_empty() {
        return Ok(());
    }
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); classes.len()];
    for index in &ours {
        members[labels[*index as usize] as usize].push(*index);
    }
    for (class, members) in classes.iter().zip(members) {
        let count = members.len();
        if count > 0 && !carve(&requests, members, digests, splits) {
            return Err(DataError::Options(format!(
                "class `{class}` has {}: add samples, leave the class out, or change `split` (a label column \
                 that holds numbers to be predicted, not classes, looks like this too: it needs `task: \
                 regression`)",
                too_few(count, &requests)
            )));
        }
    }
    bring_together(ours, classes.len(), labels, digests, splits);
    match requests.iter().find(|(name, _)| !splits.contains(name)) {
        None => Ok(()),
        Some((name, _)) => Err(DataError::Options(format!(
            "too many samples with equal values are in different classes, which leaves none for the {} split: \
             add samples, remove the copies, or change `split`",
            name.as_str()
        ))),
    }
}

/// Puts those of the samples `ours` that have equal values but different classes into one split.
/// What is decided depends on the samples' values and classes alone, not on their order.
fn bring_together(
    mut ours: Vec<u32>,
    classes: usize,
    labels: &[u32],
    digests: &[ContentDigest],
    splits: &mut [SplitName],
) {
    let label = |index: &u32| labels[*index as usize] as usize;
    let digest = |index: &u32| digests[*index as usize];
    // Of each class, the samples that are trained on.
    let mut trained = vec![0u64; classes];
    for index in &ours {
        trained[label(index)] += u64::from(splits[*index as usize] == SplitName::Train);
    }
    ours.sort_unstable_by_key(|index| (digest(index), label(index)));
    for equal in ours.chunk_by(|left, right| digest(left) == digest(right)) {
        let is_in = |name| equal.iter().any(|index| splits[*index as usize] == name);
        let found = [SplitName::Test, SplitName::Val, SplitName::Train].map(is_in);
        if found.iter().filter(|found| **found).count() < 2 {
            continue;
        }
        let leaves_some = equal
            .chunk_by(|left, right| label(left) == label(right))
            .all(|copies| {
                let is_trained = |index: &&u32| splits[**index as usize] == SplitName::Train;
                let count = copies.iter().filter(is_trained).count() as u64;
                count == 0 || trained[label(&copies[0])] > count
            });
        let target = match found {
            [.., true] if !leaves_some => SplitName::Train,
            [true, ..] => SplitName::Test,
            _ => SplitName::Val,
        };
        for index in equal {
            let split = &mut splits[*index as usize];
            trained[label(index)] -= u64::from(*split == SplitName::Train);
            *split = target;
            trained[label(index)] += u64::from(target == SplitName::Train);
        }
    }
}

/// The samples of the train split. A dataset holds fewer than 2^32 samples.
fn train_samples(splits: &[SplitName]) -> Vec<u32> {
    let numbered = (0u32..).zip(splits);
    let train = numbered.filter(|(_, split)| **split == SplitName::Train);
    train.map(|(index, _)| index).collect()
}

/// Moves samples of the train split to others, whatever is to be predicted for them.
pub(super) fn carve_all(
    shares: Shares,
    digests: &[ContentDigest],
    splits: &mut [SplitName],
) -> Result<(), DataError> {
    let requests = requests(shares)?;
    let members = train_samples(splits);
    let count = members.len();
    if requests.is_empty() || carve(&requests, members, digests, splits) {
        return Ok(());
    }
    Err(DataError::Options(format!(
        "the input has {}: add samples, or change `split`",
        too_few(count, &requests)
    )))
}

/// The splits to be carved, with their shares.
fn requests(shares: Shares) -> Result<Vec<(SplitName, f64)>, DataError> {
    let requests: Vec<(SplitName, f64)> = [(SplitName::Test, shares.test), (SplitName::Val, shares.val)]
        .into_iter()
        .filter_map(|(name, share)| Some((name, share?)))
        .collect();
    let sum: f64 = requests.iter().map(|(_, share)| share).sum();
    if sum >= 1.0 {
        return Err(DataError::Options(format!(
            "the shares of `split` add up to {sum}, which leaves nothing to train on: make them smaller"
        )));
    }
    Ok(requests)
}

/// Moves some of `members`; `false` where they are too few.
fn carve(
    requests: &[(SplitName, f64)],
    mut members: Vec<u32>,
    digests: &[ContentDigest],
    splits: &mut [SplitName],
) -> bool {
    let digest = |index: &u32| digests[*index as usize];
    members.sort_unstable_by_key(digest);
    let mut groups = members.chunk_by(|left, right| digest(left) == digest(right));
    for (name, share) in requests {
        let wanted = ((share * members.len() as f64).round() as usize).max(1);
        let mut taken = 0;
        while taken < wanted {
            let Some(group) = groups.next() else {
                return false;
            };
            group.iter().for_each(|index| splits[*index as usize] = *name);
            taken += group.len();
        }
    }
    groups.next().is_some()
}

fn too_few(count: usize, requests: &[(SplitName, f64)]) -> String {
    let names: Vec<&str> = requests.iter().map(|(name, _)| name.as_str()).collect();
    format!(
        "{}, too few different ones to fill {} and leave one to train on",
        counted(count, "training sample"),
        names.join(" and ")
    )
}
