//! Categories that a model cannot learn anything of.

use super::dataset::{Dataset, Split};
use super::error::DataError;
use crate::event::Monitor;
use crate::schema::Field;
use crate::spec::SplitName;

/// How many categories of a column are named.
const NAMED: usize = 10;

/// A feature that stands for a category.
struct CategoryFeature<'a> {
    /// Its place in a row.
    place: usize,
    column: &'a str,
    category: &'a str,
    /// Samples that have it, outside the training split.
    samples: u64,
}

/// Warns of categories that samples of other splits have, and no training sample: what a model says of them is what
/// it was before training.
pub(super) fn tell_untrained(dataset: &Dataset, monitor: &Monitor) -> Result<(), DataError> {
    let mut untrained = categories(dataset.input());
    if untrained.is_empty() {
        return Ok(());
    }
    if let Some(train) = dataset.split(SplitName::Train) {
        let is_done = |row: &[f32], untrained: &mut Vec<CategoryFeature<'_>>| {
            untrained.retain(|feature| row[feature.place] != 1.0);
            untrained.is_empty()
        };
        each_row(&train, |row| is_done(row, &mut untrained))?;
    }
    if untrained.is_empty() {
        return Ok(());
    }
    for split in [SplitName::Val, SplitName::Test] {
        let Some(split) = dataset.split(split) else {
            continue;
        };
        each_row(&split, |row| {
            for feature in &mut untrained {
                feature.samples += u64::from(row[feature.place] == 1.0);
            }
            false
        })?;
    }
    untrained.retain(|feature| feature.samples > 0);
    for found in untrained.chunk_by(|left, right| left.column == right.column) {
        let names: Vec<String> = found
            .iter()
            .take(NAMED)
            .map(|feature| format!("`{}` ({})", feature.category, feature.samples))
            .collect();
        let more = if found.len() > NAMED { ", ..." } else { "" };
        monitor.warn(format!(
            "no training sample has these categories of column `{}`, and so many others do: {}{more}; a model learns \
             nothing of them",
            found[0].column,
            names.join(", ")
        ));
    }
    Ok(())
}

/// The categories of all columns.
fn categories(field: &Field) -> Vec<CategoryFeature<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    for column in &field.columns {
        for (place, category) in (start..).zip(column.categories().unwrap_or_default()) {
            found.push(CategoryFeature {
                place,
                column: &column.name,
                category,
                samples: 0,
            });
        }
        start += column.width();
    }
    found
}

/// Shows `look` the rows of a split, until it says that it has seen enough.
fn each_row(split: &Split, mut look: impl FnMut(&[f32]) -> bool) -> Result<(), DataError> {
    let mut row = Vec::new();
    for index in 0..split.len() {
        split.read_sample(index, &mut row)?;
        if look(&row) {
            break;
        }
    }
    Ok(())
}
