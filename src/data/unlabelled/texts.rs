//! Texts in files on their way to a model.

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::path::Path;

use super::files::{FileWalk, FoundFile};
use super::{DELIMITERS, UnlabelledInputs, UnlabelledSample, UnlabelledSource};
use crate::data::error::DataError;
use crate::data::example::Example;
use crate::data::formats::{ParquetRows, ParquetTable, open};
use crate::data::records::{RecordFile, RecordForm, RecordLine};
use crate::event::Monitor;
use crate::schema::TextFields;
use crate::spec::shortened;

/// A longer line, or a longer file with one record, is taken for a mistake.
const LONGEST: u64 = 16 << 20;

/// What files are compressed by, as their names tell.
const PACKED: [&str; 4] = [".gz", ".zst", ".bz2", ".xz"];

/// How the names of files with texts end.
const ENDINGS: [&str; 7] = [".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet"];

/// Texts, one a sample: of a `.txt` file each line that is not blank, else the fields of each record that the models were
/// trained on.
pub(super) struct UnlabelledTexts {
    files: FileWalk,
    /// For each model, what its texts are called.
    fields: Vec<TextFields>,
    open: Option<OpenTexts>,
    waiting: VecDeque<UnlabelledSample>,
}

/// A file that is being read.
struct OpenTexts {
    lines: TextLines,
    /// How it is called in predictions.
    name: String,
}

/// What is in a file.
enum TextLines {
    Plain {
        reader: Box<dyn BufRead>,
        number: u64,
    },
    Records(Box<RecordFile>),
    Parquet {
        rows: Box<ParquetRows>,
        names: Vec<String>,
    },
    /// The only one.
    Object(Option<RecordLine>),
}

impl UnlabelledTexts {
    pub fn open(inputs: &UnlabelledInputs<'_>, fields: Vec<TextFields>) -> Result<Self, DataError> {
        Ok(Self {
            files: FileWalk::new(inputs, is_text)?,
            fields,
            open: None,
            waiting: VecDeque::new(),
        })
    }

    /// The names of all fields that a model reads.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for field in &self.fields {
            for name in std::iter::once(&field.text).chain(&field.pair) {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        names
    }

    fn begin(&self, file: &FoundFile) -> Result<OpenTexts, String> {
        let lines = self.lines_of(&file.path).map_err(|error| match error {
            DataError::Input { problem, .. } => problem,
            other => other.to_string(),
        })?;
        Ok(OpenTexts {
            lines,
            name: file.name.clone(),
        })
    }

    fn lines_of(&self, path: &Path) -> Result<TextLines, DataError> {
        let name = plain_name(path);
        let names = self.names();
        if name.ends_with(".txt") {
            if self.fields.iter().any(|field| field.pair.is_some()) {
                let problem = format!(
                    "the model is shown pairs, and a line of text is only one: write records with the fields {}, as CSV, \
                     JSON lines or Parquet",
                    shortened(&names)
                );
                return Err(DataError::input(path, problem));
            }
            return Ok(TextLines::Plain {
                reader: open(path)?,
                number: 0,
            });
        }
        if ParquetTable::is_at(path) {
            let table = ParquetTable::open(path)?;
            let own = table.names();
            if let Some(missing) = names.iter().find(|name| !own.contains(name)) {
                let problem = format!(
                    "it has no column `{missing}`, which the model was trained on; its columns are {}",
                    shortened(&own)
                );
                return Err(DataError::input(path, problem));
            }
            let rows = table.rows(|place| own.get(place).is_some_and(|name| names.contains(name)))?;
            return Ok(TextLines::Parquet {
                rows: Box::new(rows),
                names: own,
            });
        }
        if name.ends_with(".json")
            && let Ok(object) = read_object(path)?
        {
            return Ok(TextLines::Object(Some(object)));
        }
        let form = match name.ends_with(".json") {
            true => RecordForm::JsonLines,
            false => RecordForm::of_name(path, None),
        };
        let first = match RecordFile::open(path, form, &names) {
            Ok(records) => return Ok(TextLines::Records(Box::new(records))),
            Err(error) => error,
        };
        // What stood between the fields in training is not known.
        for delimiter in DELIMITERS {
            let form = RecordForm::of_name(path, Some(delimiter));
            if let Ok(records) = RecordFile::open(path, form, &names) {
                return Ok(TextLines::Records(Box::new(records)));
            }
        }
        Err(first)
    }

