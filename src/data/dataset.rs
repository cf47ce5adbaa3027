//! Reading a dataset file.

mod bytes;
mod contents;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::decode::decode;
use super::error::DataError;
use super::layout::FILE_NAME;
use super::shape::SampleShape;
use crate::spec::{Color, SplitName, Task};
use bytes::{item, read_f32, read_u32, spelt};
use contents::{Contents, SampleData, TargetData};

/// A prepared dataset, mapped into memory: samples, targets, splits. Clones share the map.
///
/// It may be larger than memory: the system keeps of the file what is in use.
#[derive(Clone, Debug)]
pub struct Dataset {
    inner: Arc<Inner>,
}

/// One split of a dataset. Clones share the dataset's map.
#[derive(Clone, Debug)]
pub struct Split {
    inner: Arc<Inner>,
    name: SplitName,
    indices: Range<usize>,
}

#[derive(Debug)]
struct Inner {
    map: Mmap,
    path: PathBuf,
    contents: Contents,
}

impl Dataset {
    /// Opens the dataset in `folder`.
    ///
    /// # Errors
    /// The file cannot be read, is no dataset, is truncated, or contradicts itself.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(FILE_NAME);
        let file = File::open(&path).map_err(DataError::io("open", &path))?;
        // SAFETY: the map is only read. The file belongs to an artifact, which nobody changes: the
        // store keeps its files read-only and replaces them by renaming, which leaves maps whole.
        let map = unsafe { Mmap::map(&file) }.map_err(DataError::io("map", &path))?;
        match Contents::parse(&map) {
            Ok(contents) => Ok(Self {
                inner: Arc::new(Inner { map, path, contents }),
            }),
            Err(problem) => Err(DataError::Dataset { path, problem }),
        }
    }

    /// The shape of every sample.
    pub fn shape(&self) -> SampleShape {
        self.inner.contents.shape
    }

    /// What is to be predicted.
    pub fn task(&self) -> Task {
        self.inner.contents.targets.task()
    }

    /// The classes' names, which a label is an index into, or the names of the labels that may each
    /// apply. Empty in a regression.
    pub fn classes(&self) -> &[String] {
        match &self.inner.contents.targets {
            TargetData::Classes { names, .. } | TargetData::Labels { names, .. } => names,
            TargetData::Values { .. } => &[],
        }
    }

    /// The names of the numbers to be predicted in a regression; empty in other tasks.
    pub fn targets(&self) -> &[String] {
        match &self.inner.contents.targets {
            TargetData::Values { names, .. } => names,
            TargetData::Classes { .. } | TargetData::Labels { .. } => &[],
        }
    }

    /// The number of classes, labels or numbers: of what a model gives for each sample.
    pub fn outputs(&self) -> usize {
        self.inner.contents.targets.names().len()
    }

    /// The feature columns' names; empty for images.
    pub fn columns(&self) -> &[String] {
        &self.inner.contents.columns
    }

    /// A split, if the dataset has it.
    pub fn split(&self, name: SplitName) -> Option<Split> {
        let mut splits = self.inner.contents.splits.iter();
        let (_, indices) = splits.find(|(other, _)| *other == name)?;
        Some(Split {
            inner: Arc::clone(&self.inner),
            name,
            indices: indices.clone(),
        })
    }

    /// The splits that there are: train, then val, then test.
    pub fn splits(&self) -> impl Iterator<Item = SplitName> {
        self.inner.contents.splits.iter().map(|(name, _)| *name)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }
}

