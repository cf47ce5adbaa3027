//! The file that a dataset is written to.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::partial::PartialDataset;
use super::spool::Spool;
use crate::data::error::DataError;
use crate::data::layout::{ALIGNMENT, DatasetHeader, FileSection, MAGIC, PROLOGUE};

/// A dataset file under its temporary name. The first input is written first, then sections, at last
/// the header. Keeps one buffer in memory.
pub(super) struct DatasetFile {
    file: BufWriter<File>,
    position: u64,
    partial: PartialDataset,
}

impl DatasetFile {
    /// A file in `folder`.
    pub fn create(folder: &Path) -> Result<Self, DataError> {
        let partial = PartialDataset::new(folder);
        let mut options = File::options();
        // To be read again where values depend on others.
        options.read(true).write(true).create(true).truncate(true);
        let file = options
            .open(partial.path())
            .map_err(DataError::io("create", partial.path()))?;
        let mut output = Self {
            file: BufWriter::with_capacity(1 << 20, file),
            position: 0,
            partial,
        };
        output.write(&[0; PROLOGUE])?;
        Ok(output)
    }

    /// The first `length` bytes that were written behind the prologue.
    pub fn first(&self, length: u64) -> FileSection {
        FileSection {
            offset: PROLOGUE as u64,
            length,
        }
    }

    /// Hands the first `length` bytes that were written behind the prologue to `take`, `row` of them at a
    /// time.
    pub fn read_first(
        &mut self,
        length: u64,
        row: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), DataError> {
        let mut read = || -> io::Result<()> {
            self.file.seek(SeekFrom::Start(PROLOGUE as u64))?;
            let mut reader = BufReader::with_capacity(1 << 20, self.file.get_ref());
            let mut bytes = vec![0; row];
            for _ in 0..length / row.max(1) as u64 {
                reader.read_exact(&mut bytes)?;
                take(&bytes);
            }
            self.file.seek(SeekFrom::Start(self.position))?;
            Ok(())
        };
        let done = read();
        done.map_err(self.failed())
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let written = self.file.write_all(bytes);
        written.map_err(self.failed())?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Appends `items` as a section.
    pub fn section<const N: usize>(
        &mut self,
        items: impl Iterator<Item = [u8; N]>,
    ) -> Result<FileSection, DataError> {
        self.align()?;
        let offset = self.position;
        for item in items {
            self.write(&item)?;
        }
        Ok(FileSection {
            offset,
            length: self.position - offset,
        })
    }

    /// Appends what waited in `spool` as a section.
    pub fn spooled(&mut self, spool: Spool) -> Result<FileSection, DataError> {
        self.align()?;
        let offset = self.position;
        let copied = spool
            .into_reader()
            .and_then(|mut reader| io::copy(&mut reader, &mut self.file));
        let length = copied.map_err(self.failed())?;
        self.position += length;
        Ok(FileSection { offset, length })
    }

    /// Writes the header and gives the file its name.
    pub fn finish(mut self, header: &DatasetHeader) -> Result<(), DataError> {
        self.align()?;
        let offset = self.position;
        let json = serde_json::to_vec(header).map_err(|error| DataError::Options(error.to_string()))?;
        self.write(&json)?;
        let mut prologue = [0; PROLOGUE];
        prologue[..8].copy_from_slice(&MAGIC);
        prologue[8..12].copy_from_slice(&header.version().to_le_bytes());
        prologue[16..24].copy_from_slice(&offset.to_le_bytes());
        prologue[24..32].copy_from_slice(&(json.len() as u64).to_le_bytes());
        prologue[32..40].copy_from_slice(&self.position.to_le_bytes());
        let done = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&prologue))
            .and_then(|()| self.file.flush())
            .and_then(|()| self.file.get_ref().sync_all());
        done.map_err(self.failed())?;
        self.partial.keep()
    }

    /// The error that something could not be written, as a maker for `map_err`.
    pub fn failed(&self) -> impl FnOnce(io::Error) -> DataError {
        DataError::io("write", self.partial.path())
    }

    fn align(&mut self) -> Result<(), DataError> {
        let missing = self.position.next_multiple_of(ALIGNMENT) - self.position;
        self.write(&[0; ALIGNMENT as usize][..missing as usize])
    }

    /// Bytes of memory that its buffer holds.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.file.capacity()
    }
}
