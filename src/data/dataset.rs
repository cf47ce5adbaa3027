//! Reading a dataset file.

mod bytes;
mod column;
mod contents;
mod rearranged;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::error::DataError;
use super::field_names::{IMAGE_ID, TEXTS};
use super::layout::FILE_NAME;
use super::object::Object;
use super::pixels::decode_value;
use super::value::{FieldValue, read_f32s};
use crate::schema::{Dimensions, Field, FieldKind, Schema};
use crate::spec::{SplitName, TargetKind};
use bytes::read_u32;
use contents::Contents;

pub use rearranged::Rearrangement;

/// A prepared dataset, mapped into memory: its samples, field by field, and its splits. Clones share the map.
///
/// It may be larger than memory: the system keeps of the file what is in use.
#[derive(Clone, Debug)]
pub struct Dataset {
    inner: Arc<DatasetMap>,
}

/// One split of a dataset. Clones share the dataset's map.
#[derive(Clone, Debug)]
pub struct Split {
    inner: Arc<DatasetMap>,
    name: SplitName,
    indices: Range<usize>,
}

#[derive(Debug)]
struct DatasetMap {
    map: Arc<Mmap>,
    path: PathBuf,
    contents: Contents,
    /// The columns that lie elsewhere, by the index of their field.
    replaced: BTreeMap<usize, Arc<Mmap>>,
}

impl DatasetMap {
    fn input(&self) -> &Field {
        &self.contents.schema.fields()[self.contents.input]
    }

    fn target(&self) -> &Field {
        &self.contents.schema.fields()[self.contents.target]
    }

    /// What the sample at `position` among all samples holds of the field `field`.
    fn value(&self, field: usize, position: usize) -> FieldValue<'_> {
        let map = self.replaced.get(&field).unwrap_or(&self.map);
        self.contents.columns[field].value(map, position)
    }

    fn task(&self) -> Result<TargetKind, DataError> {
        if compares(&self.contents.schema) {
            return Ok(TargetKind::Similarity);
        }
        match self.target().kind {
            FieldKind::Class if self.target().dimensions == Dimensions::SCALAR => {
                Ok(TargetKind::Classification)
            }
            FieldKind::Labels => Ok(TargetKind::MultiLabel),
            FieldKind::Numbers => Ok(TargetKind::Regression),
            FieldKind::Tokens => Ok(TargetKind::NextToken),
            FieldKind::Class => Ok(TargetKind::TokenClasses),
            FieldKind::Mask => Ok(TargetKind::Segmentation),
            FieldKind::Objects => Ok(TargetKind::Detection),
            _ => Err(DataError::Options(format!(
                "no task predicts what `{}` holds",
                self.target().name
            ))),
        }
    }
}

/// Whether samples are two texts each that are read apart.
fn compares(schema: &Schema) -> bool {
    schema.position(TEXTS).is_some()
}

