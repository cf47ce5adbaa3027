//! The options of `csv`.

use std::num::NonZeroU32;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cells::{DateOptions, MissingOptions};
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::schema::UnknownCategory;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;

/// A table with one sample a row. Every column that is neither a label nor ignored is a feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvOptions {
    /// The label's column: its name, or its index from 0 (negative: from the end). With several
    /// labels or targets a list of columns.
    #[serde(default = "last_column")]
    pub label: LabelColumns,
    /// What the label is.
    #[serde(default)]
    pub task: TargetKind,
    /// Columns of texts, each of which becomes a column of 0 and 1 for every text that occurs.
    #[serde(default)]
    pub categorical: Vec<CsvColumn>,
    /// What becomes of a category in other data that this table does not have: it is refused, or all of its
    /// column's features are 0, which is counted.
    #[serde(default, skip_serializing_if = "UnknownCategory::is_refused")]
    pub unknown_categories: UnknownCategory,
    /// Columns of yes and no (true and false, y and n, t and f, on and off, 1 and 0), which become 1 and 0.
    /// `true` and `false` are read in columns of numbers too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boolean: Vec<CsvColumn>,
    /// Columns of dates, by their names (in a table without a header by their indices), and the numbers
    /// that a date becomes: `{signup: [year, month, weekday]}`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub dates: IndexMap<String, DateOptions>,
    /// Columns to leave out.
    #[serde(default)]
    pub ignore: Vec<CsvColumn>,
    /// Whether the first line names the columns.
    #[serde(default)]
    pub header: bool,
    /// The field separator.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// What encloses a field that has the separator or line breaks in it.
    #[serde(default, skip_serializing_if = "Quote::is_double")]
    pub quote: Quote,
    /// What makes a quote that follows it a part of the text, such as `\\`. A quote written twice is one
    /// in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escape: Option<char>,
    /// What stands before the decimals of numbers: `.` or `,`.
    #[serde(default = "point", skip_serializing_if = "is_point")]
    pub decimal: char,
    /// What stands between the thousands of numbers, where anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// What becomes of cells that hold nothing: `error`, `drop`, `mean`, `median`, `mode`, `indicator` or
    /// `{constant: VALUE}` for all columns, or by column, with `default` for the others. Found in the
    /// training split.
    #[serde(default, skip_serializing_if = "MissingOptions::is_default")]
    pub missing: MissingOptions,
    /// The spellings of a cell that holds nothing, beside an empty one. Without it the usual ones (NA, NaN,
    /// null, ?, ...) in columns of numbers and dates; among texts they are texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_values: Option<Vec<String>>,
    /// Where the features are an image's pixels (`[C, H, W]` order, integers): its shape.
    #[serde(default)]
    pub image: Option<CsvImage>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            label: last_column(),
            task: TargetKind::default(),
            categorical: Vec::new(),
            unknown_categories: UnknownCategory::default(),
            boolean: Vec::new(),
            dates: IndexMap::new(),
            ignore: Vec::new(),
            header: false,
            delimiter: comma(),
            quote: Quote::default(),
            escape: None,
            decimal: point(),
            thousands: None,
            missing: MissingOptions::default(),
            missing_values: None,
            image: None,
        }
    }
}

impl Named for CsvOptions {
    const NAME: &'static str = "csv";
}

impl FormatOptions for CsvOptions {
    fn facts(&self) -> FormatFacts {
        let columns = self.label.as_slice().len();
        FormatFacts {
            task: self.task,
            samples: match self.image {
                Some(_) => SampleKind::Images,
                None => SampleKind::Rows,
            },
            outputs: (self.task != TargetKind::Classification).then_some(columns),
            brings_val: false,
        }
    }

