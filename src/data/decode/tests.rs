//! Pixels are held to those of the crate `image`, which reads the same files by other ways.

use std::io::Cursor;

use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader};

use super::*;

/// What the crate `image` makes of a file.
fn theirs(bytes: &[u8], color: Color, size: Option<[u32; 2]>) -> Vec<u8> {
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .unwrap();
    let mut image = reader.decode().unwrap();
    if let Some([height, width]) = size {
        image = image.resize_exact(width, height, FilterType::Triangle);
    }
    match color {
        Color::Gray => image.into_luma8().into_raw(),
        Color::Rgb => {
            let pixels = image.into_rgb8().into_raw();
            (0..3)
                .flat_map(|channel| {
                    pixels
                        .iter()
                        .skip(channel)
                        .step_by(3)
                        .copied()
                        .collect::<Vec<u8>>()
                })
                .collect()
        }
    }
}

fn is_read_as_theirs(name: &str, bytes: &[u8]) {
    for color in [Color::Gray, Color::Rgb] {
        for size in [None, Some([7, 5]), Some([23, 40]), Some([1, 1]), Some([13, 64])] {
            let mut pixels = vec![1, 2, 3];
            let read = decode(bytes, color, size, &mut pixels).unwrap();
            assert_eq!(
                Some(read),
                size.map(|size| size.map(|side| side as usize))
                    .or(claimed_size(bytes))
            );
            assert!(
                pixels == theirs(bytes, color, size),
                "{name}, {color:?}, {size:?}"
            );
        }
    }
}

/// An image with smooth parts, edges and noise, of 16 bits a channel.
fn picture(width: u32, height: u32) -> DynamicImage {
    let mut state = 1_u32;
    let image = image::ImageBuffer::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 16) as u16;
        let edge = if (x / 5 + y / 3) % 2 == 0 { 0 } else { u16::MAX };
        image::Rgba([(x * 1800) as u16, noise, edge, (y * 2500) as u16 ^ noise])
    });
    DynamicImage::ImageRgba16(image)
}

fn written(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn png_files_of_every_kind_are_read_to_the_bit() {
    let picture = picture(33, 21);
    let kinds = [
        DynamicImage::ImageLuma8(picture.to_luma8()),
        DynamicImage::ImageLumaA8(picture.to_luma_alpha8()),
        DynamicImage::ImageRgb8(picture.to_rgb8()),
        DynamicImage::ImageRgba8(picture.to_rgba8()),
        DynamicImage::ImageLuma16(picture.to_luma16()),
        DynamicImage::ImageLumaA16(picture.to_luma_alpha16()),
        DynamicImage::ImageRgb16(picture.to_rgb16()),
        picture,
    ];
    for kind in kinds {
        is_read_as_theirs(&format!("{:?}", kind.color()), &written(&kind, ImageFormat::Png));
    }
}

#[test]
fn palettes_and_few_bits_are_read_to_the_bit() {
    use ::png::{BitDepth, ColorType, Encoder};
    let cases = [
        (ColorType::Grayscale, BitDepth::One, false),
        (ColorType::Grayscale, BitDepth::Two, false),
        (ColorType::Grayscale, BitDepth::Four, true),
        (ColorType::Indexed, BitDepth::One, false),
        (ColorType::Indexed, BitDepth::Two, true),
        (ColorType::Indexed, BitDepth::Four, false),
        (ColorType::Indexed, BitDepth::Eight, true),
    ];
    for (color, depth, is_transparent) in cases {
        let (width, height) = (29, 17);
        let bits = depth as usize;
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            let entries = 1 << bits;
            encoder.set_palette(
                (0..entries * 3)
                    .map(|value| (value * 37 + 11) as u8)
                    .collect::<Vec<u8>>(),
            );
            if is_transparent {
                encoder.set_trns(vec![0, 128]);
            }
        } else if is_transparent {
            encoder.set_trns(vec![0, 3]);
        }
        let row = (width as usize * bits).div_ceil(8);
        let data: Vec<u8> = (0..row * height as usize)
            .map(|index| (index * 73 + index / 7) as u8)
            .collect();
        encoder.write_header().unwrap().write_image_data(&data).unwrap();
        is_read_as_theirs(&format!("{color:?} {depth:?}"), &bytes);
    }
}

#[test]
fn jpeg_files_are_read_to_the_bit() {
    let picture = picture(35, 50);
    for kind in [
        DynamicImage::ImageLuma8(picture.to_luma8()),
        DynamicImage::ImageRgb8(picture.to_rgb8()),
    ] {
        is_read_as_theirs(&format!("{:?}", kind.color()), &written(&kind, ImageFormat::Jpeg));
    }
    // Progressive, with fewer colours than pixels, and for print: written by Pillow.
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
    let mut count = 0;
    for entry in std::fs::read_dir(fixtures).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            is_read_as_theirs(&path.display().to_string(), &std::fs::read(&path).unwrap());
            count += 1;
        }
    }
    assert_eq!(count, 6);
}

#[test]
fn an_image_over_the_limits_is_too_large() {
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
    // A JPEG file's header, as baseline coding has it.
    let mut jpeg = written(&picture(8, 8), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xc3, 0x50, 0x9c, 0x40]);
    for bytes in [png.concat(), jpeg] {
        let problem = decode(&bytes, Color::Rgb, None, &mut Vec::new()).unwrap_err();
        assert!(
            problem.starts_with("the image is too large: it has 50000x40000 pixels"),
            "{problem}"
        );
    }
}

#[test]
fn what_is_no_image_is_called_so() {
    for bytes in [
        &b"GIF89a"[..],
        b"",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xd9",
    ] {
        let problem = decode(bytes, Color::Rgb, None, &mut Vec::new()).unwrap_err();
        assert!(problem.starts_with("the image is corrupt: "), "{problem}");
        assert_eq!(claimed_size(bytes), None);
    }
}
