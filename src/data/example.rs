//! A sample from outside a dataset: a file, a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decode::{decode, told_size};
use super::error::DataError;
use super::pixels::color_of;
use super::value::{FieldValue, OwnedValue, write_f32s};
use crate::schema::{Dimensions, ElementType, Field, ImagePreparation, Schema};

/// What a text is called of which tokens are made later, and the second one of a pair.
const TEXT: &str = "text";
const PAIR: &str = "pair";

/// A sample from outside a dataset, field by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    values: BTreeMap<String, ExampleValue>,
}

/// What an example holds of one field.
#[derive(Clone, Debug, PartialEq)]
enum ExampleValue {
    /// An image file's bytes, to be decoded.
    ImageFile(Arc<[u8]>),
    /// The same, to be brought to the field's size.
    ScaledImageFile(Arc<[u8]>),
    /// Pixels and their `[C, H, W]`.
    Pixels(Vec<u8>, [usize; 3]),
    /// Numbers, labels or boxes in the field's order.
    Numbers(Vec<f32>),
    /// Numbers by the field's names.
    NamedNumbers(BTreeMap<String, f32>),
    /// Tokens, or a class.
    Integers(Vec<i64>),
    Text(String),
}

impl Example {
    /// The example with an image file's bytes as its field `name`.
    #[must_use]
    pub fn with_image_file(self, name: &str, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.with(name, ExampleValue::ImageFile(bytes.into()))
    }

    /// The example with an image file's bytes as its field `name`. Where the field holds pixels of one size,
    /// the image is brought to it as a folder of images is by its option `size`.
    #[must_use]
    pub fn with_scaled_image_file(self, name: &str, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.with(name, ExampleValue::ScaledImageFile(bytes.into()))
    }

    /// The example with `pixels` in `[C, H, W]` order as its field `name`.
    #[must_use]
    pub fn with_pixels(self, name: &str, pixels: Vec<u8>, shape: [usize; 3]) -> Self {
        self.with(name, ExampleValue::Pixels(pixels, shape))
    }

    /// The example with numbers, labels (0 or 1) or boxes, row by row, as its field `name`.
    #[must_use]
    pub fn with_numbers(self, name: &str, numbers: Vec<f32>) -> Self {
        self.with(name, ExampleValue::Numbers(numbers))
    }

    /// The example with numbers by the names of the columns as its field `name`.
    #[must_use]
    pub fn with_named_numbers(self, name: &str, numbers: BTreeMap<String, f32>) -> Self {
        self.with(name, ExampleValue::NamedNumbers(numbers))
    }

    /// The example with tokens, or a class, as its field `name`.
    #[must_use]
    pub fn with_integers(self, name: &str, integers: Vec<i64>) -> Self {
        self.with(name, ExampleValue::Integers(integers))
    }

    /// The example with a text as its field `name`.
    #[must_use]
    pub fn with_text(self, name: &str, text: &str) -> Self {
        self.with(name, ExampleValue::Text(text.to_owned()))
    }

    /// The example with a text, or a pair of them, of which tokens are made later.
    #[must_use]
    pub fn of_texts(text: &str, pair: Option<&str>) -> Self {
        let example = Self::default().with_text(TEXT, text);
        match pair {
            Some(pair) => example.with_text(PAIR, pair),
            None => example,
        }
    }

