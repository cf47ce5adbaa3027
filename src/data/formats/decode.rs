//! Decoding one image file.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader};

use super::MOST_VALUES;
use crate::data::error::DataError;
use crate::data::shape::SampleShape;
use crate::spec::{Color, ImageFolder};

/// A decoded image, `[C, H, W]`.
pub(super) struct Decoded {
    pub pixels: Vec<u8>,
    pub height: usize,
    pub width: usize,
}

impl Decoded {
    /// Its shape.
    pub fn shape(&self, color: Color) -> SampleShape {
        SampleShape::Image {
            channels: match color {
                Color::Rgb => 3,
                Color::Gray => 1,
            },
            height: self.height,
            width: self.width,
        }
    }
}

/// Decodes a file. What it holds is told from its content, not from its name.
///
/// [`DataError::Input`] means that the image is bad; anything else that the file cannot be read.
pub(super) fn decode(options: &ImageFolder, path: &Path) -> Result<Decoded, DataError> {
    let bytes = fs::read(path).map_err(DataError::io("read", path))?;
    let bad = |problem: String| DataError::input(path, format!("the image is corrupt: {problem}"));
    if is_truncated_jpeg(&bytes) {
        return Err(bad("it ends early".into()));
    }
    let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format();
    let image = reader.map_err(|error| bad(error.to_string()))?.decode();
    let mut image = image.map_err(|error| bad(error.to_string()))?;
    if let Some([height, width]) = options.size {
        let (height, width) = (height.get(), width.get());
        if (height as usize).saturating_mul(width as usize) > MOST_VALUES {
            return Err(DataError::Options(format!(
                "`size: [{height}, {width}]` is too large"
            )));
        }
        // The filter that Pillow calls bilinear: averaged where the image shrinks.
        if (image.height(), image.width()) != (height, width) {
            image = image.resize_exact(width, height, FilterType::Triangle);
        }
    }
    let (height, width) = (image.height() as usize, image.width() as usize);
    Ok(Decoded {
        pixels: planes(image, options.color),
        height,
        width,
    })
}

/// The image's pixels as `[C, H, W]`.
fn planes(image: DynamicImage, color: Color) -> Vec<u8> {
    match color {
        Color::Gray => image.into_luma8().into_raw(),
        Color::Rgb => {
            let pixels = image.into_rgb8().into_raw();
            let (pixels, _) = pixels.as_chunks::<3>();
            (0..3)
                .flat_map(|channel| pixels.iter().map(move |pixel| pixel[channel]))
                .collect()
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