impl Dataset {
    /// Whether samples are two texts each that are read apart, to be compared.
    pub fn compares(&self) -> bool {
        compares(self.schema())
    }

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
                inner: Arc::new(DatasetMap {
                    map: Arc::new(map),
                    path,
                    contents,
                    replaced: BTreeMap::new(),
                }),
            }),
            Err(problem) => Err(DataError::Dataset { path, problem }),
        }
    }

    /// What every sample holds.
    pub fn schema(&self) -> &Schema {
        &self.inner.contents.schema
    }

    /// What a network is shown: the first input.
    pub fn input(&self) -> &Field {
        self.inner.input()
    }

    /// What is to be predicted: the first target, or the tokens of the input where there is none.
    pub fn target(&self) -> &Field {
        self.inner.target()
    }

    /// What is to be predicted, as a task.
    ///
    /// # Errors
    /// It is something that no task predicts yet.
    pub fn task(&self) -> Result<TargetKind, DataError> {
        self.inner.task()
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

    /// Whether samples are two texts each that are read apart, to be compared.
    pub fn compares(&self) -> bool {
        compares(self.schema())
    }

    /// What every sample holds.
    pub fn schema(&self) -> &Schema {
        &self.inner.contents.schema
    }

    /// What a network is shown: the first input.
    pub fn input(&self) -> &Field {
        self.inner.input()
    }

    /// What is to be predicted: the first target.
    pub fn target(&self) -> &Field {
        self.inner.target()
    }

    /// What is to be predicted, as a task.
    ///
    /// # Errors
    /// It is something that no task predicts yet.
    pub fn task(&self) -> Result<TargetKind, DataError> {
        self.inner.task()
    }

    /// What sample `index` holds of the schema's field `field`, as it lies in the file. Panics unless
    /// there are such a field and sample.
    pub fn value(&self, field: usize, index: usize) -> FieldValue<'_> {
        self.inner.value(field, self.position(index))
    }

    /// What a network is shown of sample `index`, as it lies in the file. Panics unless there is such a
    /// sample.
    pub(super) fn input_value(&self, index: usize) -> FieldValue<'_> {
        self.value(self.inner.contents.input, index)
    }

    /// The classes of sample `index`, where classes are what is to be predicted: its own, or one for each of its tokens
    /// ([`crate::schema::NO_CLASS`] where it has none). Panics unless `index < len()`.
    pub fn classes(&self, index: usize) -> Vec<u32> {
        if self.target().kind != FieldKind::Class {
            return Vec::new();
        }
        let (classes, _) = self
            .value(self.inner.contents.target, index)
            .bytes
            .as_chunks::<4>();
        classes.iter().map(|class| u32::from_le_bytes(*class)).collect()
    }

    /// The class of sample `index`, where one is what is to be predicted. Panics unless
    /// `index < len()`.
    pub fn class(&self, index: usize) -> Option<u32> {
        match self.target().kind {
            FieldKind::Class if self.target().dimensions.is_fixed() => {
                self.value(self.inner.contents.target, index).class()
            }
            _ => None,
        }
    }

    /// The class of each pixel of sample `index`, row by row, where these are what is to be predicted;
    /// [`crate::schema::NO_PIXEL_CLASS`] where a pixel has none. Panics unless `index < len()`.
    pub fn pixel_classes(&self, index: usize) -> Option<&[u8]> {
        match self.target().kind {
            FieldKind::Mask => Some(self.value(self.inner.contents.target, index).bytes),
            _ => None,
        }
    }

    /// The objects in the image of sample `index`, in the order of their file, where these are what is to be predicted; their
    /// boxes are those in the image as it stands in the dataset. Panics unless `index < len()`.
    pub fn objects(&self, index: usize) -> Option<Vec<Object>> {
        match self.target().kind {
            FieldKind::Objects => Some(Object::read(self.value(self.inner.contents.target, index).bytes)),
            _ => None,
        }
    }

    /// What COCO's files know the image of sample `index` by: its place in the split, counted from 1, unless it has a number
    /// of its own. Panics unless `index < len()`.
    pub fn image_id(&self, index: usize) -> i64 {
        let field = self.schema().position(IMAGE_ID);
        let own = field.and_then(|field| self.value(field, index).bytes.try_into().ok());
        own.map_or(index as i64 + 1, i64::from_le_bytes)
    }

    /// Copies what is to be predicted for sample `index` into `out`: 0 or 1 for each label, or
    /// numbers. Panics unless `index < len()`.
    ///
    /// # Errors
    /// Neither labels nor numbers are to be predicted, or more or fewer than `out` has room for.
    pub fn target_values(&self, index: usize, out: &mut [f32]) -> Result<(), DataError> {
        let value = self.value(self.inner.contents.target, index);
        value.copy_f32(self.target().element, out)
    }

    /// In a regression, the mean and the (population) standard deviation of each number over the
    /// split's samples, summed in f64 in the samples' order. A deviation of 0 becomes 1. Both are
    /// empty in other tasks.
    pub fn target_moments(&self) -> (Vec<f64>, Vec<f64>) {
        if self.target().kind != FieldKind::Numbers {
            return (Vec::new(), Vec::new());
        }
        let total = self.len().max(1) as f64;
        let mut values = vec![0f32; self.target().dimensions.len().unwrap_or(0)];
        let mut mean = vec![0f64; values.len()];
        let read = |index: usize, values: &mut [f32]| {
            read_f32s(self.value(self.inner.contents.target, index).bytes, values);
        };
        for index in 0..self.len() {
            read(index, &mut values);
            for (mean, value) in mean.iter_mut().zip(&values) {
                *mean += f64::from(*value);
            }
        }
        mean.iter_mut().for_each(|mean| *mean /= total);
        let mut deviation = vec![0f64; values.len()];
        for index in 0..self.len() {
            read(index, &mut values);
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

    /// Where sample `index` comes from, such as `test/cat/0001.jpg` or `digits.csv:12`; empty where
    /// the dataset does not tell. Panics unless `index < len()`.
    pub fn origin(&self, index: usize) -> String {
        let origin = self.inner.contents.origin;
        origin.map_or_else(String::new, |field| {
            String::from_utf8_lossy(self.value(field, index).bytes).into_owned()
        })
    }

    /// Reads what a network is shown of sample `index` into `out`, whatever that held before, and
    /// gives its sides: pixels scaled to `[0, 1]` in `[C, H, W]` order, numbers as they are. Panics
    /// unless `index < len()`.
    ///
    /// # Errors
    /// The sample is an image file that cannot be decoded, or neither an image nor numbers.
    pub fn read_sample(&self, index: usize, out: &mut Vec<f32>) -> Result<Dimensions, DataError> {
        out.clear();
        let input = self.input();
        if input.is_image() {
            let mut pixels = Vec::new();
            let size = self.read_image(index, &mut pixels)?;
            out.extend(pixels.iter().map(|pixel| f32::from(*pixel) / 255.0));
            return Ok(Dimensions::image(input.channels(), Some(size)));
        }
        let value = self.input_value(index);
        out.resize(value.bytes.len() / input.element.bytes(), 0.0);
        value.copy_f32(input.element, out)?;
        input.fill_missing(out);
        Ok(value.dimensions)
    }

    /// Copies or decodes the image that a network is shown of sample `index` into `pixels`, whatever
    /// that held before, and gives its height and width.
    pub(super) fn read_image(&self, index: usize, pixels: &mut Vec<u8>) -> Result<[usize; 2], DataError> {
        decode_value(self.input_value(index), self.input(), pixels)
            .map_err(|problem| self.bad(index, &problem))
    }

    /// The error that something is wrong with sample `index`.
    pub(super) fn bad(&self, index: usize, problem: &str) -> DataError {
        DataError::Dataset {
            path: self.inner.path.clone(),
            problem: format!("sample `{}`: {problem}", self.origin(index)),
        }
    }

    /// The index among all samples of the file.
    fn position(&self, index: usize) -> usize {
        read_u32(&self.inner.map[self.indices.clone()], index) as usize
    }
}
