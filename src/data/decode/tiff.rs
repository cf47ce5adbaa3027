//! TIFF files: their first image.

use std::io::Cursor;

use tiff::decoder::{BufferLayoutPreference, Decoder, DecodingResult, Limits};
use tiff::tags::{ExtraSamples, SampleFormat, Tag};
use tiff::{ColorType, TiffError};

use super::DecodeProblem;
use super::directory::Directory;
use super::raster::{Raster, RasterValues};

/// What a TIFF file begins with: by the order of bytes, for files up to 4 GB and over.
pub(super) const SIGNATURES: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];

/// The tag that says what numbers mean, and two of its values.
const PHOTOMETRIC: u16 = 262;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;

type Reader<'a> = Decoder<Cursor<&'a [u8]>>;

/// The height and width that a file claims.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<[usize; 2]> {
    size_of(&mut Decoder::new(Cursor::new(bytes)).ok()?).ok()
}

/// Decodes the first image of a file whose pixels take no more than `most` bytes, turned upright as its orientation
/// says: with TIFF that is part of how pixels are stored, and Pillow does so too.
pub(super) fn decode(bytes: &[u8], most: usize) -> Result<Raster, DecodeProblem> {
    // The decoder does not know palettes: what it takes for greys are then the indices.
    let indices = Directory::first(bytes)
        .filter(|directory| directory.number(PHOTOMETRIC) == Some(PALETTE))
        .and_then(|directory| directory.with_number(PHOTOMETRIC, BLACK_IS_ZERO));
    match indices {
        Some(indices) => decode_pixels(&indices, most, true),
        None => decode_pixels(bytes, most, false),
    }
}

/// Decodes a file whose greys are, where that is said, indices into its palette.
fn decode_pixels(bytes: &[u8], most: usize, is_indexed: bool) -> Result<Raster, DecodeProblem> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most;
    let mut reader: Reader<'_> = Decoder::new(Cursor::new(bytes))?.with_limits(limits);
    let size = size_of(&mut reader)?;
    let color = reader.colortype()?;
    let layout = reader.image_buffer_layout()?;
    if layout
        .complete_len
        .max(size[0].saturating_mul(size[1]).saturating_mul(3))
        > most
    {
        return Err(DecodeProblem::TooLarge(size));
    }
    if layout.sample_format != SampleFormat::Uint {
        return Err(unsupported("samples that are not whole numbers from 0 on"));
    }
    let extra: Vec<u16> = reader
        .find_tag_unsigned_vec(Tag::ExtraSamples)?
        .unwrap_or_default();
    let is_multiplied = extra.first() == Some(&ExtraSamples::AssociatedAlpha.to_u16());
    let mut result = DecodingResult::U8(Vec::new());
    reader.read_image_to_buffer(&mut result)?;
    let raster = |channels: usize, values: RasterValues| Raster {
        size,
        channels,
        values,
    };
    let raster = match (color, result) {
        (ColorType::Gray(bits @ (1 | 2 | 4 | 8)), DecodingResult::U8(values)) if is_indexed => {
            let palette = reader.get_tag_u16_vec(Tag::ColorMap)?;
            let indices = if bits == 8 {
                values
            } else {
                unpacked(&values, bits, size)
            };
            raster(3, RasterValues::Eight(colored(&indices, &palette)?))
        }
        (color, _) if is_indexed => {
            return Err(unsupported(&format!(
                "a palette and pixels of the kind {color:?}"
            )));
        }
        (ColorType::Gray(bits @ (1 | 2 | 4)), DecodingResult::U8(values)) => {
            let most = (1 << bits) - 1;
            let greys = unpacked(&values, bits, size).into_iter();
            raster(
                1,
                RasterValues::Eight(greys.map(|grey| (u16::from(grey) * 255 / most) as u8).collect()),
            )
        }
        (ColorType::CMYK(8), DecodingResult::U8(values)) => {
            let values = interleaved(values, 4, &layout);
            raster(
                3,
                RasterValues::Eight(values.as_chunks::<4>().0.iter().flat_map(rgb_of_cmyk).collect()),
            )
        }
        (ColorType::YCbCr(8), DecodingResult::U8(values)) => {
            let values = interleaved(values, 3, &layout);
            raster(
                3,
                RasterValues::Eight(values.as_chunks::<3>().0.iter().flat_map(rgb_of_ycbcr).collect()),
            )
        }
        (color, result) => {
            let channels = match color {
                ColorType::Gray(8 | 16) => 1,
                ColorType::GrayA(8 | 16)
                | ColorType::Multiband {
                    bit_depth: 8 | 16,
                    num_samples: 2,
                } => 2,
                ColorType::RGB(8 | 16) => 3,
                ColorType::RGBA(8 | 16) => 4,
                other => return Err(unsupported(&format!("pixels of the kind {other:?}"))),
            };
            match result {
                DecodingResult::U8(values) => {
                    let mut values = interleaved(values, channels, &layout);
                    if is_multiplied && matches!(channels, 2 | 4) {
                        values.chunks_exact_mut(channels).for_each(divide);
                    }
                    raster(channels, RasterValues::Eight(values))
                }
                DecodingResult::U16(values) if !(is_multiplied && matches!(channels, 2 | 4)) => raster(
                    channels,
                    RasterValues::Sixteen(interleaved(values, channels, &layout)),
                ),
                _ => return Err(unsupported("16 bits a sample and premultiplied alpha")),
            }
        }
    };
    let orientation = reader.find_tag_unsigned::<u8>(Tag::Orientation)?.unwrap_or(1);
    Ok(raster.oriented(orientation))
}

