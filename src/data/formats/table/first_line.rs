//! Whether the first line of a table names its columns, whatever the options say.

use std::collections::HashSet;

use csv::ByteRecord;

use super::columns::{ColumnUse, Columns};
use super::dates::read_date;
use super::numbers::NumberSpelling;
use super::row::shortened;
use crate::data::blanks::trimmed;
use crate::data::digest::{ContentDigest, digest_bytes};
use crate::data::intake::Intake;
use crate::data::labels::is_nothing;
use crate::spec::TargetKind;

/// Rows that are looked at.
const WATCHED: u64 = 1000;

/// Fewer numbers below a word than this show nothing.
const FEWEST_NUMBERS: u64 = 3;

/// Fewer rows of texts than this show nothing.
const FEWEST_ROWS: u64 = 20;

/// How many cells are named in a message.
const NAMED: usize = 5;

/// What is to be told of a header whose names look like a row of data.
pub(super) fn header_of_data(columns: &Columns<'_>) -> Option<String> {
    let roles = columns.roles().iter().enumerate();
    let are_data = roles.filter(|(_, role)| match role {
        ColumnUse::Feature | ColumnUse::Boolean | ColumnUse::Date(_) => true,
        ColumnUse::Label(_) => columns.task == TargetKind::Regression,
        ColumnUse::Categorical(_) | ColumnUse::Image | ColumnUse::Ignored => false,
    });
    let names: Vec<&String> = are_data
        .filter_map(|(index, _)| columns.header.names().get(index))
        .collect();
    let spelling = columns.cells(0).spelling;
    let values: Option<Vec<NamedValue>> = names.iter().map(|name| NamedValue::of(name, spelling)).collect();
    let values = values?;
    if values.is_empty() || is_counted(&values) {
        return None;
    }
    let shown: Vec<String> = names
        .iter()
        .take(NAMED)
        .map(|name| format!("`{}`", shortened(name)))
        .collect();
    let more = if names.len() > NAMED { ", ..." } else { "" };
    Some(format!(
        "the first line looks like a row of data ({}{more}), and `header: true` takes it for the names of the columns: if it \
         is a row, remove `header: true`, and name columns by their numbers from 0",
        shown.join(", ")
    ))
}

/// What a name says that is no word.
#[derive(Clone, Copy)]
enum NamedValue {
    Number(f64),
    Date,
}

impl NamedValue {
    fn of(name: &str, spelling: NumberSpelling) -> Option<Self> {
        if let Some(number) = number(name, spelling) {
            return Some(Self::Number(number));
        }
        read_date(name, None).is_ok().then_some(Self::Date)
    }
}

/// Whether names are such as tables have whose columns are counted: numbers of one step, such as 0, 1, 2 or the years, a
/// single whole number, or several dates.
fn is_counted(values: &[NamedValue]) -> bool {
    let numbers: Vec<f64> = values
        .iter()
        .filter_map(|value| match value {
            NamedValue::Number(number) => Some(*number),
            NamedValue::Date => None,
        })
        .collect();
    if numbers.is_empty() {
        return values.len() > 1;
    }
    if numbers.len() < values.len() {
        return false;
    }
    let steps: Vec<f64> = numbers.windows(2).map(|pair| pair[1] - pair[0]).collect();
    match steps[..] {
        [] => numbers[0].fract() == 0.0,
        [step] => step == 1.0,
        [first, ..] => {
            first != 0.0
                && steps
                    .iter()
                    .all(|step| (step - first).abs() <= first.abs() * 1e-6)
        }
    }
}

/// A number that is written as one; no `true`.
fn number(text: &str, spelling: NumberSpelling) -> Option<f64> {
    let has_digits = text.contains(|character: char| character.is_ascii_digit());
    spelling.read(text).ok().filter(|_| has_digits)
}

/// Watches the first rows of a table without a header for a first line that names the columns.
pub(super) struct FirstLineWatch {
    columns: Vec<WatchedCells>,
    rows: u64,
}

/// The cells of a column.
#[derive(Default)]
struct WatchedCells {
    /// The word in the first line, as long as it may be a name.
    word: Option<String>,
    /// How many numbers stand below it, as long as nothing else does.
    numbers: Option<u64>,
    /// Whether the column is one of texts.
    is_named: bool,
    /// Whether the word came again.
    comes_again: bool,
    /// The different texts below it.
    texts: HashSet<ContentDigest>,
}

