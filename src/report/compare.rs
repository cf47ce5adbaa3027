//! Rows beside each other: which is best, which rank each has, how far each is from the baseline.

use indexmap::IndexMap;
use serde_json::Value;

use super::bootstrap::{Comparison, RESAMPLES, compare};
use super::table::{Cell, TableData};
use super::{ReportError, number};
use crate::spec::{Table, same_value};

/// Fills in what a cell can only know beside the others.
///
/// # Errors
/// No row is the baseline although no result is missing.
pub(super) fn compare_rows(
    data: &mut TableData,
    table: &Table,
    is_incomplete: bool,
) -> Result<(), ReportError> {
    for index in 0..data.columns.len() {
        rank(data, index);
    }
    let Some(baseline) = &table.baseline else {
        return Ok(());
    };
    let wanted = baseline.values(&data.labels);
    let baselines = baselines(data, &wanted);
    if baselines.iter().all(Option::is_none) && !data.rows.is_empty() {
        if !is_incomplete {
            return Err(no_baseline(data, &wanted));
        }
        data.notes.push("The baseline's results are missing.".to_owned());
    }
    let mut comparisons = Vec::new();
    for index in 0..data.columns.len() {
        let column = data.columns[index].clone();
        for (row, baseline) in baselines.iter().enumerate() {
            let Some(baseline) = baseline.filter(|baseline| *baseline != row) else {
                continue;
            };
            let (own, other) = (&data.rows[row].cells[index], &data.rows[baseline].cells[index]);
            let figures = own.figure(&column).zip(other.figure(&column));
            let delta = figures.map(|(own, other)| own - other);
            let comparison = column
                .spec
                .significance
                .then(|| compare(&own.seeded(), &other.seeded()))
                .flatten();
            comparisons.extend(comparison);
            let cell: &mut Cell = &mut data.rows[row].cells[index];
            cell.delta = delta;
            cell.comparison = comparison;
        }
    }
    data.notes.extend(about_significance(data, &comparisons));
    Ok(())
}

/// Marks the best figures of a column, and numbers all that are finite: others are never the best.
fn rank(data: &mut TableData, index: usize) {
    let column = &data.columns[index];
    let Some(direction) = column.direction else { return };
    let losses: Vec<Option<f64>> = data
        .rows
        .iter()
        .map(|row| {
            let figure = row.cells[index]
                .figure(column)
                .filter(|figure| figure.is_finite());
            figure.map(|figure| direction.loss(figure))
        })
        .collect();
    let mut sorted: Vec<f64> = losses.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    // Where all are equal, none is better than another.
    let differ = sorted.first() != sorted.last();
    for (row, loss) in data.rows.iter_mut().zip(losses) {
        let rank = loss.map(|loss| 1 + sorted.partition_point(|other| *other < loss));
        let cell = &mut row.cells[index];
        cell.rank = rank;
        cell.best = differ && rank == Some(1);
    }
}

/// The row that each row is compared with: the one that has the wanted values and agrees with the
/// row in everything else.
fn baselines(data: &TableData, wanted: &IndexMap<String, Value>) -> Vec<Option<usize>> {
    let value = |row: usize, name: &str| {
        let at = data.labels.iter().position(|label| label == name)?;
        data.rows[row].labels.get(at)
    };
    let fitting: Vec<usize> = (0..data.rows.len())
        .filter(|row| {
            wanted
                .iter()
                .all(|(name, wanted)| value(*row, name).is_some_and(|value| same_value(value, wanted)))
        })
        .collect();
    // A trial's number names one row, whatever else that row has.
    if let ([only], true) = (fitting.as_slice(), wanted.contains_key("trial")) {
        return vec![Some(*only); data.rows.len()];
    }
    // A trial's number tells every row from every other: it says nothing about what they share.
    let shared: Vec<&String> = data
        .labels
        .iter()
        .filter(|label| !wanted.contains_key(*label) && *label != "trial")
        .collect();
    (0..data.rows.len())
        .map(|row| {
            let agrees = |other: &&usize| {
                shared
                    .iter()
                    .all(|label| match (value(row, label), value(**other, label)) {
                        (Some(own), Some(other)) => same_value(own, other),
                        _ => false,
                    })
            };
            fitting.iter().find(agrees).copied()
        })
        .collect()
}

fn no_baseline(data: &TableData, wanted: &IndexMap<String, Value>) -> ReportError {
    const MOST: usize = 10;
    let described = |labels: &mut dyn Iterator<Item = (&String, &Value)>| {
        labels
            .map(|(name, value)| format!("{name}={}", number::parameter(value)))
            .collect::<Vec<_>>()
            .join(",")
    };
    let mut rows: Vec<String> = data
        .rows
        .iter()
        .take(MOST)
        .map(|row| described(&mut data.labels.iter().zip(&row.labels)))
        .collect();
    if data.rows.len() > MOST {
        rows.push(format!("and {} more", data.rows.len() - MOST));
    }
    ReportError::NoBaseline {
        table: data.name.clone(),
        baseline: described(&mut wanted.iter()),
        known: rows.join("; "),
    }
}

/// How significance was told, for readers.
fn about_significance(data: &TableData, comparisons: &[Comparison]) -> Option<String> {
    if !data.columns.iter().any(|column| column.spec.significance) {
        return None;
    }
    let Some(fewest) = comparisons.iter().map(|comparison| comparison.count).min() else {
        return Some("p: too few seeds to tell; at least two are needed on each side.".to_owned());
    };
    let pairing = match (
        comparisons.iter().any(|comparison| comparison.paired),
        comparisons.iter().any(|comparison| !comparison.paired),
    ) {
        (true, false) => "paired by seed",
        (false, _) => "unpaired, as seeds do not match",
        (true, true) => "paired by seed where the seeds match, else unpaired",
    };
    let few = if fewest < 6 {
        format!(" With {fewest} seeds it is optimistic.")
    } else {
        String::new()
    };
    let resamples = RESAMPLES / 1000;
    Some(format!(
        "p: two-sided bootstrap of the difference from the baseline, {pairing}, {resamples},000 resamples.{few}"
    ))
}
