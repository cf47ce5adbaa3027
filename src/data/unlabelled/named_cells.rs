//! Rows that come column by column, each under its name, as requests have them.

use csv::ByteRecord;

use super::row::RowEncoder;
use crate::data::formats::{CellForm, NumberReading};
use crate::schema::{ColumnContent, Field};

/// A column that rows are asked to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedColumn {
    /// Its name in the table that the model was trained on.
    pub name: String,
    /// Whether its cells are texts; otherwise they are numbers.
    pub is_text: bool,
}

/// The cells of one column, one a row.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnCells {
    /// Texts, as a file would have them; an empty one holds nothing.
    Texts(Vec<String>),
    /// Numbers; what is not a number holds nothing.
    Numbers(Vec<f64>),
}

impl ColumnCells {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn text(&self, row: usize) -> Result<String, String> {
        match self {
            Self::Texts(texts) => Ok(texts.get(row).cloned().unwrap_or_default()),
            Self::Numbers(numbers) => match numbers.get(row) {
                Some(number) if number.is_infinite() => Err("it is infinite".to_owned()),
                Some(number) if !number.is_nan() => Ok(number.to_string()),
                _ => Ok(String::new()),
            },
        }
    }
}

/// The columns that the features `field` are made from, in their order.
pub fn asked_columns(field: &Field) -> Vec<AskedColumn> {
    let table = field.reading.as_deref().cloned().unwrap_or_default();
    let mut asked: Vec<AskedColumn> = Vec::new();
    for column in &field.columns {
        let (reading, name) = NumberReading::of(&column.name, &table);
        let is_text = column.content != ColumnContent::Number || !matches!(reading, NumberReading::Number(_));
        match asked.iter_mut().find(|known| known.name == name) {
            Some(known) => known.is_text |= is_text,
            None => asked.push(AskedColumn {
                name: name.to_owned(),
                is_text,
            }),
        }
    }
    asked
}

/// The features `field` of rows whose cells are `columns`, all of one length: a row each, as those of a file's rows are.
///
/// # Errors
/// A sentence: a column is missing, or the first cell that is none that the model knows, with its row, from 1.
pub fn features_of(field: &Field, columns: &[(String, ColumnCells)]) -> Result<Vec<Vec<f32>>, String> {
    let header: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let mut encoder = RowEncoder::new(field, &header)?;
    let form = |place: usize| match columns.get(place) {
        Some((_, ColumnCells::Numbers(_))) => CellForm::Plain,
        _ => CellForm::AsWritten,
    };
    encoder.read_as(form, |_| None);
    let rows = columns.iter().map(|(_, cells)| cells.len()).min().unwrap_or(0);
    let encode = |row: usize| {
        let of_row = |problem: String| format!("row {}: {problem}", row + 1);
        let mut record = ByteRecord::new();
        for (name, cells) in columns {
            let text = cells.text(row);
            let text = text.map_err(|problem| of_row(format!("column `{name}`: {problem}")))?;
            record.push_field(text.as_bytes());
        }
        encoder.encode(&record).map_err(of_row)
    };
    (0..rows).map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{CellFill, FeatureColumn, MissingCell};

    fn field() -> Field {
        let size = FeatureColumn {
            missing: Some(MissingCell {
                fill: CellFill::Number(2.5),
                indicator: false,
            }),
            ..FeatureColumn::number("size")
        };
        let color = FeatureColumn::category("color", vec!["red".into(), "blue".into()]);
        Field::of_columns("features", vec![size, color])
    }

    fn texts(texts: &[&str]) -> ColumnCells {
        ColumnCells::Texts(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn columns_become_features() {
        let asked = asked_columns(&field());
        let asked: Vec<(&str, bool)> = asked
            .iter()
            .map(|column| (column.name.as_str(), column.is_text))
            .collect();
        assert_eq!(asked, [("size", false), ("color", true)]);
        let numbers = ColumnCells::Numbers(vec![0.1f32.into(), f64::NAN, -3e20]);
        let columns = [
            ("color".to_owned(), texts(&["red", "blue", "red"])),
            ("size".to_owned(), numbers),
        ];
        assert_eq!(
            features_of(&field(), &columns).unwrap(),
            [[0.1, 1.0, 0.0], [2.5, 0.0, 1.0], [-3e20, 1.0, 0.0]]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_row() {
        let problem = |size: ColumnCells, color: &[&str]| {
            let columns = [("color".to_owned(), texts(color)), ("size".to_owned(), size)];
            features_of(&field(), &columns).unwrap_err()
        };
        assert_eq!(
            problem(ColumnCells::Numbers(vec![1.0, f64::INFINITY]), &["red", "red"]),
            "row 2: column `size`: it is infinite"
        );
        assert_eq!(
            problem(texts(&["1", "2"]), &["red", "green"]),
            "row 2: column `color`: the model does not know the category `green`"
        );
        let lacking = features_of(&field(), &[("size".to_owned(), texts(&["1"]))]);
        assert!(lacking.unwrap_err().starts_with("it has no column `color`"));
    }
}