    fn has_columns(&self) -> bool {
        true
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let labels = self.label.as_slice();
        if labels.is_empty() {
            let mistake = Mistake::new(["label"], "there is nothing to be predicted");
            mistakes.push(mistake.help("name at least one column"));
        }
        if labels.len() > 1 && self.task == TargetKind::Classification {
            mistakes.push(
                Mistake::new(["label"], "several label columns, and a classification has one")
                    .help("for columns of 0 and 1 add `task: multi_label`, for numbers `task: regression`"),
            );
        }
        if self.image.is_some() && !self.categorical.is_empty() {
            mistakes.push(
                Mistake::new(["categorical"], "an image's pixels cannot be categorical")
                    .help("remove `categorical` or `image`"),
            );
        }
        if self.delimiter_byte().is_none() {
            mistakes.push(
                Mistake::new(["delimiter"], format!("{:?} cannot separate fields", self.delimiter))
                .help("choose one ASCII character that neither ends lines nor quotes fields, such as \",\" or \";\""),
            );
        }
        if self.escape.is_some() && self.escape_byte().is_none() {
            mistakes.push(
                Mistake::new(["escape"], format!("{:?} cannot stand before a quote", self.escape.unwrap_or(' ')))
                    .help("choose one ASCII character that neither ends lines nor quotes or separates fields, such as \"\\\\\""),
            );
        }
        if !['.', ','].contains(&self.decimal) {
            let mistake = Mistake::new(
                ["decimal"],
                format!("{:?} does not stand before decimals", self.decimal),
            );
            mistakes.push(mistake.help("write `decimal: \",\"`, or leave it out"));
        }
        if self.thousands == Some(self.decimal) {
            let mistake = Mistake::new(["thousands"], "it stands before the decimals, too");
            mistakes.push(mistake.help(r#"where commas stand before decimals, add `decimal: ","`"#));
        }
        for (field, key) in self.keys() {
            if !self.header && key.parse::<i32>().is_err() {
                mistakes.push(
                    Mistake::new(
                        [field, key],
                        format!("`{key}` names a column, and the table is read without a header"),
                    )
                    .help("add `header: true`, or give the column's index"),
                );
            }
        }
        // A form alone tells how the column of an order is read.
        let says_nothing = |date: &DateOptions| date.parts.is_empty() && date.format.is_none();
        for (key, _) in self.dates.iter().filter(|(_, date)| says_nothing(date)) {
            let mistake = Mistake::new(["dates", key], "no number is to be made of its dates");
            mistakes.push(
                mistake.help("name some parts, such as [year, month, weekday] or [days], or ignore it"),
            );
        }
        let mut known: Vec<(&CsvColumn, &str)> = Vec::new();
        for (field, columns) in [
            ("label", labels),
            ("categorical", &self.categorical),
            ("boolean", &self.boolean),
            ("ignore", &self.ignore),
        ] {
            for (index, column) in columns.iter().enumerate() {
                let position = index.to_string();
                let path: &[&str] = match (field, &self.label) {
                    ("label", LabelColumns::One(_)) => &["label"],
                    _ => &[field, &position],
                };
                if let (CsvColumn::Name(name), false) = (column, self.header) {
                    mistakes.push(
                        Mistake::new(
                            path.iter(),
                            format!("`{name}` names a column, and the table is read without a header"),
                        )
                        .help("add `header: true`, or give the column's index"),
                    );
                }
                if let Some((_, other)) = known.iter().find(|(known, _)| *known == column) {
                    mistakes.push(
                        Mistake::new(path.iter(), format!("this column is named in `{other}` already"))
                            .help("name each column once"),
                    );
                }
                known.push((column, field));
            }
        }
        mistakes
    }
}

impl CsvOptions {
    /// The field separator as the one byte that it has to be; nothing where it cannot separate fields,
    /// as it is not ASCII, ends lines or quotes fields.
    pub fn delimiter_byte(&self) -> Option<u8> {
        let byte = u8::try_from(self.delimiter).ok()?;
        (byte.is_ascii() && !b"\n\r\"".contains(&byte) && self.quote.byte() != Some(byte)).then_some(byte)
    }

    /// The columns that fields name by keys, each with its field.
    fn keys(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let dates = self.dates.keys().map(|key| ("dates", key.as_str()));
        dates.chain(self.missing.columns().map(|key| ("missing", key)))
    }

    /// What stands before a quote that is part of a text, as one byte; nothing where it cannot.
    pub fn escape_byte(&self) -> Option<u8> {
        let byte = u8::try_from(self.escape?).ok()?;
        let is_free = self.quote.byte() != Some(byte) && self.delimiter != char::from(byte);
        (byte.is_ascii() && !b"\n\r".contains(&byte) && is_free).then_some(byte)
    }
}

/// What encloses a field of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quote {
    /// `"`.
    #[default]
    Double,
    /// `'`.
    Single,
    /// Nothing: quotes are part of the text.
    None,
}

impl Quote {
    fn is_double(&self) -> bool {
        *self == Self::Double
    }

