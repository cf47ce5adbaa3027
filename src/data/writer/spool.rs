//! What waits on disk until its place in the file is known.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::data::error::DataError;

/// Bytes that are appended one after another and read back once: a file without a name, which the
/// system removes. Keeps one buffer in memory.
pub(super) struct Spool {
    file: BufWriter<File>,
}

impl Spool {
    /// An empty spool on the disk that `folder` is on.
    pub fn new(folder: &Path) -> Result<Self, DataError> {
        let file = tempfile::tempfile_in(folder).map_err(DataError::io("create a file in", folder))?;
        Ok(Self {
            file: BufWriter::new(file),
        })
    }

    /// Appends `bytes`.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// All bytes from the first on.
    pub fn into_reader(mut self) -> io::Result<impl Read> {
        self.file.flush()?;
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }

    /// Bytes of memory that it holds.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.file.capacity()
    }
}
