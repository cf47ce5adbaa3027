//! What a table says, before it has a format.

use serde_json::Value;

use super::bootstrap::Comparison;
use super::results::TrialStatus;
use super::statistics::Summary;
use crate::fingerprint::Fingerprint;
use crate::spec::{Direction, MetricPath, Round, TableColumn};

/// A table's content.
#[derive(Clone, Debug, PartialEq)]
pub struct TableData {
    /// The table's name.
    pub name: String,
    /// The titles of the columns that tell the rows apart.
    pub labels: Vec<String>,
    /// The columns of figures.
    pub columns: Vec<Column>,
    /// The rows, in the order in which they are written.
    pub rows: Vec<Row>,
    /// Whether each row is a trial, so that what became of it is shown.
    pub each_trial: bool,
    /// How figures are rounded in the formats for reading.
    pub round: Round,
    /// What a reader must know beside the figures, a sentence each.
    pub notes: Vec<String>,
}

/// A column of figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its title.
    pub title: String,
    /// What it shows, and how.
    pub spec: TableColumn,
    /// Which way it is better.
    pub direction: Option<Direction>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The values of the table's labels, in their order.
    pub labels: Vec<Value>,
    /// What became of the trials behind it.
    pub status: TrialStatus,
    /// The cells, in the order of the table's columns.
    pub cells: Vec<Cell>,
}

/// A cell: the values of one metric, and what they come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The metric.
    pub metric: MetricPath,
    /// Its values: one a seed, none where the result is missing.
    pub samples: Vec<Sample>,
    /// How many results say that the metric is not defined for them.
    pub undefined: usize,
    /// How many values there would be if no result were missing.
    pub expected: usize,
    /// What the values come to.
    pub summary: Option<Summary>,
    /// Whether no other figure of the column is better.
    pub best: bool,
    /// Its place among the figures of the column, from 1; equal figures share one.
    pub rank: Option<usize>,
    /// How far it is from the baseline's figure.
    pub delta: Option<f64>,
    /// Whether that is more than chance.
    pub comparison: Option<Comparison>,
}

/// A value behind a cell, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which of the results that the table was made of.
    pub source: usize,
    /// The trial's number.
    pub trial: u32,
    /// The seed.
    pub seed: u64,
    /// The value.
    pub value: f64,
    /// The digest of the key of the stage that gave it.
    pub fingerprint: Fingerprint,
}

impl Cell {
    /// A cell with these values. A result that several seeds or trials share (its stage draws
    /// nothing) is one value, not several that agree.
    pub fn new(metric: MetricPath, mut samples: Vec<Sample>, expected: usize) -> Self {
        let found = samples.len();
        let mut seen = std::collections::HashSet::new();
        samples.retain(|sample| seen.insert((sample.source, sample.fingerprint)));
        let expected = expected - (found - samples.len()).min(expected);
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        Self {
            metric,
            summary: Summary::of(&values),
            samples,
            undefined: 0,
            expected,
            best: false,
            rank: None,
            delta: None,
            comparison: None,
        }
    }

    /// Whether any result says something of the metric.
    pub fn is_told(&self) -> bool {
        !self.samples.is_empty() || self.undefined > 0
    }

    /// The figure that the column shows; none where there is no value.
    pub fn figure(&self, column: &Column) -> Option<f64> {
        self.summary.and_then(|summary| summary.figure(column.spec.show))
    }

    /// Its values with their seeds.
    pub fn seeded(&self) -> Vec<(u64, f64)> {
        self.samples
            .iter()
            .map(|sample| (sample.seed, sample.value))
            .collect()
    }
}

impl TableData {
    /// Whether any cell of the column at `index` sums up several values.
    pub fn has_several(&self, index: usize) -> bool {
        let count = |row: &Row| row.cells[index].summary.map_or(0, |summary| summary.count);
        self.rows.iter().any(|row| count(row) > 1)
    }
}
