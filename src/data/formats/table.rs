//! Tables: one sample a row.

mod categories;
mod cells;
mod class_names;
mod columns;
mod csv_rows;
mod dates;
mod features;
mod fields;
mod first_line;
mod header;
mod images;
mod label_numbering;
mod numbers;
mod order_advice;
mod parquet_cells;
mod parquet_header;
mod parquet_rows;
mod parquet_table;
mod precision;
mod quotes;
mod reading;
mod row;
mod source;
mod survey;
mod suspects;
#[cfg(test)]
mod tests;
mod wide_text;

use std::path::{Path, PathBuf};

use super::places::{PlaceWatch, mixed_order, split_named};
use super::{FormatReader, SplitInput, entries, name_of, single_file};
use crate::data::error::DataError;
use crate::data::intake::{Intake, IntakeSample};
use crate::data::labels::Classes;
use crate::data::value::FieldValue;
use crate::schema::Dimensions;
use crate::spec::{CsvOptions, ParquetOptions, SplitName, TargetKind, counted_that};
use categories::Categories;
use columns::{ColumnUse, Columns};
use features::RowSchema;
use first_line::{FirstLineWatch, header_of_data};
use label_numbering::{LabelNumbering, check_names};
use row::{CsvRow, RowFault};
use source::{TableFile, TableSource};
use survey::Survey;
use suspects::Suspects;

pub(in crate::data) use class_names::ClassNames;
pub(in crate::data) use csv_rows::CsvRows;
pub(super) use dates::{has_zone, read_date, seconds_since_1970};
pub(in crate::data) use header::Header;
pub(in crate::data) use numbers::NumberSpelling;
pub(in crate::data) use parquet_header::CellForm;
pub(in crate::data) use parquet_rows::ParquetRows;
pub(in crate::data) use parquet_table::ParquetTable;
pub(in crate::data) use precision::PrecisionWatch;
pub(in crate::data) use reading::{NumberReading, options_of};
pub(in crate::data) use row::{as_f32, shortened};

impl FormatReader for CsvOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        self.read_all(&[SplitInput::whole(input)], intake)
    }

    fn read_all(
        &self,
        inputs: &[SplitInput<'_>],
        intake: &mut Intake<'_>,
    ) -> Result<Option<Classes>, DataError> {
        let files = inputs
            .iter()
            .map(|input| Ok((input.split, single_file(input.path)?)));
        let files: Vec<(Option<SplitName>, PathBuf)> = files.collect::<Result<_, DataError>>()?;
        let source = TableSource {
            options: self,
            is_parquet: false,
            image: None,
        };
        read(source, &files, intake)
    }
}

impl FormatReader for ParquetOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        self.read_all(&[SplitInput::whole(input)], intake)
    }

    fn read_all(
        &self,
        inputs: &[SplitInput<'_>],
        intake: &mut Intake<'_>,
    ) -> Result<Option<Classes>, DataError> {
        let mut files = Vec::new();
        for input in inputs {
            let found = parquet_files(input.path)?;
            files.extend(
                found
                    .into_iter()
                    .map(|(split, path)| (input.split.or(split), path)),
            );
        }
        let options = self.as_table();
        let source = TableSource {
            options: &options,
            is_parquet: true,
            image: self.image.as_ref().map(|column| (column, self.images())),
        };
        read(source, &files, intake)
    }
}

/// A file, or those of a folder in which a table is kept in parts; as Hugging Face's datasets call them,
/// `test-00000-of-00002.parquet` or `test.parquet`, their names tell the split.
fn parquet_files(input: &Path) -> Result<Vec<(Option<SplitName>, PathBuf)>, DataError> {
    if !input.is_dir() {
        return Ok(vec![(None, input.to_owned())]);
    }
    let found = entries(input)?;
    let is_part = |path: &Path| {
        path.extension()
            .is_some_and(|found| found.eq_ignore_ascii_case("parquet"))
    };
    let mut parts: Vec<(Option<SplitName>, PathBuf)> = found
        .iter()
        .filter(|path| is_part(path) && !path.is_dir())
        .map(|path| (split_of_part(&name_of(path)), path.clone()))
        .collect();
    if let Some(splits) = splits_of_names(&parts) {
        parts
            .iter_mut()
            .zip(splits)
            .for_each(|(part, split)| part.0 = Some(split));
    }
    let mut folders = found.iter().filter(|path| path.is_dir());
    match (parts.is_empty(), folders.next(), folders.next()) {
        (false, ..) => Ok(parts),
        // A download of a dataset has its files in a folder `data`, beside a text about it.
        (true, Some(folder), None) => parquet_files(folder),
        _ => Err(DataError::input(
            input,
            "there is no file here whose name ends in `.parquet`",
        )),
    }
}

