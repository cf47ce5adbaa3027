//! Tables: one sample a row.

use std::path::Path;

use csv::ByteRecord;

use super::{MOST_VALUES, name_of, open, single_file};
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::{Classes, LabelIndex};
use crate::data::shape::SampleShape;
use crate::data::writer::Sample;
use crate::spec::{Column, Csv, CsvImage, SplitName};

/// Reads a table, plain or gzipped; all rows are training samples.
///
/// A row that cannot be read (a wrong number of fields, an empty label, a feature that is no finite
/// number) is a bad sample; a header or label column that does not fit is an error in any case.
pub(super) fn read(options: &Csv, input: &Path, intake: &mut Intake<'_>) -> Result<Classes, DataError> {
    let path = single_file(input)?;
    let delimiter = u8::try_from(options.delimiter).ok().filter(u8::is_ascii);
    let delimiter = delimiter.ok_or_else(|| {
        DataError::Options(format!(
            "`delimiter: {:?}` cannot separate fields: one ASCII character is needed, such as \",\" or \";\"",
            options.delimiter
        ))
    })?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(open(&path)?);

    let mut record = ByteRecord::new();
    let mut more = advance(&mut reader, &mut record, &path)?;
    if !more {
        return Err(DataError::input(&path, "it is empty"));
    }
    let table = Table::new(options, &path, &record)?;
    if options.header {
        more = advance(&mut reader, &mut record, &path)?;
    }
    let (shape, names) = table.shape(options)?;
    intake.begin(shape, &names, &path)?;

    let file = name_of(&path);
    let mut labels = LabelIndex::default();
    let mut row = Row::default();
    while more {
        let line = line_of(&record);
        match table.read_row(&record, line, &mut row) {
            Ok(label) => {
                let sample = match options.image {
                    Some(_) => Sample::Pixels(&row.pixels),
                    None => Sample::Features(&row.features),
                };
                let origin = format!("{file}:{line}");
                intake.push(SplitName::Train, labels.index(label), sample, &origin)?;
            }
            Err(error) => intake.reject(error)?,
        }
        more = advance(&mut reader, &mut record, &path)?;
    }
    Ok(labels.classes())
}

fn advance<R: std::io::Read>(
    reader: &mut csv::Reader<R>,
    record: &mut ByteRecord,
    path: &Path,
) -> Result<bool, DataError> {
    reader
        .read_byte_record(record)
        .map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => DataError::io("read", path)(error),
            other => DataError::input(path, format!("it is not a table: {other:?}")),
        })
}

fn line_of(record: &ByteRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

/// What is known of the table once its first line is read.
struct Table<'a> {
    path: &'a Path,
    /// The columns' names; empty without a header.
    header: Vec<String>,
    columns: usize,
    label: usize,
    image: Option<CsvImage>,
}

/// One row's values; the one or the other is filled.
#[derive(Default)]
struct Row {
    features: Vec<f32>,
    pixels: Vec<u8>,
}

impl<'a> Table<'a> {
    fn new(options: &Csv, path: &'a Path, first: &ByteRecord) -> Result<Self, DataError> {
        let columns = first.len();
        if columns < 2 {
            let problem = format!(
                "its first line has one field: at least one feature and the label are needed; is the delimiter \
                 {:?} right?",
                options.delimiter
            );
            return Err(DataError::input(path, problem));
        }
        let mut header = Vec::new();
        if options.header {
            for (index, name) in first.iter().enumerate() {
                let name = std::str::from_utf8(name).map_err(|_| {
                    DataError::input(path, format!("the name of column {index} (from 0) is not UTF-8"))
                })?;
                let name = name.trim().to_owned();
                if header.contains(&name) {
                    return Err(DataError::input(
                        path,
                        format!("two columns are named `{name}`: rename one"),
                    ));
                }
                header.push(name);
            }
        }
        let label = match &options.label {
            Column::Index(index) => {
                let count = i64::try_from(columns).unwrap_or(i64::MAX);
                let index = i64::from(*index);
                let index = if index < 0 { count + index } else { index };
                usize::try_from(index)
                    .ok()
                    .filter(|index| *index < columns)
                    .ok_or_else(|| {
                        let problem =
                            format!("`label: {}` is no column of its {columns}", index_text(options));
                        DataError::input(path, problem)
                    })?
            }
            Column::Name(name) if !options.header => {
                let problem = format!(
                    "`label: {name}` names a column, and the table is read without a header: add `header: true`, \
                     or give the column's index"
                );
                return Err(DataError::input(path, problem));
            }
            Column::Name(name) => header.iter().position(|other| other == name).ok_or_else(|| {
                let problem = format!("it has no column `{name}`; its columns are {}", header.join(", "));
                DataError::input(path, problem)
            })?,
        };
        Ok(Self {
            path,
            header,
            columns,
            label,
            image: options.image,
        })
    }

