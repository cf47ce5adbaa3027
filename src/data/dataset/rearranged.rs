//! A dataset whose values stand in another order.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::column::StoredColumn;
use super::{Dataset, DatasetMap};
use crate::data::alignment::Alignment;
use crate::data::error::DataError;
use crate::data::value::read_f32s;
use crate::schema::{ElementType, Field, FieldKind, FieldRole, NO_CLASS, NO_PIXEL_CLASS};

/// What becomes of a field of a dataset.
#[derive(Clone, Debug, PartialEq)]
pub enum Rearrangement {
    /// Its rows get another order.
    Values(Box<Alignment>),
    /// Its classes get other numbers: `numbers[i]` is that of the class `i` among `names`.
    Classes {
        /// All classes, in the order of their numbers.
        names: Vec<String>,
        /// The number of each present class.
        numbers: Vec<u32>,
    },
}

impl Dataset {
    /// The same dataset with other values for its first field of the role `role`, which are written into a
    /// nameless file in `folder`: it takes the room of that field's values until the dataset is dropped, and
    /// as little memory as the dataset itself.
    ///
    /// # Errors
    /// The field does not hold what is rearranged, or the disk refuses.
    pub fn rearranged(
        &self,
        role: FieldRole,
        change: &Rearrangement,
        folder: &Path,
    ) -> Result<Self, DataError> {
        let inner = &*self.inner;
        let fields = inner.contents.schema.fields();
        let unfit = || DataError::Options("the dataset does not hold what is to be rearranged".into());
        let index = fields
            .iter()
            .position(|field| field.role == role)
            .ok_or_else(unfit)?;
        let field = match change {
            Rearrangement::Values(alignment) => alignment.field.clone(),
            Rearrangement::Classes { names, .. } => Field {
                names: names.clone(),
                ..fields[index].clone()
            },
        };
        let schema = inner.contents.schema.clone();
        let schema = schema.with_field(field.clone()).map_err(DataError::Options)?;
        let width = field.element.bytes();
        let failed = || DataError::io("write a temporary file in", folder);
        std::fs::create_dir_all(folder).map_err(failed())?;
        let file = tempfile::tempfile_in(folder).map_err(failed())?;
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        let mut out = Vec::new();
        for sample in 0..inner.contents.count {
            let bytes = inner.value(index, sample).bytes;
            out.clear();
            match change {
                Rearrangement::Values(alignment) => {
                    for source in &alignment.sources {
                        let value = source.and_then(|source| bytes.get(source * width..(source + 1) * width));
                        match (source, value) {
                            (Some(_), None) => return Err(unfit()),
                            (_, Some(value)) => out.extend_from_slice(value),
                            // 0 is nothing but zeros in every type.
                            (None, None) => out.resize(out.len() + width, 0),
                        }
                    }
                }
                Rearrangement::Classes { numbers, .. } => {
                    renumber(bytes, &field, numbers, &mut out).ok_or_else(unfit)?;
                }
            }
            writer.write_all(&out).map_err(failed())?;
        }
        let (column, ranges) = match change {
            Rearrangement::Values(_) => {
                let row = field.dimensions.len().ok_or_else(unfit)? * width;
                let length = row * inner.contents.count;
                (StoredColumn::fixed(field.dimensions, row, length), Vec::new())
            }
            Rearrangement::Classes { .. } => inner.contents.columns[index].moved(),
        };
        let map = inner.replaced.get(&index).unwrap_or(&inner.map);
        for range in ranges {
            writer.write_all(&map[range]).map_err(failed())?;
        }
        let file = writer
            .into_inner()
            .map_err(|error| failed()(error.into_error()))?;
        let map = map_private(&file).map_err(failed())?;

        let mut contents = inner.contents.clone();
        contents.columns[index] = column;
        contents.schema = schema;
        let mut replaced = inner.replaced.clone();
        replaced.insert(index, Arc::new(map));
        Ok(Self {
            inner: Arc::new(DatasetMap {
                map: Arc::clone(&inner.map),
                path: inner.path.clone(),
                contents,
                replaced,
            }),
        })
    }

    /// How many samples have a number other than 0 at each of `places` in the rows of the first input.
    pub fn counted(&self, places: &[usize]) -> Vec<u64> {
        let inner = &*self.inner;
        let width = ElementType::F32.bytes();
        let mut counts = vec![0; places.len()];
        for sample in 0..inner.contents.count {
            let bytes = inner.value(inner.contents.input, sample).bytes;
            for (count, place) in counts.iter_mut().zip(places) {
                let value = bytes.get(place * width..(place + 1) * width);
                let mut number = [0.0];
                read_f32s(value.unwrap_or_default(), &mut number);
                *count += u64::from(number != [0.0] && !number[0].is_nan());
            }
        }
        counts
    }
}

