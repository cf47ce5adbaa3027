//! How a table of text becomes the features of a field.

use serde::{Deserialize, Serialize};

/// How the rows of a table were read that a row of features was made from, so that others are read alike later.
///
/// What is not said of a table is as in most: commas between fields, double quotes around them, points before
/// decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableReading {
    /// What separates fields.
    pub delimiter: char,
    /// What encloses fields, where anything does.
    pub quote: Option<char>,
    /// What makes a quote that follows it a part of the text.
    pub escape: Option<char>,
    /// What stands before decimals.
    pub decimal: char,
    /// What stands between thousands.
    pub thousands: Option<char>,
    /// The spellings of a cell that holds nothing; nothing where they are the usual ones.
    pub missing_values: Option<Vec<String>>,
    /// Columns of yes and no.
    pub boolean: Vec<String>,
    /// Columns of dates.
    pub dates: Vec<DateReading>,
    /// Of a table without titles, where its columns were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untitled: Option<UntitledColumns>,
}

/// The columns of a table without titles, which are known by their places alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UntitledColumns {
    /// How many the table has.
    pub count: usize,
    /// The places of what is to be predicted, from 0, in the table's order.
    pub labels: Vec<usize>,
}

/// How a column of dates became numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateReading {
    /// Its name.
    pub column: String,
    /// The numbers that a date became, a feature each.
    pub parts: Vec<String>,
    /// How dates are written, as for `strftime`; nothing for ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

impl Default for TableReading {
    fn default() -> Self {
        Self {
            delimiter: ',',
            quote: Some('"'),
            escape: None,
            decimal: '.',
            thousands: None,
            missing_values: None,
            boolean: Vec::new(),
            dates: Vec::new(),
            untitled: None,
        }
    }
}

impl TableReading {
    /// The name of the feature for the part `part` of the dates in `column`.
    pub fn date_feature(column: &str, part: &str) -> String {
        format!("{column}.{part}")
    }

    /// The column of dates that the feature `name` is made from, and the part that it is.
    pub fn date_of<'a>(&'a self, name: &'a str) -> Option<(&'a DateReading, &'a str)> {
        self.dates.iter().find_map(|date| {
            let part = name.strip_prefix(date.column.as_str())?.strip_prefix('.')?;
            let is_one = date.parts.iter().any(|made| made == part);
            is_one.then_some((date, part))
        })
    }
}