impl Split {
    /// The split's name.
    pub fn name(&self) -> SplitName {
        self.name
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.indices.len() / 4
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The shape of every sample.
    pub fn shape(&self) -> SampleShape {
        self.inner.contents.shape
    }

    /// What is to be predicted.
    pub fn task(&self) -> Task {
        self.inner.contents.targets.task()
    }

    /// The number of classes, labels or numbers: of what a model gives for each sample.
    pub fn outputs(&self) -> usize {
        self.inner.contents.targets.names().len()
    }

    /// The names of what a model gives for each sample.
    pub(super) fn output_names(&self) -> &[String] {
        self.inner.contents.targets.names()
    }

    /// The feature columns' names; empty for images.
    pub(super) fn columns(&self) -> &[String] {
        &self.inner.contents.columns
    }

    /// The number of classes, or of labels that may each apply; 0 in a regression.
    pub fn classes(&self) -> usize {
        match self.task() {
            Task::Classification | Task::MultiLabel => self.outputs(),
            Task::Regression => 0,
        }
    }

    /// In a classification, the class of sample `index`. Panics in other tasks, and unless
    /// `index < len()`.
    pub fn label(&self, index: usize) -> u32 {
        match &self.inner.contents.targets {
            TargetData::Classes { data, .. } => read_u32(&self.inner.map[data.clone()], self.position(index)),
            TargetData::Labels { .. } | TargetData::Values { .. } => {
                panic!("only a classification has one label a sample")
            }
        }
    }

    /// Copies what is to be predicted for sample `index` into `out`: 0 or 1 for each label, or
    /// numbers. Panics in a classification, unless `index < len()`, and unless `out` has
    /// `outputs()` values.
    pub fn values(&self, index: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.outputs(), "the buffer has another length");
        let position = self.position(index);
        match &self.inner.contents.targets {
            TargetData::Labels { data, .. } => {
                let labels = item(&self.inner.map[data.clone()], position, out.len());
                for (value, label) in out.iter_mut().zip(labels) {
                    *value = f32::from(*label);
                }
            }
            TargetData::Values { data, .. } => {
                let values = item(&self.inner.map[data.clone()], position, 4 * out.len());
                read_features(values, out);
            }
            TargetData::Classes { .. } => panic!("a classification has a label a sample, no values"),
        }
    }

    /// In a regression, the mean and the (population) standard deviation of each number over the
    /// split's samples, summed in f64 in the samples' order. A deviation of 0 becomes 1. Both are
    /// empty in other tasks.
    pub fn target_moments(&self) -> (Vec<f64>, Vec<f64>) {
        if self.task() != Task::Regression {
            return (Vec::new(), Vec::new());
        }
        let total = self.len().max(1) as f64;
        let mut values = vec![0f32; self.outputs()];
        let mut mean = vec![0f64; values.len()];
        for index in 0..self.len() {
            self.values(index, &mut values);
            for (mean, value) in mean.iter_mut().zip(&values) {
                *mean += f64::from(*value);
            }
        }
        mean.iter_mut().for_each(|mean| *mean /= total);
        let mut deviation = vec![0f64; values.len()];
        for index in 0..self.len() {
            self.values(index, &mut values);
            for ((sum, mean), value) in deviation.iter_mut().zip(&mean).zip(&values) {
                *sum += (f64::from(*value) - mean).powi(2);
            }
        }
        for deviation in &mut deviation {
            *deviation = (*deviation / total).sqrt();
            if *deviation == 0.0 {
                *deviation = 1.0;
            }
        }
        (mean, deviation)
    }

    /// Where sample `index` comes from, such as `test/cat/0001.jpg` or `digits.csv:12`.
    /// Panics unless `index < len()`.
    pub fn origin(&self, index: usize) -> String {
        let contents = &self.inner.contents;
        let ends = &self.inner.map[contents.origin_ends.clone()];
        let text = &self.inner.map[contents.origin_text.clone()];
        String::from_utf8_lossy(spelt(text, ends, self.position(index))).into_owned()
    }

