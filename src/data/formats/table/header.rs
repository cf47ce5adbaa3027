//! The first line of a table, and how its columns are called.

use std::collections::HashSet;
use std::path::Path;

use csv::ByteRecord;

use crate::data::blanks::trimmed;
use crate::data::error::DataError;
use crate::spec::{CsvColumn, nearest};

/// How many names are listed in a message.
const LISTED: usize = 20;

/// The names of a table's columns.
pub(in crate::data) struct Header<'a> {
    /// The file that they were found in.
    path: &'a Path,
    /// Empty without a first line that names the columns.
    names: Vec<String>,
    /// How many columns there are.
    count: usize,
}

impl<'a> Header<'a> {
    /// The names in the first row of a table, where it `is_named`; they differ.
    pub fn read(path: &'a Path, first: &ByteRecord, is_named: bool) -> Result<Self, DataError> {
        let mut header = Self {
            path,
            names: Vec::new(),
            count: first.len(),
        };
        let mut known = HashSet::new();
        for (index, name) in first.iter().enumerate().filter(|_| is_named) {
            let name = std::str::from_utf8(name).map_err(|_| {
                let problem = format!(
                    "the name of column {index} (from 0) is not UTF-8: convert the file, as by `iconv -f LATIN1 -t \
                     UTF-8`"
                );
                DataError::input(path, problem)
            })?;
            let name = trimmed(name).to_owned();
            if !known.insert(name.clone()) {
                let other = header.names.iter().position(|other| *other == name);
                let other = other.unwrap_or_default();
                let problem = if name.is_empty() {
                    format!(
                        "columns {other} and {index} (from 0) have no name: does the first line have several \
                         separators in a row, or one at its end? Write one between two columns, and a name for each"
                    )
                } else if name.parse::<f64>().is_ok() {
                    format!(
                        "columns {other} and {index} (from 0) are both named `{name}`: rename one; or is the first line a \
                         row of data, which needs `header: false`?"
                    )
                } else {
                    format!("columns {other} and {index} (from 0) are both named `{name}`: rename one")
                };
                return Err(DataError::input(path, problem));
            }
            header.names.push(name);
        }
        Ok(header)
    }

    /// The names; none without a first line that names the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the table has no line of names.
    pub fn is_absent(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether the first line looks like a comment.
    pub fn is_comment(&self) -> bool {
        self.names.first().is_some_and(|name| name.starts_with('#'))
    }

    /// The column that the field `field` of the options names.
    pub fn find(&self, field: &str, column: &CsvColumn) -> Result<usize, DataError> {
        let count = self.count;
        let problem = match column {
            CsvColumn::Index(index) => {
                let wanted = i64::from(*index);
                let wanted = if wanted < 0 {
                    i64::try_from(count).unwrap_or(i64::MAX) + wanted
                } else {
                    wanted
                };
                match usize::try_from(wanted).ok().filter(|index| *index < count) {
                    Some(index) => return Ok(index),
                    None => format!("`{field}: {index}` is no column of its {count}"),
                }
            }
            CsvColumn::Name(name) if self.is_absent() => format!(
                "`{field}: {name}` names a column, and the table is read without a header: add `header: true`, \
                 or give the column's index"
            ),
            CsvColumn::Name(name) => match self.names.iter().position(|other| other == name) {
                Some(index) => return Ok(index),
                None => format!(
                    "it has no column `{name}` (`{field}`); its columns are {}{}",
                    listed(&self.names),
                    nearest(name, self.names.iter().map(String::as_str))
                        .map(|near| format!(": did you mean `{near}`?"))
                        .unwrap_or_default()
                ),
            },
        };
        Err(DataError::input(self.path, problem))
    }

    /// The column that a key of the field `field` of the options names: by its name, in a table without
    /// names by its index.
    pub fn find_key(&self, field: &str, key: &str) -> Result<usize, DataError> {
        match key.parse::<i32>() {
            Ok(index) if self.is_absent() => self.find(field, &CsvColumn::Index(index)),
            _ => self.find(field, &CsvColumn::Name(key.to_owned())),
        }
    }

    /// What options call the column `index` in their keys.
    pub fn key(&self, index: usize) -> String {
        self.names
            .get(index)
            .cloned()
            .unwrap_or_else(|| index.to_string())
    }

    /// The name of the column `index`.
    pub fn name(&self, index: usize) -> String {
        match self.names.get(index).filter(|name| !name.is_empty()) {
            Some(name) => name.clone(),
            None => format!("column_{index}"),
        }
    }

    /// The column `index` in messages.
    pub fn describe(&self, index: usize) -> String {
        match self.names.get(index) {
            Some(name) if name.is_empty() => format!("the nameless column {index} (from 0)"),
            Some(name) => format!("column `{name}`"),
            None => format!("column {index} (from 0)"),
        }
    }

    /// Where each of these columns is in a table with the header `other`; nothing where all are in the
    /// same places.
    pub fn arrangement(&self, other: &Header<'_>) -> Result<Option<Vec<usize>>, DataError> {
        if self.names == other.names {
            return Ok(None);
        }
        let lacking = |names: &[String], others: &[String]| -> Vec<String> {
            names
                .iter()
                .filter(|name| !others.contains(name))
                .cloned()
                .collect()
        };
        let missing = lacking(&self.names, &other.names);
        let more = lacking(&other.names, &self.names);
        if !missing.is_empty() || !more.is_empty() {
            let told = |names: &[String], what: &str| match names {
                [] => String::new(),
                names => format!("; it {what} `{}`", listed(names)),
            };
            let problem = format!(
                "its columns are not those of `{}`{}{}",
                self.path.display(),
                told(&missing, "lacks"),
                told(&more, "has beside them")
            );
            return Err(DataError::input(other.path, problem));
        }
        let place = |name| {
            other
                .names
                .iter()
                .position(|other| other == name)
                .unwrap_or_default()
        };
        Ok(Some(self.names.iter().map(place).collect()))
    }
}

/// Names in messages; of many the first.
fn listed(names: &[String]) -> String {
    match names.len().checked_sub(LISTED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{}, ... ({more} more)", names[..LISTED].join(", ")),
    }
}