impl FirstLineWatch {
    /// Takes a row of a table; the first of a file begins anew.
    pub fn watch(&mut self, record: &ByteRecord, columns: &Columns<'_>) {
        if self.rows >= WATCHED || record.len() != columns.count() {
            return;
        }
        self.rows += 1;
        let text = |field: &[u8]| std::str::from_utf8(field).map(|text| trimmed(text).to_owned());
        if self.rows == 1 {
            let cells = record.iter().enumerate().map(|(index, field)| {
                let spelling = columns.cells(index).spelling;
                let is_word = |text: &String| {
                    !is_nothing(text) && number(text, spelling).is_none() && read_date(text, None).is_err()
                };
                WatchedCells {
                    word: text(field).ok().filter(is_word),
                    numbers: Some(0),
                    is_named: columns.has_names(index),
                    ..WatchedCells::default()
                }
            });
            self.columns = cells.collect();
            return;
        }
        for (index, (watched, field)) in self.columns.iter_mut().zip(record).enumerate() {
            let (Some(word), Ok(text)) = (&watched.word, text(field)) else {
                continue;
            };
            if is_nothing(&text) {
                continue;
            }
            watched.numbers = watched
                .numbers
                .filter(|_| number(&text, columns.cells(index).spelling).is_some())
                .map(|count| count + 1);
            if watched.is_named {
                watched.comes_again |= text == *word;
                watched.texts.insert(digest_bytes(text.as_bytes()));
            }
        }
    }

    /// Begins with another file.
    pub fn begin() -> Self {
        Self {
            columns: Vec::new(),
            rows: 0,
        }
    }

    /// Warns of a first line that names the columns.
    pub fn tell(&self, columns: &Columns<'_>, file: &str, intake: &Intake<'_>) {
        let cells = || self.columns.iter().enumerate();
        let mut found: Vec<(usize, &String)> = cells()
            .filter(|(_, watched)| watched.numbers.is_some_and(|count| count >= FEWEST_NUMBERS))
            .filter_map(|(index, watched)| Some((index, watched.word.as_ref()?)))
            .collect();
        let mut below = "numbers stand below it";
        if found.is_empty() && self.rows >= FEWEST_ROWS {
            let texts = || cells().filter(|(_, watched)| watched.is_named);
            let is_name = |watched: &WatchedCells| {
                watched.word.is_some() && !watched.comes_again && watched.texts.len() as u64 * 2 <= self.rows
            };
            if texts().count() >= 2 && texts().all(|(_, watched)| is_name(watched)) {
                found = texts()
                    .filter_map(|(index, watched)| Some((index, watched.word.as_ref()?)))
                    .collect();
                below = "it does not come again";
            }
        }
        if found.is_empty() {
            return;
        }
        let told: Vec<String> = found
            .iter()
            .take(NAMED)
            .map(|(index, word)| format!("`{}` in {}", shortened(word), columns.header.describe(*index)))
            .collect();
        let more = if found.len() > NAMED { ", ..." } else { "" };
        intake.warn(format!(
            "the first line of `{file}` is read as a row, and seems to name the columns ({}{more}; {below}): if it does, add \
             `header: true`",
            told.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(names: &[&str]) -> bool {
        let values: Option<Vec<NamedValue>> = names
            .iter()
            .map(|name| NamedValue::of(name, NumberSpelling::PLAIN))
            .collect();
        is_counted(&values.unwrap())
    }

    #[test]
    fn names_that_count_are_no_data() {
        for names in [
            &["0", "1", "2", "3"][..],
            &["0", "1"],
            &["2019", "2020", "2021"],
            &["1990", "1995", "2000"],
            &["400.5", "401.0", "401.5", "402.0"],
            &["7"],
            &["2026-01-01", "2026-02-01"],
        ] {
            assert!(counted(names), "{names:?}");
        }
        for names in [
            &["5.1", "3.5", "1.4", "0.2"][..],
            &["7", "3"],
            &["1.5"],
            &["2026-01-01", "7"],
            &["5", "5", "5"],
        ] {
            assert!(!counted(names), "{names:?}");
        }
    }
}
