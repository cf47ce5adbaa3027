//! The rows of tables on their way to a model.

use std::collections::BTreeMap;
use std::path::Path;

use csv::ByteRecord;

use super::files::{FileWalk, FoundFile};
use super::row::RowEncoder;
use super::{UnlabelledInputs, UnlabelledSample, UnlabelledSource};
use crate::data::error::DataError;
use crate::data::example::Example;
use crate::data::formats::{CsvRows, Header, NumberReading, ParquetRows, ParquetTable, options_of};
use crate::event::Monitor;
use crate::schema::{Field, TableReading};
use crate::spec::counted;

/// What may separate fields beside what did so in training; a table has that which gives it the model's columns.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// What the names of columns begin with in a table without titles; their place follows.
const UNTITLED: &str = "column_";

/// Rows of tables, one a sample. Columns are found by their names, whatever their order; those that a model does not
/// know, such as the one that it predicts, are left out.
pub(super) struct UnlabelledRows {
    files: FileWalk,
    /// For each model, its features.
    fields: Vec<Field>,
    open: Option<OpenTable>,
    /// Columns that no model knows, in the order of the first table that has them.
    ignored: Vec<String>,
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
            files: FileWalk::new(inputs.paths, inputs.relative, is_table)?,
            fields: fields.iter().map(|field| (*field).clone()).collect(),
            open: None,
            ignored: Vec::new(),
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
            let (table, ignored) = self.of_parquet(file).map_err(told)?;
            self.ignore(ignored);
            return Ok(table);
        }
        let (mut first, mut found) = (None, None);
        let reading = self.reading();
        let others = DELIMITERS.into_iter().filter(|other| *other != reading.delimiter);
        for delimiter in std::iter::once(reading.delimiter).chain(others) {
            match self.with_delimiter(file, delimiter).map_err(told) {
                Ok(table) => {
                    found = Some(table);
                    break;
                }
                Err(problem) => {
                    first.get_or_insert(problem);
                }
            }
        }
        let (table, ignored) = found.ok_or_else(|| first.unwrap_or_default())?;
        self.ignore(ignored);
        Ok(table)
    }

    /// Remembers columns that no model knows.
    fn ignore(&mut self, names: Vec<String>) {
        for name in names {
            if !self.ignored.contains(&name) {
                self.ignored.push(name);
            }
        }
    }

    /// The table with fields that `delimiter` separates, and its columns that no model knows.
    fn with_delimiter(
        &self,
        file: &FoundFile,
        delimiter: char,
    ) -> Result<(OpenTable, Vec<String>), DataError> {
        let untitled = self.fields.iter().all(is_untitled);
        let options = options_of(&self.reading(), delimiter, !untitled);
        let rows = CsvRows::open(&options, &file.path)?;
        let header: Vec<String> = if untitled {
            (0..rows.first().len())
                .map(|place| format!("{UNTITLED}{place}"))
                .collect()
        } else {
            Header::read(&file.path, rows.first(), true)?.names().to_vec()
        };
        let encoders = self.encoders(file, &header)?;
        let ignored = ignored(&encoders, &header);
        let table = OpenTable {
            rows: UnlabelledTable::Text(Box::new(rows)),
            name: file.name.clone(),
            columns: header.len(),
            encoders,
            is_broken: false,
        };
        Ok((table, ignored))
    }

    /// The table of a Parquet file, and its columns that no model knows. Numbers and dates that are such in the file
    /// are read as they are, however the model's table spelt its own.
    fn of_parquet(&self, file: &FoundFile) -> Result<(OpenTable, Vec<String>), DataError> {
        let table = ParquetTable::open(&file.path)?;
        let mut header = table.names();
        let untitled = self.fields.iter().all(is_untitled);
        if untitled && self.encoders(file, &header).is_err() {
            header = (0..header.len())
                .map(|place| format!("{UNTITLED}{place}"))
                .collect();
        }
        let mut encoders = self.encoders(file, &header)?;
        for encoder in &mut encoders {
            encoder.read_as(|place| table.form(place), |place| table.names_of(place).cloned());
        }
        let rows = table.rows(|place| reads(&encoders, place))?;
        let ignored = ignored(&encoders, &header);
        let open = OpenTable {
            rows: UnlabelledTable::Parquet(Box::new(rows)),
            name: file.name.clone(),
            columns: header.len(),
            encoders,
            is_broken: false,
        };
        Ok((open, ignored))
    }

    /// What makes features of rows under the titles `header`, for each model.
    fn encoders(&self, file: &FoundFile, header: &[String]) -> Result<Vec<RowEncoder>, DataError> {
        let encoders = self.fields.iter().map(|field| RowEncoder::new(field, header));
        let encoders: Result<Vec<RowEncoder>, String> = encoders.collect();
        encoders.map_err(|problem| DataError::input(&file.path, problem))
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

/// Whether all columns bear the names of their places, as in a table without titles.
fn is_untitled(field: &Field) -> bool {
    let reading = field.reading.as_deref().cloned().unwrap_or_default();
    field.columns.iter().all(|column| {
        let (_, name) = NumberReading::of(&column.name, &reading);
        let place = name.strip_prefix(UNTITLED).map(str::parse::<usize>);
        matches!(place, Some(Ok(_)))
    })
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
