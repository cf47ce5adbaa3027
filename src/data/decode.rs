//! Decoding an image file.

use std::io::Cursor;

use image::imageops::FilterType;
use image::{DynamicImage, ImageError, ImageReader};

use crate::spec::Color;

/// Samples with more values than this are taken for a mistake.
pub(super) const MOST_VALUES: usize = 1 << 28;

/// The height and width that an image file claims, without decoding it.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<[usize; 2]> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let (width, height) = reader.into_dimensions().ok()?;
    Some([height as usize, width as usize])
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
    let bad = |problem: String| format!("the image is corrupt: {problem}");
    if is_truncated_jpeg(bytes) {
        return Err(bad("it ends early".into()));
    }
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let image = reader.map_err(|error| bad(error.to_string()))?.decode();
    let mut image = image.map_err(|error| match (&error, claimed_size(bytes)) {
        (ImageError::Limits(_), Some(size)) => too_large(size),
        _ => bad(error.to_string()),
    })?;
    if let Some([height, width]) = size
        && [image.height(), image.width()] != [height, width]
    {
        // The filter that Pillow calls bilinear: averaged where the image shrinks.
        image = image.resize_exact(width, height, FilterType::Triangle);
    }
    let [height, width] = [image.height() as usize, image.width() as usize];
    if height.saturating_mul(width).saturating_mul(color.channels()) > MOST_VALUES {
        return Err(too_large([height, width]));
    }
    planes(image, color, pixels);
    Ok([height, width])
}

fn too_large([height, width]: [usize; 2]) -> String {
    format!("the image is too large: it has {height}x{width} pixels (height x width); make it smaller")
}

/// The image's pixels as `[C, H, W]`.
fn planes(image: DynamicImage, color: Color, out: &mut Vec<u8>) {
    match color {
        Color::Gray => *out = image.into_luma8().into_raw(),
        Color::Rgb => {
            let pixels = image.into_rgb8().into_raw();
            let (pixels, _) = pixels.as_chunks::<3>();
            out.clear();
            for channel in 0..3 {
                out.extend(pixels.iter().map(|pixel| pixel[channel]));
            }
        }
    }
}

/// Whether this is a JPEG file without an end-of-image marker behind its (first) scan. The decoder
/// fills what is missing with grey and says nothing.
fn is_truncated_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return false;
    }
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
    fn an_image_over_the_decoder_s_limits_is_too_large() {
        fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
            let mut crc = flate2::Crc::new();
            crc.update(name);
            crc.update(data);
            let length = (data.len() as u32).to_be_bytes();
            [&length, name, data, &crc.sum().to_be_bytes()].concat()
        }
        let [width, height] = [40_000u32, 50_000].map(u32::to_be_bytes);
        // Eight bits a channel, red, green and blue.
        let header = [&width[..], &height, &[8, 2, 0, 0, 0]].concat();
        let png = [
            b"\x89PNG\r\n\x1a\n".to_vec(),
            chunk(b"IHDR", &header),
            chunk(b"IDAT", &[]),
        ];
        let problem = decode(&png.concat(), Color::Rgb, None, &mut Vec::new()).unwrap_err();
        assert!(
            problem.starts_with("the image is too large: it has 50000x40000 pixels"),
            "{problem}"
        );
    }

    #[test]
    fn thumbnails_do_not_hide_a_missing_end() {
        let mut whole = Vec::new();
        let image = image::RgbImage::from_pixel(5, 4, image::Rgb([5, 6, 7]));
        image
            .write_to(&mut Cursor::new(&mut whole), image::ImageFormat::Jpeg)
            .unwrap();
        assert!(!is_truncated_jpeg(&whole));
        let mut thumbnail = vec![0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
        thumbnail.extend(&whole[2..]);
        assert!(!is_truncated_jpeg(&thumbnail));
        assert!(is_truncated_jpeg(&thumbnail[..thumbnail.len() - 2]));
        assert!(is_truncated_jpeg(&[0xff, 0xd8]));
    }
}
