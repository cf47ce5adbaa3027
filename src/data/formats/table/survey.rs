//! All that is wrong with the columns of a table, once something is.

use std::collections::{BTreeMap, HashSet};

use csv::ByteRecord;

use super::columns::{ColumnUse, Columns};
use super::numbers::OddCell;
use crate::data::blanks::trimmed;
use crate::spec::{TargetKind, counted, counted_that};

/// How many columns are described.
const NAMED: usize = 12;

/// Different texts of a column up to this are counted; a column of more is hardly one of categories.
const FEW_TEXTS: usize = 50;

/// Looks through a table for columns whose cells are no numbers, so that all are told at once.
pub(super) struct Survey<'a> {
    columns: &'a Columns<'a>,
    /// What places are counted in: lines, or rows.
    unit: &'static str,
    found: BTreeMap<usize, OddColumn>,
}

/// What is wrong with a column.
#[derive(Default)]
struct OddColumn {
    /// How many cells are of each sort, and the first of them with its line.
    cells: BTreeMap<OddCell, (u64, u64, String)>,
    /// Different texts, up to one more than are counted.
    texts: HashSet<String>,
}

impl<'a> Survey<'a> {
    pub fn new(columns: &'a Columns<'a>, unit: &'static str) -> Self {
        Self {
            columns,
            unit,
            found: BTreeMap::new(),
        }
    }

    /// Looks at a row.
    pub fn look(&mut self, record: &ByteRecord, line: u64) {
        // A first line that may name the columns says nothing of their cells.
        let may_be_names = line == 1 && self.columns.header.is_absent();
        if may_be_names || record.len() != self.columns.count() {
            return;
        }
        for (index, role) in self.columns.roles().iter().enumerate() {
            let Some(text) = record
                .get(index)
                .and_then(|field| std::str::from_utf8(field).ok())
            else {
                continue;
            };
            let text = trimmed(text);
            if !self.is_odd(index, *role, text) {
                continue;
            }
            let odd = self.found.entry(index).or_default();
            let first = || (0, line, text.to_owned());
            let sort = OddCell::of(text, self.columns.cells(index).spelling);
            odd.cells.entry(sort).or_insert_with(first).0 += 1;
            if sort == OddCell::Text && odd.texts.len() <= FEW_TEXTS && !odd.texts.contains(text) {
                odd.texts.insert(text.to_owned());
            }
        }
    }

    /// Whether a cell is not what its column wants, and what to do about it can be said.
    fn is_odd(&self, index: usize, role: ColumnUse, text: &str) -> bool {
        let cells = self.columns.cells(index);
        match role {
            ColumnUse::Image | ColumnUse::Ignored => false,
            ColumnUse::Label(_) => {
                let is_spelt = matches!(
                    OddCell::of(text, cells.spelling),
                    OddCell::DecimalComma(_) | OddCell::Thousands(_) | OddCell::DecimalPoint
                );
                self.columns.task == TargetKind::Regression && cells.spelling.read(text).is_err() && is_spelt
            }
            _ if self.columns.is_missing(index, text) => cells.refuses_missing(),
            ColumnUse::Feature => cells.spelling.read(text).is_err(),
            ColumnUse::Boolean | ColumnUse::Date(_) | ColumnUse::Categorical(_) => false,
        }
    }

    /// What to write about each odd column; nothing where no more is known than the first error tells.
    pub fn advice(&self) -> Option<String> {
        if self.found.is_empty() {
            return None;
        }
        let mut told: Vec<String> = Vec::new();
        for (index, odd) in self.found.iter().take(NAMED) {
            told.push(format!(
                "{}: {}",
                self.columns.header.describe(*index),
                self.describe(*index, odd)
            ));
        }
        if let Some(more) = self.found.len().checked_sub(NAMED).filter(|more| *more > 0) {
            told.push(counted(more, "more column"));
        }
        let what = match self.found.len() {
            1 => "in all of the table, one column is".to_owned(),
            count => format!("in all of the table, {count} columns are"),
        };
        Some(format!("{what} not as needed:\n  {}", told.join("\n  ")))
    }

    fn describe(&self, index: usize, odd: &OddColumn) -> String {
        let name = self.columns.header.key(index);
        let fill = match odd.cells.contains_key(&OddCell::Text) {
            true => "mode}`, or drop, indicator or {constant: TEXT}",
            false => "median}`, or mean, mode, drop, indicator or {constant: 0}",
        };
        let sorts = odd.cells.iter().map(|(sort, (count, line, text))| {
            let unit = self.unit;
            let example = match text.as_str() {
                "" => format!("the first in {unit} {line}"),
                text => format!("`{}` in {unit} {line}", super::row::shortened(text)),
            };
            match sort {
                OddCell::Nothing => {
                    format!(
                        "{} nothing ({example}): add `missing: {{{name}: {fill}",
                        counted_that(*count, "cell", ["holds", "hold"])
                    )
                }
                OddCell::Boolean => format!("{count} yes or no ({example}): add it to `boolean`"),
                OddCell::DecimalComma(None) => format!(
                    "{} with decimal commas ({example}): add `decimal: \",\"`, and `thousands: \".\"` where points stand \
                     between thousands",
                    counted(*count, "number")
                ),
                OddCell::DecimalComma(Some(separator)) => format!(
                    "{} with decimal commas and `{separator}` between thousands ({example}): add `decimal: \",\"` and \
                     `thousands: \"{separator}\"`",
                    counted(*count, "number")
                ),
                OddCell::Thousands(separator) => format!(
                    "{} with `{separator}` between thousands ({example}): add `thousands: \"{separator}\"`{}",
                    counted(*count, "number"),
                    match separator {
                        ',' => ", or `decimal: \",\"` where commas stand before decimals",
                        '.' => ", or take `decimal` out where points stand before decimals",
                        _ => "",
                    }
                ),
                OddCell::DecimalPoint => format!(
                    "{} with decimal points ({example}), and `decimal` says that commas stand before decimals: write them \
                     alike, or take `decimal` out",
                    counted(*count, "number")
                ),
                OddCell::Date(None) => format!(
                    "{} ({example}): add `dates: {{{name}: [year, month, weekday]}}` or [days], or `ignore` it",
                    counted(*count, "date")
                ),
                OddCell::Date(Some(format)) => format!(
                    "{} ({example}): add `dates: {{{name}: {{parts: [year, month, weekday], format: \"{format}\"}}}}`, or \
                     `ignore` it",
                    counted(*count, "date")
                ),
                OddCell::Infinite => format!(
                    "{} not finite ({example}): leave those rows out",
                    counted_that(*count, "number", ["is", "are"])
                ),
                OddCell::Text if odd.texts.len() > FEW_TEXTS => format!(
                    "{} ({example}), more than {FEW_TEXTS} different ones: add it to `ignore`, or to `categorical` where \
                     they come again; a model of text reads records by `format: {{text: {{documents: {{csv: {{text: {name}, \
                     label: ...}}}}, tokenizer: ...}}}}`",
                    counted(*count, "text")
                ),
                OddCell::Text => format!(
                    "{} ({example}), {}: add it to `categorical` or `ignore`",
                    counted(*count, "text"),
                    match odd.texts.len() {
                        1 => "always the same".to_owned(),
                        several => format!("{several} different ones"),
                    }
                ),
            }
        });
        sorts.collect::<Vec<String>>().join("; ")
    }
}