fn size_of(reader: &mut Reader<'_>) -> Result<[usize; 2], TiffError> {
    let (width, height) = reader.dimensions()?;
    Ok([height as usize, width as usize])
}

/// Values that lie beside one another pixel by pixel, from planes that may lie one behind the other.
fn interleaved<T: Copy>(values: Vec<T>, channels: usize, layout: &BufferLayoutPreference) -> Vec<T> {
    if layout.planes < 2 {
        return values;
    }
    let plane = values.len() / channels;
    let pixels = (0..plane).flat_map(|pixel| (0..channels).map(move |channel| channel * plane + pixel));
    pixels.map(|place| values[place]).collect()
}

/// The colours of indices into a palette, which has all reds, all greens, then all blues, of 16 bits each.
fn colored(indices: &[u8], palette: &[u16]) -> Result<Vec<u8>, DecodeProblem> {
    let colors = palette.len() / 3;
    let mut values = Vec::with_capacity(indices.len() * 3);
    for index in indices.iter().copied().map(usize::from) {
        if index >= colors {
            return Err(DecodeProblem::Corrupt(format!(
                "it has a pixel of colour {index}, and {colors} colours"
            )));
        }
        values.extend([0, 1, 2].map(|channel| (palette[channel * colors + index] >> 8) as u8));
    }
    Ok(values)
}

/// Values of fewer than 8 bits, whose rows begin at whole bytes.
fn unpacked(values: &[u8], bits: u8, [height, width]: [usize; 2]) -> Vec<u8> {
    let bits = usize::from(bits);
    let rows = values.chunks((width * bits).div_ceil(8)).take(height);
    let most = (1u8 << bits) - 1;
    rows.flat_map(|row| {
        (0..width).map(move |x| {
            let place = x * bits;
            row[place / 8] >> (8 - bits - place % 8) & most
        })
    })
    .collect()
}

/// As Pillow's conversion.
fn rgb_of_cmyk(pixel: &[u8; 4]) -> [u8; 3] {
    let [colors @ .., key] = *pixel;
    let left = 255 - i32::from(key);
    colors.map(|color| {
        let product = i32::from(color) * left + 128;
        (left - (((product >> 8) + product) >> 8)).clamp(0, 255) as u8
    })
}

/// As JFIF has it.
fn rgb_of_ycbcr(pixel: &[u8; 3]) -> [u8; 3] {
    let [y, cb, cr] = pixel.map(f32::from);
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    [
        y + 1.402 * cr,
        y - 0.344_136 * cb - 0.714_136 * cr,
        y + 1.772 * cb,
    ]
    .map(|value| value.round() as u8)
}

/// Takes alpha out of the colours it was multiplied into.
fn divide(pixel: &mut [u8]) {
    let Some((alpha, colors)) = pixel.split_last_mut() else {
        return;
    };
    for color in colors {
        *color = match *alpha {
            0 => 0,
            alpha => (u16::from(*color) * 255 / u16::from(alpha)).min(255) as u8,
        };
    }
}

fn unsupported(what: &str) -> DecodeProblem {
    DecodeProblem::Unsupported(format!("it is a TIFF file with {what}"))
}

impl From<TiffError> for DecodeProblem {
    fn from(error: TiffError) -> Self {
        match error {
            TiffError::UnsupportedError(what) => unsupported(&format!("something that is not read ({what})")),
            error => Self::Corrupt(error.to_string()),
        }
    }
}
