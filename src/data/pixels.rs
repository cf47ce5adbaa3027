//! Images on their way out of a dataset or a request.

use super::decode::decode;
use super::value::FieldValue;
use crate::schema::{Dimensions, Field};
use crate::spec::Color;

/// Copies or decodes an image's value into `pixels` (`[C, H, W]`, whatever it held before), and gives
/// its height and width.
///
/// An error says what is wrong with the image.
pub(super) fn decode_value(
    value: FieldValue<'_>,
    field: &Field,
    pixels: &mut Vec<u8>,
) -> Result<[usize; 2], String> {
    if !field.is_encoded() {
        pixels.clear();
        pixels.extend_from_slice(value.bytes);
        return value.dimensions.size().ok_or_else(|| "it has no size".into());
    }
    let preparation = field.preparation.unwrap_or_default();
    let size = decode(value.bytes, color_of(field), &preparation, pixels)?;
    let dimensions = Dimensions::image(field.channels(), Some(size));
    if dimensions.fits(&field.dimensions) {
        return Ok(size);
    }
    let [height, width] = field.dimensions.size().unwrap_or([0, 0]);
    Err(format!(
        "it has {}x{} pixels (height x width) and should have {height}x{width}",
        size[0], size[1]
    ))
}

/// What an image file decodes to for `field`.
pub(super) fn color_of(field: &Field) -> Color {
    match field.channels() {
        1 => Color::Gray,
        _ => Color::Rgb,
    }
}
