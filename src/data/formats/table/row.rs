//! One row of a table as numbers.

use std::path::Path;

use csv::ByteRecord;

use super::categories::Categories;
use super::class_names::ClassNames;
use super::columns::{ColumnUse, Columns};
use super::dates::{date_part, read_date};
use super::fields::{as_target, flag, no_label, pixel};
use super::numbers::boolean;
use super::order_advice::order_advice;
use super::quotes::LongField;
use super::source::TableSource;
use crate::data::blanks::trimmed;
use crate::data::digest::{ContentDigest, RowDigest, digest_bytes};
use crate::data::error::DataError;
use crate::data::formats::places::{OrderPlace, PlaceTexts, group_named, order_of, split_named};
use crate::data::intake::SplitPlace;
use crate::data::value::write_f32s;
use crate::spec::{DatePart, MissingPolicy, SplitName, TargetKind, counted};

/// One row's values.
#[derive(Default)]
pub(super) struct CsvRow {
    /// Features, categorical columns as one value of 0 or 1 for each text; empty for an image.
    pub features: Vec<f32>,
    /// An image's pixels; empty for features.
    pub pixels: Vec<u8>,
    /// Labels or targets, in the order of `label`; unused in a classification.
    pub targets: Vec<f32>,
    /// What a network is shown, as bytes: the pixels, or the features as little-endian f32. Of a row that
    /// has been encoded.
    pub input: Vec<u8>,
    /// Labels as bytes of 0 and 1, targets as little-endian f32. Of a row that has been encoded.
    pub target: Vec<u8>,
    /// The numbers among features and targets as they stand in the table, each with its column.
    pub numbers: Vec<(usize, f64)>,
    /// Which of its column's texts each category is, with its column.
    pub categories: Vec<(usize, usize)>,
    /// Of the features' numbers and categories as texts, so that a category that turns up in another
    /// row, and gives the features one more value, changes nothing; unused for an image.
    pub digest: RowDigest,
    /// The split that a column says it is in.
    pub split: Option<SplitName>,
    /// What else decides its split.
    pub place: SplitPlace,
    /// Where it stands in the order, as it is written.
    pub order: Option<OrderPlace>,
}

impl CsvRow {
    /// Forgets the row before; there will be `labels` labels or targets.
    fn clear(&mut self, labels: usize) {
        self.features.clear();
        self.pixels.clear();
        self.targets.clear();
        self.targets.resize(labels, 0.0);
        self.numbers.clear();
        self.categories.clear();
        self.digest.clear();
    }

    /// Takes a number as a feature.
    fn push_feature(&mut self, number: f64) {
        let feature = as_f32(number);
        self.digest.number(feature);
        self.features.push(feature);
    }

    /// The digest of what a network is shown. Of a row that has been encoded.
    pub fn content(&self) -> ContentDigest {
        if self.pixels.is_empty() {
            self.digest.finish()
        } else {
            digest_bytes(&self.input)
        }
    }

    /// Writes the row's values as a dataset holds them.
    pub fn encode(&mut self, task: TargetKind) {
        self.input.clear();
        self.input.extend_from_slice(&self.pixels);
        write_f32s(&self.features, &mut self.input);
        self.target.clear();
        match task {
            TargetKind::MultiLabel => self
                .target
                .extend(self.targets.iter().map(|label| u8::from(*label == 1.0))),
            TargetKind::Classification
            | TargetKind::Regression
            | TargetKind::NextToken
            | TargetKind::TokenClasses
            | TargetKind::Similarity
            | TargetKind::Segmentation
            | TargetKind::Detection => {
                write_f32s(&self.targets, &mut self.target);
            }
        }
    }
}

/// Why a row is no sample.
pub(super) enum RowFault {
    /// It cannot be read.
    Bad(DataError),
    /// A cell of this column holds nothing, and such rows are to be left out.
    Dropped(usize),
}

/// Reads the rows of a table.
pub(super) struct RowReader<'a> {
    path: &'a Path,
    columns: &'a Columns<'a>,
    /// What separates the fields of a line; nothing where rows are no lines.
    delimiter: Option<u8>,
    /// For each column, the names that its whole numbers stand for, where they do.
    names: Vec<Option<&'a ClassNames>>,
    is_parquet: bool,
}

impl<'a> RowReader<'a> {
    pub fn new(
        path: &'a Path,
        columns: &'a Columns<'a>,
        source: TableSource<'_>,
        names: Vec<Option<&'a ClassNames>>,
    ) -> Self {
        Self {
            path,
            columns,
            delimiter: source.options.delimiter_byte().filter(|_| !source.is_parquet),
            names,
            is_parquet: source.is_parquet,
        }
    }

    /// How many rows are lost with a bad one that begins in `line`: more than itself where a quote that
    /// was left open swallowed others.
    pub fn lost(&self, record: &ByteRecord, line: u64) -> u64 {
        match self.long_field(record, line) {
            Some(field) if field.holds_rows || self.columns.is_used(field.index) => field.lines(),
            _ => 1,
        }
    }

