//! WebP files: of an animation the first frame.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::DecodeProblem;
use super::raster::{Raster, RasterValues};

/// Whether a file begins as a WebP file does.
pub(super) fn is_begun(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")
}

/// The height and width that a file claims.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<[usize; 2]> {
    let decoder = WebPDecoder::new(Cursor::new(bytes)).ok()?;
    Some(size_of(&decoder))
}

/// Decodes a file whose pixels take no more than `most` bytes.
pub(super) fn decode(bytes: &[u8], most: usize) -> Result<Raster, DecodeProblem> {
    if is_truncated(bytes) {
        return Err(DecodeProblem::Corrupt("it ends early".to_owned()));
    }
    let mut decoder = WebPDecoder::new(Cursor::new(bytes))?;
    decoder.set_memory_limit(most);
    let size = size_of(&decoder);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    // Without an alpha channel it is decoded with one first.
    if size[0].saturating_mul(size[1]).saturating_mul(4) > most {
        return Err(DecodeProblem::TooLarge(size));
    }
    let mut values = vec![0; size[0] * size[1] * channels];
    decoder.read_image(&mut values)?;
    Ok(Raster {
        size,
        channels,
        values: RasterValues::Eight(values),
    })
}

/// Whether a file has fewer bytes than its header says, which count from behind them. As libwebp does, others are taken
/// whatever follows; the decoder fills what is missing and says nothing.
fn is_truncated(bytes: &[u8]) -> bool {
    let stated = bytes
        .get(4..8)
        .and_then(|stated| <[u8; 4]>::try_from(stated).ok());
    stated.is_none_or(|stated| u64::from(u32::from_le_bytes(stated)) + 8 > bytes.len() as u64)
}

/// The EXIF data of a file.
pub(super) fn exif(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).ok()?;
    decoder.exif_metadata().ok()?
}

fn size_of(decoder: &WebPDecoder<Cursor<&[u8]>>) -> [usize; 2] {
    let (width, height) = decoder.dimensions();
    [height as usize, width as usize]
}

impl From<DecodingError> for DecodeProblem {
    fn from(error: DecodingError) -> Self {
        match error {
            DecodingError::UnsupportedFeature(what) => {
                Self::Unsupported(format!("it is a WebP file with {what}"))
            }
            error => Self::Corrupt(error.to_string()),
        }
    }
}
