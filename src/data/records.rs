//! Records: the rows of a CSV file, or JSON lines.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::error::DataError;
use super::formats::open;

/// A longer line is taken for a mistake.
const LONGEST: u64 = 16 << 20;

/// How a file holds records.
#[derive(Clone, Copy, Debug)]
pub(super) enum RecordForm {
    /// As a table whose first line names the columns, with what stands between its fields where that is not usual.
    Csv { delimiter: Option<char> },
    /// As a JSON object a line.
    JsonLines,
}

impl RecordForm {
    /// The form that a file's name tells: JSON lines in `.jsonl` and `.ndjson`, else a table.
    pub fn of_name(path: &Path, delimiter: Option<char>) -> Self {
        let name = lower_name(path);
        match name.ends_with(".jsonl") || name.ends_with(".ndjson") {
            true => Self::JsonLines,
            false => Self::Csv { delimiter },
        }
    }
}

/// A file's name in lower case, without what tells that it is compressed.
fn lower_name(path: &Path) -> String {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let plain = [".gz", ".zst", ".bz2", ".xz"]
        .iter()
        .find_map(|packed| name.strip_suffix(packed));
    plain.unwrap_or(&name).to_owned()
}

/// A file of records that is being read.
pub(super) struct RecordFile {
    path: PathBuf,
    lines: Lines,
}

enum Lines {
    Csv {
        reader: csv::Reader<Box<dyn BufRead>>,
        header: BTreeMap<String, usize>,
    },
    Json {
        reader: Box<dyn BufRead>,
        number: u64,
    },
}

/// A line with its number, from 1; what is wrong with it where it cannot be read.
pub(super) struct NumberedLine {
    pub number: u64,
    pub content: Result<RecordLine, String>,
}

/// A record's values by column.
pub(super) enum RecordLine {
    Fields(BTreeMap<String, String>),
    Object(Map<String, Value>),
}

impl RecordFile {
    /// Opens the file at `path`, and checks that a table has all of `columns`.
    pub fn open(path: &Path, form: RecordForm, columns: &[String]) -> Result<Self, DataError> {
        let reader = open(path)?;
        let RecordForm::Csv { delimiter } = form else {
            let lines = Lines::Json { reader, number: 0 };
            return Ok(Self {
                path: path.to_owned(),
                lines,
            });
        };
        let usual = if lower_name(path).ends_with(".tsv") {
            b'\t'
        } else {
            b','
        };
        let delimiter = delimiter.and_then(|delimiter| u8::try_from(delimiter).ok());
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter.unwrap_or(usual))
            .from_reader(reader);
        let record = reader.headers().map_err(|error| cannot_read(path, &error))?;
        let names = record
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned());
        let mut header = BTreeMap::new();
        for (index, name) in names.enumerate() {
            if let Some(first) = header.insert(name.clone(), index) {
                let problem =
                    format!("its columns {first} and {index} (from 0) are both called `{name}`: rename one");
                return Err(DataError::input(path, problem));
            }
        }
        for column in columns {
            if !header.contains_key(column) {
                let known: Vec<String> = header.keys().take(20).map(|name| format!("`{name}`")).collect();
                let problem = format!(
                    "it has no column `{column}`; its columns are {}",
                    known.join(", ")
                );
                return Err(DataError::input(path, problem));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            lines: Lines::Csv { reader, header },
        })
    }

    /// The next line that is not blank.
    pub fn next_line(&mut self) -> Result<Option<NumberedLine>, DataError> {
        match &mut self.lines {
            Lines::Csv { reader, header } => {
                let mut record = StringRecord::new();
                let number = reader.position().line();
                match reader.read_record(&mut record) {
                    Ok(false) => Ok(None),
                    Ok(true) => {
                        let number = record.position().map_or(number, csv::Position::line);
                        let fields = header.iter().map(|(name, index)| {
                            (name.clone(), record.get(*index).unwrap_or_default().to_owned())
                        });
                        let content = Ok(RecordLine::Fields(fields.collect()));
                        Ok(Some(NumberedLine { number, content }))
                    }
                    Err(error) => match error.kind() {
                        csv::ErrorKind::UnequalLengths {
                            pos,
                            expected_len,
                            len,
                        } => Ok(Some(NumberedLine {
                            number: pos.as_ref().map_or(number, csv::Position::line),
                            content: Err(format!("it has {len} fields, and the first line {expected_len}")),
                        })),
                        csv::ErrorKind::Utf8 { pos, .. } => Ok(Some(NumberedLine {
                            number: pos.as_ref().map_or(number, csv::Position::line),
                            content: Err("it is not UTF-8: save the file as UTF-8".to_owned()),
                        })),
                        _ => Err(cannot_read(&self.path, &error)),
                    },
                }
            }
            Lines::Json { reader, number } => loop {
                let mut bytes = Vec::new();
                let count =
                    read_line(reader.as_mut(), &mut bytes).map_err(DataError::io("read", &self.path))?;
                *number += 1;
                if count == 0 {
                    return Ok(None);
                }
                let start = if *number == 1 { "\u{feff}".as_bytes() } else { &[] };
                let text = bytes.strip_prefix(start).unwrap_or(&bytes).trim_ascii();
                if text.is_empty() {
                    continue;
                }
                let content = match count > LONGEST {
                    true => Err(format!("it is longer than {} MiB", LONGEST >> 20)),
                    false => serde_json::from_slice(text)
                        .map(RecordLine::Object)
                        .map_err(|error| format!("it is no JSON object: {error}")),
                };
                return Ok(Some(NumberedLine {
                    number: *number,
                    content,
                }));
            },
        }
    }
}

