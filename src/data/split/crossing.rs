//! Groups that are in several splits, as an input that has splits of its own may put them.

use std::collections::{BTreeSet, HashMap};

use crate::data::digest::ContentDigest;
use crate::data::error::DataError;
use crate::spec::{SplitName, counted_that};

/// How many groups are named in a message.
const NAMED: usize = 3;

/// Checks that no group is in two splits. Groups are called by `names`, as far as these are known; `divided_by` is what
/// said the splits, in words.
///
/// # Errors
/// Some are: what belongs together would be trained on and measured on.
pub(in crate::data) fn check_groups(
    groups: &[ContentDigest],
    splits: &[SplitName],
    names: &HashMap<ContentDigest, String>,
    divided_by: &str,
) -> Result<(), DataError> {
    // A dataset holds fewer than 2^32 samples.
    let mut samples: Vec<u32> = (0..groups.len() as u32).collect();
    let group = |index: &u32| groups[*index as usize];
    samples.sort_unstable_by_key(|index| (group(index), *index));
    let mut crossing: Vec<(&[u32], BTreeSet<SplitName>)> = Vec::new();
    for members in samples.chunk_by(|left, right| group(left) == group(right)) {
        let found: BTreeSet<SplitName> = members.iter().map(|index| splits[*index as usize]).collect();
        if found.len() > 1 {
            crossing.push((members, found));
        }
    }
    if crossing.is_empty() {
        return Ok(());
    }
    // In the order of the samples.
    crossing.sort_unstable_by_key(|(members, _)| members[0]);
    let named = crossing.iter().filter_map(|(members, found)| {
        let name = names.get(&group(&members[0]))?;
        let found: Vec<&str> = found.iter().map(|split| split.as_str()).collect();
        Some(format!("`{name}` in {}", found.join(" and ")))
    });
    let examples: Vec<String> = named.take(NAMED).collect();
    let more = if crossing.len() > NAMED { ", ..." } else { "" };
    let examples = match examples.is_empty() {
        true => String::new(),
        false => format!(" ({}{more})", examples.join(", ")),
    };
    Err(DataError::Options(format!(
        "`split.group`: {} in more than one split{examples}, where {divided_by} put them, so that what belongs together would \
         be trained on and measured on: move rows so that each group is in one, let `split` divide all of them by `val`, \
         `test` or `folds` alone, or take `group` out where that is meant",
        counted_that(crossing.len(), "group", ["stands", "stand"])
    )))
}
