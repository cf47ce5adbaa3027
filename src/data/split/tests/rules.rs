//! Tests of groups, orders and folds.

use super::*;

/// Decides the splits of samples `(class, content, group)` by options as a pipeline file spells them.
fn decided(options: &str, samples: &[(u32, u32, u32)], orders: &[f64]) -> Result<Vec<SplitName>, DataError> {
    let options: SplitOptions = serde_json::from_str(options).unwrap();
    let labels: Vec<u32> = samples.iter().map(|(label, _, _)| *label).collect();
    let digests: Vec<ContentDigest> = samples.iter().map(|(_, value, _)| digest(*value)).collect();
    let groups: Vec<ContentDigest> = samples.iter().map(|(_, _, group)| digest(*group)).collect();
    let names = names(3);
    let shares = Shares {
        val: options.val.map(|share| share.get()),
        test: options.test.map(|share| share.get()),
    };
    let known = SplitSamples {
        units: None,
        classes: Some((&names, &labels)),
        digests: &digests,
        groups: options.group.as_ref().map(|_| &groups[..]),
        orders: options.order.as_ref().map(|_| orders),
    };
    let mut splits = vec![SplitName::Train; samples.len()];
    decide_splits(&options, shares, &known, &mut splits)?;
    Ok(splits)
}

fn count(splits: &[SplitName], name: SplitName) -> usize {
    splits.iter().filter(|split| **split == name).count()
}

#[test]
fn no_group_is_in_two_splits() {
    // 40 groups of 1 to 9 samples, most of them of one class.
    let samples: Vec<(u32, u32, u32)> = (0..40u32)
        .flat_map(|group| (0..group * 7 % 9 + 1).map(move |at| (group % 3, group * 100 + at, group)))
        .collect();
    for options in [
        r#"{"val": 0.15, "test": 0.25, "group": "g"}"#,
        r#"{"val": 0.15, "test": 0.25, "group": "g", "stratify": false}"#,
    ] {
        let splits = decided(options, &samples, &[]).unwrap();
        let of_group: BTreeSet<(u32, SplitName)> = samples
            .iter()
            .zip(&splits)
            .map(|((_, _, group), split)| (*group, *split))
            .collect();
        assert_eq!(of_group.len(), 40, "{options}");
        let all = samples.len() as f64;
        let share = |name| count(&splits, name) as f64 / all;
        assert!(
            (share(SplitName::Test) - 0.25).abs() < 0.06,
            "{options}: {}",
            share(SplitName::Test)
        );
        assert!(
            (share(SplitName::Val) - 0.15).abs() < 0.06,
            "{options}: {}",
            share(SplitName::Val)
        );
    }
    let splits = decided(r#"{"test": 0.25, "group": "g"}"#, &samples, &[]).unwrap();
    for class in 0..3 {
        let of_class = |name: Option<SplitName>| {
            let found = samples
                .iter()
                .zip(&splits)
                .filter(|((label, _, _), split)| *label == class && name.is_none_or(|name| **split == name));
            found.count() as f64
        };
        let share = of_class(Some(SplitName::Test)) / of_class(None);
        assert!((share - 0.25).abs() < 0.1, "class {class}: {share}");
    }
    let few = decided(r#"{"val": 0.1, "test": 0.1, "group": "g"}"#, &samples[..1], &[]);
    assert!(few.unwrap_err().to_string().contains("there is 1 group, too few"));
    // Even one large and two small groups fill three splits.
    let samples: Vec<(u32, u32, u32)> = (0..30u32).map(|at| (0, at, at.saturating_sub(27))).collect();
    let splits = decided(r#"{"val": 0.1, "test": 0.1, "group": "g"}"#, &samples, &[]).unwrap();
    assert_eq!(SplitName::ALL.map(|name| count(&splits, name)), [28, 1, 1]);
}

#[test]
fn what_is_tested_on_comes_last() {
    let samples: Vec<(u32, u32, u32)> = (0..100).map(|at| (at % 3, at, 0)).collect();
    let orders: Vec<f64> = (0..100).map(|at| f64::from(at * 37 % 100)).collect();
    let options = r#"{"val": 0.1, "test": 0.2, "order": "when"}"#;
    let splits = decided(options, &samples, &orders).unwrap();
    for (split, order) in splits.iter().zip(&orders) {
        let expected = match *order {
            order if order >= 80.0 => SplitName::Test,
            order if order >= 70.0 => SplitName::Val,
            _ => SplitName::Train,
        };
        assert_eq!(*split, expected, "{order}");
    }
    // What stands at one place stays together.
    let days: Vec<f64> = orders.iter().map(|order| (order / 30.0).floor()).collect();
    let splits = decided(options, &samples, &days).unwrap();
    assert_eq!(SplitName::ALL.map(|name| count(&splits, name)), [30, 30, 40]);
    let error = decided(options, &samples, &[1.0; 100]).unwrap_err().to_string();
    assert!(
        error.contains("too few at different places of the order"),
        "{error}"
    );
}

#[test]
fn every_sample_is_tested_in_one_fold() {
    // Contents occur several times, with classes of their own and with others.
    let samples: Vec<(u32, u32, u32)> = (0..103).map(|at| (at * 5 % 3, at % 80, at % 17)).collect();
    for extra in [
        "",
        r#", "group": "g""#,
        r#", "stratify": false"#,
        r#", "val": 0.1"#,
    ] {
        let mut tested = vec![0; samples.len()];
        for fold in 1..=5 {
            let options = format!(r#"{{"folds": 5, "fold": {fold}{extra}}}"#);
            let splits = decided(&options, &samples, &[]).unwrap();
            let here = count(&splits, SplitName::Test);
            assert!((13..=29).contains(&here), "{options}: {here}");
            assert_eq!(
                count(&splits, SplitName::Val) > 0,
                extra.contains("val"),
                "{options}"
            );
            for (tested, split) in tested.iter_mut().zip(&splits) {
                *tested += usize::from(*split == SplitName::Test);
            }
            let kept_apart: BTreeSet<(u32, bool)> = samples
                .iter()
                .zip(&splits)
                .map(|((_, value, group), split)| {
                    let what = if extra.contains("group") { *group } else { *value };
                    (what, *split == SplitName::Test)
                })
                .collect();
            let different = if extra.contains("group") { 17 } else { 80 };
            assert_eq!(kept_apart.len(), different, "{options}");
        }
        assert!(tested.iter().all(|times| *times == 1), "{extra}: {tested:?}");
    }
    let error = decided(r#"{"folds": 90, "fold": 1}"#, &samples, &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("80 different samples, too few for 90 folds"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn the_order_of_the_samples_does_not_matter(
        samples in prop::collection::vec((0u32..3, 0u32..60, 0u32..12), 40..120),
        seed in any::<u64>(),
        rule in 0usize..3,
    ) {
        let options = [
            r#"{"val": 0.1, "test": 0.2, "group": "g"}"#,
            r#"{"folds": 4, "fold": 2}"#,
            r#"{"folds": 4, "fold": 2, "group": "g", "val": 0.1}"#,
        ][rule];
        let mut shuffled = samples.clone();
        crate::random::Stream::new(seed, crate::random::Purpose::Shuffle, 0, 0).shuffle(&mut shuffled);
        let sets = |samples: &[(u32, u32, u32)]| {
            let splits = decided(options, samples, &[]).ok()?;
            Some(splits.into_iter().zip(samples.iter().copied()).collect::<BTreeSet<_>>())
        };
        prop_assert_eq!(sets(&samples), sets(&shuffled));
    }
}
