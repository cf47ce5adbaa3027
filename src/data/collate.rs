//! From the values of single samples to one array.

use super::batch::{Array, ArrayValues};
use super::error::DataError;
use super::value::FieldValue;
use crate::schema::{ElementType, Field, FieldKind};

/// What becomes of samples of various lengths; those of one length are stacked, `[N, ...]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collation {
    /// One behind another, with the offsets at which each begins.
    #[default]
    Pack,
    /// Stacked after each was made as long as the longest.
    Pad {
        /// What tokens are filled up with. Other values are filled up with zeros.
        token: u32,
    },
}

/// The array of `values`, which a file holds as `stored`, as a batch holds them: `served`.
pub(super) fn collate(
    stored: &Field,
    served: &Field,
    values: &[FieldValue<'_>],
    collation: Collation,
) -> Result<Array, DataError> {
    let count = values.len();
    if stored.kind == FieldKind::Class && served.kind == FieldKind::Probabilities {
        return Ok(probabilities(values, served.names.len()));
    }
    let mut writer = ArrayWriter {
        values: empty(served.element),
        element: stored.element,
        divisor: if stored.is_image() { 255.0 } else { 1.0 },
    };
    let mut dimensions = vec![count];
    // Images that ride along may have one size only after all changes.
    if served.dimensions.is_fixed() {
        dimensions.extend(served.dimensions.sides().flatten());
        for value in values {
            writer.append(value.bytes)?;
        }
        return match dimensions.iter().product::<usize>() == writer.values.len() {
            true => Ok(Array::stacked(writer.values, dimensions)),
            false => Err(unfit(served)),
        };
    }
    // Rows, where only the outermost side is ragged; else single values.
    let inner: Vec<usize> = served.dimensions.sides().skip(1).flatten().collect();
    let has_rows = served.dimensions.rank() == inner.len() + 1;
    let inner = if has_rows { inner } else { Vec::new() };
    let row = inner.iter().product::<usize>() * stored.element.bytes();
    let mut offsets = vec![0u64];
    let (mut end, mut longest) = (0, 0);
    for value in values {
        let rows = value.bytes.len() / row.max(1);
        longest = longest.max(rows);
        end += rows as u64;
        offsets.push(end);
    }
    match collation {
        Collation::Pack => {
            for value in values {
                writer.append(value.bytes)?;
            }
            dimensions = vec![end as usize];
        }
        Collation::Pad { token } => {
            let filler = if stored.kind == FieldKind::Tokens {
                token
            } else {
                0
            };
            for value in values {
                writer.append(value.bytes)?;
                let missing = longest * row - value.bytes.len();
                writer.fill_up(missing / stored.element.bytes(), filler);
            }
            dimensions.push(longest);
        }
    }
    dimensions.extend(inner);
    Ok(Array {
        values: writer.values,
        dimensions,
        offsets: Some(offsets),
    })
}

/// For each class, a row with a 1 at its place.
fn probabilities(values: &[FieldValue<'_>], classes: usize) -> Array {
    let mut rows = vec![0f32; values.len() * classes];
    for (row, value) in rows.chunks_exact_mut(classes.max(1)).zip(values) {
        let class = value.class().unwrap_or(u32::MAX);
        if let Some(probability) = row.get_mut(class as usize) {
            *probability = 1.0;
        }
    }
    Array::stacked(ArrayValues::F32(rows), vec![values.len(), classes])
}

fn empty(element: ElementType) -> ArrayValues {
    match element {
        ElementType::F32 => ArrayValues::F32(Vec::new()),
        ElementType::F64 => ArrayValues::F64(Vec::new()),
        ElementType::U16 | ElementType::U32 => ArrayValues::U32(Vec::new()),
        ElementType::U8 => ArrayValues::U8(Vec::new()),
        ElementType::I32 | ElementType::I64 => ArrayValues::I64(Vec::new()),
    }
}

fn unfit(field: &Field) -> DataError {
    DataError::Options(format!("the values of `{}` do not make one array", field.name))
}

/// Collects numbers.
struct ArrayWriter {
    values: ArrayValues,
    /// The type of the bytes.
    element: ElementType,
    /// What bytes that become single precision are divided by.
    divisor: f32,
}

impl ArrayWriter {
    /// Appends little-endian numbers.
    fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let divisor = self.divisor;
        match (&mut self.values, self.element) {
            (ArrayValues::F32(values), ElementType::F32) => {
                let (numbers, _) = bytes.as_chunks::<4>();
                values.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
            }
            (ArrayValues::F32(values), ElementType::U8) => {
                values.extend(bytes.iter().map(|byte| f32::from(*byte) / divisor));
            }
            (ArrayValues::F64(values), ElementType::F64) => {
                let (numbers, _) = bytes.as_chunks::<8>();
                values.extend(numbers.iter().map(|number| f64::from_le_bytes(*number)));
            }
            (ArrayValues::U8(values), ElementType::U8) => values.extend_from_slice(bytes),
            (ArrayValues::U32(values), ElementType::U32) => {
                let (numbers, _) = bytes.as_chunks::<4>();
                values.extend(numbers.iter().map(|number| u32::from_le_bytes(*number)));
            }
            (ArrayValues::U32(values), ElementType::U16) => {
                let (numbers, _) = bytes.as_chunks::<2>();
                values.extend(
                    numbers
                        .iter()
                        .map(|number| u32::from(u16::from_le_bytes(*number))),
                );
            }
            (ArrayValues::I64(values), ElementType::I64) => {
                let (numbers, _) = bytes.as_chunks::<8>();
                values.extend(numbers.iter().map(|number| i64::from_le_bytes(*number)));
            }
            (ArrayValues::I64(values), ElementType::I32) => {
                let (numbers, _) = bytes.as_chunks::<4>();
                values.extend(
                    numbers
                        .iter()
                        .map(|number| i64::from(i32::from_le_bytes(*number))),
                );
            }
            (_, element) => {
                return Err(DataError::Options(format!(
                    "a batch cannot hold values of {element:?} here"
                )));
            }
        }
        Ok(())
    }

    /// Appends `count` times `filler`.
    fn fill_up(&mut self, count: usize, filler: u32) {
        match &mut self.values {
            ArrayValues::F32(values) => values.resize(values.len() + count, 0.0),
            ArrayValues::F64(values) => values.resize(values.len() + count, 0.0),
            ArrayValues::U32(values) => values.resize(values.len() + count, filler),
            ArrayValues::U8(values) => values.resize(values.len() + count, 0),
            ArrayValues::I64(values) => values.resize(values.len() + count, i64::from(filler)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Dimensions;

    fn rows_of(bytes: &[Vec<u8>], row: usize, columns: Option<usize>) -> Vec<FieldValue<'_>> {
        let mut values = Vec::new();
        for bytes in bytes {
            let sides = [Some(bytes.len() / row), columns];
            let sides = if columns.is_some() {
                &sides[..]
            } else {
                &sides[..1]
            };
            values.push(FieldValue {
                bytes,
                dimensions: Dimensions::new(sides).unwrap(),
            });
        }
        values
    }

    #[test]
    fn tokens_are_packed_or_padded_and_widened() {
        let bytes: Vec<Vec<u8>> = [&[1i32, -2, 3][..], &[], &[4]]
            .map(|tokens| tokens.iter().flat_map(|token| token.to_le_bytes()).collect())
            .to_vec();
        let stored = Field::tokens("tokens", ElementType::I32);
        let served = stored.clone().with_element(ElementType::I64);
        let values = rows_of(&bytes, 4, None);
        let packed = collate(&stored, &served, &values, Collation::Pack).unwrap();
        let expected = Array {
            values: ArrayValues::I64(vec![1, -2, 3, 4]),
            dimensions: vec![4],
            offsets: Some(vec![0, 3, 3, 4]),
        };
        assert_eq!(packed, expected);
        let padded = collate(&stored, &served, &values, Collation::Pad { token: 9 }).unwrap();
        let expected = Array {
            values: ArrayValues::I64(vec![1, -2, 3, 9, 9, 9, 4, 9, 9]),
            dimensions: vec![3, 3],
            offsets: Some(vec![0, 3, 3, 4]),
        };
        assert_eq!(padded, expected);

        let bytes = vec![vec![1, 0, 255, 255]];
        let stored = Field::tokens("tokens", ElementType::U16);
        let served = stored.clone().with_element(ElementType::U32);
        let short = collate(&stored, &served, &rows_of(&bytes, 2, None), Collation::Pack);
        assert_eq!(short.unwrap().values, ArrayValues::U32(vec![1, 65535]));
    }

    #[test]
    fn rows_stay_whole() {
        let mut bytes = vec![Vec::new(), Vec::new()];
        bytes[0].extend((0..14).flat_map(|number| f64::from(number).to_le_bytes()));
        let objects = Field::objects("objects", vec!["thing".into()]);
        let values = rows_of(&bytes, 56, Some(7));
        let packed = collate(&objects, &objects, &values, Collation::Pack).unwrap();
        assert_eq!(
            (&packed.dimensions[..], &packed.offsets),
            (&[2, 7][..], &Some(vec![0, 2, 2]))
        );
        assert_eq!(packed.f64().unwrap()[13], 13.0);
        let padded = collate(&objects, &objects, &values, Collation::Pad { token: 9 }).unwrap();
        assert_eq!(padded.dimensions, [2, 2, 7]);
        assert_eq!(padded.f64().unwrap()[14..], [0.0; 14]);
    }

    #[test]
    fn what_does_not_make_an_array_is_refused() {
        let class = Field::class("class", vec!["a".into()]);
        let short = FieldValue {
            bytes: &[0; 8],
            dimensions: Dimensions::SCALAR,
        };
        let error = collate(&class, &class, &[short], Collation::Pack).unwrap_err();
        assert!(error.to_string().contains("`class` do not make one array"));
    }
}
