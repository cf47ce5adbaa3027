//! JPEG files.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::DecodeProblem;
use super::jpeg_frame::{JpegFrame, is_truncated};
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
    if let Some(problem) = JpegFrame::find(bytes).and_then(|frame| frame.unsupported()) {
        return Err(DecodeProblem::Unsupported(problem));
    }
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

/// The EXIF data of a file.
pub(super) fn exif(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = decoder(bytes, options());
    decoder.decode_headers().ok()?;
    decoder.exif().cloned()
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
        match error {
            DecodeErrors::Unsupported(_) => {
                Self::Unsupported("it is a JPEG whose coding is not read".to_owned())
            }
            error => Self::Corrupt(error.to_string()),
        }
    }
}
