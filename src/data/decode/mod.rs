//! Image files: the one way from a file's bytes to pixels, for datasets, for training and for what is predicted.

mod bmp;
mod directory;
mod form;
mod gif;
mod jpeg;
mod jpeg_frame;
mod orientation;
mod png;
mod raster;
#[cfg(test)]
mod tests;
mod tiff;
mod webp;

use crate::schema::ImagePreparation;
use crate::spec::Color;
pub(super) use form::ImageForm;
use form::foreign_form;

/// Samples with more values than this are taken for a mistake.
pub(super) const MOST_VALUES: usize = 1 << 28;

/// Decoded files with more bytes than this, before they are scaled, are taken for a mistake.
const MOST_BYTES: usize = 512 << 20;

/// Why a file gives no image.
enum DecodeProblem {
    /// It is not what it should be.
    Corrupt(String),
    /// It is an image of a kind that is not read.
    Unsupported(String),
    /// It claims too large a height and width.
    TooLarge([usize; 2]),
}

/// The height and width that an image file claims, without decoding it.
pub fn claimed_size(bytes: &[u8]) -> Option<[usize; 2]> {
    ImageForm::of(bytes)?.claimed_size(bytes)
}

/// The height and width that an image file tells without being decoded; those of the image that its EXIF data turn, where
/// it is to be `upright`.
pub(super) fn told_size(bytes: &[u8], upright: bool) -> Option<[usize; 2]> {
    /// From here on EXIF's orientations are turned by a quarter.
    const QUARTER: u8 = 5;
    let form = ImageForm::of(bytes)?;
    let [height, width] = form.claimed_size(bytes)?;
    Some(match upright && form.orientation(bytes) >= QUARTER {
        true => [width, height],
        false => [height, width],
    })
}

/// Whether a file's EXIF data turn or mirror its image.
pub(super) fn is_turned(bytes: &[u8]) -> bool {
    ImageForm::of(bytes).is_some_and(|form| form.orientation(bytes) > 1)
}

/// Whether a file that begins with `bytes` is an image, of a form that is read or of one that is not.
pub(super) fn is_recognised(bytes: &[u8]) -> bool {
    ImageForm::of(bytes).is_some() || foreign_form(bytes).is_some()
}

/// Decodes a file's `bytes` into `pixels` (`[C, H, W]`, whatever it held before), prepared as `preparation` says, and
/// gives height and width. What the file holds is told from its content, not from its name. As in torchvision, an
/// alpha channel is dropped.
///
/// An error says what is wrong with the image.
pub(super) fn decode(
    bytes: &[u8],
    color: Color,
    preparation: &ImagePreparation,
    pixels: &mut Vec<u8>,
) -> Result<[usize; 2], String> {
    let mut raster = raster_of(bytes, preparation).map_err(|problem| match problem {
        DecodeProblem::Corrupt(problem) => format!("the image is corrupt: {problem}"),
        DecodeProblem::Unsupported(kind) => {
            format!(
                "the image is not supported: {kind}; save it anew as PNG, or as JPEG with the usual settings"
            )
        }
        DecodeProblem::TooLarge(size) => too_large(size),
    })?;
    if let Some(size) = preparation.size {
        raster = raster.resized(size.map(|side| side as usize));
    }
    let [height, width] = raster.size;
    if height.saturating_mul(width).saturating_mul(color.channels()) > MOST_VALUES {
        return Err(too_large(raster.size));
    }
    raster.planes(color, pixels);
    Ok(raster.size)
}

fn raster_of(bytes: &[u8], preparation: &ImagePreparation) -> Result<raster::Raster, DecodeProblem> {
    let Some(form) = ImageForm::of(bytes) else {
        return Err(match foreign_form(bytes) {
            Some(kind) => DecodeProblem::Unsupported(format!("it is {kind}")),
            None if bytes.is_empty() => DecodeProblem::Corrupt("the file is empty".to_owned()),
            None => DecodeProblem::Corrupt("it begins as no image does".to_owned()),
        });
    };
    // What damaged files make decoders of other crates do is not in our hands.
    let decoded = std::panic::catch_unwind(|| form.decode(bytes, MOST_BYTES));
    let gave_up = |_| Err(DecodeProblem::Corrupt("decoding broke off".to_owned()));
    let raster = decoded.unwrap_or_else(gave_up)?;
    Ok(match preparation.exif_orientation {
        true => raster.oriented(form.orientation(bytes)),
        false => raster,
    })
}

fn too_large([height, width]: [usize; 2]) -> String {
    format!("the image is too large: it has {height}x{width} pixels (height x width); make it smaller")
}