    /// The character.
    pub fn byte(self) -> Option<u8> {
        match self {
            Self::Double => Some(b'"'),
            Self::Single => Some(b'\''),
            Self::None => None,
        }
    }
}

/// One column or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LabelColumns {
    /// One.
    One(CsvColumn),
    /// Several, in order.
    Several(Vec<CsvColumn>),
}

impl LabelColumns {
    /// All of them.
    pub fn as_slice(&self) -> &[CsvColumn] {
        match self {
            Self::One(column) => std::slice::from_ref(column),
            Self::Several(columns) => columns,
        }
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CsvColumn {
    /// Its index from 0; negative ones count from the end.
    Index(i32),
    /// Its name in the header.
    Name(String),
}

/// The image that a row of integers spells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvImage {
    /// Channels; 1 for grey.
    #[serde(default = "one")]
    pub channels: NonZeroU32,
    /// Rows of pixels.
    pub height: NonZeroU32,
    /// Columns of pixels.
    pub width: NonZeroU32,
    /// The value of white; pixels are scaled from `0..=max` to `0..=255`.
    #[serde(default = "full_byte")]
    pub max: NonZeroU32,
}

pub(super) fn last_column() -> LabelColumns {
    LabelColumns::One(CsvColumn::Index(-1))
}

fn comma() -> char {
    ','
}

fn point() -> char {
    '.'
}

fn is_point(decimal: &char) -> bool {
    *decimal == '.'
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn full_byte() -> NonZeroU32 {
    NonZeroU32::new(255).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::Pipeline;

    #[test]
    fn delimiters_that_separate_nothing_are_placed() {
        let mistakes = |delimiter: &str| {
            let source = format!(
                "stages:\n  d: {{preprocess: {{input: ./x, format: {{csv: {{delimiter: {delimiter}}}}}}}}}\n"
            );
            let Err(error) = Pipeline::parse(Path::new("p.yaml"), &source, &[]) else {
                return Vec::new();
            };
            let told = error.mistakes.iter().map(|mistake| {
                let span = mistake.span.unwrap();
                let place = &source[span.offset()..span.offset() + span.len()];
                format!("{place}: {mistake}")
            });
            told.collect()
        };
        for (delimiter, expected) in [
            (r#""\n""#, r#"'\n' cannot separate fields"#),
            (r#""\r""#, r#"'\r' cannot separate fields"#),
            (r#"'"'"#, r#"'"' cannot separate fields"#),
            ("é", "'é' cannot separate fields"),
        ] {
            let told = mistakes(delimiter);
            assert_eq!(told.len(), 1, "{told:?}");
            let (place, message) = told[0].split_once(": ").unwrap();
            assert!(delimiter.contains(place), "{told:?}");
            assert_eq!(message, expected);
        }
        for delimiter in [r#"",""#, r#""\t""#, "';'", "'|'"] {
            assert_eq!(mistakes(delimiter), [""; 0], "{delimiter}");
        }
    }
}
