//! One row of a table as numbers.

use std::path::Path;

use csv::ByteRecord;

use super::categories::Categories;
use super::columns::{ColumnUse, CsvColumns};
use crate::data::digest::RowDigest;
use crate::data::error::DataError;
use crate::data::value::write_f32s;
use crate::spec::TargetKind;

/// One row's values.
#[derive(Default)]
pub(super) struct CsvRow {
    /// Features, categorical columns as one value of 0 or 1 for each text; empty for an image.
    pub features: Vec<f32>,
    /// An image's pixels; empty for features.
    pub pixels: Vec<u8>,
    /// Labels or targets, in the order of `label`; unused in a classification.
    pub targets: Vec<f32>,
    /// What a network is shown, as bytes: the pixels, or the features as little-endian f32. Of a row that
    /// has been encoded.
    pub input: Vec<u8>,
    /// Labels as bytes of 0 and 1, targets as little-endian f32. Of a row that has been encoded.
    pub target: Vec<u8>,
    /// The numbers among features and targets as they stand in the table, each with its column.
    pub numbers: Vec<(usize, f64)>,
    /// Of the features' numbers and categories as texts, so that a category that turns up in another
    /// row, and gives the features one more value, changes nothing; unused for an image.
    pub digest: RowDigest,
}

impl CsvRow {
    /// Writes the row's values as a dataset holds them.
    pub fn encode(&mut self, task: TargetKind) {
        self.input.clear();
        self.input.extend_from_slice(&self.pixels);
        write_f32s(&self.features, &mut self.input);
        self.target.clear();
        match task {
            TargetKind::MultiLabel => self
                .target
                .extend(self.targets.iter().map(|label| u8::from(*label == 1.0))),
            TargetKind::Classification | TargetKind::Regression => {
                write_f32s(&self.targets, &mut self.target);
            }
        }
    }
}

/// Reads the rows of a table.
pub(super) struct RowReader<'a> {
    path: &'a Path,
    columns: &'a CsvColumns<'a>,
}

impl<'a> RowReader<'a> {
    pub fn new(path: &'a Path, columns: &'a CsvColumns<'a>) -> Self {
        Self { path, columns }
    }

    /// Reads a row's values into `row` and gives the class's name (empty but in a classification).
    /// Without `categories`, as long as they are not known, categorical columns give no features.
    pub fn read<'r>(
        &self,
        record: &'r ByteRecord,
        line: u64,
        categories: Option<&Categories>,
        row: &mut CsvRow,
    ) -> Result<&'r str, DataError> {
        if record.len() != self.columns.count() {
            let problem = format!(
                "it has {} fields, and the first line has {}",
                record.len(),
                self.columns.count()
            );
            return Err(self.error(line, None, problem));
        }
        row.features.clear();
        row.pixels.clear();
        row.targets.clear();
        row.targets.resize(self.columns.labels(), 0.0);
        row.numbers.clear();
        row.digest.clear();
        let mut class = "";
        let mut unknown = None;
        for ((index, field), role) in record.iter().enumerate().zip(self.columns.roles()) {
            if *role == ColumnUse::Ignored {
                continue;
            }
            let wrong = |problem: String| self.error(line, Some(index), problem);
            let text = std::str::from_utf8(field).map(str::trim);
            let text = text.map_err(|_| wrong("it is not UTF-8".into()))?;
            match role {
                ColumnUse::Ignored => {}
                ColumnUse::Label(_) if text.is_empty() => return Err(wrong("the label is empty".into())),
                ColumnUse::Label(label) => match self.columns.task {
                    TargetKind::Classification => class = text,
                    TargetKind::MultiLabel => row.targets[*label] = flag(text).map_err(wrong)?,
                    TargetKind::Regression => {
                        let number = target(text).map_err(wrong)?;
                        row.numbers.push((index, number));
                        row.targets[*label] = as_f32(number);
                    }
                },
                ColumnUse::Categorical(_) if text.is_empty() => {
                    let problem = "the category is empty: fill it in, or leave the row out";
                    return Err(wrong(problem.into()));
                }
                ColumnUse::Categorical(column) => {
                    if let Some(categories) = categories {
                        row.digest.text(text);
                        let start = row.features.len();
                        row.features.resize(start + categories.names(*column).len(), 0.0);
                        match categories.index(*column, text) {
                            Some(found) => row.features[start + found] = 1.0,
                            None => unknown = unknown.or(Some((index, text))),
                        }
                    }
                }
                ColumnUse::Feature => match self.columns.image {
                    Some(image) => row.pixels.push(pixel(text, image.max.get()).map_err(wrong)?),
                    None => {
                        let number = number(text).map_err(|problem| {
                            let unnamed = line == 1 && self.columns.are_unnamed();
                            let hint = "; if the first line names the columns, add `header: true`";
                            wrong(problem + if unnamed { hint } else { "" })
                        })?;
                        row.numbers.push((index, number));
                        let feature = as_f32(number);
                        row.digest.number(feature);
                        row.features.push(feature);
                    }
                },
            }
        }
        // A row that cannot be read anyway has made no category, so this comes last.
        match unknown {
            None => Ok(class),
            Some((index, text)) => {
                let problem = format!(
                    "`{}` was not there when the table was read first: did the file change?",
                    shortened(text)
                );
                Err(self.error(line, Some(index), problem))
            }
        }
    }

    /// The error that something is wrong in a line, and where known in which column.
    pub fn error(&self, line: u64, column: Option<usize>, problem: String) -> DataError {
        let path = self.path.display();
        let place = match column {
            None => format!("`{path}`, line {line}"),
            Some(index) => format!("`{path}`, line {line}, {}", self.columns.describe(index)),
        };
        DataError::Input { place, problem }
    }
}

/// A number that f32 can hold, to its precision.
fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (value as f32).is_finite() => Ok(value),
        _ => Err(format!("`{}` is not a finite number", shortened(text))),
    }
}

/// The number as it is kept. Adding 0 makes -0 the same as 0.
fn as_f32(number: f64) -> f32 {
    number as f32 + 0.0
}

/// A number to be predicted.
fn target(text: &str) -> Result<f64, String> {
    number(text).map_err(|problem| {
        if text.parse::<f64>().is_ok() {
            problem
        } else {
            format!("{problem}, which `task: regression` needs; classes need `task: classification`")
        }
    })
}

/// Whether a label applies.
fn flag(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value == 0.0 || value == 1.0 => Ok(value.abs()),
        _ => Err(format!(
            "`{}` is neither 0 nor 1, as `task: multi_label` needs",
            shortened(text)
        )),
    }
}

/// An integer from 0 to `max` as a pixel from 0 to 255, rounded to the nearest.
fn pixel(text: &str, max: u32) -> Result<u8, String> {
    match text.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && (0.0..=f64::from(max)).contains(&value) => {
            Ok((value * 255.0 / f64::from(max)).round() as u8)
        }
        _ => Err(format!("`{}` is not an integer from 0 to {max}", shortened(text))),
    }
}

/// Enough of a field to recognise it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
