//! Records: the rows of a CSV file, or JSON lines.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, StringRecord};
use serde_json::{Map, Number, Value};

use super::blanks::trimmed;
use super::error::DataError;
use super::file_kind::FileKind;
use super::formats::open;
use crate::spec::counted;

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
        reader: csv::Reader<ReadBytes>,
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
        let mut reader = open(path)?;
        let start = reader.fill_buf().map_err(DataError::io("read", path))?;
        // What a file holds decides, not its name.
        let mut is_json = false;
        match FileKind::of(start) {
            Some(kind) if kind.is_json_list() => {
                let problem = format!(
                    "it is {}, and records are read from JSON lines: write an object a line, as by \
                     `pandas.read_json(path).to_json(\"NAME.jsonl\", orient=\"records\", lines=True)`",
                    kind.what
                );
                return Err(DataError::input(path, problem));
            }
            Some(kind) if kind.is_json_lines() => is_json = true,
            Some(kind) => return Err(kind.refused(path)),
            None => {}
        }
        let RecordForm::Csv { delimiter } = (match is_json {
            true => RecordForm::JsonLines,
            false => form,
        }) else {
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
            .flexible(true)
            .from_reader(ReadBytes::new(reader));
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
                    "it has no column `{column}`; its columns are {}{}",
                    known.join(", "),
                    other_delimiter(record, column).map_or_else(String::new, |other| {
                        // In double quotes, as YAML knows escapes there alone.
                        let other = other.to_string();
                        format!(": {other:?} seems to stand between them, so add `delimiter: {other:?}`")
                    })
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
                let mut record = ByteRecord::new();
                let more = reader.read_byte_record(&mut record);
                if !more.map_err(|error| cannot_read(&self.path, &error))? {
                    return Ok(None);
                }
                let number = first_line(reader, &record);
                if record.len() != header.len() {
                    let content = Err(format!(
                        "it has {}, and the first line {}",
                        counted(record.len(), "field"),
                        header.len()
                    ));
                    return Ok(Some(NumberedLine { number, content }));
                }
                let content = match StringRecord::from_byte_record(record) {
                    Ok(record) => {
                        let fields = header.iter().map(|(name, index)| {
                            (name.clone(), record.get(*index).unwrap_or_default().to_owned())
                        });
                        Ok(RecordLine::Fields(fields.collect()))
                    }
                    Err(_) => Err("it is not UTF-8: save the file as UTF-8".to_owned()),
                };
                Ok(Some(NumberedLine { number, content }))
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

/// The first line of a record that was just read. The csv crate's own place of it is where the one before ended: before the
/// LF of a CR LF, and before blank lines.
fn first_line(reader: &csv::Reader<ReadBytes>, record: &ByteRecord) -> u64 {
    let end = reader.position();
    let last = end.byte().checked_sub(1);
    let is_behind_its_end = last.and_then(|last| reader.get_ref().at(last)) == Some(b'\n');
    let within = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
    end.line() - u64::from(is_behind_its_end) - within
}

/// The bytes of a file, of which the piece that was read last is kept.
struct ReadBytes {
    bytes: Box<dyn BufRead>,
    piece: Vec<u8>,
    /// Where the piece ends in the file.
    end: u64,
}

impl ReadBytes {
    fn new(bytes: Box<dyn BufRead>) -> Self {
        Self {
            bytes,
            piece: Vec::new(),
            end: 0,
        }
    }

    /// The byte at `place`, where it is in the piece that was read last.
    fn at(&self, place: u64) -> Option<u8> {
        let within = place.checked_sub(self.end - self.piece.len() as u64)?;
        self.piece.get(usize::try_from(within).ok()?).copied()
    }
}

impl Read for ReadBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        if count > 0 {
            self.piece.clear();
            self.piece.extend_from_slice(&buffer[..count]);
            self.end += count as u64;
        }
        Ok(count)
    }
}

/// What stands between the names of columns in a first line, where it is something else than was taken for it: then one
/// of them is `column`.
fn other_delimiter(record: &StringRecord, column: &str) -> Option<char> {
    [';', '\t', '|', ','].into_iter().find(|other| {
        let mut parts = record.iter().flat_map(|name| name.split(*other));
        let is_divided = record.iter().any(|name| name.contains(*other));
        is_divided && parts.any(|part| part.trim_matches('\u{feff}').trim().trim_matches('"') == column)
    })
}

/// Reads a line into `out`, or passes over one that is too long; how long it was.
fn read_line(reader: &mut dyn BufRead, out: &mut Vec<u8>) -> io::Result<u64> {
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

/// A number of JSON as it is written. Integers of more than 64 bits are read as others that are near them, so that two
/// would be one.
fn exact(number: &Number) -> Result<String, String> {
    const LARGEST: f64 = i64::MAX as f64;
    match number.as_f64() {
        Some(value) if number.is_f64() && value.abs() >= LARGEST => Err(format!(
            "is a number of more digits than are kept of one in JSON ({number}): write it in quotes"
        )),
        _ => Ok(number.to_string()),
    }
}

fn cannot_read(path: &Path, error: &csv::Error) -> DataError {
    DataError::input(path, format!("it cannot be read: {error}"))
}

impl RecordLine {
    /// The columns' names.
    pub fn columns(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Fields(fields) => Box::new(fields.keys().map(String::as_str)),
            Self::Object(object) => Box::new(object.keys().map(String::as_str)),
        }
    }

    /// The text in a column: what is there, and neither empty nor a list. Of JSON a number is what it is written as, to
    /// the last digit, and `true` and `false` are these words: the same as if they stood in quotes.
    pub fn text(&self, column: &str) -> Result<String, String> {
        let missing = || Err(format!("its `{column}` is missing"));
        match self {
            Self::Fields(fields) => match fields.get(column).map(|text| trimmed(text)) {
                Some(text) if !text.is_empty() => Ok(text.to_owned()),
                _ => missing(),
            },
            Self::Object(object) => match object.get(column) {
                Some(Value::String(text)) if !trimmed(text).is_empty() => Ok(trimmed(text).to_owned()),
                Some(Value::Number(number)) => {
                    exact(number).map_err(|problem| format!("its `{column}` {problem}"))
                }
                Some(Value::Bool(value)) => Ok(value.to_string()),
                None | Some(Value::Null | Value::String(_)) => missing(),
                Some(_) => Err(format!(
                    "its `{column}` is a list or an object, and a text or a number is expected"
                )),
            },
        }
    }

    /// The number in a column as text, however large it is.
    pub fn number_text(&self, column: &str) -> Result<String, String> {
        match self.value(column) {
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => self.text(column),
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
            let parts = text.split(separator).map(trimmed).filter(|part| !part.is_empty());
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
                        Value::String(text) => Ok(trimmed(text).to_owned()),
                        Value::Number(number) => {
                            exact(number).map_err(|problem| format!("its `{column}` {problem}"))
                        }
                        Value::Bool(value) => Ok(value.to_string()),
                        _ => Err(format!(
                            "its `{column}` holds something that is neither a text nor a number"
                        )),
                    })
                    .collect(),
                Some(Value::String(text)) => Ok(parted(text)),
                Some(Value::Number(_) | Value::Bool(_)) => Ok(vec![self.text(column)?]),
                _ => Err(format!(
                    "its `{column}` is missing: write [] where no label applies"
                )),
            },
        }
    }
}
