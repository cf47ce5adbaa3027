//! The rows of a CSV file.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use super::super::open;
use super::quotes::unclosed;
use super::wide_text::WideText;
use crate::data::error::DataError;
use crate::data::file_kind::FileKind;
use crate::spec::{CsvOptions, Quote};

/// A row longer than this, in bytes, is taken for one that an unclosed quote made so long.
const LONGEST_ROW: u64 = 1 << 26;

/// What stands behind a file's own bytes, so that it is seen whether its last quote was closed: no
/// text in UTF-8, and no ASCII character, which might separate fields.
const END: &[u8] = b"\xff\xfe\xfd\x8e\xfc\xfb\xfa\x81\xf9\xf8\xf7\x91";

/// Reads a file row by row.
pub(in crate::data) struct CsvRows {
    path: PathBuf,
    reader: csv::Reader<RowBytes>,
    record: ByteRecord,
    header: bool,
    /// The line of a first row that is a sample and was not given yet.
    waiting: Option<u64>,
}

impl CsvRows {
    /// Opens the file, plain or packed by gzip or Zstandard, in UTF-8 or UTF-16.
    pub fn open(options: &CsvOptions, path: &Path) -> Result<Self, DataError> {
        let delimiter = options.delimiter_byte().ok_or_else(|| {
            DataError::Options(format!(
                "`delimiter: {:?}` cannot separate fields: one ASCII character that neither ends lines nor quotes \
                 fields is needed, such as \",\" or \";\"",
                options.delimiter
            ))
        })?;
        let mut file = open(path)?;
        let start = file.fill_buf().map_err(DataError::io("read", path))?;
        if let Some(kind) = FileKind::of(start) {
            return Err(kind.refused(path));
        }
        let is_wide = WideText::<&[u8]>::is_told_by(start);
        let ends_in_cr = !is_wide && start.contains(&b'\r') && !start.contains(&b'\n');
        let text: Box<dyn Read> = if is_wide {
            Box::new(WideText::new(file).map_err(DataError::io("read", path))?)
        } else {
            Box::new(file)
        };
        let end = [b"\n", END, b"\n"].concat();
        let mut builder = csv::ReaderBuilder::new();
        builder
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .escape(options.escape_byte())
            // Only LF ends a row, so that the lines of a row can be counted; CR is trimmed off.
            .terminator(csv::Terminator::Any(b'\n'));
        match options.quote {
            Quote::Double => builder.quote(b'"'),
            Quote::Single => builder.quote(b'\''),
            Quote::None => builder.quoting(false),
        };
        let reader = builder.from_reader(RowBytes {
            bytes: Box::new(text.chain(io::Cursor::new(end))),
            ends_in_cr,
            left: LONGEST_ROW,
        });
        let mut rows = Self {
            path: path.to_owned(),
            reader,
            record: ByteRecord::new(),
            header: options.header,
            waiting: None,
        };
        let mut line = rows.advance()?;
        if line.is_some() && rows.is_separator_line(options, delimiter)? {
            line = rows.advance()?;
        }
        let line = line.ok_or_else(|| DataError::input(path, "it is empty"))?;
        rows.waiting = (!options.header).then_some(line);
        Ok(rows)
    }

    /// The first row, which may be the header. Only before the first call of `next_row`.
    pub fn first(&self) -> &ByteRecord {
        &self.record
    }

    /// The next sample's row, and its first line. At the end nothing.
    ///
    /// # Errors
    /// A quote is not closed, a row is longer than any, or the file cannot be read.
    pub fn next_row(&mut self) -> Result<Option<(&ByteRecord, u64)>, DataError> {
        let line = match self.waiting.take() {
            Some(line) => Some(line),
            None => self.advance()?,
        };
        Ok(line.map(|line| (&self.record, line)))
    }

    /// Whether the first line is that by which spreadsheets say what separates fields: `sep=;`.
    fn is_separator_line(&self, options: &CsvOptions, delimiter: u8) -> Result<bool, DataError> {
        let rest: Vec<&[u8]> = self.record.iter().map(<[u8]>::trim_ascii).collect();
        match rest[..] {
            [b"sep=", b""] => Ok(true),
            [line] if line.len() == 5 && line.starts_with(b"sep=") && line[4] != delimiter => {
                let told = char::from(line[4]);
                let problem = format!(
                    "its first line says that `{told}` separates fields, and `delimiter` is {:?}: set `delimiter: \
                     {told:?}`",
                    options.delimiter
                );
                Err(DataError::input(&self.path, problem))
            }
            _ => Ok(false),
        }
    }

    /// Reads the next row that is not blank, and gives its first line.
    fn advance(&mut self) -> Result<Option<u64>, DataError> {
        loop {
            self.reader.get_mut().left = LONGEST_ROW;
            let more = self.reader.read_byte_record(&mut self.record);
            let more = more.map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(_) if self.reader.get_ref().left == 0 => self.too_long(),
                csv::ErrorKind::Io(error) => DataError::io("read", &self.path)(error),
                other => DataError::input(&self.path, format!("it is not a table: {other:?}")),
            })?;
            if !more {
                return Ok(None);
            }
            let record = &self.record;
            if record.len() == 1 && record.as_slice() == END {
                return Ok(None);
            }
            // The csv crate's own place of a row is that of the blank lines before it. Its place after
            // the row is right, and only LF within fields is part of a row.
            let line = self.reader.position().line() - line_breaks(record);
            if let Some(problem) = unclosed(record, line, END, self.header) {
                return Err(DataError::input(&self.path, problem));
            }
            if record.len() > 1 || record.iter().any(|field| !field.trim_ascii().is_empty()) {
                return Ok(Some(line - 1));
            }
        }
    }

    fn too_long(&self) -> DataError {
        let line = self.reader.position().line();
        DataError::input(
            &self.path,
            format!(
                "the row that begins about line {line} has more than {} MiB: a quote there is not closed, or this \
                 is no table; close the quote, or add `quote: none` where quotes mean nothing",
                LONGEST_ROW >> 20
            ),
        )
    }
}

/// How many lines a row goes on after its first.
pub(super) fn line_breaks(record: &ByteRecord) -> u64 {
    let bytes = record.as_slice().iter();
    bytes.filter(|byte| **byte == b'\n').count() as u64
}

/// The bytes of a file, no more of them than `left`.
struct RowBytes {
    bytes: Box<dyn Read>,
    /// Whether its lines end in CR alone, as on old Macs.
    ends_in_cr: bool,
    left: u64,
}

impl Read for RowBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("a row is too long"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.bytes.read(&mut buffer[..most])?;
        self.left -= count as u64;
        if self.ends_in_cr {
            for byte in &mut buffer[..count] {
                if *byte == b'\r' {
                    *byte = b'\n';
                }
            }
        }
        Ok(count)
    }
}