    /// The text, and the second of a pair, of [`Example::of_texts`].
    pub fn texts(&self) -> Option<(&str, Option<&str>)> {
        let text = |name: &str| match self.values.get(name) {
            Some(ExampleValue::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        Some((text(TEXT)?, text(PAIR)))
    }

    /// Height and width of the image that its field `field` is, before it is scaled; nothing where it is none, or does not
    /// tell.
    pub fn image_size(&self, field: &Field) -> Option<[usize; 2]> {
        match self.values.get(&field.name)? {
            ExampleValue::ImageFile(file) | ExampleValue::ScaledImageFile(file) => {
                told_size(file, field.preparation.unwrap_or_default().exif_orientation)
            }
            ExampleValue::Pixels(_, [_, height, width]) => Some([*height, *width]),
            _ => None,
        }
    }

    fn with(mut self, name: &str, value: ExampleValue) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    /// The values as a dataset of `schema` would hold them, in its order; `index` counts the examples.
    pub(super) fn resolve(&self, schema: &Schema, index: usize) -> Result<Vec<OwnedValue>, DataError> {
        let bad = |problem: String| DataError::Input {
            place: format!("sample {index} of the request"),
            problem,
        };
        if let Some(name) = self.values.keys().find(|name| schema.field(name).is_none()) {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
            return Err(bad(format!(
                "`{name}` is none of what is asked for (`{}`): leave it out",
                known.join("`, `")
            )));
        }
        let fields = schema.fields().iter().map(|field| {
            let value = self.values.get(&field.name);
            let value = value.ok_or_else(|| format!("`{}` is missing", field.name))?;
            let owned = value.resolve(field)?;
            if owned.as_value().fits(field) {
                return Ok(owned);
            }
            Err(format!(
                "its `{}` is {}, and {field} is asked for",
                field.name, owned.dimensions
            ))
        });
        fields.collect::<Result<Vec<OwnedValue>, String>>().map_err(bad)
    }
}

impl ExampleValue {
    /// The value as a dataset would hold it. An error says what is wrong with it.
    fn resolve(&self, field: &Field) -> Result<OwnedValue, String> {
        let mut bytes = Vec::new();
        let dimensions = match self {
            Self::ImageFile(file) | Self::ScaledImageFile(file) if field.is_encoded() => {
                bytes.extend_from_slice(file);
                field.dimensions
            }
            Self::ImageFile(file) => {
                let preparation = field.preparation.unwrap_or_default();
                let size = decode(file, color_of(field), &preparation, &mut bytes)?;
                Dimensions::image(field.channels(), Some(size))
            }
            Self::ScaledImageFile(file) => {
                // Sides are held in 32 bits.
                let size = field.dimensions.size().map(|size| size.map(|side| side as u32));
                let preparation = ImagePreparation {
                    size,
                    ..field.preparation.unwrap_or_default()
                };
                let size = decode(file, color_of(field), &preparation, &mut bytes)?;
                Dimensions::image(field.channels(), Some(size))
            }
            Self::Pixels(pixels, [channels, height, width]) => {
                bytes.clone_from(pixels);
                Dimensions::image(*channels, Some([*height, *width]))
            }
            Self::Numbers(numbers) => {
                match field.element {
                    ElementType::U8 => bytes.extend(numbers.iter().map(|number| u8::from(*number != 0.0))),
                    ElementType::F64 => {
                        bytes.extend(numbers.iter().flat_map(|number| f64::from(*number).to_le_bytes()));
                    }
                    _ => write_f32s(numbers, &mut bytes),
                }
                rows(field, numbers.len())
            }
            Self::NamedNumbers(numbers) => {
                if let Some(name) = numbers.keys().find(|name| !field.names.contains(name)) {
                    return Err(format!("`{}` has no `{name}`: leave it out", field.name));
                }
                for name in &field.names {
                    let number = numbers.get(name);
                    let number = number.ok_or_else(|| format!("`{name}` of `{}` is missing", field.name))?;
                    write_f32s(&[*number], &mut bytes);
                }
                rows(field, field.names.len())
            }
            Self::Integers(integers) => {
                for integer in integers {
                    write_integer(*integer, field.element, &mut bytes)
                        .ok_or_else(|| format!("{integer} does not fit `{}`", field.name))?;
                }
                rows(field, integers.len())
            }
            Self::Text(text) => {
                bytes.extend_from_slice(text.as_bytes());
                FieldValue::text(text).dimensions
            }
        };
        Ok(OwnedValue { bytes, dimensions })
    }
}

/// The sides of `values` numbers of `field`: its own, the outermost of them filled in where it is
/// ragged.
fn rows(field: &Field, values: usize) -> Dimensions {
    let row = field.dimensions.fixed_len().unwrap_or(1).max(1);
    match field.dimensions.is_fixed() {
        true if field.dimensions.len() == Some(values) => field.dimensions,
        true => Dimensions::row(values),
        false => field
            .dimensions
            .filled([u32::try_from(values / row).unwrap_or(u32::MAX)]),
    }
}

fn write_integer(integer: i64, element: ElementType, out: &mut Vec<u8>) -> Option<()> {
    match element {
        ElementType::U8 => out.extend(u8::try_from(integer).ok()?.to_le_bytes()),
        ElementType::U16 => out.extend(u16::try_from(integer).ok()?.to_le_bytes()),
        ElementType::I32 => out.extend(i32::try_from(integer).ok()?.to_le_bytes()),
        ElementType::U32 => out.extend(u32::try_from(integer).ok()?.to_le_bytes()),
        ElementType::I64 => out.extend(integer.to_le_bytes()),
        ElementType::F32 | ElementType::F64 => return None,
    }
    Some(())
}
