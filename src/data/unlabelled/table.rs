//! The rows of tables on their way to a model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use csv::ByteRecord;

use super::files::{FileWalk, FoundFile};
use super::row::RowEncoder;
use super::untitled::{TableNote, UntitledNames, is_untitled, place_name};
use super::{UnlabelledInputs, UnlabelledSample, UnlabelledSource};
use crate::data::error::DataError;
use crate::data::example::Example;
use crate::data::formats::{CsvRows, Header, NumberReading, ParquetRows, ParquetTable, options_of};
use crate::event::Monitor;
use crate::schema::{Field, TableReading};
use crate::spec::counted;

/// What may separate fields beside what did so in training; a table has that which gives it the model's columns.
pub(super) const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// Rows of tables, one a sample. Columns are found by their names, whatever their order, or in tables without titles by
/// their places; those that a model does not know, such as the one that it predicts, are left out.
pub(super) struct UnlabelledRows {
    files: FileWalk,
    /// For each model, its features.
    fields: Vec<Field>,
    open: Option<OpenTable>,
    /// Columns that no model knows, in the order of the first table that has them.
    ignored: Vec<String>,
    /// What is worth telling of tables without titles.
    notes: BTreeSet<TableNote>,
    /// How many cells had an unknown category that is let through, by column.
    unknown: BTreeMap<String, u64>,
}

/// A table that is being read.
struct OpenTable {
    rows: UnlabelledTable,
    /// How it is called in predictions.
    name: String,
    columns: usize,
    encoders: Vec<RowEncoder>,
    /// Whether nothing more can be read of it.
    is_broken: bool,
}

/// A table that was opened, and what is to be told of it.
struct OpenedTable {
    table: OpenTable,
    /// Its columns that no model knows.
    ignored: Vec<String>,
    notes: Vec<TableNote>,
}

/// What makes features of a table's rows, for each model.
struct TableEncoders {
    encoders: Vec<RowEncoder>,
    /// How the table's columns are called.
    names: Vec<String>,
    /// What is worth telling of them.
    notes: Vec<TableNote>,
}

impl TableEncoders {
    /// With the rows of a table of so many columns.
    fn of(self, rows: UnlabelledTable, file: &FoundFile, columns: usize) -> OpenedTable {
        OpenedTable {
            ignored: ignored(&self.encoders, &self.names),
            notes: self.notes,
            table: OpenTable {
                rows,
                name: file.name.clone(),
                columns,
                encoders: self.encoders,
                is_broken: false,
            },
        }
    }
}

/// The rows of a table.
enum UnlabelledTable {
    Text(Box<CsvRows>),
    Parquet(Box<ParquetRows>),
}

impl UnlabelledTable {
    /// The next row, and its first line or its number. At the end nothing.
    fn next_row(&mut self) -> Result<Option<(&ByteRecord, u64)>, DataError> {
        match self {
            Self::Text(rows) => rows.next_row(),
            Self::Parquet(rows) => rows.next_row(),
        }
    }
}

impl UnlabelledRows {
    pub fn open(inputs: &UnlabelledInputs<'_>, fields: &[&Field]) -> Result<Self, DataError> {
        if fields.iter().any(|field| field.columns.is_empty()) {
            return Err(DataError::Options(
                "the model does not tell the columns that it was trained on, so that they cannot be found by name: \
                 preprocess the data and train the model again"
                    .into(),
            ));
        }
        Ok(Self {
            files: FileWalk::new(inputs, is_table)?,
            fields: fields.iter().map(|field| (*field).clone()).collect(),
            open: None,
            ignored: Vec::new(),
            notes: BTreeSet::new(),
            unknown: BTreeMap::new(),
        })
    }

    /// How the first model's table was read: rows are divided for all models alike.
    fn reading(&self) -> TableReading {
        let first = self.fields.first().and_then(|field| field.reading.as_deref());
        first.cloned().unwrap_or_default()
    }

