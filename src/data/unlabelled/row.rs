//! A row of a table as the features that a model knows.

use std::collections::{BTreeMap, HashMap};

use csv::ByteRecord;

use crate::data::blanks::trimmed;
use crate::data::formats::{CellForm, ClassNames, NumberReading, as_f32, shortened};
use crate::data::labels::holds_nothing;
use crate::schema::{ColumnContent, FeatureColumn, Field};
use crate::spec::shortened as listed;

/// Makes features of rows: for each of a model's columns, the cell of that name.
pub(super) struct RowEncoder {
    columns: Vec<EncodedColumn>,
    width: usize,
    /// The spellings of a cell that holds nothing, where they are given.
    nothings: Option<Vec<String>>,
    /// How many cells had a text that the column's dictionary does not have, by column.
    unknown: BTreeMap<String, u64>,
}

struct EncodedColumn {
    column: FeatureColumn,
    /// How its numbers are read.
    reading: NumberReading,
    /// Where its cell is in a row.
    place: usize,
    /// The place of each of its categories among its features.
    categories: HashMap<String, usize>,
    /// The names that its cells' whole numbers stand for, where they do.
    names: Option<ClassNames>,
}

impl RowEncoder {
    /// For the features `field`, of rows under the titles `header`.
    ///
    /// # Errors
    /// A sentence: the columns that are missing.
    pub fn new(field: &Field, header: &[String]) -> Result<Self, String> {
        let (mut columns, mut missing): (_, Vec<String>) = (Vec::new(), Vec::new());
        let table = field.reading.as_deref().cloned().unwrap_or_default();
        for column in &field.columns {
            let (reading, name) = NumberReading::of(&column.name, &table);
            let Some(place) = header.iter().position(|title| title == name) else {
                if missing.last().is_none_or(|last| last != name) {
                    missing.push(name.to_owned());
                }
                continue;
            };
            let categories = column.categories().unwrap_or_default();
            columns.push(EncodedColumn {
                column: column.clone(),
                reading,
                place,
                categories: categories.iter().cloned().zip(0..).collect(),
                names: None,
            });
        }
        if !missing.is_empty() {
            return Err(format!(
                "it has no column `{}`, which the model was trained on; its columns are {}",
                missing.join("`, `"),
                listed(header)
            ));
        }
        Ok(Self {
            columns,
            width: field.channels(),
            nothings: table.missing_values,
            unknown: BTreeMap::new(),
        })
    }

    /// Reads rows whose columns, by their places, have `form`s of their own, and whole numbers that stand for `names`.
    pub fn read_as(&mut self, form: impl Fn(usize) -> CellForm, names: impl Fn(usize) -> Option<ClassNames>) {
        let columns = std::mem::take(&mut self.columns).into_iter();
        let columns = columns.map(|column| EncodedColumn {
            reading: column.reading.of_form(form(column.place)),
            names: names(column.place).filter(|_| column.column.content != ColumnContent::Number),
            ..column
        });
        self.columns = columns.collect();
    }

    /// Which places of a row it reads.
    pub fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().map(|column| column.place)
    }

    /// The features of a row.
    ///
    /// # Errors
    /// A sentence about the first cell that is none that the model knows.
    pub fn encode(&mut self, row: &ByteRecord) -> Result<Vec<f32>, String> {
        let mut features = Vec::with_capacity(self.width);
        let mut unknown = Vec::new();
        for column in &self.columns {
            let name = &column.column.name;
            let wrong = |problem: String| format!("column `{name}`: {problem}");
            let cell = row.get(column.place).unwrap_or_default();
            let text = std::str::from_utf8(cell).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
            let text = match &column.names {
                Some(names) => names.name(trimmed(text)).map_err(wrong)?,
                None => trimmed(text),
            };
            let is_text = column.column.content != ColumnContent::Number;
            let is_missing = holds_nothing(text, is_text, self.nothings.as_deref());
            if column.encode(text, is_missing, &mut features).map_err(wrong)? {
                unknown.push(name.clone());
            }
        }
        for name in unknown {
            *self.unknown.entry(name).or_default() += 1;
        }
        Ok(features)
    }

    /// How many cells had a text that the column's dictionary does not have, by column.
    pub fn unknown(&self) -> &BTreeMap<String, u64> {
        &self.unknown
    }
}

impl EncodedColumn {
    /// Appends the features of a cell. Says whether it holds a category that is not known.
    fn encode(&self, text: &str, is_missing: bool, features: &mut Vec<f32>) -> Result<bool, String> {
        let start = features.len();
        features.resize(start + self.column.width(), 0.0);
        let cell = &mut features[start..];
        if is_missing {
            if self.column.missing.is_none() {
                return Err("it holds nothing: fill it in, or leave the row out".to_owned());
            }
            // What holds nothing is not a number until it is filled.
            cell.fill(f32::NAN);
            self.column.fill(cell);
            return Ok(false);
        }
        match &self.column.content {
            ColumnContent::Number => cell[0] = as_f32(self.reading.read(text)?),
            ColumnContent::Category { unknown, .. } => match self.categories.get(text) {
                Some(place) => cell[*place] = 1.0,
                None if unknown.is_refused() => {
                    return Err(format!(
                        "the model does not know the category `{}`",
                        shortened(text)
                    ));
                }
                None => return Ok(true),
            },
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{CellFill, MissingCell, UnknownCategory};

    fn columns() -> Vec<FeatureColumn> {
        let mut color = FeatureColumn::category("color", vec!["red".into(), "blue".into()]);
        color.content = ColumnContent::Category {
            names: vec!["red".into(), "blue".into()],
            unknown: UnknownCategory::None,
        };
        let size = FeatureColumn {
            missing: Some(MissingCell {
                fill: CellFill::Number(2.5),
                indicator: true,
            }),
            ..FeatureColumn::number("size")
        };
        vec![color, size, FeatureColumn::category("kind", vec!["a".into()])]
    }

    fn row(cells: &[&str]) -> ByteRecord {
        ByteRecord::from(cells)
    }

    #[test]
    fn cells_are_found_by_name_and_encoded() {
        let field = Field::of_columns("features", columns());
        let header = ["id", "kind", "size", "color"].map(str::to_owned);
        let mut encoder = RowEncoder::new(&field, &header).unwrap();
        let mut encode = |cells: &[&str]| encoder.encode(&row(cells));
        assert_eq!(
            encode(&["7", "a", "-0", " blue "]),
            Ok(vec![0.0, 1.0, 0.0, 0.0, 1.0])
        );
        assert_eq!(encode(&["7", "a", "", "red"]), Ok(vec![1.0, 0.0, 2.5, 1.0, 1.0]));
        assert_eq!(
            encode(&["7", "a", "1e2", "green"]),
            Ok(vec![0.0, 0.0, 100.0, 0.0, 1.0])
        );
        for (cells, told) in [
            (
                ["7", "b", "1", "red"],
                "column `kind`: the model does not know the category `b`",
            ),
            (
                ["7", "", "1", "red"],
                "column `kind`: it holds nothing: fill it in, or leave the row out",
            ),
            (
                ["7", "a", "x", "red"],
                "column `size`: `x` is not a finite number",
            ),
        ] {
            assert_eq!(encode(&cells), Err(told.to_owned()));
        }
        assert_eq!(encoder.unknown().get("color"), Some(&1));
        assert_eq!(encoder.places().collect::<Vec<_>>(), [3, 2, 1]);

        let lacking = RowEncoder::new(&field, &header[..2]).err().unwrap();
        assert_eq!(
            lacking,
            "it has no column `color`, `size`, which the model was trained on; its columns are id, kind"
        );
    }
}
