//! PNG files.

use std::io::Cursor;

use png::{BitDepth, Decoder, DecodingError, Limits, Reader, Transformations};

use super::DecodeProblem;
use super::raster::{Raster, RasterValues};

/// What a PNG file begins with.
pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The height and width that a file claims.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<[usize; 2]> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    let header = decoder.read_header_info().ok()?;
    Some([header.height as usize, header.width as usize])
}

/// The EXIF data of a file, which may stand before the pixels or behind them.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(SIGNATURE.len()..)?;
    loop {
        let (length, behind) = rest.split_first_chunk()?;
        let (name, behind) = behind.split_first_chunk()?;
        let (content, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if name == b"eXIf" {
            return Some(content);
        }
        // A checksum stands behind.
        rest = behind.get(4..)?;
    }
}

/// Decodes a file whose pixels take no more than `most` bytes. Palettes become colours, and fewer than 8 bits
/// become 8.
pub(super) fn decode(bytes: &[u8], most: usize) -> Result<Raster, DecodeProblem> {
    let problem = |error: DecodingError| match (&error, claimed_size(bytes)) {
        (DecodingError::LimitsExceeded, Some(size)) => DecodeProblem::TooLarge(size),
        _ => DecodeProblem::Corrupt(error.to_string()),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: most });
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader: Reader<_> = decoder.read_info().map_err(problem)?;
    let (colors, depth) = reader.output_color_type();
    let size = [reader.info().height as usize, reader.info().width as usize];
    let length = reader.output_buffer_size().filter(|length| *length <= most);
    let Some(length) = length else {
        return Err(DecodeProblem::TooLarge(size));
    };
    let mut values = vec![0; length];
    reader.next_frame(&mut values).map_err(problem)?;
    let values = match depth {
        BitDepth::Sixteen => {
            let (pairs, _) = values.as_chunks::<2>();
            RasterValues::Sixteen(pairs.iter().copied().map(u16::from_be_bytes).collect())
        }
        _ => RasterValues::Eight(values),
    };
    Ok(Raster {
        size,
        channels: colors.samples(),
        values,
    })
}