    /// Reads as far as the table's titles.
    fn begin(&mut self, file: &FoundFile) -> Result<OpenTable, String> {
        let told = |error: DataError| match error {
            DataError::Input { problem, .. } => problem,
            other => other.to_string(),
        };
        if ParquetTable::is_at(&file.path) {
            let opened = self.of_parquet(file).map_err(told)?;
            return Ok(self.take(opened));
        }
        let (mut first, mut found) = (None, None);
        let reading = self.reading();
        let others = DELIMITERS.into_iter().filter(|other| *other != reading.delimiter);
        for delimiter in std::iter::once(reading.delimiter).chain(others) {
            match self.with_delimiter(file, delimiter).map_err(told) {
                Ok(opened) => {
                    found = Some(opened);
                    break;
                }
                Err(problem) => {
                    first.get_or_insert(problem);
                }
            }
        }
        let opened = found.ok_or_else(|| first.unwrap_or_default())?;
        Ok(self.take(opened))
    }

    /// Remembers what is to be told of a table.
    fn take(&mut self, opened: OpenedTable) -> OpenTable {
        for name in opened.ignored {
            if !self.ignored.contains(&name) {
                self.ignored.push(name);
            }
        }
        self.notes.extend(opened.notes);
        opened.table
    }

    /// Whether all models know columns by their places alone.
    fn are_untitled(&self) -> bool {
        self.fields.iter().all(is_untitled)
    }

    /// Whether a table's first row has names that only look like places, of a model that does not say which of the two
    /// its columns have.
    fn names_places(&self, first: &ByteRecord) -> bool {
        let mut unsure = self.fields.iter().filter(|field| {
            let reading = field.reading.as_deref();
            reading.is_none_or(|reading| reading.untitled.is_none())
        });
        unsure.any(|field| {
            let reading = field.reading.as_deref().cloned().unwrap_or_default();
            field.columns.iter().any(|column| {
                let (_, name) = NumberReading::of(&column.name, &reading);
                first.iter().any(|cell| cell.trim_ascii() == name.as_bytes())
            })
        })
    }

    /// The table with fields that `delimiter` separates.
    fn with_delimiter(&self, file: &FoundFile, delimiter: char) -> Result<OpenedTable, DataError> {
        let options = |header| options_of(&self.reading(), delimiter, header);
        let untitled = match self.are_untitled() {
            true => Some(CsvRows::open(&options(false), &file.path)?),
            false => None,
        };
        if let Some(rows) = untitled.filter(|rows| !self.names_places(rows.first())) {
            let columns = rows.first().len();
            let encoders = self.untitled(file, columns)?;
            return Ok(encoders.of(UnlabelledTable::Text(Box::new(rows)), file, columns));
        }
        let rows = CsvRows::open(&options(true), &file.path)?;
        let header = Header::read(&file.path, rows.first(), true)?;
        let names: Vec<String> = (0..rows.first().len()).map(|place| header.name(place)).collect();
        let columns = names.len();
        let encoders = self.titled(file, &names)?;
        Ok(encoders.of(UnlabelledTable::Text(Box::new(rows)), file, columns))
    }

    /// The table of a Parquet file. Numbers and dates that are such in the file are read as they are, however the
    /// model's table spelt its own.
    fn of_parquet(&self, file: &FoundFile) -> Result<OpenedTable, DataError> {
        let table = ParquetTable::open(&file.path)?;
        let names = table.names();
        let mut encoders = match self.titled(file, &names) {
            Err(_) if self.are_untitled() => self.untitled(file, names.len())?,
            titled => titled?,
        };
        for encoder in &mut encoders.encoders {
            encoder.read_as(|place| table.form(place), |place| table.names_of(place).cloned());
        }
        let rows = table.rows(|place| reads(&encoders.encoders, place))?;
        Ok(encoders.of(UnlabelledTable::Parquet(Box::new(rows)), file, names.len()))
    }

    /// What makes features of rows under the titles `names`, for each model.
    fn titled(&self, file: &FoundFile, names: &[String]) -> Result<TableEncoders, DataError> {
        let encoders = self.fields.iter().map(|field| RowEncoder::new(field, names));
        let encoders: Result<Vec<RowEncoder>, String> = encoders.collect();
        Ok(TableEncoders {
            encoders: encoders.map_err(|problem| DataError::input(&file.path, problem))?,
            names: names.to_vec(),
            notes: Vec::new(),
        })
    }

    /// What makes features of rows of so many `columns` without titles, for each model.
    fn untitled(&self, file: &FoundFile, columns: usize) -> Result<TableEncoders, DataError> {
        let wrong = |problem| DataError::input(&file.path, problem);
        let (mut encoders, mut all_names, mut notes) = (Vec::new(), None, Vec::new());
        for field in &self.fields {
            let UntitledNames { names, note } = UntitledNames::of(field, columns).map_err(wrong)?;
            encoders.push(RowEncoder::new(field, &names).map_err(wrong)?);
            all_names.get_or_insert(names);
            notes.extend(note);
        }
        Ok(TableEncoders {
            encoders,
            names: all_names.unwrap_or_else(|| (0..columns).map(place_name).collect()),
            notes,
        })
    }