    /// The samples' shape, and the feature columns' names (none for images).
    fn shape(&self, options: &Csv) -> Result<(SampleShape, Vec<String>), DataError> {
        let Some(image) = options.image else {
            let indices = (0..self.columns).filter(|index| *index != self.label);
            let names = indices.map(|index| match self.header.get(index) {
                Some(name) => name.clone(),
                None => format!("column_{index}"),
            });
            let shape = SampleShape::Features {
                columns: self.columns - 1,
            };
            return Ok((shape, names.collect()));
        };
        let [channels, height, width] =
            [image.channels, image.height, image.width].map(|size| size.get() as usize);
        let shape = SampleShape::Image {
            channels,
            height,
            width,
        };
        match shape.checked_len() {
            Some(len) if len <= MOST_VALUES && len == self.columns - 1 => Ok((shape, Vec::new())),
            _ => Err(DataError::input(
                self.path,
                format!(
                    "it has {} columns beside the label, and `image` says {shape}",
                    self.columns - 1
                ),
            )),
        }
    }

    /// Reads a row's values into `row` and gives its label.
    fn read_row<'r>(&self, record: &'r ByteRecord, line: u64, row: &mut Row) -> Result<&'r str, DataError> {
        if record.len() != self.columns {
            let problem = format!(
                "it has {} fields, and the first line has {}",
                record.len(),
                self.columns
            );
            return Err(self.error(line, None, problem));
        }
        row.features.clear();
        row.pixels.clear();
        let mut label = "";
        for (index, field) in record.iter().enumerate() {
            let text = std::str::from_utf8(field).map(str::trim);
            let text = text.map_err(|_| self.error(line, Some(index), "it is not UTF-8".into()))?;
            if index == self.label {
                if text.is_empty() {
                    return Err(self.error(line, Some(index), "the label is empty".into()));
                }
                label = text;
            } else if let Some(image) = self.image {
                row.pixels.push(self.pixel(text, image.max.get(), line, index)?);
            } else {
                row.features.push(self.feature(text, line, index)?);
            }
        }
        Ok(label)
    }

    fn feature(&self, text: &str, line: u64, index: usize) -> Result<f32, DataError> {
        match text.parse::<f32>() {
            // Adding 0 makes -0 the same as 0.
            Ok(value) if value.is_finite() => Ok(value + 0.0),
            _ => Err(self.error(
                line,
                Some(index),
                format!("`{}` is not a finite number", shortened(text)),
            )),
        }
    }

    /// An integer from 0 to `max` as a pixel from 0 to 255, rounded to the nearest.
    fn pixel(&self, text: &str, max: u32, line: u64, index: usize) -> Result<u8, DataError> {
        let value = text.parse::<f64>().ok();
        match value {
            Some(value) if value.fract() == 0.0 && (0.0..=f64::from(max)).contains(&value) => {
                Ok((value * 255.0 / f64::from(max)).round() as u8)
            }
            _ => {
                let problem = format!("`{}` is not an integer from 0 to {max}", shortened(text));
                Err(self.error(line, Some(index), problem))
            }
        }
    }

    fn error(&self, line: u64, column: Option<usize>, problem: String) -> DataError {
        let path = self.path.display();
        let place = match column {
            None => format!("`{path}`, line {line}"),
            Some(index) => match self.header.get(index) {
                Some(name) => format!("`{path}`, line {line}, column `{name}`"),
                None => format!("`{path}`, line {line}, column {index} (from 0)"),
            },
        };
        DataError::Input { place, problem }
    }
}

fn index_text(options: &Csv) -> String {
    match &options.label {
        Column::Index(index) => index.to_string(),
        Column::Name(name) => name.clone(),
    }
}

/// Enough of a field to recognise it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
