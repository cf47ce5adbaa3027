//! A table as its readers see it: titles and cells as text, before any markup.

use super::number::{self, Style};
use super::results::TrialStatus;
use super::table::{Cell, Column, Row, TableData};
use crate::event::value_text;
use crate::spec::{NumberFormat, Show};

/// What stands where there is no figure.
const MISSING: &str = "-";

/// A table as text.
pub struct Shown {
    /// The columns, from left to right.
    pub columns: Vec<ShownColumn>,
    /// The cells of each row, in the columns' order.
    pub rows: Vec<Vec<ShownCell>>,
    /// What a reader must know beside the figures, a sentence each.
    pub notes: Vec<String>,
}

/// A column's head.
pub struct ShownColumn {
    /// Its title, with its unit.
    pub title: String,
    /// Whether it holds numbers, which line up at the right.
    pub numeric: bool,
}

/// A cell as text: numbers with `±`, `[low, high]`, `e-5` and `<` where they need it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShownCell {
    /// The text.
    pub text: String,
    /// What it is.
    pub kind: CellKind,
    /// Whether it is the best of its column.
    pub best: bool,
    /// How many values of how many there are, where some are missing.
    pub partial: Option<(usize, usize)>,
}

/// What a cell is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CellKind {
    /// A word of the user's.
    #[default]
    Text,
    /// A number.
    Number,
    /// No figure, though there should be one.
    Missing,
}

impl Shown {
    /// `table` as text.
    pub fn of(table: &TableData) -> Self {
        let mut columns: Vec<ShownColumn> = Vec::new();
        let mut cells: Vec<Vec<ShownCell>> = Vec::new();
        for (index, title) in table.labels.iter().enumerate() {
            let values: Vec<_> = table.rows.iter().map(|row| &row.labels[index]).collect();
            let numeric = !values.is_empty() && values.iter().all(|value| value.is_number());
            columns.push(ShownColumn {
                title: title.clone(),
                numeric,
            });
            let label = |value: &&serde_json::Value| ShownCell {
                text: if value.is_null() {
                    String::new()
                } else {
                    value_text(value)
                },
                kind: if numeric { CellKind::Number } else { CellKind::Text },
                ..ShownCell::default()
            };
            cells.push(values.iter().map(label).collect());
        }
        for (index, column) in table.columns.iter().enumerate() {
            let faces = Faces {
                table,
                column,
                index,
                whole: is_whole(table, index, column),
            };
            for (title, render) in faces.columns() {
                columns.push(ShownColumn { title, numeric: true });
                cells.push(table.rows.iter().map(|row| render(&faces, row)).collect());
            }
        }
        let rows = (0..table.rows.len()).map(|row| cells.iter().map(|column| column[row].clone()).collect());
        Self {
            columns,
            rows: rows.collect(),
            notes: table.notes.clone(),
        }
    }
}

/// Whether a column holds nothing but whole numbers.
fn is_whole(table: &TableData, index: usize, column: &Column) -> bool {
    let is_whole = |figure: f64| figure.fract() == 0.0 && figure.abs() < 1e15;
    table.rows.iter().all(|row| {
        let cell = &row.cells[index];
        let std = cell.summary.and_then(|summary| summary.std).unwrap_or(0.0);
        let has_std = matches!(column.spec.show, Show::MeanStd | Show::Interval);
        cell.figure(column).is_none_or(is_whole) && (!has_std || std == 0.0)
    })
}

type Render<'a> = fn(&Faces<'a>, &Row) -> ShownCell;

/// A column of the table, and the columns of text that it becomes.
struct Faces<'a> {
    table: &'a TableData,
    column: &'a Column,
    index: usize,
    whole: bool,
}

