//! A table in an artifact.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::spec::ArtifactTable;
use crate::train::error::TrainError;

/// A CSV file of an artifact.
pub struct CsvFile {
    path: PathBuf,
    writer: csv::Writer<BufWriter<File>>,
}

impl CsvFile {
    /// Begins `table` in `folder`: its titles, and after its own first ones those of `further` columns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(
        folder: &Path,
        table: ArtifactTable,
        further: impl IntoIterator<Item = String>,
    ) -> Result<Self, TrainError> {
        let path = folder.join(table.name);
        let mut file = match File::create(&path) {
            Ok(file) => Self {
                path,
                writer: csv::Writer::from_writer(BufWriter::new(file)),
            },
            Err(source) => return Err(TrainError::Write { path, source }),
        };
        let first = table.titles.iter().map(|&title| title.to_owned());
        file.row(first.chain(further))?;
        Ok(file)
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

/// A number in its shortest form that reads back the same, with a point or an exponent even where it is
/// whole: readers that take a column's type from its first rows (polars, DuckDB) would take it for
/// integers.
pub fn float_text(value: f64) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_floats() {
        let all = [1.0, -0.25, 1e-7, 123_456_789.0, 1e16, 1.0 / 3.0];
        assert_eq!(
            all.map(float_text).join(" "),
            "1.0 -0.25 1e-7 123456789.0 1e16 0.3333333333333333"
        );
        for value in all {
            assert_eq!(float_text(value).parse(), Ok(value));
        }
    }
}
