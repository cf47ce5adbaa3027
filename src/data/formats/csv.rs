//! Tables: one sample a row.

use std::io::Read;
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
        .terminator(csv::Terminator::Any(b'\n'))
        // So that every line ends with a line break; see `advance`.
        .from_reader(open(&path)?.chain(&b"\n"[..]));

    let mut record = ByteRecord::new();
    let mut next = advance(&mut reader, &mut record, &path)?;
    if next.is_none() {
        return Err(DataError::input(&path, "it is empty"));
    }
    let table = Table::new(options, &path, &record)?;
    if options.header {
        next = advance(&mut reader, &mut record, &path)?;
    }
    let (shape, names) = table.shape(options)?;
    intake.begin(shape, &names, &path)?;

    let file = name_of(&path);
    let mut labels = LabelIndex::default();
    let mut row = Row::default();
    while let Some(line) = next {
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
        next = advance(&mut reader, &mut record, &path)?;
    }
    Ok(labels.classes())
}

/// Reads the next row that is not blank and gives its line, the last one of those that it spans.
///
/// The csv crate's own position of a row is that of the blank lines before it, and within a CRLF.
/// So only LF ends a row here, which leaves CR to be trimmed off, and the line just ended counts.
fn advance<R: Read>(
    reader: &mut csv::Reader<R>,
    record: &mut ByteRecord,
    path: &Path,
) -> Result<Option<u64>, DataError> {
    loop {
        let more = reader
            .read_byte_record(record)
            .map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) => DataError::io("read", path)(error),
                other => DataError::input(path, format!("it is not a table: {other:?}")),
            })?;
        if !more {
            return Ok(None);
        }
        if record.len() > 1 || record.iter().any(|field| !field.trim_ascii().is_empty()) {
            return Ok(Some(reader.position().line() - 1));
        }
    }
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
        let label = match &options.label.as_slice()[0] {
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
    match &options.label.as_slice()[0] {
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::data::SampleShape;
    use crate::data::testing::{Bench, shares};
    use crate::spec::{Columns, Format, OnError, Task};

    fn options() -> Csv {
        Csv {
            label: Columns::One(Column::Index(-1)),
            task: Task::default(),
            categorical: Vec::new(),
            ignore: Vec::new(),
            header: false,
            delimiter: ',',
            image: None,
        }
    }

    fn error(text: &str, options: Csv) -> String {
        Bench::new()
            .file("t.csv", text.as_bytes())
            .error(&Format::Csv(options))
    }

    #[test]
    fn reads_a_table_with_names() {
        let bench = Bench::new();
        let text = "\u{feff}kind; width ;\"the;height\"\n10;1.5;-0\r\n9; 2e1 ;4\n\n10;3;\"5\"";
        bench.file("t.csv", text.as_bytes());
        let dataset = bench.dataset(&Format::Csv(Csv {
            label: Columns::One(Column::Name("kind".into())),
            header: true,
            delimiter: ';',
            ..options()
        }));
        assert_eq!(dataset.shape(), SampleShape::Features { columns: 2 });
        assert_eq!(dataset.columns(), ["width", "the;height"]);
        assert_eq!(dataset.classes(), ["9", "10"]);
        let train = dataset.split(SplitName::Train).unwrap();
        let rows: Vec<_> = (0..train.len())
            .map(|index| {
                let mut row = [0f32; 2];
                train.read_sample(index, &mut row);
                (train.label(index), row, train.origin(index))
            })
            .collect();
        let origin = |line| format!("t.csv:{line}");
        let expected = [
            (1, [1.5, 0.0], origin(2)),
            (0, [20.0, 4.0], origin(3)),
            (1, [3.0, 5.0], origin(5)),
        ];
        assert_eq!(rows, expected);
        assert!(dataset.split(SplitName::Test).is_none());
    }

    #[test]
    fn reads_gzipped_images() {
        let bench = Bench::new();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"0,16,8,1,cat\n16,0,0,0,dog\n").unwrap();
        bench.file("t.csv.gz", &gz.finish().unwrap());
        let image = CsvImage {
            channels: 1.try_into().unwrap(),
            height: 2.try_into().unwrap(),
            width: 2.try_into().unwrap(),
            max: 16.try_into().unwrap(),
        };
        let with_image = Csv {
            image: Some(image),
            ..options()
        };
        let train = bench
            .dataset(&Format::Csv(with_image.clone()))
            .split(SplitName::Train)
            .unwrap();
        let mut pixels = [0f32; 4];
        train.read_sample(0, &mut pixels);
        assert_eq!(pixels, [0.0, 1.0, 128.0 / 255.0, 16.0 / 255.0]);

        let bad = error("0,16,17,1,cat\n", with_image.clone());
        assert!(
            bad.contains("line 1, column 2 (from 0): `17` is not an integer from 0 to 16"),
            "{bad}"
        );
        let bad = error("0,16,1,cat\n", with_image);
        assert!(
            bad.contains("3 columns beside the label, and `image` says 1x2x2"),
            "{bad}"
        );
    }

    #[test]
    fn bad_tables_are_named() {
        for (text, expected) in [
            ("1,x,a\n", "line 1, column 1 (from 0): `x` is not a finite number"),
            ("1,2,a\n1,nan,b\n", "line 2, column 1 (from 0): `nan` is not"),
            ("1,2,a\n1,1e39,b\n", "`1e39` is not a finite number"),
            ("1,2,a\n\n\n,2,b\n", "line 4, column 0 (from 0): `` is not"),
            (
                "1,2,a\n1,b\n",
                "line 2: it has 2 fields, and the first line has 3",
            ),
            ("1,2,a\n1,2,\n", "the label is empty"),
            ("", "it is empty"),
            ("1\n2\n", "its first line has one field"),
            ("1,2,a\n1,3,a\n", "2 readable samples of 1 classes"),
        ] {
            let error = error(text, options());
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let named = |label: Column, header| Csv {
            label: Columns::One(label),
            header,
            ..options()
        };
        let kind = || Column::Name("kind".into());
        assert!(error("a,b\n", named(kind(), false)).contains("add `header: true`"));
        assert!(error("a,b\n1,2\n", named(kind(), true)).contains("no column `kind`; its columns are a, b"));
        assert!(error("a,a\n1,2\n", named(kind(), true)).contains("two columns are named `a`"));
        assert!(error("1,2\n", named(Column::Index(2), false)).contains("`label: 2` is no column of its 2"));
        assert!(error("1,2\n", named(Column::Index(-3), false)).contains("`label: -3`"));
        let delimiter = Csv {
            delimiter: 'é',
            ..options()
        };
        assert!(error("1,2\n", delimiter).contains("ASCII"));
    }

    #[test]
    fn bad_rows_can_be_left_out() {
        let mut bench = Bench::new();
        bench.on_error = OnError::Skip;
        let bad = "1,inf,a\n".repeat(12);
        bench.file("t.csv", format!("1,2,a\n{bad}3,4,b\n5,\u{e9},a\n").as_bytes());
        let prepared = bench.prepare(&Format::Csv(options())).unwrap();
        assert_eq!((prepared.skipped, prepared.splits[&SplitName::Train]), (13, 2));
        let notices = bench.notices.lock().unwrap();
        assert_eq!(
            notices
                .iter()
                .filter(|notice| notice.starts_with("left out: "))
                .count(),
            10
        );
        assert!(
            notices.last().unwrap().contains("13 unreadable samples left out"),
            "{notices:?}"
        );
    }

    #[test]
    fn shuffled_rows_give_the_same_splits() {
        let mut rows: Vec<String> = (0..300)
            .map(|row| format!("{},{},c{}\n", row, row * row, row % 3))
            .collect();
        let mut sets = Vec::new();
        for seed in 0..3 {
            let mut bench = Bench::new();
            bench.split = shares(0.1, 0.2);
            bench.file(&format!("{seed}.csv"), rows.concat().as_bytes());
            let dataset = bench.dataset(&Format::Csv(options()));
            let set = |name| {
                let split = dataset.split(name).unwrap();
                let mut set: Vec<String> = (0..split.len())
                    .map(|index| {
                        let mut row = [0f32; 2];
                        split.read_sample(index, &mut row);
                        format!("{row:?} {}", split.label(index))
                    })
                    .collect();
                set.sort_unstable();
                set
            };
            let here = SplitName::ALL.map(set);
            assert_eq!(here.each_ref().map(Vec::len), [210, 30, 60]);
            sets.push(here);
            crate::random::Stream::new(seed, crate::random::Purpose::Shuffle, 0, 0).shuffle(&mut rows);
        }
        assert_eq!(sets[0], sets[1]);
        assert_eq!(sets[0], sets[2]);
    }

    #[test]
    fn the_committed_digits_are_whole() {
        let bench = Bench::new();
        let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/digits.csv.gz");
        std::fs::copy(digits, bench.input().join("digits.csv.gz")).unwrap();
        let image = CsvImage {
            channels: 1.try_into().unwrap(),
            height: 8.try_into().unwrap(),
            width: 8.try_into().unwrap(),
            max: 16.try_into().unwrap(),
        };
        let format = Format::Csv(Csv {
            image: Some(image),
            ..options()
        });
        let dataset = bench.dataset(&format);
        assert_eq!(dataset.classes().len(), 10);
        assert_eq!(dataset.classes()[9], "9");
        assert_eq!(dataset.split(SplitName::Train).unwrap().len(), 1797);
        let first = bench.bytes();
        bench.prepare(&format).unwrap();
        assert!(first == bench.bytes(), "the same input gave other bytes");
    }
}