impl<'a> Faces<'a> {
    fn columns(&self) -> Vec<(String, Render<'a>)> {
        let spec = &self.column.spec;
        let title = &self.column.title;
        let unit = match (&spec.unit, spec.format) {
            (Some(unit), _) => Some(unit.as_str()),
            (None, NumberFormat::Percent) => Some("%"),
            (None, _) => None,
        };
        let with_unit = |title: String| match unit {
            Some(unit) if !unit.is_empty() => format!("{title} ({unit})"),
            _ => title,
        };
        let mut columns: Vec<(String, Render<'a>)> = vec![(with_unit(title.clone()), Self::figure)];
        if spec.rank {
            columns.push((format!("{title} rank"), Self::rank));
        }
        if spec.delta {
            columns.push((with_unit(format!("{title} Δ")), Self::delta));
        }
        if spec.significance {
            columns.push((format!("{title} p"), Self::significance));
        }
        columns
    }

    fn cell<'b>(&self, row: &'b Row) -> &'b Cell {
        &row.cells[self.index]
    }

    fn style(&self, cell: &Cell, figure: f64) -> Style {
        Style::of(
            &self.column.spec,
            self.table.round,
            self.whole,
            figure,
            self.uncertainty(cell),
        )
    }

    fn uncertainty(&self, cell: &Cell) -> Option<f64> {
        let summary = cell.summary?;
        match self.column.spec.show {
            Show::Interval => summary.half_interval(),
            Show::Count => None,
            _ => summary.std,
        }
    }

    fn figure(&self, row: &Row) -> ShownCell {
        let cell = self.cell(row);
        let Some(figure) = cell.figure(self.column) else {
            return missing(row, cell);
        };
        let show = self.column.spec.show;
        let mut text = if show == Show::Count {
            number::full(figure)
        } else {
            self.style(cell, figure).text(figure)
        };
        let style = self.style(cell, figure);
        match (show, self.uncertainty(cell)) {
            (Show::MeanStd, Some(std)) if !self.whole => text.push_str(&format!(" ± {}", style.text(std))),
            (Show::Interval, Some(half)) => {
                let (low, high) = (style.text(figure - half), style.text(figure + half));
                text.push_str(&format!(" [{low}, {high}]"));
            }
            _ => {}
        }
        let (found, expected) = (cell.samples.len(), cell.expected);
        ShownCell {
            text,
            kind: CellKind::Number,
            best: cell.best,
            partial: (found < expected).then_some((found, expected)),
        }
    }

    fn rank(&self, row: &Row) -> ShownCell {
        match self.cell(row).rank {
            Some(rank) => number_cell(rank.to_string()),
            None => nothing(),
        }
    }

    fn delta(&self, row: &Row) -> ShownCell {
        let cell = self.cell(row);
        match (cell.delta, cell.figure(self.column)) {
            (Some(delta), Some(figure)) => number_cell(self.style(cell, figure).signed(delta)),
            _ => nothing(),
        }
    }

    fn significance(&self, row: &Row) -> ShownCell {
        match self.cell(row).comparison {
            Some(comparison) => number_cell(number::p_value(comparison.p)),
            None => nothing(),
        }
    }
}

fn number_cell(text: String) -> ShownCell {
    ShownCell {
        text,
        kind: CellKind::Number,
        ..ShownCell::default()
    }
}

/// A cell that has nothing to say, as that of the baseline's difference from itself.
fn nothing() -> ShownCell {
    number_cell(String::new())
}

/// A cell without a figure: that the metric is not defined, or what became of the trial, where that is why.
fn missing(row: &Row, cell: &Cell) -> ShownCell {
    let text = match row.status {
        // A deviation of one value is not missing: there is none.
        _ if cell.summary.is_some() => MISSING,
        _ if cell.undefined > 0 => "undefined",
        TrialStatus::Pruned { .. } => "pruned",
        TrialStatus::Failed { .. } => "failed",
        TrialStatus::Missing => "missing",
        TrialStatus::Done => MISSING,
    };
    ShownCell {
        text: text.to_owned(),
        kind: CellKind::Missing,
        ..ShownCell::default()
    }
}
