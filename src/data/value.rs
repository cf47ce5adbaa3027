//! One sample's value of one field, as a dataset file holds it.

use super::error::DataError;
use crate::schema::{Dimensions, ElementType, Encoding, Field};

/// One sample's value of one field: little-endian numbers, an image file's bytes or a text's, and the
/// sides of the array that they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldValue<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The sample's own sides; of an encoded image the sides once it is decoded, ragged where nobody
    /// has looked yet.
    pub dimensions: Dimensions,
}

/// A [`FieldValue`] that is not in a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OwnedValue {
    pub bytes: Vec<u8>,
    pub dimensions: Dimensions,
}

impl OwnedValue {
    /// The value.
    pub fn as_value(&self) -> FieldValue<'_> {
        FieldValue {
            bytes: &self.bytes,
            dimensions: self.dimensions,
        }
    }
}

impl<'a> FieldValue<'a> {
    /// Pixels, `[C, H, W]`.
    pub fn pixels(pixels: &'a [u8], [channels, height, width]: [usize; 3]) -> Self {
        Self {
            bytes: pixels,
            dimensions: Dimensions::image(channels, Some([height, width])),
        }
    }

    /// An image file, which will decode to `channels`, to `size` (`[H, W]`) if that is known.
    pub fn image_file(bytes: &'a [u8], channels: usize, size: Option<[usize; 2]>) -> Self {
        Self {
            bytes,
            dimensions: Dimensions::image(channels, size),
        }
    }

    /// A row of `columns` numbers, whose `bytes` are little-endian f32.
    pub fn row(bytes: &'a [u8], columns: usize) -> Self {
        Self {
            bytes,
            dimensions: Dimensions::row(columns),
        }
    }

    /// A text.
    pub fn text(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            dimensions: Dimensions::row(text.len()),
        }
    }

    /// Whether this is a value of `field`.
    pub fn fits(&self, field: &Field) -> bool {
        if !self.dimensions.fits(&field.dimensions) {
            return false;
        }
        match field.encoding {
            Encoding::ImageFile => !self.bytes.is_empty() && !self.dimensions.is_empty(),
            Encoding::Utf8 => {
                self.dimensions.len() == Some(self.bytes.len()) && std::str::from_utf8(self.bytes).is_ok()
            }
            Encoding::Raw => {
                let values = self.dimensions.len();
                let bytes = values.and_then(|values| values.checked_mul(field.element.bytes()));
                let is_hollow = field.is_image() && self.dimensions.is_empty();
                bytes == Some(self.bytes.len()) && !is_hollow
            }
        }
    }

    /// Copies numbers or labels into `out`.
    ///
    /// # Errors
    /// They are of another type, or more or fewer than `out` has room for.
    pub fn copy_f32(&self, element: ElementType, out: &mut [f32]) -> Result<(), DataError> {
        let unfit = || {
            DataError::Options(format!(
                "{} bytes of {element:?} are not {} numbers",
                self.bytes.len(),
                out.len()
            ))
        };
        if out.len().checked_mul(element.bytes()) != Some(self.bytes.len()) {
            return Err(unfit());
        }
        match element {
            ElementType::F32 => read_f32s(self.bytes, out),
            ElementType::U8 => {
                for (out, byte) in out.iter_mut().zip(self.bytes) {
                    *out = f32::from(*byte);
                }
            }
            _ => return Err(unfit()),
        }
        Ok(())
    }

    /// The class, where it is one.
    pub fn class(&self) -> Option<u32> {
        let bytes = self.bytes.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    }
}

/// Little-endian f32 as numbers; as many as there is room for in `out`.
pub(super) fn read_f32s(bytes: &[u8], out: &mut [f32]) {
    let (numbers, _) = bytes.as_chunks::<4>();
    for (out, number) in out.iter_mut().zip(numbers) {
        *out = f32::from_le_bytes(*number);
    }
}

/// Appends numbers as little-endian f32.
pub(super) fn write_f32s(numbers: &[f32], out: &mut Vec<u8>) {
    out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}
