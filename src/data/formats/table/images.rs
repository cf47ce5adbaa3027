//! Samples that are images in a column of a table, as Hugging Face's `datasets` keep them in Parquet files.

use std::path::PathBuf;

use super::columns::Columns;
use super::precision::PrecisionWatch;
use super::row::{CsvRow, RowFault, shortened};
use super::source::{ImageCell, TableFile, TableSource};
use super::{LabelNumbering, check_names, name_of, tell_dropped};
use crate::data::error::DataError;
use crate::data::formats::image_intake::{EncodedImage, ImageIntake, MOST_WAITING, WAITING};
use crate::data::formats::places::{PlaceWatch, mixed_order};
use crate::data::intake::Intake;
use crate::data::labels::Classes;
use crate::data::record_targets::RecordTarget;
use crate::spec::{ImageOptions, MissingPolicy, SplitName, TargetKind};

/// Reads the images of `files`, in their order. Gives the classes of a classification.
///
/// A row whose label or image cannot be read is a bad sample. Rows are read one at a time and images decoded in
/// groups, so memory is bounded by two groups and the pages of a file.
pub(super) fn read(
    source: TableSource<'_>,
    options: ImageOptions,
    columns: &Columns<'_>,
    files: &[(Option<SplitName>, PathBuf)],
    intake: &mut Intake<'_>,
) -> Result<Option<Classes>, DataError> {
    let tables = files
        .iter()
        .map(|(split, path)| TableFile::open(source, *split, path, columns));
    let tables: Vec<TableFile> = tables.collect::<Result<_, DataError>>()?;
    check_names(&tables, intake)?;
    let mut labels = LabelNumbering::of(&tables);
    let mut images = ImageIntake::new(options, columns.target()?)?;
    if let Some(rows) = tables.iter().map(TableFile::rows).sum() {
        intake.expect(rows);
    }

    let mut dropped = vec![0u64; columns.count()];
    let mut precision = PrecisionWatch::new(columns.count());
    let mut places = PlaceWatch::default();
    let mut row = CsvRow::default();
    let image = columns.images();
    for table in &tables {
        intake.begin_input(table.split);
        let file = name_of(table.path);
        let mut waiting: Vec<EncodedImage> = Vec::new();
        let mut length = 0;
        table.each_image(|reader, record, cell, number| {
            let label = match reader.read(record, number, None, &mut row) {
                Ok(label) => label,
                Err(RowFault::Dropped(column)) => {
                    dropped[column] += 1;
                    return intake.leave_out();
                }
                Err(RowFault::Bad(error)) => return intake.reject(error),
            };
            let bytes = match cell {
                ImageCell {
                    bytes: Some(bytes), ..
                } if !bytes.is_empty() => bytes,
                ImageCell { path, .. } => {
                    let drops = |image: usize| columns.cells(image).missing == MissingPolicy::Drop;
                    if let (None, Some(image)) = (&path, image.filter(|image| drops(*image))) {
                        dropped[image] += 1;
                        return intake.leave_out();
                    }
                    return intake.reject(reader.error(number, image, no_image(path.as_deref())));
                }
            };
            let place = || reader.describe_place(number, None);
            places
                .watch(reader.place_texts(record), row.order, place)
                .map_err(mixed_order)?;
            precision.watch(&row.numbers, record);
            row.encode(columns.task);
            length += bytes.len() as u64;
            waiting.push(EncodedImage {
                bytes,
                split: row.split.unwrap_or(SplitName::Train),
                split_place: row.place,
                target: match columns.task {
                    TargetKind::Classification => RecordTarget::Class(labels.index(label)),
                    _ => RecordTarget::Value(row.target.clone()),
                },
                file: table.path,
                origin: format!("{file}:{number}"),
                place: reader.describe_place(number, image),
            });
            if length >= WAITING || waiting.len() >= MOST_WAITING {
                images.take(&waiting, intake)?;
                waiting.clear();
                length = 0;
            }
            intake.tick()
        })?;
        images.take(&waiting, intake)?;
    }
    tell_dropped(&dropped, columns, intake);
    precision.tell(|column| columns.header.describe(column), |_| false, intake);
    places.tell(intake);
    Ok((columns.task == TargetKind::Classification).then(|| labels.classes(intake)))
}

/// What is wrong with a row that has no image.
fn no_image(path: Option<&[u8]>) -> String {
    match path {
        None => "it holds no image: leave such rows out by `drop` for this column in `missing`".into(),
        Some(path) => format!(
            "it holds no image, but the path of one (`{}`): `datasets` writes paths alone where images were not put \
             into the dataset. Put them in, by `dataset.with_format(\"arrow\").map(datasets.table.embed_table_storage, \
             batched=True).to_parquet(...)`, or read the images where they lie by `image_folder` or `image_manifest`",
            shortened(&String::from_utf8_lossy(path))
        ),
    }
}
