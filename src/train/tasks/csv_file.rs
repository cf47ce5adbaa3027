//! A table in an artifact.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use crate::train::error::TrainError;

/// A CSV file of an artifact.
pub struct CsvFile {
    path: PathBuf,
    writer: csv::Writer<BufWriter<File>>,
}

impl CsvFile {
    /// Begins the file at `path`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: PathBuf) -> Result<Self, TrainError> {
        match File::create(&path) {
            Ok(file) => Ok(Self {
                path,
                writer: csv::Writer::from_writer(BufWriter::new(file)),
            }),
            Err(source) => Err(TrainError::Write { path, source }),
        }
    }

    /// Writes one row.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<(), TrainError> {
        self.writer
            .write_record(cells)
            .map_err(|error| TrainError::Write {
                path: self.path.clone(),
                source: error.into(),
            })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<(), TrainError> {
        self.writer.flush().map_err(|source| TrainError::Write {
            path: self.path,
            source,
        })
    }
}