/// The split that a file's name tells: `SPLIT-NUMBER-of-NUMBER.parquet`, where a digest may follow the numbers.
fn split_of_part(name: &str) -> Option<SplitName> {
    let (stem, _) = name.rsplit_once('.')?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (split, number) = rest.rsplit_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (count, digest) = count.split_once('-').unwrap_or((count, ""));
    let is_digest = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_number(count) && is_number(number) && is_digest)
        .then(|| split_named(split).ok())
        .flatten()
}

/// The split of files that are called as splits are, `train.parquet` and `test.parquet`: of each of them, where all are
/// and one is to train on.
fn splits_of_names(parts: &[(Option<SplitName>, PathBuf)]) -> Option<Vec<SplitName>> {
    let named = parts.iter().map(|(_, path)| {
        let name = name_of(path);
        split_named(name.split('.').next()?).ok()
    });
    let splits: Vec<SplitName> = named.collect::<Option<_>>()?;
    (splits.len() > 1 && splits.contains(&SplitName::Train)).then_some(splits)
}

/// Reads tables of the same columns; the rows of those without a split are training samples, unless a
/// column says otherwise. Gives the classes of a classification.
///
/// A row that cannot be read (a wrong number of fields, an empty label or category, a feature or
/// target that is no finite number) is a bad sample; columns that do not fit and quotes that are never
/// closed are an error in any case. Numbers become f32; a column whose numbers lose their differences by
/// that is warned of, and so is one that tells the label or the place in the table. Tables with
/// categorical columns are read twice: first the categories of all of them are collected.
fn read(
    source: TableSource<'_>,
    files: &[(Option<SplitName>, PathBuf)],
    intake: &mut Intake<'_>,
) -> Result<Option<Classes>, DataError> {
    let Some((_, first)) = files.first() else {
        return Err(DataError::Options("there is no table to read".into()));
    };
    let options = source.options;
    let columns = Columns::new(source, intake.split(), first, &source.first_row(first)?)?;
    if let Some((_, options)) = source.image {
        return images::read(source, options, &columns, files, intake);
    }
    let tables = files
        .iter()
        .map(|(split, path)| TableFile::open(source, *split, path, &columns));
    let tables: Vec<TableFile> = tables.collect::<Result<_, DataError>>()?;
    check_names(&tables, intake)?;
    if let Some(told) = header_of_data(&columns).filter(|_| !source.is_parquet) {
        intake.warn(told);
    }
    let categories = match columns.categorical() {
        0 => Categories::default(),
        _ => collect(&tables, intake)?,
    };
    intake.tell_alike(&categories.alike(&columns), "category");
    let RowSchema { schema, fills } = columns.schema(&categories)?;
    let input = schema.input().map(|field| field.dimensions);
    let input = input.ok_or_else(|| DataError::input(first, "it has no features"))?;
    intake.begin(schema, first)?;
    intake.fill_cells(fills);

    let mut dropped = vec![0u64; columns.count()];
    let mut labels = LabelNumbering::of(&tables);
    let mut precision = PrecisionWatch::new(columns.count());
    let mut suspects = Suspects::new(&columns);
    let mut places = PlaceWatch::default();
    let mut row = CsvRow::default();
    let mut rows = 0u64;
    for table in &tables {
        intake.begin_input(table.split);
        let file = name_of(table.path);
        let mut first_line = FirstLineWatch::begin();
        table.each_row(|reader, record, line| {
            rows += 1;
            if columns.header.is_absent() {
                first_line.watch(record, &columns);
            }
            let label = match reader.read(record, line, Some(&categories), &mut row) {
                Ok(label) => label,
                Err(RowFault::Dropped(column)) => {
                    dropped[column] += 1;
                    return intake.leave_out();
                }
                Err(RowFault::Bad(error)) if intake.fails() => return Err(explained(error, &tables, intake)),
                Err(RowFault::Bad(error)) => return intake.reject_rows(error, reader.lost(record, line)),
            };
            let place = || reader.describe_place(line, None);
            places
                .watch(reader.place_texts(record), row.order, place)
                .map_err(mixed_order)?;
            precision.watch(&row.numbers, record);
            let class = match options.task {
                TargetKind::Classification => Some(labels.index(label)),
                TargetKind::MultiLabel
                | TargetKind::Regression
                | TargetKind::NextToken
                | TargetKind::TokenClasses
                | TargetKind::Similarity
                | TargetKind::Segmentation
                | TargetKind::Detection => None,
            };
            suspects.watch(&row, class);
            row.encode(options.task);
            let input = FieldValue {
                bytes: &row.input,
                dimensions: input,
            };
            let target = FieldValue {
                bytes: &row.target,
                dimensions: Dimensions::row(row.targets.len()),
            };
            let values = [input, target];
            let sample = IntakeSample {
                split: row.split.unwrap_or(SplitName::Train),
                class,
                values: if class.is_some() { &values[..1] } else { &values },
                origin: &format!("{file}:{line}"),
            };
            intake.push_placed(sample, row.content(), row.place)
        })?;
        first_line.tell(&columns, &file, intake);
    }
    if rows == 0 {
        let problem = match source.is_parquet {
            true => "it has no rows",
            false => "it has no rows: its first line names the columns, and nothing follows",
        };
        return Err(DataError::input(first, problem));
    }
    tell_dropped(&dropped, &columns, intake);
    let are_dates = |column: usize| matches!(columns.roles()[column], ColumnUse::Date(_));
    precision.tell(|column| columns.header.describe(column), are_dates, intake);
    suspects.tell(&columns, intake);
    places.tell(intake);
    Ok((options.task == TargetKind::Classification).then(|| labels.classes(intake)))
}