    /// Puts the next sample, or what cannot be one, at the end of those that wait; false where there is none.
    fn read(&mut self) -> bool {
        loop {
            let Some(texts) = &mut self.open else {
                let (name, problem) = match self.files.next() {
                    None => return false,
                    Some(Err(refused)) => refused,
                    Some(Ok(file)) => match self.begin(&file) {
                        Ok(texts) => {
                            self.open = Some(texts);
                            continue;
                        }
                        Err(problem) => (file.name, problem),
                    },
                };
                self.waiting.push_back(UnlabelledSample {
                    name,
                    examples: Err(problem),
                });
                return true;
            };
            match texts.next(&self.fields) {
                Ok(Some(sample)) => {
                    self.waiting.push_back(sample);
                    return true;
                }
                Ok(None) => self.open = None,
                Err(error) => {
                    self.waiting.push_back(UnlabelledSample {
                        name: texts.name.clone(),
                        examples: Err(match error {
                            DataError::Input { problem, .. } => problem,
                            other => other.to_string(),
                        }),
                    });
                    self.open = None;
                    return true;
                }
            }
        }
    }
}

impl UnlabelledSource for UnlabelledTexts {
    fn next(&mut self, most: usize) -> Result<Vec<UnlabelledSample>, DataError> {
        while self.waiting.len() < most.max(1) && self.read() {}
        Ok(self.waiting.drain(..).collect())
    }

    fn finish(&mut self, monitor: &Monitor) {
        self.files.tell_left_out("texts", monitor);
    }
}

impl OpenTexts {
    /// The next sample; nothing at the end.
    fn next(&mut self, fields: &[TextFields]) -> Result<Option<UnlabelledSample>, DataError> {
        let named = |number: u64| format!("{}:{number}", self.name);
        match &mut self.lines {
            TextLines::Plain { reader, number } => loop {
                let mut bytes = Vec::new();
                let count = reader.by_ref().take(LONGEST + 1).read_until(b'\n', &mut bytes);
                let count = count.map_err(DataError::io("read", Path::new(&self.name)))?;
                if count == 0 {
                    return Ok(None);
                }
                *number += 1;
                if count as u64 > LONGEST {
                    let problem = format!("its line {number} is longer than {} MiB", LONGEST >> 20);
                    return Err(DataError::input(Path::new(&self.name), problem));
                }
                let bytes = match number {
                    1 => bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes),
                    _ => &bytes,
                };
                let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let examples = text_of(line).map(|line| {
                    let examples = fields.iter().map(|_| Example::of_texts(line, None));
                    examples.collect()
                });
                return Ok(Some(UnlabelledSample {
                    name: named(*number),
                    examples,
                }));
            },
            TextLines::Records(records) => {
                let Some(line) = records.next_line()? else {
                    return Ok(None);
                };
                let name = named(line.number);
                let examples = line.content.and_then(|record| of_record(&record, fields));
                Ok(Some(UnlabelledSample { name, examples }))
            }
            TextLines::Object(record) => {
                let name = self.name.clone();
                let sample = record.take().map(|record| UnlabelledSample {
                    name,
                    examples: of_record(&record, fields),
                });
                Ok(sample)
            }
            TextLines::Parquet { rows, names } => {
                let Some((row, number)) = rows.next_row()? else {
                    return Ok(None);
                };
                let cells = names.iter().enumerate().map(|(place, name)| {
                    let cell = text_of(row.get(place).unwrap_or_default());
                    let cell = cell.map_err(|problem| format!("`{name}`: {problem}"))?;
                    Ok((name.clone(), cell.to_owned()))
                });
                let cells: Result<_, String> = cells.collect();
                let examples = cells.and_then(|cells| of_record(&RecordLine::Fields(cells), fields));
                Ok(Some(UnlabelledSample {
                    name: named(number),
                    examples,
                }))
            }
        }
    }
}

/// The text that `bytes` are. One with a NUL is of another encoding, such as UTF-16.
fn text_of(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    text.ok_or_else(|| "it is not UTF-8: save the file as UTF-8".to_owned())
}

/// What each model is shown of a record.
fn of_record(record: &RecordLine, fields: &[TextFields]) -> Result<Vec<Example>, String> {
    let example = |field: &TextFields| {
        let text = record.whole_text(&field.text)?;
        let pair = field.pair.as_ref().map(|pair| record.whole_text(pair));
        Ok(Example::of_texts(&text, pair.transpose()?.as_deref()))
    };
    fields.iter().map(example).collect()
}

/// The only record of a file; what is wrong where it has not one alone.
fn read_object(path: &Path) -> Result<Result<RecordLine, String>, DataError> {
    let mut bytes = Vec::new();
    let reader = open(path)?;
    reader
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(DataError::io("read", path))?;
    if bytes.len() as u64 > LONGEST {
        return Ok(Err(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let object = serde_json::from_slice(text).map(RecordLine::Object);
    Ok(object.map_err(|error| format!("it holds no JSON object: {error}")))
}

/// A file's name in lower case, without what tells that it is compressed.
fn plain_name(path: &Path) -> String {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let plain = PACKED.iter().find_map(|packed| name.strip_suffix(packed));
    plain.unwrap_or(&name).to_owned()
}

/// Whether a file in a folder is to be read as texts.
fn is_text(path: &Path) -> bool {
    let name = plain_name(path);
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}
