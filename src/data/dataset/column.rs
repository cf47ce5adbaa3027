//! One column of a dataset file.

use std::ops::Range;

use super::bytes::{item, read_f32, read_u32, read_u64, spelt};
use super::contents::{array, items};
use crate::data::layout::ColumnSections;
use crate::data::value::FieldValue;
use crate::schema::{Dimensions, ElementType, Field, FieldKind, FieldRole, NO_CLASS, NO_PIXEL_CLASS};

/// Where a field's values lie. All ranges lie in the file, all values are what the field says.
#[derive(Clone, Debug)]
pub(super) struct StoredColumn {
    dimensions: Dimensions,
    data: Range<usize>,
    placement: Placement,
}

/// How to find one sample's value.
#[derive(Clone, Debug)]
enum Placement {
    /// All have so many bytes.
    Fixed { bytes: usize },
    /// Each ends where `ends` says.
    Ends { ends: Range<usize>, sides: Sides },
}

/// Where a sample's ragged sides are.
#[derive(Clone, Debug)]
enum Sides {
    /// In a section of their own.
    Stored(Range<usize>),
    /// There is one, which follows from the length: a row has so many bytes.
    Rows { bytes: usize },
    /// Nobody knows before the value is decoded.
    Encoded,
}

impl StoredColumn {
    /// A column of values of `bytes` bytes each, which lie side by side in the first `length` bytes.
    pub fn fixed(dimensions: Dimensions, bytes: usize, length: usize) -> Self {
        Self {
            dimensions,
            data: 0..length,
            placement: Placement::Fixed { bytes },
        }
    }

    /// The same column where its data begin a map and what tells where each value ends stands behind them: these are the
    /// ranges of the map that it lies in now.
    pub fn moved(&self) -> (Self, Vec<Range<usize>>) {
        let mut end = self.data.len();
        let mut ranges = Vec::new();
        let mut behind = |range: &Range<usize>| {
            let start = end;
            end += range.len();
            ranges.push(range.clone());
            start..end
        };
        let placement = match &self.placement {
            Placement::Fixed { bytes } => Placement::Fixed { bytes: *bytes },
            Placement::Ends { ends, sides } => Placement::Ends {
                ends: behind(ends),
                sides: match sides {
                    Sides::Stored(sizes) => Sides::Stored(behind(sizes)),
                    other => other.clone(),
                },
            },
        };
        let column = Self {
            dimensions: self.dimensions,
            data: 0..self.data.len(),
            placement,
        };
        (column, ranges)
    }

    /// Finds and checks the column of `count` samples. An error says what is wrong with the file.
    pub fn parse(map: &[u8], count: usize, sections: &ColumnSections) -> Result<Self, String> {
        let ColumnSections {
            field,
            data,
            ends,
            sizes,
        } = sections;
        let what = name_in_messages(field);
        let dimensions = field.dimensions;
        let is_fixed = dimensions.is_fixed() && !field.is_encoded();
        let has_sizes = dimensions.ragged_sides() > 1 && !field.is_encoded();
        if ends.is_some() == is_fixed || sizes.is_some() != has_sizes {
            return Err(format!("its {what} have no ends or sizes, or too many"));
        }
        let too_large = || format!("its {what} are too large");
        let row = dimensions
            .fixed_len()
            .and_then(|len| len.checked_mul(field.element.bytes()))
            .ok_or_else(too_large)?;
        let (data, placement) = match (ends, sizes) {
            (None, _) => (
                array(map, *data, count, row, &what)?,
                Placement::Fixed { bytes: row },
            ),
            (Some(ends), sizes) => {
                let (ends, data) = items(map, *ends, *data, count, &what)?;
                let sides = match sizes {
                    Some(sizes) => {
                        let item = 4 * dimensions.ragged_sides();
                        Sides::Stored(array(map, *sizes, count, item, &format!("sizes of {what}"))?)
                    }
                    None if field.is_encoded() => Sides::Encoded,
                    None => Sides::Rows { bytes: row },
                };
                (data, Placement::Ends { ends, sides })
            }
        };
        let column = Self {
            dimensions,
            data,
            placement,
        };
        column.check_lengths(map, count, field)?;
        check_values(&map[column.data.clone()], field)?;
        Ok(column)
    }

