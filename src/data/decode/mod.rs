//! Decoding an image file.

mod jpeg;
mod png;
mod raster;
#[cfg(test)]
mod tests;

use crate::spec::Color;
use raster::Raster;

/// Samples with more values than this are taken for a mistake.
pub(super) const MOST_VALUES: usize = 1 << 28;

/// Decoded files with more bytes than this, before they are scaled, are taken for a mistake.
const MOST_BYTES: usize = 512 << 20;

/// Why a file gives no image.
enum DecodeProblem {
    /// It is not what it should be.
    Corrupt(String),
    /// It claims too large a height and width.
    TooLarge([usize; 2]),
}

/// The height and width that an image file claims, without decoding it.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<[usize; 2]> {
    if bytes.starts_with(png::SIGNATURE) {
        png::claimed_size(bytes)
    } else if bytes.starts_with(jpeg::SIGNATURE) {
        jpeg::claimed_size(bytes)
    } else {
        None
    }
}

/// Decodes a file's `bytes` into `pixels` (`[C, H, W]`, whatever it held before), resized to `size`
/// (height and width) if there is one, and gives height and width. What the file holds is told from
/// its content, not from its name. As in torchvision, EXIF orientation is not applied and an alpha
/// channel is dropped.
///
/// An error says what is wrong with the image.
pub(super) fn decode(
    bytes: &[u8],
    color: Color,
    size: Option<[u32; 2]>,
    pixels: &mut Vec<u8>,
) -> Result<[usize; 2], String> {
    let mut raster = raster_of(bytes).map_err(|problem| match problem {
        DecodeProblem::Corrupt(problem) => format!("the image is corrupt: {problem}"),
        DecodeProblem::TooLarge(size) => too_large(size),
    })?;
    if let Some([height, width]) = size {
        raster = raster.resized([height as usize, width as usize]);
    }
    let [height, width] = raster.size;
    if height.saturating_mul(width).saturating_mul(color.channels()) > MOST_VALUES {
        return Err(too_large(raster.size));
    }
    raster.planes(color, pixels);
    Ok(raster.size)
}

fn raster_of(bytes: &[u8]) -> Result<Raster, DecodeProblem> {
    if bytes.starts_with(png::SIGNATURE) {
        png::decode(bytes, MOST_BYTES)
    } else if bytes.starts_with(jpeg::SIGNATURE) {
        jpeg::decode(bytes, MOST_BYTES)
    } else {
        Err(DecodeProblem::Corrupt("it is neither JPEG nor PNG".to_owned()))
    }
}

fn too_large([height, width]: [usize; 2]) -> String {
    format!("the image is too large: it has {height}x{width} pixels (height x width); make it smaller")
}
