//! Splits that keep together what belongs together.
//!
//! Groups are placed one by one, the large ones first, each into the split in which its classes still
//! have most room. So no group is in two splits, and each class gives about its share to each of them.
//! Neither the order of the samples nor the groups' names matter but by their digests, which order
//! groups of one size.

use std::collections::BTreeMap;

use super::{Shares, SplitSamples, requests, train_samples};
use crate::data::digest::ContentDigest;
use crate::data::error::DataError;
use crate::spec::{SplitName, counted};

/// Moves whole groups of samples of the train split to others.
pub(super) fn carve_groups(
    shares: Shares,
    groups: &[ContentDigest],
    samples: &SplitSamples<'_>,
    splits: &mut [SplitName],
) -> Result<(), DataError> {
    let requests = requests(shares)?;
    let ours = train_samples(splits);
    if requests.is_empty() || ours.is_empty() {
        return Ok(());
    }
    let rest = 1.0 - requests.iter().map(|(_, share)| share).sum::<f64>();
    let mut bins = vec![(SplitName::Train, rest)];
    bins.extend(&requests);
    let shares: Vec<f64> = bins.iter().map(|(_, share)| *share).collect();
    let placed = place_groups(&shares, &ours, groups, samples);
    for (bin, (name, _)) in bins.iter().enumerate() {
        if !placed.members.iter().any(|(_, into)| *into == bin) {
            return Err(DataError::Options(format!(
                "there {}, too few to have some of them in the {} split: change `split`, or its `group`",
                match placed.groups {
                    1 => "is 1 group".to_owned(),
                    groups => format!("are {}", counted(groups, "group")),
                },
                name.as_str()
            )));
        }
    }
    for (index, bin) in placed.members {
        splits[index as usize] = bins[bin].0;
    }
    Ok(())
}

/// Which bin each sample is put into.
pub(super) struct PlacedGroups {
    /// How many groups there are.
    pub groups: usize,
    /// Each sample, and its bin.
    pub members: Vec<(u32, usize)>,
}

/// Places the groups of the samples `ours` into bins that are to have `shares` of each class.
pub(super) fn place_groups(
    shares: &[f64],
    ours: &[u32],
    groups: &[ContentDigest],
    samples: &SplitSamples<'_>,
) -> PlacedGroups {
    let (strata, stratum) = samples.strata();
    let mut members: BTreeMap<ContentDigest, Vec<u32>> = BTreeMap::new();
    let mut totals = vec![0f64; strata];
    for index in ours {
        members.entry(groups[*index as usize]).or_default().push(*index);
        totals[stratum(*index)] += 1.0;
    }
    let mut ordered: Vec<Vec<u32>> = members.into_values().collect();
    // Stable: groups of one size stay in the order of their digests.
    ordered.sort_by_key(|members| std::cmp::Reverse(members.len()));
    let mut filled = vec![vec![0f64; strata]; shares.len()];
    let mut placed = Vec::with_capacity(ours.len());
    let count = ordered.len();
    for (place, group) in ordered.into_iter().enumerate() {
        let mut own: BTreeMap<usize, f64> = BTreeMap::new();
        for index in &group {
            *own.entry(stratum(*index)).or_default() += 1.0;
        }
        let room = |bin: usize| -> f64 {
            let share = |(class, number): (&usize, &f64)| {
                number * (1.0 - filled[bin][*class] / (shares[bin] * totals[*class]))
            };
            own.iter().map(share).sum()
        };
        let empty = |bin: usize| filled[bin].iter().all(|number| *number == 0.0);
        let empties = (0..shares.len()).filter(|bin| empty(*bin)).count();
        // The last groups are for bins that have none.
        let only_empty = count - place <= empties;
        let mut best = None;
        for bin in (0..shares.len()).filter(|bin| !only_empty || empty(*bin)) {
            let room = room(bin);
            if best.is_none_or(|(_, most)| room > most) {
                best = Some((bin, room));
            }
        }
        let bin = best.map_or(0, |(bin, _)| bin);
        for (class, number) in own {
            filled[bin][class] += number;
        }
        placed.extend(group.into_iter().map(|index| (index, bin)));
    }
    PlacedGroups {
        groups: count,
        members: placed,
    }
}