/// Reads a line into `out`, or passes over one that is too long; how long it was.
fn read_line(reader: &mut dyn BufRead, out: &mut Vec<u8>) -> std::io::Result<u64> {
    let mut count = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(buffer.len());
        if count + taken as u64 <= LONGEST {
            out.extend_from_slice(&buffer[..taken]);
        }
        count += taken as u64;
        reader.consume(taken);
        if end.is_some() || taken == 0 {
            return Ok(count);
        }
    }
}

fn cannot_read(path: &Path, error: &csv::Error) -> DataError {
    DataError::input(path, format!("it cannot be read: {error}"))
}

impl RecordLine {
    /// The text in a column: what is there, and neither empty nor a list.
    pub fn text(&self, column: &str) -> Result<String, String> {
        let missing = || Err(format!("its `{column}` is missing"));
        match self {
            Self::Fields(fields) => match fields.get(column).map(|text| text.trim()) {
                Some(text) if !text.is_empty() => Ok(text.to_owned()),
                _ => missing(),
            },
            Self::Object(object) => match object.get(column) {
                Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
                None | Some(Value::Null | Value::String(_)) => missing(),
                Some(_) => Err(format!(
                    "its `{column}` is a list or an object, and a text or a number is expected"
                )),
            },
        }
    }

    /// The text in a column as it stands there, blanks around it included; not where there is nothing else.
    pub fn whole_text(&self, column: &str) -> Result<String, String> {
        let text = match self {
            Self::Fields(fields) => fields.get(column).cloned(),
            Self::Object(object) => match object.get(column) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.clone()),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
                Some(_) => {
                    return Err(format!(
                        "its `{column}` is a list or an object, and a text is expected"
                    ));
                }
            },
        };
        match text {
            None => Err(format!("its `{column}` is missing")),
            Some(text) if text.trim().is_empty() => Err(format!("its `{column}` is empty")),
            Some(text) => Ok(text),
        }
    }

    /// What a JSON object holds in a column.
    pub fn value(&self, column: &str) -> Option<&Value> {
        match self {
            Self::Fields(_) => None,
            Self::Object(object) => object.get(column),
        }
    }

    /// The texts in a column: a list's, or those of a text that `separator` stands between. None is as good as some.
    pub fn texts(&self, column: &str, separator: &str) -> Result<Vec<String>, String> {
        let parted = |text: &str| {
            let parts = text
                .split(separator)
                .map(str::trim)
                .filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        match self {
            Self::Fields(fields) => match fields.get(column) {
                Some(text) => Ok(parted(text)),
                None => Err(format!("its `{column}` is missing")),
            },
            Self::Object(object) => match object.get(column) {
                Some(Value::Array(values)) => values
                    .iter()
                    .map(|value| match value {
                        Value::String(text) => Ok(text.trim().to_owned()),
                        Value::Number(number) => Ok(number.to_string()),
                        _ => Err(format!(
                            "its `{column}` holds something that is neither a text nor a number"
                        )),
                    })
                    .collect(),
                Some(Value::String(text)) => Ok(parted(text)),
                Some(Value::Number(number)) => Ok(vec![number.to_string()]),
                _ => Err(format!(
                    "its `{column}` is missing: write [] where no label applies"
                )),
            },
        }
    }
}
