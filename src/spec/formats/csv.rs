//! The options of `csv`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FormatFacts, FormatOptions};
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
    /// Columns to leave out.
    #[serde(default)]
    pub ignore: Vec<CsvColumn>,
    /// Whether the first line names the columns.
    #[serde(default)]
    pub header: bool,
    /// The field separator.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Where the features are an image's pixels (`[C, H, W]` order, integers): its shape.
    #[serde(default)]
    pub image: Option<CsvImage>,
}

impl Named for CsvOptions {
    const NAME: &'static str = "csv";
}

impl FormatOptions for CsvOptions {
    fn facts(&self) -> FormatFacts {
        let columns = self.label.as_slice().len();
        FormatFacts {
            task: self.task,
            images: self.image.is_some(),
            outputs: (self.task != TargetKind::Classification).then_some(columns),
            brings_val: false,
        }
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
        let mut known: Vec<(&CsvColumn, &str)> = Vec::new();
        for (field, columns) in [
            ("label", labels),
            ("categorical", &self.categorical),
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
        (byte.is_ascii() && !b"\n\r\"".contains(&byte)).then_some(byte)
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

fn last_column() -> LabelColumns {
    LabelColumns::One(CsvColumn::Index(-1))
}

fn comma() -> char {
    ','
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
