//! Tests of splits.

mod rules;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::spec::SplitOptions;

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