/// Adds to `out` a value that holds classes, `bytes`, with their new numbers; what has no class keeps none. Nothing where it
/// holds something else.
fn renumber(bytes: &[u8], field: &Field, numbers: &[u32], out: &mut Vec<u8>) -> Option<()> {
    match (field.kind, field.element) {
        (FieldKind::Mask, ElementType::U8) => {
            for class in bytes {
                out.push(match *class {
                    NO_PIXEL_CLASS => NO_PIXEL_CLASS,
                    // A mask has fewer classes than a byte has values.
                    class => *numbers.get(usize::from(class))? as u8,
                });
            }
        }
        (FieldKind::Class, ElementType::U32) => {
            for class in bytes.as_chunks::<4>().0 {
                let number = match u32::from_le_bytes(*class) {
                    NO_CLASS => NO_CLASS,
                    class => *numbers.get(class as usize)?,
                };
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        _ => return None,
    }
    Some(())
}

/// The file as memory.
fn map_private(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is only read, and the file has no name: nobody else can change it.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetWriter;
    use crate::data::value::{FieldValue, write_f32s};
    use crate::schema::{Dimensions, FeatureColumn, Schema};
    use crate::spec::SplitName;

    #[test]
    fn values_and_classes_are_put_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
        let input = |names: &[&str]| {
            let columns = names.iter().map(|name| FeatureColumn::number(name));
            Field::of_columns("features", columns.collect())
        };
        let schema = Schema::new(vec![
            input(&["b", "a"]),
            Field::class("class", texts(&["no", "yes"])),
        ]);
        let mut writer = DatasetWriter::create(folder.path(), schema.unwrap()).unwrap();
        for (row, class) in [([1f32, 2.0], 1u32), ([0.0, 4.0], 0)] {
            let mut bytes = Vec::new();
            write_f32s(&row, &mut bytes);
            let class = class.to_le_bytes();
            let class = FieldValue {
                bytes: &class,
                dimensions: Dimensions::SCALAR,
            };
            writer.push(&[FieldValue::row(&bytes, 2), class], "here").unwrap();
        }
        writer.finish(&[SplitName::Train, SplitName::Test]).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        assert_eq!(dataset.counted(&[0, 1]), [1, 2]);

        let wanted = input(&["a", "b"]);
        let alignment = Alignment::of_features(dataset.input(), &wanted).unwrap();
        let change = Rearrangement::Values(Box::new(alignment));
        let ordered = dataset
            .rearranged(FieldRole::Input, &change, folder.path())
            .unwrap();
        let change = Rearrangement::Classes {
            names: texts(&["yes", "maybe", "no"]),
            numbers: vec![2, 0],
        };
        let ordered = ordered
            .rearranged(FieldRole::Target, &change, folder.path())
            .unwrap();
        assert_eq!(*ordered.input(), wanted);
        let sample = |split| {
            let split = ordered.split(split).unwrap();
            let mut row = Vec::new();
            split.read_sample(0, &mut row).unwrap();
            (row, split.class(0), split.origin(0))
        };
        assert_eq!(
            sample(SplitName::Train),
            (vec![2.0, 1.0], Some(0), "here".to_owned())
        );
        assert_eq!(
            sample(SplitName::Test),
            (vec![4.0, 0.0], Some(2), "here".to_owned())
        );
        // The dataset itself is as it was.
        assert_eq!(dataset.input().names, ["b", "a"]);
        let wrong = Rearrangement::Classes {
            names: texts(&["yes"]),
            numbers: vec![0],
        };
        assert!(
            dataset
                .rearranged(FieldRole::Target, &wrong, folder.path())
                .is_err()
        );
    }

    /// Masks of various sizes, and classes of tokens, of which some have none.
    #[test]
    fn classes_of_pixels_and_tokens_get_other_numbers_where_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
        let schema = Schema::new(vec![
            Field::image("image", Dimensions::image(1, None)),
            Field::pixel_classes("mask", names.clone(), Dimensions::image(1, None)),
        ]);
        let masks: [(&[u8], u32); 3] = [(&[0, 1, NO_PIXEL_CLASS, 1], 2), (&[1], 1), (&[0, 0, 1], 1)];
        let mut writer = DatasetWriter::create(folder.path(), schema.unwrap()).unwrap();
        for (mask, height) in masks {
            let dimensions = Dimensions::image(1, Some([height as usize, mask.len() / height as usize]));
            let value = FieldValue {
                bytes: mask,
                dimensions,
            };
            writer.push(&[value, value], "here").unwrap();
        }
        writer.finish(&[SplitName::Train; 3]).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        let change = Rearrangement::Classes {
            names: ["b", "x", "a"].map(str::to_owned).to_vec(),
            numbers: vec![2, 0],
        };
        let twice = Rearrangement::Classes {
            names,
            numbers: vec![1, 1, 0],
        };
        let masks_of = |dataset: &Dataset| {
            let split = dataset.split(SplitName::Train).unwrap();
            (0..3)
                .map(|index| split.pixel_classes(index).unwrap().to_vec())
                .collect::<Vec<_>>()
        };
        let ordered = dataset
            .rearranged(FieldRole::Target, &change, folder.path())
            .unwrap();
        assert_eq!(
            masks_of(&ordered),
            [vec![2, 0, NO_PIXEL_CLASS, 0], vec![0], vec![2, 2, 0]]
        );
        // From there, what lies in the other file.
        let back = ordered
            .rearranged(FieldRole::Target, &twice, folder.path())
            .unwrap();
        assert_eq!(masks_of(&back), masks.map(|(mask, _)| mask.to_vec()));

        let mut out = Vec::new();
        let tokens = Field::token_classes("tags", vec!["o".to_owned(), "x".to_owned()]);
        let bytes: Vec<u8> = [1u32, NO_CLASS, 0]
            .iter()
            .flat_map(|class| class.to_le_bytes())
            .collect();
        assert_eq!(renumber(&bytes, &tokens, &[5, 7], &mut out), Some(()));
        let classes: Vec<u32> = out
            .as_chunks::<4>()
            .0
            .iter()
            .map(|class| u32::from_le_bytes(*class))
            .collect();
        assert_eq!(classes, [7, NO_CLASS, 5]);
        assert_eq!(renumber(&bytes, &tokens, &[5], &mut out), None);
        assert_eq!(
            renumber(
                &bytes,
                &Field::image("image", Dimensions::image(1, None)),
                &[5, 7],
                &mut out
            ),
            None
        );
    }
}
