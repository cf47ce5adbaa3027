//! Predictions as a Parquet file.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::output::{PredictionForm, SAMPLE};
use crate::train::{PredictedColumn, PredictedKind, PredictedValue};

/// Cells that wait to be written as a row group, at most.
const WAITING_CELLS: usize = 1 << 22;

/// Rows of a row group, at most.
const MOST_ROWS: usize = 1 << 16;

/// What the file says that it was made by: no version, so that the same predictions are the same bytes.
const CREATED_BY: &str = "erlen";

/// A Parquet file, which begins when its columns are known.
pub(super) enum ParquetForm<W: Write + Send> {
    /// Where it will be written; nothing where beginning it failed.
    ToBegin(Option<W>),
    /// The file.
    Begun(Box<ParquetPredictions<W>>),
}

impl<W: Write + Send> ParquetForm<W> {
    pub fn new(out: W) -> Self {
        Self::ToBegin(Some(out))
    }
}

impl<W: Write + Send> PredictionForm for ParquetForm<W> {
    fn begin(&mut self, columns: &[PredictedColumn]) -> io::Result<()> {
        if let Self::ToBegin(out) = self
            && let Some(out) = out.take()
        {
            let file = ParquetPredictions::begin(out, SAMPLE, columns)?;
            *self = Self::Begun(Box::new(file));
        }
        Ok(())
    }

    fn go_on(&mut self) -> io::Result<()> {
        Err(io::Error::other("a Parquet file is written at once"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, sample: &str, _: &[PredictedColumn], values: &[PredictedValue<'_>]) -> io::Result<()> {
        match self {
            Self::ToBegin(_) => Err(io::Error::other(
                "a prediction comes before its columns are known",
            )),
            Self::Begun(file) => file.row(sample, values),
        }
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        match *self {
            Self::ToBegin(_) => Ok(()),
            Self::Begun(file) => file.finish(),
        }
    }
}

/// Writes predictions in row groups: texts for names, doubles for numbers, booleans for labels that apply or not.
pub(super) struct ParquetPredictions<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<WaitingValues>,
    /// Rows that wait.
    rows: usize,
    rows_of_a_group: usize,
}

/// The values of a column that wait.
enum WaitingValues {
    Texts(Vec<ByteArray>),
    Numbers(Vec<f64>),
    Flags(Vec<bool>),
}

impl<W: Write + Send> ParquetPredictions<W> {
    /// A file of a column of samples, called `sample`, and `columns`.
    pub fn begin(out: W, sample: &str, columns: &[PredictedColumn]) -> io::Result<Self> {
        let mut fields = vec![field(sample, PredictedKind::Name)?];
        let mut waiting = vec![WaitingValues::Texts(Vec::new())];
        for column in columns {
            fields.push(field(&column.title(), column.kind)?);
            waiting.push(match column.kind {
                // Lists are texts in JSON, as in a table.
                PredictedKind::Name | PredictedKind::Vector | PredictedKind::Entities => {
                    WaitingValues::Texts(Vec::new())
                }
                PredictedKind::Number => WaitingValues::Numbers(Vec::new()),
                PredictedKind::Applies => WaitingValues::Flags(Vec::new()),
            });
        }
        let schema = Type::group_type_builder("predictions")
            .with_fields(fields.into_iter().map(Arc::new).collect())
            .build()
            .map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(CREATED_BY.to_owned())
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties));
        Ok(Self {
            writer: writer.map_err(failed)?,
            rows_of_a_group: (WAITING_CELLS / waiting.len()).clamp(1, MOST_ROWS),
            columns: waiting,
            rows: 0,
        })
    }

