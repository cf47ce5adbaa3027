//! Folds for cross-validation: every sample is in just one of them.
//!
//! Within each class, samples are ranked by the digest of their values, and the ranking is cut into as
//! many parts as there are folds. Samples with equal values are in one fold, whatever their classes; and
//! so are groups, which are placed as they are for other splits.

use std::collections::BTreeMap;

use super::groups::place_groups;
use super::{SplitSamples, train_samples};
use crate::data::error::DataError;
use crate::spec::SplitName;

/// Moves the samples of the fold `fold`, one of `folds` from 0 on, from the train split to the test split.
pub(super) fn carve_fold(
    folds: usize,
    fold: usize,
    samples: &SplitSamples<'_>,
    splits: &mut [SplitName],
) -> Result<(), DataError> {
    if splits.contains(&SplitName::Test) {
        return Err(DataError::Options(
            "the input has a test split of its own, and `folds` make one of the training samples: remove `folds`"
                .into(),
        ));
    }
    let ours = train_samples(splits);
    let (of_sample, different) = match samples.groups {
        Some(groups) => {
            let shares = vec![1.0 / folds as f64; folds];
            let placed = place_groups(&shares, &ours, groups, samples);
            (placed.members, placed.groups)
        }
        None => by_content(folds, &ours, samples),
    };
    if different < folds {
        let what = if samples.groups.is_some() {
            "groups"
        } else {
            "different samples"
        };
        return Err(DataError::Options(format!(
            "the input has {different} {what}, too few for {folds} folds: make `folds` smaller"
        )));
    }
    for (index, of) in of_sample {
        if of == fold {
            splits[index as usize] = SplitName::Test;
        }
    }
    Ok(())
}

/// The fold of each sample by its class and content, and how many different samples there are.
fn by_content(folds: usize, ours: &[u32], samples: &SplitSamples<'_>) -> (Vec<(u32, usize)>, usize) {
    let (_, stratum) = samples.strata();
    let digest = |index: &u32| samples.digests[*index as usize];
    let mut ranked = ours.to_vec();
    ranked.sort_unstable_by_key(|index| (digest(index), stratum(*index)));
    // Samples of equal values count once, for the first of their classes.
    let units: Vec<&[u32]> = ranked
        .chunk_by(|left, right| digest(left) == digest(right))
        .collect();
    let mut of_class: BTreeMap<usize, Vec<&[u32]>> = BTreeMap::new();
    for unit in &units {
        of_class.entry(stratum(unit[0])).or_default().push(unit);
    }
    let mut placed = Vec::with_capacity(ours.len());
    for (class, units) in of_class {
        let count = units.len();
        for (rank, unit) in units.into_iter().enumerate() {
            // Shifted by the class, so that not all small classes are in the first folds.
            let fold = (rank * folds / count + class) % folds;
            placed.extend(unit.iter().map(|index| (*index, fold)));
        }
    }
    (placed, units.len())
}
