//! The files that a table's rows come from.

use std::path::Path;

use csv::ByteRecord;

use super::class_names::ClassNames;
use super::columns::{ColumnUse, Columns};
use super::csv_rows::CsvRows;
use super::header::Header;
use super::parquet_cells::ParquetCell;
use super::parquet_header::{ImageLeaves, ParquetColumn, ParquetHeader};
use super::parquet_rows::{BATCH, ParquetRows};
use super::row::RowReader;
use crate::data::error::DataError;
use crate::spec::{CsvColumn, CsvOptions, ImageOptions, SplitName};

/// How the files of a table are read.
#[derive(Clone, Copy)]
pub(super) struct TableSource<'a> {
    /// What its columns are, and how text is read.
    pub options: &'a CsvOptions,
    /// Whether the files are Parquet, not text.
    pub is_parquet: bool,
    /// The column of images that samples are, and what becomes of them; nothing where samples are rows of features.
    pub image: Option<(&'a CsvColumn, ImageOptions)>,
}

/// An image of a row, with its path where there is one.
pub(super) struct ImageCell {
    pub bytes: ParquetCell,
    pub path: ParquetCell,
}

impl TableSource<'_> {
    /// The first row of a file, which may be the header.
    pub fn first_row(&self, path: &Path) -> Result<ByteRecord, DataError> {
        if !self.is_parquet {
            return Ok(CsvRows::open(self.options, path)?.first().clone());
        }
        let header = ParquetHeader::read(path)?;
        Ok(header.columns.iter().map(|column| column.name.as_str()).collect())
    }
}

/// One of the files that a dataset is made from.
pub(super) struct TableFile<'a> {
    source: TableSource<'a>,
    /// The split that all of its rows are in, where the input says it.
    pub split: Option<SplitName>,
    pub path: &'a Path,
    /// The columns of the first file, which are those of all.
    pub columns: &'a Columns<'a>,
    /// Where in its rows each of the columns is, where that is not where they are in the first file.
    arrangement: Option<Vec<usize>>,
    /// What a Parquet file says of its columns.
    parquet: Option<ParquetHeader>,
}

impl<'a> TableFile<'a> {
    /// A table that must have `columns`, in whatever order.
    pub fn open(
        source: TableSource<'a>,
        split: Option<SplitName>,
        path: &'a Path,
        columns: &'a Columns<'a>,
    ) -> Result<Self, DataError> {
        let arrangement = match source.options.header {
            true => {
                let header = Header::read(path, &source.first_row(path)?, true)?;
                columns.header.arrangement(&header)?
            }
            false => None,
        };
        let parquet = match source.is_parquet {
            true => Some(ParquetHeader::read(path)?),
            false => None,
        };
        Ok(Self {
            source,
            split,
            path,
            columns,
            arrangement,
            parquet,
        })
    }

    /// The names of the classes that the label's whole numbers stand for, where the file has them.
    pub fn classes(&self) -> Option<&ClassNames> {
        self.names_of(*self.columns.labels().first()?)
    }

    /// The names that a column's whole numbers stand for, where the file has them and names are what is read.
    pub fn names_of(&self, column: usize) -> Option<&ClassNames> {
        let is_named = self.columns.has_names(column);
        self.told_of(column)?.names.as_ref().filter(|_| is_named)
    }

    /// Whether the file has names for a column's whole numbers, and these are read as numbers.
    pub fn has_unread_names(&self, column: usize) -> bool {
        let is_feature = self.columns.roles()[column] == ColumnUse::Feature;
        is_feature && self.told_of(column).is_some_and(|told| told.names.is_some())
    }

    /// Whether a column that holds names or classes has whole numbers that nothing names.
    pub fn has_nameless_numbers(&self, column: usize) -> bool {
        let told = self.told_of(column).filter(|_| self.columns.has_names(column));
        told.is_some_and(|told| told.is_whole && told.names.is_none())
    }

    /// What a Parquet file says of a column.
    fn told_of(&self, column: usize) -> Option<&ParquetColumn> {
        self.parquet.as_ref()?.columns.get(self.place(column))
    }

