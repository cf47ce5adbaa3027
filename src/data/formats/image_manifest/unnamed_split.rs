//! A column that says the images' splits, which the options do not name.

use std::collections::BTreeSet;

use crate::data::formats::places::split_word;
use crate::data::records::RecordLine;

/// What columns of splits are called.
const NAMES: [&str; 6] = ["split", "splits", "subset", "partition", "set", "fold"];

/// Watches a list's lines for a column that seems to say the splits.
#[derive(Default)]
pub(super) struct UnnamedSplit {
    column: Option<String>,
    /// What it says, in lower case.
    found: BTreeSet<String>,
    is_none: bool,
}

impl UnnamedSplit {
    /// Takes a line of a list of which no column is named as that of the split, and the columns `used` for other things.
    pub fn watch(&mut self, line: &RecordLine, used: &[String]) {
        if self.is_none {
            return;
        }
        if self.column.is_none() {
            let is_called_so = |name: &&str| NAMES.contains(&name.trim().to_lowercase().as_str());
            let mut columns = line
                .columns()
                .filter(|name| !used.iter().any(|other| other == name));
            self.column = columns.find(is_called_so).map(str::to_owned);
        }
        let Some(column) = &self.column else {
            self.is_none = true;
            return;
        };
        match line.text(column) {
            Ok(text) if split_word(column, &text).is_ok() => drop(self.found.insert(text.to_lowercase())),
            _ => self.is_none = true,
        }
    }

    /// What is to be told of it.
    pub fn told(&self) -> Option<String> {
        let column = self
            .column
            .as_ref()
            .filter(|_| !self.is_none && self.found.len() > 1)?;
        let found: Vec<&str> = self.found.iter().map(String::as_str).collect();
        Some(format!(
            "the list's column `{column}` seems to say the splits (`{}`), and nothing names it: all images are training \
             samples; add `split: {column}` to the format if it does",
            found.join("`, `")
        ))
    }
}