    /// The value of the sample at `position`. Panics where there is none.
    pub fn value<'a>(&self, map: &'a [u8], position: usize) -> FieldValue<'a> {
        let data = &map[self.data.clone()];
        match &self.placement {
            Placement::Fixed { bytes } => FieldValue {
                bytes: item(data, position, *bytes),
                dimensions: self.dimensions,
            },
            Placement::Ends { ends, sides } => {
                let bytes = spelt(data, &map[ends.clone()], position);
                let dimensions = match sides {
                    Sides::Encoded => self.dimensions,
                    // The lengths were checked: they fit 32 bits and are whole rows.
                    Sides::Rows { bytes: row } => self.dimensions.filled([(bytes.len() / row) as u32]),
                    Sides::Stored(sizes) => {
                        let sizes = &map[sizes.clone()];
                        let ragged = self.dimensions.ragged_sides();
                        let sizes = (0..ragged).map(|side| read_u32(sizes, ragged * position + side));
                        self.dimensions.filled(sizes)
                    }
                };
                FieldValue { bytes, dimensions }
            }
        }
    }

    /// Checks that each sample has as many bytes as its sides say.
    fn check_lengths(&self, map: &[u8], count: usize, field: &Field) -> Result<(), String> {
        let Placement::Ends { ends, sides } = &self.placement else {
            return Ok(());
        };
        let ends = &map[ends.clone()];
        let mut start = 0;
        for index in 0..count {
            let end = read_u64(ends, index);
            let length = end - start;
            start = end;
            match sides {
                Sides::Encoded => {}
                Sides::Rows { bytes: row } => {
                    let rows = length / *row as u64;
                    if !length.is_multiple_of(*row as u64) || rows >= u64::from(u32::MAX) {
                        return Err(format!(
                            "`{}` of sample {index} has {length} bytes, which are no whole rows",
                            field.name
                        ));
                    }
                }
                Sides::Stored(_) => {
                    let dimensions = self.value(map, index).dimensions;
                    let values = length / field.element.bytes() as u64;
                    let fits = dimensions.len().map(|len| len as u64) == Some(values)
                        && length.is_multiple_of(field.element.bytes() as u64)
                        && (length > 0 || !field.is_image());
                    if !fits {
                        return Err(match dimensions.size() {
                            Some([height, width]) if field.is_image() => {
                                format!(
                                    "image {index} claims {height}x{width} pixels and has {values} values"
                                )
                            }
                            _ => format!("`{}` of sample {index} is not {dimensions}", field.name),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// What the column's values are called in messages.
fn name_in_messages(field: &Field) -> String {
    match (field.role, field.kind) {
        (FieldRole::Input, _) => "samples".to_owned(),
        (FieldRole::Origin, _) => "origins".to_owned(),
        (FieldRole::Target, FieldKind::Class | FieldKind::Labels) => "labels".to_owned(),
        (FieldRole::Target, _) => "targets".to_owned(),
        (FieldRole::Weight, _) => "weights".to_owned(),
        (FieldRole::Detail, _) => format!("`{}`", field.name),
    }
}

/// Checks that classes have names, labels are 0 or 1, and what is predicted or weighs is finite.
fn check_values(data: &[u8], field: &Field) -> Result<(), String> {
    let width = field.dimensions.len().unwrap_or(1).max(1);
    match (field.kind, field.role) {
        (FieldKind::Class, _) => {
            let classes = field.names.len();
            let is_ragged = !field.dimensions.is_fixed();
            let is_wrong = |class: u32| class as usize >= classes && !(is_ragged && class == NO_CLASS);
            let wrong = (0..data.len() / 4).find(|index| is_wrong(read_u32(data, *index)));
            wrong.map_or(Ok(()), |at| {
                let what = if is_ragged { "token" } else { "sample" };
                Err(format!(
                    "{what} {at} has label {}, and there are {classes} classes",
                    read_u32(data, at)
                ))
            })
        }
        (FieldKind::Mask, _) if !field.names.is_empty() => {
            let classes = field.names.len();
            let is_wrong = |class: &u8| usize::from(*class) >= classes && *class != NO_PIXEL_CLASS;
            data.iter().find(|class| is_wrong(class)).map_or(Ok(()), |class| {
                Err(format!(
                    "a pixel has class {class}, and there are {classes} classes"
                ))
            })
        }
        (FieldKind::Tokens, _) => check_tokens(data, field),
        (FieldKind::TokenMask, _) => match data.iter().position(|mask| *mask > 1) {
            Some(at) => Err(format!("the mask of token {at} is neither 0 nor 1")),
            None => Ok(()),
        },
        (FieldKind::Labels, _) => match data.iter().position(|label| *label > 1) {
            Some(at) => Err(format!("the labels of sample {} are neither 0 nor 1", at / width)),
            None => Ok(()),
        },
        (FieldKind::Numbers, FieldRole::Target | FieldRole::Weight) => {
            match (0..data.len() / 4).find(|index| !read_f32(data, *index).is_finite()) {
                Some(at) if field.dimensions.is_fixed() => Err(format!(
                    "the {} of sample {} are not finite",
                    name_in_messages(field),
                    at / width
                )),
                Some(_) => Err(format!("`{}` has numbers that are not finite", field.name)),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Checks that tokens are in their vocabulary.
fn check_tokens(data: &[u8], field: &Field) -> Result<(), String> {
    let Some(vocabulary) = &field.vocabulary else {
        return Ok(());
    };
    let wrong = match field.element {
        ElementType::U16 => {
            let (tokens, _) = data.as_chunks::<2>();
            tokens
                .iter()
                .map(|token| u32::from(u16::from_le_bytes(*token)))
                .position(|token| token >= vocabulary.size)
        }
        _ => (0..data.len() / 4).position(|index| read_u32(data, index) >= vocabulary.size),
    };
    match wrong {
        Some(at) => Err(format!(
            "token {at} is not in the vocabulary of {} tokens",
            vocabulary.size
        )),
        None => Ok(()),
    }
}