    /// Takes a row: a value for each column.
    pub fn row(&mut self, sample: &str, values: &[PredictedValue<'_>]) -> io::Result<()> {
        if values.len() + 1 != self.columns.len() {
            return Err(io::Error::other("a prediction has not a value for each column"));
        }
        let values = [PredictedValue::Name(sample)]
            .into_iter()
            .chain(values.iter().cloned());
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value)?;
        }
        self.rows += 1;
        if self.rows == self.rows_of_a_group {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what waits, and the end of the file.
    pub fn finish(mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.writer.close().map_err(failed)?;
        Ok(())
    }

    fn write_group(&mut self) -> io::Result<()> {
        let (writer, columns) = (&mut self.writer, &mut self.columns);
        let mut write = || -> Result<(), ParquetError> {
            let mut group = writer.next_row_group()?;
            for values in columns.iter_mut() {
                let Some(mut column) = group.next_column()? else {
                    return Err(ParquetError::General("a column is missing".to_owned()));
                };
                match values {
                    WaitingValues::Texts(texts) => {
                        column.typed::<ByteArrayType>().write_batch(texts, None, None)?;
                        texts.clear();
                    }
                    WaitingValues::Numbers(numbers) => {
                        column.typed::<DoubleType>().write_batch(numbers, None, None)?;
                        numbers.clear();
                    }
                    WaitingValues::Flags(flags) => {
                        column.typed::<BoolType>().write_batch(flags, None, None)?;
                        flags.clear();
                    }
                }
                column.close()?;
            }
            group.close()?;
            Ok(())
        };
        write().map_err(failed)?;
        self.rows = 0;
        Ok(())
    }
}

impl WaitingValues {
    fn push(&mut self, value: PredictedValue<'_>) -> io::Result<()> {
        match (self, value) {
            (Self::Texts(texts), PredictedValue::Name(name)) => texts.push(name.into()),
            (Self::Numbers(numbers), PredictedValue::Number(number)) => numbers.push(number),
            (Self::Flags(flags), PredictedValue::Applies(applies)) => flags.push(applies),
            (Self::Texts(texts), list @ (PredictedValue::Vector(_) | PredictedValue::Entities(_))) => {
                texts.push(list.json()?.as_str().into());
            }
            _ => {
                return Err(io::Error::other(
                    "a prediction is of another kind than its column",
                ));
            }
        }
        Ok(())
    }
}

/// A column of the file, which holds something in every row.
fn field(name: &str, kind: PredictedKind) -> io::Result<Type> {
    let (physical, logical) = match kind {
        PredictedKind::Name | PredictedKind::Vector | PredictedKind::Entities => {
            (PhysicalType::BYTE_ARRAY, Some(LogicalType::String))
        }
        PredictedKind::Number => (PhysicalType::DOUBLE, None),
        PredictedKind::Applies => (PhysicalType::BOOLEAN, None),
    };
    Type::primitive_type_builder(name, physical)
        .with_logical_type(logical)
        .with_repetition(Repetition::REQUIRED)
        .build()
        .map_err(failed)
}

/// What went wrong, as whoever writes knows it.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;
    use crate::train::{PREDICTED, PROBABILITIES};

    /// A file of `rows` predictions, and how many row groups it may have.
    fn written(rows: usize, rows_of_a_group: usize) -> Vec<u8> {
        let names = ["a,b".to_owned(), "\u{e9}".to_owned()];
        let mut columns = vec![PredictedColumn::single(PREDICTED, PredictedKind::Name)];
        columns.extend(PredictedColumn::each(PREDICTED, PredictedKind::Applies, &names));
        columns.extend(PredictedColumn::each(
            PROBABILITIES,
            PredictedKind::Number,
            &names,
        ));
        let mut bytes = Vec::new();
        let mut file = ParquetPredictions::begin(&mut bytes, "sample", &columns).unwrap();
        file.rows_of_a_group = rows_of_a_group;
        for row in 0..rows {
            let number = row as f64 / 3.0;
            let values = [
                PredictedValue::Name(&names[row % 2]),
                PredictedValue::Applies(row % 3 == 0),
                PredictedValue::Applies(row % 2 == 0),
                PredictedValue::Number(number),
                PredictedValue::Number(-number),
            ];
            file.row(&format!("new.csv:{row}"), &values).unwrap();
        }
        file.finish().unwrap();
        bytes
    }

    #[test]
    fn what_is_written_reads_back() {
        for (rows, of_a_group, groups) in [(7, 3, 3), (6, 3, 2), (1, 100, 1), (0, 3, 0)] {
            let bytes = written(rows, of_a_group);
            let mut kept = tempfile::tempfile().unwrap();
            kept.write_all(&bytes).unwrap();
            let reader = SerializedFileReader::new(kept).unwrap();
            assert_eq!(reader.num_row_groups(), groups);
            let schema = reader.metadata().file_metadata().schema_descr();
            let titles: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
            let expected = [
                "sample",
                "predicted",
                "predicted a,b",
                "predicted \u{e9}",
                "p(a,b)",
                "p(\u{e9})",
            ];
            assert_eq!(titles, expected);
            let mut found = 0;
            for (index, row) in reader.get_row_iter(None).unwrap().map(Result::unwrap).enumerate() {
                assert_eq!(row.get_string(0).unwrap(), &format!("new.csv:{index}"));
                assert_eq!(row.get_string(1).unwrap(), ["a,b", "\u{e9}"][index % 2]);
                assert_eq!(row.get_bool(2).unwrap(), index % 3 == 0);
                assert_eq!(row.get_double(4).unwrap(), index as f64 / 3.0);
                assert_eq!(row.get_double(5).unwrap(), -(index as f64) / 3.0);
                found += 1;
            }
            assert_eq!(found, rows);
        }
        assert_eq!(written(50, 7), written(50, 7));
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        let columns = [PredictedColumn::single(PREDICTED, PredictedKind::Name)];
        let mut file = ParquetPredictions::begin(Vec::new(), "sample", &columns).unwrap();
        assert!(file.row("x", &[PredictedValue::Number(1.0)]).is_err());
        assert!(file.row("x", &[]).is_err());
    }
}
