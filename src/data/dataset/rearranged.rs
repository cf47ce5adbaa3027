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
use crate::schema::{ElementType, Field, FieldRole};

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
        let row = field.dimensions.len().ok_or_else(unfit)? * width;

        let failed = || DataError::io("write a temporary file in", folder);
        std::fs::create_dir_all(folder).map_err(failed())?;
        let file = tempfile::tempfile_in(folder).map_err(failed())?;
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        let mut out = Vec::with_capacity(row);
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
                    let class = inner.value(index, sample).class().ok_or_else(unfit)?;
                    let number = numbers.get(class as usize).ok_or_else(unfit)?;
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            if out.len() != row {
                return Err(unfit());
            }
            writer.write_all(&out).map_err(failed())?;
        }
        let file = writer
            .into_inner()
            .map_err(|error| failed()(error.into_error()))?;
        let map = map_private(&file).map_err(failed())?;

        let mut contents = inner.contents.clone();
        contents.columns[index] = StoredColumn::fixed(field.dimensions, row, map.len());
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
    use crate::schema::{FeatureColumn, Schema};
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
                dimensions: crate::schema::Dimensions::SCALAR,
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
}
