//! Writing a dataset file.

mod kind;
mod output;
mod partial;
mod spool;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use super::error::DataError;
use super::layout::{Header, Origins, Targets};
use super::shape::SampleShape;
use crate::spec::{Color, SplitName, Task};
use kind::{Kind, Sizes};
use output::Output;
use spool::Spool;

/// The values of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample<'a> {
    /// Pixels in `[C, H, W]` order, of the dataset's shape.
    Pixels(&'a [u8]),
    /// An image with a size of its own.
    Image {
        /// Pixels in `[C, H, W]` order.
        pixels: &'a [u8],
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// An image file's bytes.
    File {
        /// The bytes, which the loader will decode.
        bytes: &'a [u8],
        /// Rows of pixels once it is decoded.
        height: usize,
        /// Columns of pixels once it is decoded.
        width: usize,
    },
    /// Features, one a column.
    Features(&'a [f32]),
}

/// Writes a dataset file sample by sample: to a temporary name, renamed once all is on disk.
///
/// Memory does not grow with the samples: what is pushed goes to disk, what has to stand behind the
/// samples to temporary files.
pub struct DatasetWriter {
    output: Output,
    kind: Kind,
    values: Option<Values>,
    count: u64,
    origins: Spool,
    origin_ends: Spool,
}

/// The labels or numbers that are to be predicted.
struct Values {
    task: Task,
    names: Vec<String>,
    spool: Spool,
}

impl DatasetWriter {
    /// Begins a dataset in `folder`. `columns` names the features of a table (empty for images).
    ///
    /// A dataset of images of various sizes whose images all turn out to have one size becomes a
    /// dataset of images of that size.
    ///
    /// # Errors
    /// The shape is empty, the columns do not fit it, or the file cannot be made.
    pub fn create(folder: &Path, shape: SampleShape, columns: Vec<String>) -> Result<Self, DataError> {
        let (named, empty) = match shape {
            SampleShape::Image { .. } => (columns.is_empty(), shape.checked_len().is_none()),
            SampleShape::Images { channels } => (columns.is_empty(), channels == 0),
            SampleShape::Features { columns: count } => (columns.len() == count, count == 0),
        };
        if empty || !named {
            return Err(DataError::Options(format!(
                "samples of {shape} with {} named columns cannot be kept",
                columns.len()
            )));
        }
        let kind = match shape {
            SampleShape::Image { .. } => Kind::Pixels { shape },
            SampleShape::Features { .. } => Kind::Features { columns },
            SampleShape::Images { channels } => Kind::Images {
                channels,
                sizes: Sizes::kept(folder)?,
                ends: Spool::new(folder)?,
            },
        };
        Self::begin(folder, kind)
    }

    /// Begins a dataset of image files in `folder`, which are to be decoded to `color`.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create_files(folder: &Path, color: Color) -> Result<Self, DataError> {
        let kind = Kind::Files {
            color,
            sizes: Sizes::compared(),
            ends: Spool::new(folder)?,
        };
        Self::begin(folder, kind)
    }

    fn begin(folder: &Path, kind: Kind) -> Result<Self, DataError> {
        Ok(Self {
            output: Output::create(folder)?,
            kind,
            values: None,
            count: 0,
            origins: Spool::new(folder)?,
            origin_ends: Spool::new(folder)?,
        })
    }

    /// What is to be predicted are several labels or numbers, `names`, which
    /// [`DatasetWriter::push_values`] gives for each. Without this call they have classes.
    ///
    /// # Errors
    /// The task is a classification, there is no name, or a temporary file cannot be made.
    pub fn predicting(mut self, task: Task, names: Vec<String>) -> Result<Self, DataError> {
        if task == Task::Classification || names.is_empty() {
            return Err(DataError::Options(format!(
                "{} columns cannot be the targets of {}",
                names.len(),
                task_name(task)
            )));
        }
        let spool = Spool::new(self.output.folder())?;
        self.values = Some(Values { task, names, spool });
        Ok(self)
    }

    /// The shape that every sample must have.
    pub fn shape(&self) -> SampleShape {
        self.kind.shape()
    }

    /// Appends a sample, and where it comes from.
    ///
    /// # Errors
    /// The sample does not have the dataset's shape, or cannot be written.
    pub fn push(&mut self, sample: Sample<'_>, origin: &str) -> Result<(), DataError> {
        if self.count >= u64::from(u32::MAX) {
            return Err(DataError::Options(format!(
                "a dataset holds at most {} samples",
                u32::MAX
            )));
        }
        if !self.kind.fits(sample) {
            let (what, len) = match sample {
                Sample::Pixels(pixels) | Sample::Image { pixels, .. } => ("pixels", pixels.len()),
                Sample::File { bytes, .. } => ("encoded bytes", bytes.len()),
                Sample::Features(features) => ("features", features.len()),
            };
            return Err(DataError::Input {
                place: origin.to_owned(),
                problem: format!("its {len} {what} do not fit a dataset of {}", self.shape()),
            });
        }
        match sample {
            Sample::Pixels(bytes) | Sample::Image { pixels: bytes, .. } | Sample::File { bytes, .. } => {
                self.output.write(bytes)?;
            }
            Sample::Features(features) => {
                for feature in features {
                    self.output.write(&feature.to_le_bytes())?;
                }
            }
        }
        let noted = self.kind.note(sample, self.output.data().length);
        noted.map_err(self.output.failed())?;
        let noted = self
            .origins
            .push(origin.as_bytes())
            .and_then(|()| self.origin_ends.push(&self.origins.length().to_le_bytes()));
        noted.map_err(self.output.failed())?;
        self.count += 1;
        Ok(())
    }

    /// Appends the labels (0 or 1) or numbers that are to be predicted for the sample pushed last.
    ///
    /// # Errors
    /// There are more or fewer than names, one is no label or not finite, or they cannot be written.
    pub fn push_values(&mut self, values: &[f32]) -> Result<(), DataError> {
        let Some(Values { task, names, spool }) = &mut self.values else {
            return Err(DataError::Options("a dataset of classes takes no values".into()));
        };
        let labels = *task == Task::MultiLabel;
        let usable = |value: &f32| {
            if labels {
                *value == 0.0 || *value == 1.0
            } else {
                value.is_finite()
            }
        };
        if values.len() != names.len() || !values.iter().all(usable) {
            return Err(DataError::Options(format!(
                "{values:?} cannot be the {} targets of {}",
                names.len(),
                task_name(*task)
            )));
        }
        let noted = values.iter().try_for_each(|value| {
            if labels {
                spool.push(&[u8::from(*value == 1.0)])
            } else {
                spool.push(&value.to_le_bytes())
            }
        });
        noted.map_err(self.output.failed())
    }

    /// Writes what stands behind the samples of a dataset of classes, and gives the file its name.
    ///
    /// `labels[i]` is sample `i`'s index into `classes`, `splits[i]` the split that it is in.
    ///
    /// # Errors
    /// Labels or splits do not fit the samples, no sample is in the train split, or the disk
    /// refuses.
    pub fn finish(self, classes: Vec<String>, labels: &[u32], splits: &[SplitName]) -> Result<(), DataError> {
        let fits = labels.len() as u64 == self.count && self.values.is_none();
        if !fits || labels.iter().any(|label| *label as usize >= classes.len()) {
            return Err(DataError::Options(
                "the labels do not fit the samples and classes".into(),
            ));
        }
        self.complete(splits, |output, _| {
            let data = output.section(labels.iter().map(|label| label.to_le_bytes()))?;
            Ok(Targets::Classes { classes, data })
        })
    }

    /// Writes what stands behind the samples of a dataset of labels or numbers, and gives the file
    /// its name. `splits[i]` is the split that sample `i` is in.
    ///
    /// # Errors
    /// A sample has no values, the splits do not fit the samples, no sample is in the train split, or
    /// the disk refuses.
    pub fn finish_values(self, splits: &[SplitName]) -> Result<(), DataError> {
        let wanted = |values: &Values| {
            let item = if values.task == Task::MultiLabel { 1 } else { 4 };
            self.count * item * values.names.len() as u64
        };
        let unfit = || DataError::Options("the values do not fit the samples".into());
        if self
            .values
            .as_ref()
            .is_none_or(|values| values.spool.length() != wanted(values))
        {
            return Err(unfit());
        }
        self.complete(splits, |output, values| {
            let Values { task, names, spool } = values.ok_or_else(unfit)?;
            let data = output.spooled(spool)?;
            Ok(match task {
                Task::MultiLabel => Targets::Labels { names, data },
                _ => Targets::Values { names, data },
            })
        })
    }

    /// Writes sizes and ends, what `targets` writes, splits, origins and header, and gives the file
    /// its name.
    fn complete(
        self,
        splits: &[SplitName],
        targets: impl FnOnce(&mut Output, Option<Values>) -> Result<Targets, DataError>,
    ) -> Result<(), DataError> {
        if splits.len() as u64 != self.count {
            return Err(DataError::Options("the splits do not fit the samples".into()));
        }
        if !splits.contains(&SplitName::Train) {
            return Err(DataError::Options("the dataset has no training sample".into()));
        }
        let mut output = self.output;
        let samples = self.kind.finish(&mut output)?;
        let targets = targets(&mut output, self.values)?;
        let mut sections = BTreeMap::new();
        for name in SplitName::ALL {
            let members = (0u32..).zip(splits).filter(|(_, split)| **split == name);
            let section = output.section(members.map(|(index, _)| index.to_le_bytes()))?;
            if section.length > 0 {
                sections.insert(name, section);
            }
        }
        let origins = Origins {
            ends: output.spooled(self.origin_ends)?,
            text: output.spooled(self.origins)?,
        };
        output.finish(&Header {
            count: self.count,
            samples,
            targets,
            splits: sections,
            origins,
        })
    }

    /// Bytes of memory that its buffers hold.
    #[cfg(test)]
    fn memory(&self) -> usize {
        let values = self.values.as_ref().map_or(0, |values| values.spool.memory());
        self.output.memory() + self.origins.memory() + self.origin_ends.memory() + self.kind.memory() + values
    }
}

/// The task's name in messages.
fn task_name(task: Task) -> &'static str {
    match task {
        Task::Classification => "a classification",
        Task::MultiLabel => "a multi-label task",
        Task::Regression => "a regression",
    }
}
