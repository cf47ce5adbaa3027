//! The rows of a Parquet file.

use std::fs::File;
use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::ByteRecord;
use parquet::column::reader::ColumnReader;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::parquet_cells::{ParquetCell, read_cells};
use super::parquet_header::{ParquetHeader, check_compression};
use crate::data::error::DataError;
use crate::data::file_kind::no_parquet;

/// Rows that are read at once, of columns whose cells are short.
pub(super) const BATCH: usize = 256;

/// Whether such files are read: not in a program that only asks models, in which nothing that they need is linked.
const READS_PARQUET: bool = cfg!(feature = "full");

/// So many bytes of a file tell what it is.
const TELLING: u64 = 4096;

/// Reads a file row by row.
pub(in crate::data) struct ParquetRows {
    path: PathBuf,
    file: SerializedFileReader<File>,
    /// The columns that are read.
    columns: Vec<ReadColumn>,
    /// The readers of the present row group.
    readers: Vec<ColumnReader>,
    group: usize,
    /// Rows of the group that were not read yet.
    left: usize,
    /// Rows that are read at once.
    batch: usize,
    /// The cells of the present batch, column by column.
    cells: Vec<Vec<ParquetCell>>,
    /// Where in the batch the next row is.
    place: usize,
    /// Rows that were given so far.
    given: u64,
    record: ByteRecord,
}

/// A column that is read.
#[derive(Clone)]
struct ReadColumn {
    /// Where it stands among the leaves of the file's schema; nothing where it is not to be read.
    leaf: Option<usize>,
    descriptor: Option<Arc<ColumnDescriptor>>,
}

impl ParquetRows {
    /// Opens a file, whose cells are read of the leaves `wanted`, of `batch` rows at once.
    pub fn open(path: &Path, wanted: &[Option<usize>], batch: usize) -> Result<Self, DataError> {
        if !READS_PARQUET {
            return Err(unread(path));
        }
        let file = open(path)?;
        check_compression(file.metadata(), wanted.iter().copied().flatten(), path)?;
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let columns = wanted.iter().map(|leaf| ReadColumn {
            leaf: *leaf,
            descriptor: leaf.map(|leaf| schema.column(leaf)),
        });
        let columns: Vec<ReadColumn> = columns.collect();
        Ok(Self {
            path: path.to_owned(),
            cells: vec![Vec::new(); columns.len()],
            columns,
            readers: Vec::new(),
            group: 0,
            left: 0,
            batch,
            place: 0,
            given: 0,
            record: ByteRecord::new(),
            file,
        })
    }

    /// The next row's cells, and its number from 1. At the end nothing.
    pub fn next_cells(&mut self) -> Result<Option<(Vec<ParquetCell>, u64)>, DataError> {
        if !self.fill()? {
            return Ok(None);
        }
        let place = self.place;
        let row = self
            .cells
            .iter_mut()
            .map(|cells| cells.get_mut(place).and_then(Option::take));
        let row = row.collect();
        self.place += 1;
        self.given += 1;
        Ok(Some((row, self.given)))
    }

    /// The next row as texts, empty where a cell holds nothing or is not read, and its number from 1. At
    /// the end nothing.
    pub fn next_row(&mut self) -> Result<Option<(&ByteRecord, u64)>, DataError> {
        let Some((cells, number)) = self.next_cells()? else {
            return Ok(None);
        };
        self.record.clear();
        for cell in &cells {
            self.record.push_field(cell.as_deref().unwrap_or_default());
        }
        Ok(Some((&self.record, number)))
    }

    /// Reads the next batch where the present one is at its end; `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, DataError> {
        if !READS_PARQUET {
            return Ok(false);
        }
        let has_more = |cells: &[Vec<ParquetCell>], place| cells.iter().any(|cells| place < cells.len());
        while !has_more(&self.cells, self.place) {
            if self.left == 0 && !self.next_group()? {
                return Ok(false);
            }
            let count = self.left.min(self.batch);
            self.place = 0;
            self.cells.iter_mut().for_each(Vec::clear);
            let (columns, readers, cells) = (&self.columns, &mut self.readers, &mut self.cells);
            guarded(&self.path, || {
                let mut next = 0;
                for (column, cells) in columns.iter().zip(cells.iter_mut()) {
                    let Some(descriptor) = &column.descriptor else {
                        cells.resize(count, None);
                        continue;
                    };
                    while cells.len() < count {
                        let before = cells.len();
                        let Some(reader) = readers.get_mut(next) else {
                            return Err(ParquetError::General("a column is missing".into()));
                        };
                        read_cells(reader, descriptor, count - before, cells)?;
                        if cells.len() == before {
                            return Err(ParquetError::General("a column ends before the others".into()));
                        }
                    }
                    next += 1;
                }
                Ok(())
            })?;
            self.left -= count;
        }
        Ok(true)
    }

    /// Opens the columns of the next row group; `false` where there is none.
    fn next_group(&mut self) -> Result<bool, DataError> {
        if self.group >= self.file.num_row_groups() {
            return Ok(false);
        }
        let (file, group, columns) = (&self.file, self.group, &self.columns);
        let (readers, left) = guarded(&self.path, || {
            let group = file.get_row_group(group)?;
            let leaves = columns.iter().filter_map(|column| column.leaf);
            let readers: Result<Vec<ColumnReader>, ParquetError> =
                leaves.map(|leaf| group.get_column_reader(leaf)).collect();
            Ok((readers?, group.metadata().num_rows()))
        })?;
        self.readers = readers;
        self.left = usize::try_from(left).map_err(|_| {
            DataError::input(&self.path, "it is damaged: it says that it has less than no rows")
        })?;
        self.group += 1;
        Ok(true)
    }
}

impl ParquetHeader {
    /// What the file at `path` says of its columns.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        if !READS_PARQUET {
            return Err(unread(path));
        }
        let file = open(path)?;
        guarded(path, || Ok(Self::of(file.metadata())))
    }
}

/// What is said of the file at `path` where such files are not read.
fn unread(path: &Path) -> DataError {
    let problem = "it is a Parquet file, and this program is built without them: `erlen predict` reads it, or write it as CSV";
    DataError::input(path, problem)
}

fn open(path: &Path) -> Result<SerializedFileReader<File>, DataError> {
    let mut opened = File::open(path).map_err(DataError::io("open", path))?;
    let mut start = Vec::new();
    let read = (&mut opened).take(TELLING).read_to_end(&mut start);
    read.and_then(|_| opened.rewind())
        .map_err(DataError::io("read", path))?;
    if let Some(problem) = no_parquet(&start) {
        return Err(DataError::input(path, problem));
    }
    guarded(path, || SerializedFileReader::new(opened))
}

/// What `read` gives. The parquet crate panics in some places where a file is damaged.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DataError> {
    let read = catch_unwind(AssertUnwindSafe(read));
    match read {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(DataError::input(
            path,
            format!("it cannot be read as a Parquet file: {error}"),
        )),
        Err(_) => Err(DataError::input(
            path,
            "it is damaged, or no Parquet file that can be read",
        )),
    }
}