    /// What reads the rows.
    fn reader(&self) -> RowReader<'_> {
        let names = (0..self.columns.count()).map(|column| self.names_of(column));
        RowReader::new(self.path, self.columns, self.source, names.collect())
    }

    /// What places in the file are counted in.
    pub fn unit(&self) -> &'static str {
        if self.source.is_parquet { "row" } else { "line" }
    }

    /// What is wrong with what the file says of classes.
    pub fn problem(&self) -> Option<&str> {
        self.parquet.as_ref()?.problem.as_deref()
    }

    /// The number of rows, where it is known before they are read.
    pub fn rows(&self) -> Option<u64> {
        Some(self.parquet.as_ref()?.rows)
    }

    /// Where in the file's rows a column is.
    fn place(&self, column: usize) -> usize {
        self.arrangement.as_ref().map_or(column, |places| places[column])
    }

    /// Hands all rows to `take`, in the columns' order, each with its first line (of Parquet, its number).
    pub fn each_row(
        &self,
        mut take: impl FnMut(&RowReader<'_>, &ByteRecord, u64) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let reader = self.reader();
        let mut arranged = ByteRecord::new();
        let mut hand_on = |record: &ByteRecord, line: u64| match &self.arrangement {
            Some(places) if record.len() == places.len() => {
                arranged.clear();
                for place in places {
                    arranged.push_field(record.get(*place).unwrap_or_default());
                }
                take(&reader, &arranged, line)
            }
            _ => take(&reader, record, line),
        };
        if let Some(header) = &self.parquet {
            let mut rows = ParquetRows::open(self.path, &self.wanted(header)?, BATCH)?;
            while let Some((record, number)) = rows.next_row()? {
                hand_on(record, number)?;
            }
        } else {
            let mut rows = CsvRows::open(self.source.options, self.path)?;
            while let Some((record, line)) = rows.next_row()? {
                hand_on(record, line)?;
            }
        }
        Ok(())
    }

    /// Hands all rows of a Parquet file to `take`, in the columns' order, each with its image and its number. One is
    /// read at a time, as images may be large.
    pub fn each_image(
        &self,
        mut take: impl FnMut(&RowReader<'_>, &ByteRecord, ImageCell, u64) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let (Some(header), Some(image)) = (&self.parquet, self.columns.images()) else {
            return Ok(());
        };
        let reader = self.reader();
        let leaves = self.images(header, image)?;
        let mut wanted = self.wanted(header)?;
        wanted.extend([Some(leaves.bytes), leaves.path]);
        let mut rows = ParquetRows::open(self.path, &wanted, 1)?;
        let mut record = ByteRecord::new();
        while let Some((mut cells, number)) = rows.next_cells()? {
            let path = cells.pop().flatten();
            let bytes = cells.pop().flatten();
            record.clear();
            for column in 0..self.columns.count() {
                let cell = cells.get(self.place(column)).and_then(Option::as_deref);
                record.push_field(cell.unwrap_or_default());
            }
            take(&reader, &record, ImageCell { bytes, path }, number)?;
        }
        Ok(())
    }

    /// The leaves of a Parquet file that are read, for each of its columns: of those that are used as texts.
    fn wanted(&self, header: &ParquetHeader) -> Result<Vec<Option<usize>>, DataError> {
        let mut wanted = vec![None; header.columns.len()];
        let is_read = |column: &usize| self.columns.is_read(*column);
        for column in (0..self.columns.count()).filter(is_read) {
            let place = self.place(column);
            let found = header.columns.get(place);
            if let Some(leaf) = found.and_then(|found| found.leaf) {
                wanted[place] = Some(leaf);
                continue;
            }
            let name = self.columns.header.key(column);
            let what = match found {
                Some(found) if found.images.is_some() => "holds images",
                _ => "holds lists, or things of several parts",
            };
            let advice = match self.columns.roles()[column] {
                ColumnUse::Feature if what == "holds images" => {
                    format!("add `image: {name}`, or name it in `ignore`")
                }
                ColumnUse::Feature => "name it in `ignore`".into(),
                _ => "what is asked of it needs one value a row".into(),
            };
            let problem = format!("{} {what}: {advice}", self.columns.header.describe(column));
            return Err(DataError::input(self.path, problem));
        }
        Ok(wanted)
    }

    /// Where the images of the column `image` are.
    fn images(&self, header: &ParquetHeader, image: usize) -> Result<ImageLeaves, DataError> {
        let found = header.columns.get(self.place(image));
        if let Some(leaves) = found.and_then(|found| found.images) {
            return Ok(leaves);
        }
        let kind = found.map_or("nothing", |found| found.kind);
        let advice = match kind {
            "texts" => {
                "; where these are the paths of images, read the images by `image_folder` or `image_manifest`"
            }
            _ => "",
        };
        let problem = format!(
            "{} holds {kind}, and `image` needs images as files have them (JPEG, PNG, ...): a column of bytes, or of \
             `bytes` and `path`{advice}",
            self.columns.header.describe(image)
        );
        Err(DataError::input(self.path, problem))
    }
}