/// The first error of a table, and what else is wrong with its columns: all of them at once.
fn explained(error: DataError, tables: &[TableFile<'_>], intake: &mut Intake<'_>) -> DataError {
    let DataError::Input { place, problem } = error else {
        return error;
    };
    let Some(first) = tables.first() else {
        return DataError::Input { place, problem };
    };
    let mut survey = Survey::new(first.columns, first.unit());
    for table in tables {
        let looked = table.each_row(|_, record, line| {
            survey.look(record, line);
            intake.tick()
        });
        // What is known of the rows before that is worth telling.
        if looked.is_err() {
            break;
        }
    }
    let problem = match survey.advice() {
        Some(advice) => format!("{problem}; {advice}"),
        None => problem,
    };
    DataError::Input { place, problem }
}

/// Tells how many rows are left out for the empty cells of which columns.
fn tell_dropped(dropped: &[u64], columns: &Columns<'_>, intake: &Intake<'_>) {
    let all: u64 = dropped.iter().sum();
    if all == 0 {
        return;
    }
    let counted = dropped.iter().enumerate().filter(|(_, count)| **count > 0);
    let told: Vec<String> = counted
        .map(|(index, count)| format!("{}: {count}", columns.header.describe(index)))
        .collect();
    intake.warn(format!(
        "{} left out for cells that hold nothing, as `missing: drop` asks for ({})",
        counted_that(all, "row", ["is", "are"]),
        told.join(", ")
    ));
}

/// The categories of all rows that can be read. The others are told of when the tables are read again.
fn collect(tables: &[TableFile<'_>], intake: &mut Intake<'_>) -> Result<Categories, DataError> {
    let mut categories = Categories::new(tables.first().map_or(0, |table| table.columns.categorical()));
    let mut row = CsvRow::default();
    for table in tables {
        table.each_row(|reader, record, line| {
            intake.tick()?;
            if reader.read(record, line, None, &mut row).is_ok() {
                for (column, index) in table.columns.categorical_indices() {
                    let field = record.get(index).unwrap_or_default();
                    let text = reader.cell(index, field).unwrap_or_default();
                    let fits = match table.columns.is_missing(index, text) {
                        false => categories.add(column, text),
                        true => match table.columns.constant_category(index) {
                            Some(constant) => categories.add(column, &constant),
                            None => continue,
                        },
                    };
                    fits.map_err(|problem| reader.error(line, Some(index), problem))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(categories.sorted())
}
