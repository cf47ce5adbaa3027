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

use super::digest::ContentDigest;
use super::error::DataError;
use crate::spec::SplitName;

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
        "{count} training {}, too few different ones to fill {} and leave one to train on",
        if count == 1 { "sample" } else { "samples" },
        names.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn digest(value: u32) -> ContentDigest {
        blake3::hash(&value.to_le_bytes()).as_bytes()[..16]
            .try_into()
            .unwrap()
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("c{index}")).collect()
    }

    fn carved(samples: &[(u32, u32)], shares: Shares) -> Result<Vec<SplitName>, DataError> {
        let labels: Vec<u32> = samples.iter().map(|(label, _)| *label).collect();
        let digests: Vec<ContentDigest> = samples.iter().map(|(_, value)| digest(*value)).collect();
        let mut splits = vec![SplitName::Train; samples.len()];
        carve_classes(shares, &names(3), &labels, &digests, &mut splits)?;
        Ok(splits)
    }

    const BOTH: Shares = Shares {
        val: Some(0.1),
        test: Some(0.25),
    };

    #[test]
    fn each_class_gives_its_share() {
        let samples: Vec<(u32, u32)> = (0..300).map(|value| (value % 3, value)).collect();
        let splits = carved(&samples, BOTH).unwrap();
        for class in 0..3 {
            let count = |name| {
                let members = samples
                    .iter()
                    .zip(&splits)
                    .filter(|((label, _), _)| *label == class);
                members.filter(|(_, split)| **split == name).count()
            };
            assert_eq!(count(SplitName::Test), 25);
            assert_eq!(count(SplitName::Val), 10);
            assert_eq!(count(SplitName::Train), 65);
        }
    }

    #[test]
    fn splits_of_the_files_stay() {
        let labels = [0, 0, 0, 0];
        let digests: Vec<ContentDigest> = (0..4).map(digest).collect();
        let mut splits = [
            SplitName::Train,
            SplitName::Test,
            SplitName::Train,
            SplitName::Train,
        ];
        let shares = Shares {
            val: Some(0.34),
            test: None,
        };
        carve_classes(shares, &names(1), &labels, &digests, &mut splits).unwrap();
        assert_eq!(splits[1], SplitName::Test);
        assert_eq!(splits.iter().filter(|name| **name == SplitName::Val).count(), 1);
    }

    #[test]
    fn classes_that_are_too_small_are_named() {
        let error = carved(&[(0, 1), (0, 2), (0, 3), (1, 4), (1, 5)], BOTH).unwrap_err();
        assert!(
            error.to_string().contains("class `c1` has 2 training samples"),
            "{error}"
        );
        let copies = carved(&[(2, 1), (2, 1), (2, 1), (2, 1)], BOTH).unwrap_err();
        assert!(copies.to_string().contains("class `c2`"), "{copies}");
        let three = carved(&[(0, 1), (0, 2), (0, 3)], BOTH).unwrap();
        assert_eq!(three.iter().collect::<BTreeSet<_>>().len(), 3);
        let all = Shares {
            val: Some(0.5),
            test: Some(0.5),
        };
        assert!(
            carved(&[(0, 1)], all)
                .unwrap_err()
                .to_string()
                .contains("add up to 1")
        );
    }

    #[test]
    fn without_classes_all_samples_are_one_group() {
        // Value 7 occurs ten times: its copies move together or not at all.
        let values: Vec<u32> = (0..100).chain([7; 9]).collect();
        let digests: Vec<ContentDigest> = values.iter().map(|value| digest(*value)).collect();
        let mut splits = vec![SplitName::Train; values.len()];
        carve_all(BOTH, &digests, &mut splits).unwrap();
        let count = |name| splits.iter().filter(|split| **split == name).count();
        // 25 % and 10 % of 109, and what of the group of copies is over.
        assert!((27..=36).contains(&count(SplitName::Test)), "{splits:?}");
        assert!((11..=20).contains(&count(SplitName::Val)), "{splits:?}");
        let copies: BTreeSet<_> = splits[100..].iter().chain([&splits[7]]).collect();
        assert_eq!(copies.len(), 1);

        let mut copies = vec![SplitName::Train; 5];
        let error = carve_all(BOTH, &[digest(1); 5], &mut copies)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the input has 5 training samples, too few"),
            "{error}"
        );
        let none = carve_all(Shares::default(), &[digest(1); 2], &mut [SplitName::Train; 2]);
        assert!(none.is_ok());
    }

    /// The values from 0 on, in the order of their digests.
    fn ranked(count: u32) -> Vec<u32> {
        let mut values: Vec<u32> = (0..count).collect();
        values.sort_unstable_by_key(|value| digest(*value));
        values
    }

    #[test]
    fn equal_samples_of_different_classes_share_a_split() {
        use SplitName::{Test, Train, Val};
        let value = ranked(20);
        // By itself, class 0 tests on value 0 and validates on 1, class 1 tests on 1.
        let samples: Vec<(u32, u32)> = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 4), (1, 5)]
            .map(|(label, rank)| (label, value[rank]))
            .to_vec();
        let splits = carved(&samples, BOTH).unwrap();
        assert_eq!(splits, [Test, Test, Train, Train, Test, Val, Train]);

        // Class 0 has nothing but value 2 to train on, which class 1 tests on.
        let only_test = Shares {
            val: None,
            test: Some(0.25),
        };
        let samples: Vec<(u32, u32)> = [(0, 1), (0, 2), (1, 2), (1, 3), (1, 4)]
            .map(|(label, rank)| (label, value[rank]))
            .to_vec();
        let splits = carved(&samples, only_test).unwrap();
        assert_eq!(splits, [Test, Train, Train, Train, Train]);

        // What class 0 validates on class 1 tests on, and the other way round with what it trains on.
        let samples: Vec<(u32, u32)> = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
            .map(|(label, rank)| (label, value[rank]))
            .to_vec();
        let error = carved(&samples, BOTH).unwrap_err().to_string();
        assert!(error.contains("leaves none for the val split"), "{error}");
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_copies_stay_together(
            samples in prop::collection::vec((0u32..3, 0u32..60), 30..120),
            seed in any::<u64>(),
        ) {
            let mut shuffled = samples.clone();
            crate::random::Stream::new(seed, crate::random::Purpose::Shuffle, 0, 0).shuffle(&mut shuffled);
            let sets = |samples: &[(u32, u32)]| {
                let splits = carved(samples, BOTH).ok()?;
                Some(splits.into_iter().zip(samples.iter().copied()).collect::<BTreeSet<_>>())
            };
            let (left, right) = (sets(&samples), sets(&shuffled));
            prop_assert_eq!(&left, &right);
            if let Some(left) = left {
                // Each different sample is in one split, whatever its copies' classes.
                let parted: BTreeSet<_> = left.iter().map(|(split, (_, value))| (split, value)).collect();
                let different: BTreeSet<_> = samples.iter().map(|(_, value)| value).collect();
                prop_assert_eq!(parted.len(), different.len());
                let classes: BTreeSet<_> = samples.iter().map(|(label, _)| label).collect();
                let trained = left.iter().filter(|(split, _)| *split == SplitName::Train);
                let trained: BTreeSet<_> = trained.map(|(_, (label, _))| label).collect();
                prop_assert_eq!(trained, classes);
            }
        }
    }
}