    /// Counts what the table let through.
    fn close(&mut self, table: &OpenTable) {
        // Models of one dictionary do not know the same cells.
        if let Some(encoder) = table.encoders.first() {
            for (column, count) in encoder.unknown() {
                *self.unknown.entry(column.clone()).or_default() += count;
            }
        }
    }
}

impl UnlabelledSource for UnlabelledRows {
    fn next(&mut self, most: usize) -> Result<Vec<UnlabelledSample>, DataError> {
        let mut samples = Vec::new();
        while samples.len() < most.max(1) {
            let Some(table) = &mut self.open else {
                match self.files.next() {
                    None => break,
                    Some(Err((name, problem))) => samples.push(UnlabelledSample {
                        name,
                        examples: Err(problem),
                    }),
                    Some(Ok(file)) => match self.begin(&file) {
                        Ok(table) => self.open = Some(table),
                        Err(problem) => samples.push(UnlabelledSample {
                            name: file.name,
                            examples: Err(problem),
                        }),
                    },
                }
                continue;
            };
            match table.next(&self.fields) {
                Some(sample) => samples.push(sample),
                None => {
                    if let Some(table) = self.open.take() {
                        self.close(&table);
                    }
                }
            }
        }
        Ok(samples)
    }

    fn finish(&mut self, monitor: &Monitor) {
        self.files.tell_left_out("tables", monitor);
        for TableNote { is_warning, text } in &self.notes {
            match is_warning {
                true => monitor.warn(text.clone()),
                false => monitor.info(text.clone()),
            }
        }
        if !self.ignored.is_empty() {
            monitor.info(format!(
                "columns that the model does not know are left out: `{}`",
                self.ignored.join("`, `")
            ));
        }
        if !self.unknown.is_empty() {
            let counts = self
                .unknown
                .iter()
                .map(|(column, count)| format!("`{column}` ({count})"));
            let counts: Vec<String> = counts.collect();
            monitor.warn(format!(
                "categories that the model does not know were taken for none of the known ones, in the columns {}",
                counts.join(", ")
            ));
        }
    }
}

impl OpenTable {
    /// The next row; nothing at the end.
    fn next(&mut self, fields: &[Field]) -> Option<UnlabelledSample> {
        if self.is_broken {
            return None;
        }
        let (row, line) = match self.rows.next_row() {
            Ok(row) => row?,
            Err(error) => {
                self.is_broken = true;
                return Some(UnlabelledSample {
                    name: self.name.clone(),
                    examples: Err(match error {
                        DataError::Input { problem, .. } => problem,
                        other => other.to_string(),
                    }),
                });
            }
        };
        let name = format!("{}:{line}", self.name);
        if row.len() != self.columns {
            let problem = format!(
                "it has {}, and the first line has {}",
                counted(row.len(), "field"),
                self.columns
            );
            return Some(UnlabelledSample {
                name,
                examples: Err(problem),
            });
        }
        let encoders = self.encoders.iter_mut().zip(fields);
        let examples = encoders
            .map(|(encoder, field)| {
                let features = encoder.encode(row)?;
                Ok(Example::default().with_numbers(&field.name, features))
            })
            .collect();
        Some(UnlabelledSample { name, examples })
    }
}

/// Whether a model's features are made of the column `place`.
fn reads(encoders: &[RowEncoder], place: usize) -> bool {
    encoders
        .iter()
        .any(|encoder| encoder.places().any(|read| read == place))
}

/// The columns that no model's features are made of.
fn ignored(encoders: &[RowEncoder], header: &[String]) -> Vec<String> {
    let columns = header.iter().enumerate();
    let ignored = columns.filter(|(place, _)| !reads(encoders, *place));
    ignored.map(|(_, name)| name.clone()).collect()
}

/// Whether a file in a folder is to be read as a table.
fn is_table(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let plain = [".gz", ".zst"]
        .iter()
        .find_map(|packed| name.strip_suffix(packed))
        .unwrap_or(&name);
    name.ends_with(".parquet") || [".csv", ".tsv"].iter().any(|ending| plain.ends_with(ending))
}
