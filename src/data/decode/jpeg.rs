//! JPEG files.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::DecodeProblem;
use super::raster::{Raster, RasterValues};

/// What a JPEG file begins with.
pub(super) const SIGNATURE: &[u8] = &[0xff, 0xd8, 0xff];

/// Height and width, and the colours, that a file claims.
struct JpegHeader {
    size: [usize; 2],
    colors: ColorSpace,
}

/// The height and width that a file claims.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<[usize; 2]> {
    header(bytes).ok().map(|header| header.size)
}

/// Decodes a file whose pixels take no more than `most` bytes. What is not grey comes as red, green and blue.
pub(super) fn decode(bytes: &[u8], most: usize) -> Result<Raster, DecodeProblem> {
    if is_truncated(bytes) {
        return Err(DecodeProblem::Corrupt("it ends early".to_owned()));
    }
    let JpegHeader { size, colors } = header(bytes)?;
    let colors = match colors {
        ColorSpace::Luma | ColorSpace::LumaA | ColorSpace::RGB | ColorSpace::RGBA => colors,
        _ => ColorSpace::RGB,
    };
    let channels = colors.num_components();
    let [height, width] = size;
    if height.saturating_mul(width).saturating_mul(channels) > most {
        return Err(DecodeProblem::TooLarge(size));
    }
    let values = decoder(bytes, options().jpeg_set_out_colorspace(colors)).decode()?;
    Ok(Raster {
        size,
        channels,
        values: RasterValues::Eight(values),
    })
}

fn header(bytes: &[u8]) -> Result<JpegHeader, DecodeProblem> {
    let mut decoder = decoder(bytes, options());
    decoder.decode_headers()?;
    match (decoder.dimensions(), decoder.input_colorspace()) {
        (Some((width, height)), Some(colors)) => Ok(JpegHeader {
            size: [height, width],
            colors,
        }),
        _ => Err(DecodeProblem::Corrupt("it has no header".to_owned())),
    }
}

fn decoder(bytes: &[u8], options: DecoderOptions) -> JpegDecoder<ZCursor<&[u8]>> {
    JpegDecoder::new_with_options(ZCursor::new(bytes), options)
}

/// As other programs do, the decoder looks over what can be looked over. Sizes are judged by the caller.
fn options() -> DecoderOptions {
    DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
}

impl From<DecodeErrors> for DecodeProblem {
    fn from(error: DecodeErrors) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Whether this is a file without an end-of-image marker behind its (first) scan. The decoder fills what is
/// missing with grey and says nothing.
fn is_truncated(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    // Segments up to the scan: a marker, and a length that counts itself. Thumbnails inside them
    // have end markers of their own, so they are jumped over.
    let mut position = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(position..position + 4) {
        if marker == 0xff {
            position += 1;
            continue;
        }
        if marker == START_OF_SCAN {
            break;
        }
        position += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    let scan = bytes.get(position..).unwrap_or_default();
    !scan.windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_do_not_hide_a_missing_end() {
        let mut whole = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_pixel(5, 4, image::Rgb([5, 6, 7]));
        image.write_to(&mut whole, image::ImageFormat::Jpeg).unwrap();
        let whole = whole.into_inner();
        assert!(!is_truncated(&whole));
        let mut thumbnail = vec![0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
        thumbnail.extend(&whole[2..]);
        assert!(!is_truncated(&thumbnail));
        assert!(is_truncated(&thumbnail[..thumbnail.len() - 2]));
        assert!(is_truncated(&[0xff, 0xd8]));
    }
}
