//! The documents of a corpus, one after the other, in the order of their files' names.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use walkdir::WalkDir;

use super::error::DataError;
use super::formats::{is_hidden, open};
use super::records::{RecordFile, RecordForm, RecordLine};
use crate::spec::{Documents, RecordOptions, counted};

/// What files are compressed by, as their names tell.
const PACKED: [&str; 4] = [".gz", ".zst", ".bz2", ".xz"];

/// The files with the documents.
pub struct DocumentSource<'a> {
    options: &'a Documents,
    /// Each with what it is called in messages.
    files: Vec<(PathBuf, String)>,
}

/// A document, or why there is none.
pub struct FoundDocument {
    /// Where it comes from, such as `speeches/1790.json` or `reviews.csv:12`.
    pub origin: String,
    /// The document; what is wrong with it where it cannot be read.
    pub content: Result<DocumentContent, String>,
}

/// A document.
pub struct DocumentContent {
    /// Its text, which is more than blanks.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// The record that it is of, which knows what is to be predicted.
    pub(super) record: Option<RecordLine>,
}

impl<'a> DocumentSource<'a> {
    /// Finds the files below `input`, or takes `input` itself where it is a file.
    ///
    /// # Errors
    /// There are none, or the folder cannot be listed.
    pub fn find(options: &'a Documents, input: &Path) -> Result<Self, DataError> {
        let usual: &[&str] = match options {
            Documents::Text(_) | Documents::Lines(_) => &[".txt"],
            Documents::Csv(_) => &[".csv", ".tsv"],
            Documents::Json(_) => &[".json"],
            Documents::Jsonl(_) => &[".jsonl", ".ndjson"],
        };
        let files = find_files(input, options.files(), usual)?;
        Ok(Self { options, files })
    }

    /// The number of files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Hands every document to `take`, in order.
    ///
    /// # Errors
    /// A file cannot be read, or `take` says so.
    pub fn each(
        &self,
        mut take: impl FnMut(FoundDocument) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        for (path, name) in &self.files {
            match self.options {
                Documents::Text(_) => take(FoundDocument {
                    origin: name.clone(),
                    content: read_text(path)?.and_then(plain),
                })?,
                Documents::Json(options) => take(FoundDocument {
                    origin: name.clone(),
                    content: read_text(path)?.and_then(|text| {
                        let object = serde_json::from_str(text.trim_start_matches('\u{feff}'));
                        let object = object.map_err(|error| format!("it holds no JSON object: {error}"))?;
                        of_record(options, RecordLine::Object(object))
                    }),
                })?,
                Documents::Lines(_) => each_line(path, name, &mut take)?,
                Documents::Csv(options) => {
                    let form = RecordForm::Csv {
                        delimiter: options.delimiter,
                    };
                    each_record(path, name, form, options, &mut take)?;
                }
                Documents::Jsonl(options) => {
                    each_record(path, name, RecordForm::JsonLines, options, &mut take)?;
                }
            }
        }
        Ok(())
    }
}

/// The files below `input` that `pattern` matches, or that end as `usual`, in the order of their paths; `input` itself
/// where it is a file. Each with its path from `input` on.
pub(super) fn find_files(
    input: &Path,
    pattern: Option<&str>,
    usual: &[&str],
) -> Result<Vec<(PathBuf, String)>, DataError> {
    if !input.is_dir() {
        let name = input.file_name().unwrap_or(input.as_os_str());
        return Ok(vec![(input.to_owned(), name.to_string_lossy().into_owned())]);
    }
    let pattern = pattern
        .map(Pattern::new)
        .transpose()
        .map_err(|error| DataError::Options(format!("`files` is no pattern: {error}")))?;
    let options = MatchOptions {
        require_literal_separator: true,
        ..MatchOptions::new()
    };
    let is_wanted = |name: &str| match &pattern {
        Some(pattern) => pattern.matches_with(name, options),
        None => {
            let lower = name.to_lowercase();
            let plain = PACKED
                .iter()
                .find_map(|packed| lower.strip_suffix(packed))
                .unwrap_or(&lower);
            usual.iter().any(|end| plain.ends_with(end))
        }
    };
    let mut files = Vec::new();
    let mut others = 0;
    let walk = WalkDir::new(input).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        let entry =
            entry.map_err(|error| DataError::input(input, format!("its files cannot be listed: {error}")))?;
        if !entry.path().is_file() {
            continue;
        }
        let relative = entry.path().strip_prefix(input).unwrap_or(entry.path());
        let name = relative.to_string_lossy().replace('\\', "/");
        match is_wanted(&name) {
            true => files.push((entry.path().to_owned(), name)),
            false => others += 1,
        }
    }
    if files.is_empty() {
        let wanted = match &pattern {
            Some(pattern) => format!("no file matches `{pattern}`"),
            None => format!("no file ends in {}", usual.join(" or ")),
        };
        return Err(DataError::input(
            input,
            format!(
                "{wanted}; there {}: say which are meant by `files`, such as `files: \"**/*{}\"`",
                match others {
                    1 => "is 1 other file".to_owned(),
                    _ => format!("are {}", counted(others, "other file")),
                },
                usual.first().copied().unwrap_or_default()
            ),
        ));
    }
    files.sort_by(|(_, left), (_, right)| left.cmp(right));
    Ok(files)
}

/// All of a file as text; what is wrong where it is none.
fn read_text(path: &Path) -> Result<Result<String, String>, DataError> {
    let mut bytes = Vec::new();
    open(path)?
        .read_to_end(&mut bytes)
        .map_err(DataError::io("read", path))?;
    Ok(String::from_utf8(bytes).map_err(|error| {
        format!(
            "it is not UTF-8 from byte {} on: save it as UTF-8",
            error.utf8_error().valid_up_to()
        )
    }))
}

fn plain(text: String) -> Result<DocumentContent, String> {
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    if text.trim().is_empty() {
        return Err("it holds no text".to_owned());
    }
    Ok(DocumentContent {
        text,
        pair: None,
        record: None,
    })
}

fn of_record(options: &RecordOptions, record: RecordLine) -> Result<DocumentContent, String> {
    let pair = options
        .pair
        .as_ref()
        .map(|pair| record.whole_text(pair))
        .transpose()?;
    Ok(DocumentContent {
        text: record.whole_text(&options.text)?,
        pair,
        record: Some(record),
    })
}

fn each_line(
    path: &Path,
    name: &str,
    take: &mut impl FnMut(FoundDocument) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut reader = open(path)?;
    for number in 1u64.. {
        let mut bytes = Vec::new();
        let count = reader
            .read_until(b'\n', &mut bytes)
            .map_err(DataError::io("read", path))?;
        if count == 0 {
            break;
        }
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let text = String::from_utf8(line.to_vec());
        let content = text.map_err(|_| "it is not UTF-8: save the file as UTF-8".to_owned());
        take(FoundDocument {
            origin: format!("{name}:{number}"),
            content: content.and_then(plain),
        })?;
    }
    Ok(())
}

fn each_record(
    path: &Path,
    name: &str,
    form: RecordForm,
    options: &RecordOptions,
    take: &mut impl FnMut(FoundDocument) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut columns = vec![options.text.clone()];
    columns.extend(options.pair.clone());
    columns.extend(options.label.iter().flat_map(|label| label.as_slice().to_vec()));
    let mut records = RecordFile::open(path, form, &columns)?;
    while let Some(line) = records.next_line()? {
        take(FoundDocument {
            origin: format!("{name}:{}", line.number),
            content: line.content.and_then(|record| of_record(options, record)),
        })?;
    }
    Ok(())
}
