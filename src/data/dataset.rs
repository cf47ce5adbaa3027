//! Reading a dataset file.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::error::DataError;
use super::layout::{
    ALIGNMENT, FILE_NAME, Header, MAGIC, Origins, PROLOGUE, Samples, Section, Targets, VERSION,
};
use super::shape::SampleShape;
use crate::spec::SplitName;

/// A prepared dataset, mapped into memory: samples, labels, splits. Clones share the map.
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
    shape: SampleShape,
    classes: Vec<String>,
    columns: Vec<String>,
    splits: Vec<(SplitName, Range<usize>)>,
    samples: Range<usize>,
    labels: Range<usize>,
    origin_ends: Range<usize>,
    origin_text: Range<usize>,
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
        let inner = Inner::parse(map, &path).map_err(|problem| DataError::Dataset { path, problem })?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The shape of every sample.
    pub fn shape(&self) -> SampleShape {
        self.inner.shape
    }

    /// The classes' names; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        &self.inner.classes
    }

    /// The feature columns' names; empty for images.
    pub fn columns(&self) -> &[String] {
        &self.inner.columns
    }

    /// A split, if the dataset has it.
    pub fn split(&self, name: SplitName) -> Option<Split> {
        let (_, indices) = self.inner.splits.iter().find(|(other, _)| *other == name)?;
        Some(Split {
            inner: Arc::clone(&self.inner),
            name,
            indices: indices.clone(),
        })
    }

    /// The splits that there are: train, then val, then test.
    pub fn splits(&self) -> impl Iterator<Item = SplitName> {
        self.inner.splits.iter().map(|(name, _)| *name)
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
        self.inner.shape
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.inner.classes.len()
    }

    /// The class of sample `index`. Panics unless `index < len()`.
    pub fn label(&self, index: usize) -> u32 {
        read_u32(&self.inner.map[self.inner.labels.clone()], self.position(index))
    }

    /// Where sample `index` comes from, such as `test/cat/0001.jpg` or `digits.csv:12`.
    /// Panics unless `index < len()`.
    pub fn origin(&self, index: usize) -> String {
        let ends = &self.inner.map[self.inner.origin_ends.clone()];
        let text = &self.inner.map[self.inner.origin_text.clone()];
        let position = self.position(index);
        let start = if position == 0 {
            0
        } else {
            read_u64(ends, position - 1) as usize
        };
        let end = read_u64(ends, position) as usize;
        String::from_utf8_lossy(&text[start..end]).into_owned()
    }

    /// Copies sample `index` into `out`: pixels scaled to `[0, 1]` in `[C, H, W]` order, features as
    /// they are. Panics unless `index < len()` and `out` has the shape's length.
    pub fn read_sample(&self, index: usize, out: &mut [f32]) {
        match self.raw_sample(index) {
            RawSample::Pixels(pixels) => {
                assert_eq!(out.len(), pixels.len(), "the buffer has another shape");
                for (value, pixel) in out.iter_mut().zip(pixels) {
                    *value = f32::from(*pixel) / 255.0;
                }
            }
            RawSample::Features(bytes) => read_features(bytes, out),
        }
    }

    /// Sample `index` as it lies in the file.
    pub(super) fn raw_sample(&self, index: usize) -> RawSample<'_> {
        let inner = &*self.inner;
        let samples = &inner.map[inner.samples.clone()];
        let position = self.position(index);
        match inner.shape {
            SampleShape::Image { .. } | SampleShape::Images { .. } => {
                let len = inner.shape.len();
                RawSample::Pixels(&samples[position * len..][..len])
            }
            SampleShape::Features { columns } => {
                RawSample::Features(&samples[position * columns * 4..][..columns * 4])
            }
        }
    }

    /// The index among all samples of the file.
    fn position(&self, index: usize) -> usize {
        read_u32(&self.inner.map[self.indices.clone()], index) as usize
    }
}

