//! BMP files.
//!
//! Own code, as the decoders for BMP alone that were looked at do not give all kinds rightly; held to Pillow.

mod header;
mod runs;

use super::DecodeProblem;
use super::raster::{Raster, RasterValues};
use header::{BmpHeader, Coding};

/// What a BMP file begins with.
pub(super) const SIGNATURE: &[u8] = b"BM";

/// Whether a file begins as a BMP file does: the two letters alone are not enough to tell.
pub(super) fn is_begun(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE) && BmpHeader::has_known_length(bytes)
}

/// The height and width that a file claims.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<[usize; 2]> {
    BmpHeader::read(bytes).ok().map(|header| header.size)
}

/// Decodes a file whose pixels take no more than `most` bytes, as red, green and blue.
pub(super) fn decode(bytes: &[u8], most: usize) -> Result<Raster, DecodeProblem> {
    let header = BmpHeader::read(bytes)?;
    let [height, width] = header.size;
    let length = height.saturating_mul(width).saturating_mul(3);
    if length > most {
        return Err(DecodeProblem::TooLarge(header.size));
    }
    let data = bytes.get(header.data..).unwrap_or_default();
    let mut values = Vec::with_capacity(length.min(bytes.len().saturating_mul(128)));
    match &header.coding {
        Coding::Indexed { bits } => {
            for row in rows(data, &header, usize::from(*bits))? {
                let indices = (0..width).map(|x| {
                    let place = x * usize::from(*bits);
                    row[place / 8] >> (8 - bits - (place % 8) as u8) & (0xff >> (8 - bits))
                });
                for index in indices {
                    values.extend(color(&header, index)?);
                }
            }
        }
        Coding::Runs { bits } => {
            for index in runs::expand(data, *bits, header.size)? {
                values.extend(color(&header, index)?);
            }
        }
        Coding::Direct { bytes } => {
            for row in rows(data, &header, bytes * 8)? {
                for pixel in row[..width * bytes].chunks_exact(*bytes) {
                    values.extend([pixel[2], pixel[1], pixel[0]]);
                }
            }
        }
        Coding::Masked { bytes, masks } => {
            for row in rows(data, &header, bytes * 8)? {
                for pixel in row[..width * bytes].chunks_exact(*bytes) {
                    let word = pixel
                        .iter()
                        .rev()
                        .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
                    values.extend(masks.map(|mask| masked(word, mask)));
                }
            }
        }
    }
    if !header.is_top_down {
        let rows: Vec<&[u8]> = values.chunks_exact(width * 3).rev().collect();
        values = rows.concat();
    }
    Ok(Raster {
        size: header.size,
        channels: 3,
        values: RasterValues::Eight(values),
    })
}

/// The rows of pixels of so many bits, each of which begins at a multiple of four bytes.
fn rows<'a>(
    data: &'a [u8],
    header: &BmpHeader,
    bits: usize,
) -> Result<impl Iterator<Item = &'a [u8]>, DecodeProblem> {
    let [height, width] = header.size;
    let used = (width * bits).div_ceil(8);
    let stride = used.next_multiple_of(4);
    // The last row may come without its padding.
    if data.len() < stride * (height - 1) + used {
        return Err(DecodeProblem::Corrupt("it ends early".to_owned()));
    }
    Ok(data.chunks(stride).take(height))
}

fn color(header: &BmpHeader, index: u8) -> Result<[u8; 3], DecodeProblem> {
    let color = header.palette.get(usize::from(index));
    color.copied().ok_or_else(|| {
        let problem = format!(
            "it has a pixel of colour {index}, and {} colours",
            header.palette.len()
        );
        DecodeProblem::Corrupt(problem)
    })
}

/// The bits under a mask, scaled to a byte as Pillow does.
fn masked(word: u32, mask: u32) -> u8 {
    if mask == 0 {
        return 0;
    }
    let shift = mask.trailing_zeros();
    let most = u64::from(mask >> shift);
    (u64::from((word & mask) >> shift) * 255 / most) as u8
}