    /// The field of a row that goes over several lines.
    fn long_field(&self, record: &ByteRecord, line: u64) -> Option<LongField> {
        LongField::of(record, line, self.delimiter?, self.columns.count())
    }

    /// Reads a row's values into `row` and gives the class's name (empty but in a classification).
    /// Without `categories`, as long as they are not known, categorical columns give no features.
    pub fn read<'r>(
        &'r self,
        record: &'r ByteRecord,
        line: u64,
        categories: Option<&Categories>,
        row: &mut CsvRow,
    ) -> Result<&'r str, RowFault> {
        let bad = |index, problem| RowFault::Bad(self.error(line, index, problem));
        let long = self.long_field(record, line);
        if record.len() != self.columns.count() {
            return Err(bad(None, self.ragged(record, long)));
        }
        if let Some(field) = long
            && (field.holds_rows || self.columns.is_used(field.index))
        {
            return Err(bad(Some(field.index), field.describe()));
        }
        row.clear(self.columns.labels().len());
        let mut class = "";
        let mut unknown = None;
        let mut dropped = None;
        for ((index, field), role) in record.iter().enumerate().zip(self.columns.roles()) {
            if matches!(role, ColumnUse::Ignored | ColumnUse::Image) {
                continue;
            }
            let wrong = |problem: String| bad(Some(index), problem);
            let text = self.cell(index, field).map_err(wrong)?;
            let cells = self.columns.cells(index);
            let is_missing = self.columns.is_missing(index, text);
            if is_missing && cells.missing == MissingPolicy::Drop {
                dropped = dropped.or(Some(index));
                continue;
            }
            match role {
                ColumnUse::Ignored | ColumnUse::Image => {}
                ColumnUse::Label(label) => match self.columns.task {
                    _ if is_missing => return Err(wrong(no_label(text))),
                    TargetKind::Classification
                    | TargetKind::NextToken
                    | TargetKind::TokenClasses
                    | TargetKind::Similarity
                    | TargetKind::Segmentation
                    | TargetKind::Detection => {
                        class = text;
                    }
                    TargetKind::MultiLabel => row.targets[*label] = flag(text).map_err(wrong)?,
                    TargetKind::Regression => {
                        let number = cells
                            .spelling
                            .read(text)
                            .map_err(|problem| wrong(as_target(text, problem)))?;
                        row.numbers.push((index, number));
                        row.targets[*label] = as_f32(number);
                    }
                },
                _ if is_missing && cells.fills() && self.columns.image.is_none() => {
                    self.push_missing(*role, index, categories, row);
                }
                ColumnUse::Categorical(_) if is_missing => {
                    let problem = "the category is empty: fill it in, leave the row out, or add `missing`";
                    return Err(wrong(problem.into()));
                }
                ColumnUse::Categorical(column) => {
                    if let Some(categories) = categories {
                        row.digest.text(text);
                        let start = row.features.len();
                        row.features.resize(start + categories.names(*column).len(), 0.0);
                        match categories.index(*column, text) {
                            Some(found) => {
                                row.features[start + found] = 1.0;
                                row.categories.push((index, found));
                            }
                            None => unknown = unknown.or(Some((index, text))),
                        }
                        self.push_presence(index, row);
                    }
                }
                ColumnUse::Date(date) => {
                    let options = self.columns.date(*date);
                    let moment = read_date(text, options.format.as_deref()).map_err(wrong)?;
                    for part in &options.parts {
                        let number = date_part(moment, *part);
                        // No other part is a number that f32 does not hold.
                        if *part == DatePart::Days {
                            row.numbers.push((index, number));
                        }
                        row.push_feature(number);
                    }
                    self.push_presence(index, row);
                }
                ColumnUse::Boolean => {
                    let number = boolean(text).map_err(wrong)?;
                    row.numbers.push((index, number));
                    row.push_feature(number);
                    self.push_presence(index, row);
                }
                ColumnUse::Feature => match self.columns.image {
                    Some(image) => row.pixels.push(pixel(text, image.max.get()).map_err(wrong)?),
                    None => {
                        let number = cells.spelling.read(text).map_err(|problem| {
                            let unnamed = line == 1 && self.columns.header.is_absent();
                            let hint = "; if the first line names the columns, add `header: true`";
                            wrong(problem + if unnamed { hint } else { "" })
                        })?;
                        row.numbers.push((index, number));
                        row.push_feature(number);
                        self.push_presence(index, row);
                    }
                },
            }
        }
        self.read_place(record, line, row).map_err(RowFault::Bad)?;
        // What cannot be read is told before what is left out as was asked for.
        if let Some(index) = dropped {
            return Err(RowFault::Dropped(index));
        }
        // A row that cannot be read anyway has made no category, so this comes last.
        match unknown {
            None => Ok(class),
            Some((index, text)) => {
                let problem = format!(
                    "`{}` was not there when the table was read first: did the file change?",
                    shortened(text)
                );
                Err(bad(Some(index), problem))
            }
        }
    }

    /// Features of a cell that holds nothing: all of its column's are NaN.
    fn push_missing(&self, role: ColumnUse, index: usize, categories: Option<&Categories>, row: &mut CsvRow) {
        let own = match (role, categories) {
            (ColumnUse::Categorical(column), Some(categories)) => categories.names(column).len(),
            (ColumnUse::Categorical(_), None) => return,
            (ColumnUse::Date(date), _) => self.columns.date(date).parts.len(),
            _ => 1,
        };
        let indicator = usize::from(self.columns.cells(index).has_indicator());
        row.digest.nothing();
        row.features
            .resize(row.features.len() + own + indicator, f32::NAN);
    }

    /// The feature that tells that a cell holds something, where there is one.
    fn push_presence(&self, index: usize, row: &mut CsvRow) {
        if self.columns.cells(index).has_indicator() {
            row.features.push(0.0);
        }
    }

    /// Reads what the columns say of a row's split.
    fn read_place(&self, record: &ByteRecord, line: u64, row: &mut CsvRow) -> Result<(), DataError> {
        let place = self.columns.place;
        row.split = self.read_field(record, line, place.split, split_named)?;
        row.place.group = self.read_field(record, line, place.group, group_named)?;
        let reading = self.columns.order_reading();
        row.order = self.read_field(record, line, place.order, |text| {
            order_of(text, reading).map_err(|problem| problem + &order_advice(text, reading, self.columns))
        })?;
        row.place.order = row.order.map(|order| order.value);
        Ok(())
    }

    /// What is written of a row's place. Of a row that has been read.
    pub fn place_texts<'r>(&'r self, record: &'r ByteRecord) -> PlaceTexts<'r> {
        let text = |index: Option<usize>| self.text(record.get(index?)?).ok();
        PlaceTexts {
            group: text(self.columns.place.group),
            order: text(self.columns.place.order),
        }
    }

    /// What `read` makes of the field of the column `index`, if there is one.
    fn read_field<T>(
        &self,
        record: &ByteRecord,
        line: u64,
        index: Option<usize>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, DataError> {
        let Some(index) = index else {
            return Ok(None);
        };
        let field = record.get(index).unwrap_or_default();
        let value = self.text(field).and_then(read);
        value
            .map(Some)
            .map_err(|problem| self.error(line, Some(index), problem))
    }

    /// What is wrong with a row of too many or too few fields.
    fn ragged(&self, record: &ByteRecord, long: Option<LongField>) -> String {
        let (found, wanted) = (record.len(), self.columns.count());
        let mut problem = format!(
            "it has {}, and the first line has {wanted}",
            counted(found, "field")
        );
        if let Some(field) = long {
            problem.push_str("; ");
            problem.push_str(&field.describe());
        } else if found == wanted + 1
            && record
                .iter()
                .next_back()
                .is_some_and(|field| field.trim_ascii().is_empty())
        {
            problem.push_str(
                "; the last one is empty: take the separator off the lines' ends, or add one to the first line",
            );
        } else if record.as_slice().contains(&b'\\') && self.delimiter.is_some() {
            problem
                .push_str("; if `\\` stands before quotes that are part of a text, add `escape: \"\\\\\"`");
        } else if self.columns.header.is_comment() {
            problem.push_str("; the first line begins with `#`: take lines of comments out");
        }
        problem
    }

    /// The error that something is wrong in a line, and where known in which column.
    pub fn error(&self, line: u64, column: Option<usize>, problem: String) -> DataError {
        DataError::Input {
            place: self.describe_place(line, column),
            problem,
        }
    }

    /// A line, and where known a column, in messages.
    pub fn describe_place(&self, line: u64, column: Option<usize>) -> String {
        let path = self.path.display();
        let unit = self.unit();
        match column {
            None => format!("`{path}`, {unit} {line}"),
            Some(index) => {
                let column = self.columns.header.describe(index);
                format!("`{path}`, {unit} {line}, {column}")
            }
        }
    }

    fn unit(&self) -> &'static str {
        if self.is_parquet { "row" } else { "line" }
    }

    /// What the field of a column says: its text, or the name that its number stands for.
    pub fn cell<'r>(&'r self, index: usize, field: &'r [u8]) -> Result<&'r str, String> {
        let text = self.text(field)?;
        match self.names.get(index).copied().flatten() {
            Some(names) => names.name(text),
            None => Ok(text),
        }
    }

    /// A field as text.
    fn text<'r>(&self, field: &'r [u8]) -> Result<&'r str, String> {
        let text = std::str::from_utf8(field).ok().filter(|_| !field.contains(&0));
        text.map(trimmed).ok_or_else(|| {
            let problem = match self.is_parquet {
                true => {
                    "it holds bytes that are no text: name the column in `ignore`, or in `image` if these are images"
                }
                false if field.contains(&0) => "it holds a zero byte, as after a broken copy: make the file anew",
                false => "it is not UTF-8: convert the file, as by `iconv -f LATIN1 -t UTF-8`",
            };
            problem.into()
        })
    }
}

/// The number as it is kept. Adding 0 makes -0 the same as 0.
pub(in crate::data) fn as_f32(number: f64) -> f32 {
    number as f32 + 0.0
}

/// Enough of a field to recognise it.
pub(in crate::data) fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
