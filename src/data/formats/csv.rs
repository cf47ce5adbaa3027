//! Tables: one sample a row.

mod categories;
mod columns;
mod precision;
mod row;
#[cfg(test)]
mod tests;

use std::io::{BufRead, Chain, Read};
use std::path::Path;

use csv::ByteRecord;

use super::{FormatReader, name_of, open, single_file};
use crate::data::error::DataError;
use crate::data::intake::{Intake, IntakeSample};
use crate::data::labels::{Classes, LabelIndex};
use crate::data::value::FieldValue;
use crate::schema::Dimensions;
use crate::spec::{CsvOptions, SplitName, TargetKind};
use categories::Categories;
use columns::CsvColumns;
use precision::PrecisionWatch;
use row::{CsvRow, RowReader};

impl FormatReader for CsvOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        read(self, input, intake)
    }
}

/// Reads a table, plain or gzipped; all rows are training samples. Gives the classes of a
/// classification.
///
/// A row that cannot be read (a wrong number of fields, an empty label or category, a feature or
/// target that is no finite number) is a bad sample; columns that do not fit are an error in any
/// case. Numbers become f32; a column whose numbers lose their differences by that is warned of. A table with categorical columns is read twice: first the categories are collected.
fn read(options: &CsvOptions, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
    let path = single_file(input)?;
    let mut table = CsvTable::open(options, &path)?;
    let columns = CsvColumns::new(options, &path, table.first())?;
    let categories = match columns.categorical() {
        0 => Categories::default(),
        _ => collect(options, &path, &columns, intake)?,
    };
    let schema = columns.schema(&categories)?;
    let input = schema.input().map(|field| field.dimensions);
    let input = input.ok_or_else(|| DataError::input(&path, "it has no features"))?;
    intake.begin(schema, &path)?;

    let file = name_of(&path);
    let reader = RowReader::new(&path, &columns);
    let mut labels = LabelIndex::default();
    let mut precision = PrecisionWatch::new(columns.count());
    let mut row = CsvRow::default();
    while let Some((record, line)) = table.next_row()? {
        match reader.read(record, line, Some(&categories), &mut row) {
            Ok(label) => {
                precision.watch(&row.numbers);
                let class = match options.task {
                    TargetKind::Classification => Some(labels.index(label)),
                    TargetKind::MultiLabel | TargetKind::Regression => None,
                };
                row.encode(options.task);
                let input = FieldValue {
                    bytes: &row.input,
                    dimensions: input,
                };
                let target = FieldValue {
                    bytes: &row.target,
                    dimensions: Dimensions::row(row.targets.len()),
                };
                let values = [input, target];
                let sample = IntakeSample {
                    split: SplitName::Train,
                    class,
                    values: if class.is_some() { &values[..1] } else { &values },
                    origin: &format!("{file}:{line}"),
                };
                if options.image.is_some() {
                    intake.push(sample)?;
                } else {
                    intake.push_digested(sample, row.digest.finish())?;
                }
            }
            Err(error) => intake.reject(error)?,
        }
    }
    precision.tell(&columns, intake);
    Ok((options.task == TargetKind::Classification).then(|| labels.classes()))
}

/// The categories of all rows that can be read. The others are told of when the table is read again.
fn collect(
    options: &CsvOptions,
    path: &Path,
    columns: &CsvColumns,
    intake: &mut Intake<'_>,
) -> Result<Categories, DataError> {
    let mut table = CsvTable::open(options, path)?;
    let mut categories = Categories::new(columns.categorical());
    let reader = RowReader::new(path, columns);
    let mut row = CsvRow::default();
    while let Some((record, line)) = table.next_row()? {
        intake.tick()?;
        if reader.read(record, line, None, &mut row).is_ok() {
            for (column, index) in columns.categorical_indices() {
                let text = record
                    .get(index)
                    .and_then(|field| std::str::from_utf8(field).ok());
                let fits = categories.add(column, text.unwrap_or_default().trim());
                fits.map_err(|problem| reader.error(line, Some(index), problem))?;
            }
        }
    }
    Ok(categories.sorted())
}

/// A table that is read row by row.
struct CsvTable<'a> {
    path: &'a Path,
    reader: csv::Reader<Chain<Box<dyn BufRead>, &'static [u8]>>,
    record: ByteRecord,
    /// The line of a first row that is a sample and was not given yet.
    waiting: Option<u64>,
}

impl<'a> CsvTable<'a> {
    /// Reads as far as the first row.
    fn open(options: &CsvOptions, path: &'a Path) -> Result<Self, DataError> {
        let delimiter = options.delimiter_byte().ok_or_else(|| {
            DataError::Options(format!(
                "`delimiter: {:?}` cannot separate fields: one ASCII character that neither ends lines nor quotes \
                 fields is needed, such as \",\" or \";\"",
                options.delimiter
            ))
        })?;
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .terminator(csv::Terminator::Any(b'\n'))
            // So that every line ends with a line break; see `advance`.
            .from_reader(open(path)?.chain(&b"\n"[..]));
        let mut table = Self {
            path,
            reader,
            record: ByteRecord::new(),
            waiting: None,
        };
        let Some(line) = table.advance()? else {
            return Err(DataError::input(path, "it is empty"));
        };
        table.waiting = (!options.header).then_some(line);
        Ok(table)
    }

    /// The first row, which may be the header. Only before the first call of `next_row`.
    fn first(&self) -> &ByteRecord {
        &self.record
    }

    /// The next sample's row and its line.
    fn next_row(&mut self) -> Result<Option<(&ByteRecord, u64)>, DataError> {
        let line = match self.waiting.take() {
            Some(line) => Some(line),
            None => self.advance()?,
        };
        Ok(line.map(|line| (&self.record, line)))
    }

    /// Reads the next row that is not blank and gives its line, the last one of those that it spans.
    ///
    /// The csv crate's own position of a row is that of the blank lines before it, and within a CRLF.
    /// So only LF ends a row here, which leaves CR to be trimmed off, and the line just ended counts.
    fn advance(&mut self) -> Result<Option<u64>, DataError> {
        let record = &mut self.record;
        loop {
            let more = self
                .reader
                .read_byte_record(record)
                .map_err(|error| match error.into_kind() {
                    csv::ErrorKind::Io(error) => DataError::io("read", self.path)(error),
                    other => DataError::input(self.path, format!("it is not a table: {other:?}")),
                })?;
            if !more {
                return Ok(None);
            }
            if record.len() > 1 || record.iter().any(|field| !field.trim_ascii().is_empty()) {
                return Ok(Some(self.reader.position().line() - 1));
            }
        }
    }
}
