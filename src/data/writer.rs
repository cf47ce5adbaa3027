//! Writing a dataset file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::layout::{
    ALIGNMENT, FILE_NAME, Header, MAGIC, Origins, PROLOGUE, Samples, Section, Targets, VERSION,
};
use super::shape::SampleShape;
use crate::spec::SplitName;

/// The values of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample<'a> {
    /// Pixels in `[C, H, W]` order.
    Pixels(&'a [u8]),
    /// Features, one a column.
    Features(&'a [f32]),
}

/// Writes a dataset file sample by sample: to a temporary name, renamed once all is on disk.
///
/// Keeps in memory 12 bytes a sample, not the samples.
pub struct DatasetWriter {
    file: BufWriter<File>,
    position: u64,
    partial: Partial,
    shape: SampleShape,
    columns: Vec<String>,
    count: u64,
    origins: BufWriter<File>,
    origin_ends: Vec<u64>,
}

impl DatasetWriter {
    /// Begins a dataset in `folder`. `columns` names the features of a table (empty for images).
    ///
    /// # Errors
    /// The shape is empty, the columns do not fit it, or the file cannot be made.
    pub fn create(folder: &Path, shape: SampleShape, columns: Vec<String>) -> Result<Self, DataError> {
        let named = match shape {
            SampleShape::Image { .. } | SampleShape::Images { .. } => columns.is_empty(),
            SampleShape::Features { columns: count } => columns.len() == count,
        };
        if shape.checked_len().is_none() || !named {
            return Err(DataError::Options(format!(
                "samples of {shape} with {} named columns cannot be kept",
                columns.len()
            )));
        }
        let partial = Partial::new(folder);
        let file = File::create(&partial.path).map_err(DataError::io("create", &partial.path))?;
        let origins = tempfile::tempfile_in(folder).map_err(DataError::io("create a file in", folder))?;
        let mut writer = Self {
            file: BufWriter::with_capacity(1 << 20, file),
            position: 0,
            partial,
            shape,
            columns,
            count: 0,
            origins: BufWriter::new(origins),
            origin_ends: Vec::new(),
        };
        writer.write(&[0; PROLOGUE])?;
        Ok(writer)
    }

    /// The shape that every sample must have.
    pub fn shape(&self) -> SampleShape {
        self.shape
    }

    /// Appends a sample, and where it comes from.
    ///
    /// # Errors
    /// The sample does not have the dataset's shape, or cannot be written.
    pub fn push(&mut self, sample: Sample<'_>, origin: &str) -> Result<(), DataError> {
        let (len, image) = match sample {
            Sample::Pixels(pixels) => (pixels.len(), true),
            Sample::Features(features) => (features.len(), false),
        };
        if len != self.shape.len() || image != matches!(self.shape, SampleShape::Image { .. }) {
            return Err(DataError::Input {
                place: origin.to_owned(),
                problem: format!("it has {len} values, which does not fit the shape {}", self.shape),
            });
        }
        if self.count >= u64::from(u32::MAX) {
            return Err(DataError::Options(format!(
                "a dataset holds at most {} samples",
                u32::MAX
            )));
        }
        match sample {
            Sample::Pixels(pixels) => self.write(pixels)?,
            Sample::Features(features) => {
                for feature in features {
                    self.write(&feature.to_le_bytes())?;
                }
            }
        }
        let written = self.origins.write_all(origin.as_bytes());
        written.map_err(DataError::io("write", &self.partial.path))?;
        let start = self.origin_ends.last().copied().unwrap_or(0);
        self.origin_ends.push(start + origin.len() as u64);
        self.count += 1;
        Ok(())
    }

    /// Writes what stands behind the samples, and gives the file its name.
    ///
    /// `labels[i]` is sample `i`'s index into `classes`, `splits[i]` the split that it is in.
    ///
    /// # Errors
    /// Labels or splits do not fit the samples, no sample is in the train split, or the disk
    /// refuses.
    pub fn finish(
        mut self,
        classes: Vec<String>,
        labels: &[u32],
        splits: &[SplitName],
    ) -> Result<(), DataError> {
        let fits = labels.len() as u64 == self.count && splits.len() as u64 == self.count;
        if !fits || labels.iter().any(|label| *label as usize >= classes.len()) {
            return Err(DataError::Options(
                "the labels do not fit the samples and classes".into(),
            ));
        }
        if !splits.contains(&SplitName::Train) {
            return Err(DataError::Options("the dataset has no training sample".into()));
        }
        let data = Section {
            offset: PROLOGUE as u64,
            length: self.position - PROLOGUE as u64,
        };
        let samples = match self.shape {
            shape @ (SampleShape::Image { .. } | SampleShape::Images { .. }) => {
                Samples::Pixels { shape, data }
            }
            SampleShape::Features { .. } => Samples::Features {
                columns: std::mem::take(&mut self.columns),
                data,
            },
        };
        let data = self.section(labels.iter().map(|label| label.to_le_bytes()))?;
        let targets = Targets::Classes { classes, data };
        let mut sections = std::collections::BTreeMap::new();
        for name in SplitName::ALL {
            let members = (0u32..).zip(splits).filter(|(_, split)| **split == name);
            let section = self.section(members.map(|(index, _)| index.to_le_bytes()))?;
            if section.length > 0 {
                sections.insert(name, section);
            }
        }
        let ends = std::mem::take(&mut self.origin_ends);
        let ends = self.section(ends.iter().map(|end| end.to_le_bytes()))?;
        let text = self.copy_origins()?;
        let header = Header {
            count: self.count,
            samples,
            targets,
            splits: sections,
            origins: Origins { ends, text },
        };
        self.write_header(&header)
    }

    fn write_header(mut self, header: &Header) -> Result<(), DataError> {
        self.align()?;
        let offset = self.position;
        let json = serde_json::to_vec(header).map_err(|error| DataError::Options(error.to_string()))?;
        self.write(&json)?;
        let mut prologue = [0; PROLOGUE];
        prologue[..8].copy_from_slice(&MAGIC);
        prologue[8..12].copy_from_slice(&VERSION.to_le_bytes());
        prologue[16..24].copy_from_slice(&offset.to_le_bytes());
        prologue[24..32].copy_from_slice(&(json.len() as u64).to_le_bytes());
        prologue[32..40].copy_from_slice(&self.position.to_le_bytes());
        let done = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&prologue))
            .and_then(|()| self.file.flush())
            .and_then(|()| self.file.get_ref().sync_all());
        done.map_err(DataError::io("write", &self.partial.path))?;
        self.partial.keep()
    }

    fn copy_origins(&mut self) -> Result<Section, DataError> {
        self.align()?;
        let offset = self.position;
        let copied = self
            .origins
            .flush()
            .and_then(|()| self.origins.get_mut().seek(SeekFrom::Start(0)))
            .and_then(|_| io::copy(&mut self.origins.get_mut(), &mut self.file));
        let length = copied.map_err(DataError::io("write", &self.partial.path))?;
        self.position += length;
        Ok(Section { offset, length })
    }

    fn section<const N: usize>(
        &mut self,
        items: impl Iterator<Item = [u8; N]>,
    ) -> Result<Section, DataError> {
        self.align()?;
        let offset = self.position;
        for item in items {
            self.write(&item)?;
        }
        Ok(Section {
            offset,
            length: self.position - offset,
        })
    }

    fn align(&mut self) -> Result<(), DataError> {
        let missing = self.position.next_multiple_of(ALIGNMENT) - self.position;
        self.write(&[0; ALIGNMENT as usize][..missing as usize])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let written = self.file.write_all(bytes);
        written.map_err(DataError::io("write", &self.partial.path))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// The file under its temporary name; removed unless it is kept.
struct Partial {
    folder: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl Partial {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            path: folder.join(format!("{FILE_NAME}.partial")),
            kept: false,
        }
    }

    fn keep(mut self) -> Result<(), DataError> {
        let renamed = fs::rename(&self.path, self.folder.join(FILE_NAME));
        renamed.map_err(DataError::io("rename", &self.path))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing can be done about a file that cannot be removed, and it has no final name.
            let _ = fs::remove_file(&self.path);
        }
    }
}