    /// Reads sample `index` into `out`, whatever that held before, and gives its shape: pixels
    /// scaled to `[0, 1]` in `[C, H, W]` order, features as they are. Panics unless `index < len()`.
    ///
    /// # Errors
    /// The sample is an image file that cannot be decoded.
    pub fn read_sample(&self, index: usize, out: &mut Vec<f32>) -> Result<SampleShape, DataError> {
        out.clear();
        if let RawSample::Features(bytes) = self.raw_sample(index) {
            out.resize(bytes.len() / 4, 0.0);
            read_features(bytes, out);
            return Ok(self.shape());
        }
        let mut pixels = Vec::new();
        let [height, width] = self.read_image(index, &mut pixels)?;
        out.extend(pixels.iter().map(|pixel| f32::from(*pixel) / 255.0));
        Ok(SampleShape::Image {
            channels: self.shape().channels(),
            height,
            width,
        })
    }

    /// Copies or decodes the image `index` into `pixels`, whatever that held before, and gives its
    /// height and width.
    pub(super) fn read_image(&self, index: usize, pixels: &mut Vec<u8>) -> Result<[usize; 2], DataError> {
        match self.raw_sample(index) {
            RawSample::Pixels { pixels: found, size } => {
                pixels.clear();
                pixels.extend_from_slice(found);
                Ok(size)
            }
            RawSample::File { bytes, color } => {
                let size = decode(bytes, color, None, pixels).map_err(|problem| self.bad(index, &problem))?;
                match self.shape() {
                    SampleShape::Image { height, width, .. } if size != [height, width] => {
                        let problem = format!(
                            "it has {}x{} pixels (height x width) and should have {height}x{width}",
                            size[0], size[1]
                        );
                        Err(self.bad(index, &problem))
                    }
                    _ => Ok(size),
                }
            }
            RawSample::Features(_) => Err(DataError::Options("a table has no images".into())),
        }
    }

    /// The error that something is wrong with sample `index`.
    pub(super) fn bad(&self, index: usize, problem: &str) -> DataError {
        DataError::Dataset {
            path: self.inner.path.clone(),
            problem: format!("sample `{}`: {problem}", self.origin(index)),
        }
    }

    /// Sample `index` as it lies in the file.
    pub(super) fn raw_sample(&self, index: usize) -> RawSample<'_> {
        let inner = &*self.inner;
        let position = self.position(index);
        match &inner.contents.samples {
            SampleData::Pixels { size, len, data } => RawSample::Pixels {
                pixels: item(&inner.map[data.clone()], position, *len),
                size: *size,
            },
            SampleData::Features { columns, data } => {
                RawSample::Features(item(&inner.map[data.clone()], position, columns * 4))
            }
            SampleData::Images { sizes, ends, data } => {
                let sizes = &inner.map[sizes.clone()];
                RawSample::Pixels {
                    pixels: spelt(&inner.map[data.clone()], &inner.map[ends.clone()], position),
                    size: [0, 1].map(|side| read_u32(sizes, 2 * position + side) as usize),
                }
            }
            SampleData::Files { color, ends, data } => RawSample::File {
                bytes: spelt(&inner.map[data.clone()], &inner.map[ends.clone()], position),
                color: *color,
            },
        }
    }

    /// The index among all samples of the file.
    fn position(&self, index: usize) -> usize {
        read_u32(&self.inner.map[self.indices.clone()], index) as usize
    }
}

/// A sample as it lies in the file.
pub(super) enum RawSample<'a> {
    /// `[C, H, W]`, with height and width.
    Pixels { pixels: &'a [u8], size: [usize; 2] },
    /// An image file, to be decoded to `color`.
    File { bytes: &'a [u8], color: Color },
    /// Little-endian f32.
    Features(&'a [u8]),
}

/// Little-endian f32 as numbers. Panics unless there are as many as `out` has room for.
pub(super) fn read_features(bytes: &[u8], out: &mut [f32]) {
    assert_eq!(out.len() * 4, bytes.len(), "the buffer has another shape");
    for (index, value) in out.iter_mut().enumerate() {
        *value = read_f32(bytes, index);
    }
}
