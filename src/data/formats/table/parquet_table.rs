//! A Parquet file whose columns are asked for by their names.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::class_names::ClassNames;
use super::parquet_header::{CellForm, ParquetHeader};
use super::parquet_rows::{BATCH, ParquetRows};
use crate::data::error::DataError;
use crate::data::file_kind::FileKind;

/// So many bytes of a file tell whether it is one.
const TELLING: u64 = 64;

/// A Parquet file that is read by whoever knows no options of it.
pub(in crate::data) struct ParquetTable {
    path: PathBuf,
    header: ParquetHeader,
}

impl ParquetTable {
    /// Whether the file at `path` begins as Parquet files do; not where it cannot be read.
    pub fn is_at(path: &Path) -> bool {
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(TELLING).read_to_end(&mut start));
        read.is_ok() && FileKind::is_parquet(&start)
    }

    /// Looks at the columns of the file at `path`.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Ok(Self {
            path: path.to_owned(),
            header: ParquetHeader::read(path)?,
        })
    }

    /// The columns' names, in their order.
    pub fn names(&self) -> Vec<String> {
        self.header
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect()
    }

    /// How the values of the column `place` are spelt.
    pub fn form(&self, place: usize) -> CellForm {
        self.header
            .columns
            .get(place)
            .map_or(CellForm::AsWritten, |column| column.form)
    }

    /// The names that the whole numbers of the column `place` stand for, where the file has some.
    pub fn names_of(&self, place: usize) -> Option<&ClassNames> {
        self.header.columns.get(place)?.names.as_ref()
    }

    /// The rows, with the cells of those columns that `is_read` says.
    ///
    /// # Errors
    /// One of these columns holds lists or things of several parts, or the file cannot be read.
    pub fn rows(&self, is_read: impl Fn(usize) -> bool) -> Result<ParquetRows, DataError> {
        let columns = self.header.columns.iter().enumerate();
        let wanted = columns.map(|(place, column)| match column.leaf {
            _ if !is_read(place) => Ok(None),
            Some(leaf) => Ok(Some(leaf)),
            None => Err(DataError::input(
                &self.path,
                format!(
                    "its column `{}` holds {}, and one value a row is needed",
                    column.name, column.kind
                ),
            )),
        });
        let wanted: Vec<Option<usize>> = wanted.collect::<Result<_, DataError>>()?;
        ParquetRows::open(&self.path, &wanted, BATCH)
    }
}
