//! GIF files: their first frame.

use std::io::Cursor;
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::DecodeProblem;
use super::raster::{Raster, RasterValues};

/// What a GIF file begins with.
pub(super) const SIGNATURES: [&[u8]; 2] = [b"GIF87a", b"GIF89a"];

/// The height and width that a file claims.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<[usize; 2]> {
    let &[a, b, c, d] = bytes.get(6..10)?.first_chunk()?;
    let [width, height] = [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])].map(usize::from);
    Some([height, width])
}

/// Decodes the first frame of a file whose pixels take no more than `most` bytes, as red, green and blue.
///
/// As in Pillow, a frame that covers a part of the canvas leaves the rest in the transparent colour, or else in the
/// first, and what is transparent keeps the palette's colour.
pub(super) fn decode(bytes: &[u8], most: usize) -> Result<Raster, DecodeProblem> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(NonZeroU64::new(most as u64).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    let mut decoder = options.read_info(Cursor::new(bytes))?;
    let canvas = [decoder.height(), decoder.width()].map(usize::from);
    let frame = decoder.next_frame_info()?;
    let frame = frame.ok_or_else(|| DecodeProblem::Corrupt("it has no frame".to_owned()))?;
    let [top, left, rows, columns] = [frame.top, frame.left, frame.height, frame.width].map(usize::from);
    let background = usize::from(frame.transparent.unwrap_or(0));
    let size = [canvas[0].max(top + rows), canvas[1].max(left + columns)];
    if size[0] * size[1] * 3 > most {
        return Err(DecodeProblem::TooLarge(size));
    }
    if rows == 0 || columns == 0 {
        return Err(DecodeProblem::Corrupt("its first frame is empty".to_owned()));
    }
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices)?;
    let (palette, _) = decoder.palette()?.as_chunks::<3>();
    let color = |index: usize| palette.get(index).copied().unwrap_or_default();
    let mut values: Vec<u8> = color(background).repeat(size[0] * size[1]);
    for (row, indices) in indices.chunks_exact(columns).enumerate() {
        let start = ((top + row) * size[1] + left) * 3;
        let (pixels, _) = values[start..start + columns * 3].as_chunks_mut::<3>();
        for (pixel, index) in pixels.iter_mut().zip(indices) {
            *pixel = color(usize::from(*index));
        }
    }
    Ok(Raster {
        size,
        channels: 3,
        values: RasterValues::Eight(values),
    })
}

impl From<DecodingError> for DecodeProblem {
    fn from(error: DecodingError) -> Self {
        Self::Corrupt(error.to_string())
    }
}