/// A sample as it lies in the file.
pub(super) enum RawSample<'a> {
    /// `[C, H, W]`.
    Pixels(&'a [u8]),
    /// Little-endian f32.
    Features(&'a [u8]),
}

pub(super) fn read_features(bytes: &[u8], out: &mut [f32]) {
    let (values, _) = bytes.as_chunks::<4>();
    assert_eq!(out.len(), values.len(), "the buffer has another shape");
    for (value, bytes) in out.iter_mut().zip(values) {
        *value = f32::from_le_bytes(*bytes);
    }
}

impl Inner {
    fn parse(map: Mmap, path: &Path) -> Result<Self, String> {
        let header = read_header(&map)?;
        let count = usize::try_from(header.count)
            .ok()
            .filter(|count| u32::try_from(*count).is_ok())
            .ok_or("it claims more samples than can be")?;
        let (shape, columns, samples) = match header.samples {
            Samples::Pixels { shape, data } => {
                let SampleShape::Image { .. } = shape else {
                    return Err("its pixels have no image's shape".into());
                };
                let len = shape.checked_len().ok_or("its images are empty")?;
                (shape, Vec::new(), array(&map, data, count, len, "samples")?)
            }
            Samples::Features { columns, data } => {
                let shape = SampleShape::Features {
                    columns: columns.len(),
                };
                let len = shape.checked_len().ok_or("it has no feature columns")?;
                (shape, columns, array(&map, data, count, len * 4, "samples")?)
            }
        };
        let Targets::Classes { classes, data } = header.targets;
        let labels = array(&map, data, count, 4, "labels")?;
        check_labels(&map[labels.clone()], classes.len())?;

        let mut splits = Vec::new();
        for (name, section) in header.splits {
            let len = usize::try_from(section.length / 4).map_err(|_| "a split is too long")?;
            let indices = array(&map, section, len, 4, name.as_str())?;
            check_rising(&map[indices.clone()], count, name)?;
            splits.push((name, indices));
        }
        if !matches!(splits.first(), Some((SplitName::Train, _))) {
            return Err("it has no train split".into());
        }

        let Origins { ends, text } = header.origins;
        let origin_ends = array(&map, ends, count, 8, "origins")?;
        let text_len = usize::try_from(text.length).map_err(|_| "its origins are too long")?;
        let origin_text = array(&map, text, text_len, 1, "origins")?;
        check_ends(&map[origin_ends.clone()], text.length)?;
        Ok(Self {
            map,
            path: path.to_owned(),
            shape,
            classes,
            columns,
            splits,
            samples,
            labels,
            origin_ends,
            origin_text,
        })
    }
}

fn read_header(map: &[u8]) -> Result<Header, String> {
    if map.len() < PROLOGUE || map[..8] != MAGIC {
        return Err("it does not begin as a dataset does".into());
    }
    let version = read_u32(&map[8..12], 0);
    if version != VERSION {
        return Err(format!(
            "it has version {version} of the layout, and this Erlen reads version {VERSION}"
        ));
    }
    let [offset, length, total] = [0, 1, 2].map(|index| read_u64(&map[16..40], index));
    if total != map.len() as u64 {
        return Err(format!("it has {} bytes and should have {total}", map.len()));
    }
    let json = offset
        .checked_add(length)
        .filter(|end| *end == total && offset >= PROLOGUE as u64)
        .map(|end| &map[offset as usize..end as usize])
        .ok_or("its header lies outside the file")?;
    serde_json::from_slice(json).map_err(|error| format!("its header is not right: {error}"))
}

/// The bytes of `count` items of `item` bytes each, if `section` is just that and in the file.
fn array(
    map: &[u8],
    section: Section,
    count: usize,
    item: usize,
    what: &str,
) -> Result<Range<usize>, String> {
    let wanted = count.checked_mul(item).map(|length| length as u64);
    if wanted != Some(section.length) {
        return Err(format!(
            "its {what} have {} bytes, which is not right",
            section.length
        ));
    }
    let end = section.offset.checked_add(section.length);
    match end {
        Some(end) if end <= map.len() as u64 && section.offset.is_multiple_of(ALIGNMENT) => {
            Ok(section.offset as usize..end as usize)
        }
        _ => Err(format!("its {what} lie outside the file or are not aligned")),
    }
}

fn check_labels(labels: &[u8], classes: usize) -> Result<(), String> {
    let wrong = (0..labels.len() / 4).find(|index| read_u32(labels, *index) as usize >= classes);
    match wrong {
        Some(index) => Err(format!(
            "sample {index} has label {}, and there are {classes} classes",
            read_u32(labels, index)
        )),
        None => Ok(()),
    }
}

fn check_rising(indices: &[u8], count: usize, name: SplitName) -> Result<(), String> {
    let mut least = 0;
    for position in 0..indices.len() / 4 {
        let index = read_u32(indices, position) as usize;
        if index < least || index >= count {
            return Err(format!(
                "the indices of its {} split are not right",
                name.as_str()
            ));
        }
        least = index + 1;
    }
    Ok(())
}

fn check_ends(ends: &[u8], length: u64) -> Result<(), String> {
    let mut least = 0;
    for index in 0..ends.len() / 8 {
        let end = read_u64(ends, index);
        if end < least || end > length {
            return Err("the origins of its samples are not right".into());
        }
        least = end;
    }
    Ok(())
}

fn read_u32(bytes: &[u8], index: usize) -> u32 {
    let (values, _) = bytes.as_chunks::<4>();
    u32::from_le_bytes(values[index])
}

fn read_u64(bytes: &[u8], index: usize) -> u64 {
    let (values, _) = bytes.as_chunks::<8>();
    u64::from_le_bytes(values[index])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::data::writer::{DatasetWriter, Sample};

    fn names(count: u32) -> Vec<String> {
        (0..count).map(|index| format!("class {index}")).collect()
    }

    proptest! {
        #[test]
        fn reads_what_was_written(
            columns in 1usize..6,
            samples in prop::collection::vec((any::<u32>(), 0u32..3, 0usize..3, "\\PC{0,8}"), 1..40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let shape = SampleShape::Features { columns };
            let names_of_columns: Vec<String> = (0..columns).map(|index| format!("f{index}")).collect();
            let mut writer = DatasetWriter::create(folder.path(), shape, names_of_columns.clone()).unwrap();
            let row = |value: u32| -> Vec<f32> {
                (0..columns).map(|column| value as f32 / (column as f32 + 1.0)).collect()
            };
            for (value, _, _, origin) in &samples {
                writer.push(Sample::Features(&row(*value)), origin).unwrap();
            }
            let labels: Vec<u32> = samples.iter().map(|sample| sample.1).collect();
            let mut splits: Vec<SplitName> = samples.iter().map(|sample| SplitName::ALL[sample.2]).collect();
            splits[0] = SplitName::Train;
            writer.finish(names(3), &labels, &splits).unwrap();

            let dataset = Dataset::open(folder.path()).unwrap();
            prop_assert_eq!(dataset.shape(), shape);
            prop_assert_eq!(dataset.columns(), &names_of_columns[..]);
            prop_assert_eq!(dataset.classes(), &names(3)[..]);
            for name in SplitName::ALL {
                let members: Vec<usize> = (0..samples.len()).filter(|index| splits[*index] == name).collect();
                let split = dataset.split(name);
                prop_assert_eq!(split.as_ref().map_or(0, Split::len), members.len());
                prop_assert_eq!(dataset.splits().any(|other| other == name), !members.is_empty());
                for (index, member) in members.into_iter().enumerate() {
                    let split = split.as_ref().unwrap();
                    let mut read = vec![0f32; columns];
                    split.read_sample(index, &mut read);
                    prop_assert_eq!(read, row(samples[member].0));
                    prop_assert_eq!(split.label(index), labels[member]);
                    prop_assert_eq!(&split.origin(index), &samples[member].3);
                }
            }
        }

        #[test]
        fn damage_is_an_error_or_harmless(at in 0usize..2000, value in any::<u8>(), cut in 0usize..2000) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(FILE_NAME);
            crate::data::testing::images(folder.path(), 3);
            let mut bytes = fs::read(&path).unwrap();
            let at = at % bytes.len();
            bytes[at] = value;
            fs::write(&path, &bytes).unwrap();
            if let Ok(dataset) = Dataset::open(folder.path()) {
                // Whatever was accepted can be read.
                for name in dataset.splits() {
                    let split = dataset.split(name).unwrap();
                    for index in 0..split.len() {
                        let mut sample = vec![0f32; split.shape().len()];
                        split.read_sample(index, &mut sample);
                        prop_assert!((split.label(index) as usize) < dataset.classes().len());
                        split.origin(index);
                    }
                }
            }
            fs::remove_file(&path).unwrap();
            fs::write(&path, &bytes[..cut % bytes.len()]).unwrap();
            prop_assert!(Dataset::open(folder.path()).is_err());
        }
    }

    #[test]
    fn foreign_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let error = || Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(error().contains("cannot open"));
        for bytes in [&b""[..], &[0; 200], b"ERLENDAT"] {
            fs::write(&path, bytes).unwrap();
            let error = error();
            assert!(
                error.contains("is not a usable dataset") || error.contains("cannot map"),
                "{error}"
            );
        }
        fs::remove_file(&path).unwrap();
        crate::data::testing::images(folder.path(), 2);
        let whole = fs::read(&path).unwrap();
        for (at, value, expected) in [
            (
                8,
                2,
                "it has version 2 of the layout, and this Erlen reads version 1",
            ),
            (32, 1, "bytes and should have"),
            // Two images of 192 bytes follow the first 64; then come the labels.
            (64 + 2 * 192, 2, "sample 0 has label 2, and there are 2 classes"),
            (
                64 + 2 * 192 + 64,
                1,
                "the indices of its train split are not right",
            ),
        ] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            let error = error();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_dropped_writer_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let shape = SampleShape::Features { columns: 1 };
        let mut writer = DatasetWriter::create(folder.path(), shape, vec!["x".into()]).unwrap();
        writer.push(Sample::Features(&[1.0]), "a").unwrap();
        assert!(writer.push(Sample::Features(&[1.0, 2.0]), "b").is_err());
        assert!(writer.push(Sample::Pixels(&[1]), "b").is_err());
        assert!(writer.finish(names(1), &[1], &[SplitName::Train]).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(DatasetWriter::create(folder.path(), shape, Vec::new()).is_err());
    }
}
