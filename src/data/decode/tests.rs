//! Pixels are held to those of the crate `image`, which reads the same files by other ways.

use std::io::Cursor;

use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader};

use proptest::prelude::*;

use super::*;

/// Decodes a file, resized to a height and width.
fn read(
    bytes: &[u8],
    color: Color,
    size: Option<[u32; 2]>,
    pixels: &mut Vec<u8>,
) -> Result<[usize; 2], String> {
    let preparation = ImagePreparation {
        size,
        ..ImagePreparation::default()
    };
    decode(bytes, color, &preparation, pixels)
}

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
        // Pillow's `convert("L")`.
        Color::Gray if image.color().has_color() => {
            let pixels = image.into_rgb8();
            let grey = pixels.pixels().map(|pixel| {
                let [red, green, blue] = pixel.0.map(u32::from);
                ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
            });
            grey.collect()
        }
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
            let found = read(bytes, color, size, &mut pixels).unwrap();
            assert_eq!(
                Some(found),
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
fn what_would_be_decoded_wrongly_is_not_supported() {
    let jpeg = written(
        &DynamicImage::ImageRgb8(picture(16, 16).to_rgb8()),
        ImageFormat::Jpeg,
    );
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let with = |at: usize, byte: u8| {
        let mut bytes = jpeg.clone();
        bytes[frame + at] = byte;
        read(&bytes, Color::Rgb, None, &mut Vec::new()).unwrap_err()
    };
    // The sampling of the second of three components; the marker of arithmetic coding.
    for (problem, told) in [
        (
            with(14, 0x22),
            "it is a JPEG whose colours are sampled more finely (2x2) than its brightness (1x1)",
        ),
        (with(1, 0xc9), "it is a JPEG with arithmetic coding"),
    ] {
        assert!(
            problem.starts_with(&format!("the image is not supported: {told}; save it anew")),
            "{problem}"
        );
    }
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
        let problem = read(&bytes, Color::Rgb, None, &mut Vec::new()).unwrap_err();
        assert!(
            problem.starts_with("the image is too large: it has 50000x40000 pixels"),
            "{problem}"
        );
    }
}

/// How far pixels of a JPEG file may be from Pillow's, at the most, by its sampling: within it, in its last row and in its
/// last column. Measured over 1,440 files, noise among them, of qualities 10 to 100. Of halved rows (columns) the last
/// is interpolated with those that pad the file, where there is an even number of them that 16 does not divide;
/// libjpeg-turbo takes the last one itself.
fn jpeg_bounds(sampling: &str, [height, width]: [usize; 2]) -> [u8; 3] {
    let within = match sampling {
        "grey" => 1,
        "444" => 3,
        "422" => 4,
        _ => 5,
    };
    let last = |halved: bool, side: usize| match halved && side.is_multiple_of(2) && !side.is_multiple_of(16)
    {
        true => 35,
        false => within,
    };
    [
        within,
        last(sampling == "420", height),
        last(["420", "422"].contains(&sampling), width),
    ]
}

#[test]
fn jpeg_pixels_are_as_near_to_pillows_as_is_said() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/jpeg_bounds");
    // Of each sampling, how far it is off within, in the last row and in the last column.
    let mut worst = std::collections::BTreeMap::new();
    for size in [[28, 36], [33, 35], [32, 48]] {
        let [height, width] = size;
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(&format!("{height}x{width}-")))
            .collect();
        names.sort();
        assert_eq!(names.len(), 24);
        let told = std::fs::read(folder.join(format!("{height}x{width}.png"))).unwrap();
        let mut theirs = Vec::new();
        let whole = read(&told, Color::Rgb, None, &mut theirs).unwrap();
        assert_eq!(whole, [24 * height, width]);
        for (place, name) in names.iter().enumerate() {
            let bytes = std::fs::read(folder.join(name)).unwrap();
            let mut ours = Vec::new();
            assert_eq!(read(&bytes, Color::Rgb, None, &mut ours), Ok(size));
            let sampling = name.split('-').nth(1).unwrap();
            let bounds = jpeg_bounds(sampling, size);
            let found = worst.entry(sampling.to_owned()).or_insert([0, 0, 0]);
            for channel in 0..3 {
                for row in 0..height {
                    let own = (channel * height + row) * width;
                    let other = (channel * 24 * height + place * height + row) * width;
                    for column in 0..width {
                        let off = ours[own + column].abs_diff(theirs[other + column]);
                        let part = match (row + 1 == height, column + 1 == width) {
                            (false, false) => 0,
                            (true, false) => 1,
                            // A corner is in both.
                            (true, true) if bounds[1] > bounds[2] => 1,
                            (_, true) => 2,
                        };
                        assert!(off <= bounds[part], "{name}: {row}, {column} is off by {off}");
                        found[part] = off.max(found[part]);
                    }
                }
            }
        }
    }
    // The last row and column are what the words say.
    assert!(
        worst["grey"][0] == 1 && worst["444"][0] >= 2 && worst["420"][1] > 5 && worst["422"][2] > 5,
        "{worst:?}"
    );
}

#[test]
fn webp_files_that_are_cut_off_are_refused() {
    let mut count = 0;
    for (name, bytes) in form_files().iter().filter(|(name, _)| name.ends_with(".webp")) {
        count += 1;
        assert!(read(bytes, Color::Rgb, None, &mut Vec::new()).is_ok(), "{name}");
        let padded = [&bytes[..], &[0; 7]].concat();
        assert!(read(&padded, Color::Rgb, None, &mut Vec::new()).is_ok(), "{name}");
        for length in [bytes.len() - 1, bytes.len() * 3 / 4, bytes.len() / 2, 40] {
            let problem = read(&bytes[..length], Color::Rgb, None, &mut Vec::new()).unwrap_err();
            assert!(
                problem.starts_with("the image is corrupt: "),
                "{name}, {length}: {problem}"
            );
        }
    }
    assert!(count > 5, "{count}");
}

#[test]
fn what_is_no_image_is_called_so() {
    for bytes in [
        &b"GIF89a"[..],
        b"",
        b"II*\0",
        b"RIFF\0\0\0\0WEBP",
        b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xd9",
    ] {
        let problem = read(bytes, Color::Rgb, None, &mut Vec::new()).unwrap_err();
        assert!(problem.starts_with("the image is corrupt: "), "{problem}");
        assert_eq!(claimed_size(bytes), None);
    }
}

/// The pixels of `NAME`, `[C, H, W]`, and its height and width, as Pillow has them.
fn pillows(told: &serde_json::Value) -> (Vec<u8>, [usize; 2]) {
    let size = [0, 1].map(|side| told["size"][side].as_u64().unwrap() as usize);
    let hex = told["rgb"].as_str().unwrap();
    let values: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let planes = (0..3).flat_map(|channel| values.iter().skip(channel).step_by(3).copied());
    (planes.collect(), size)
}

/// How far pixels of a form may be from Pillow's. What loses nothing is the same to the bit; JPEG and lossy WebP are
/// rounded in other ways, and colours that were halved or quartered are interpolated in other ways.
fn bound(name: &str) -> u8 {
    match name {
        "lossy.webp" | "lossy-alpha.webp" => 1,
        "jpeg-rgb.tif" => 2,
        _ if name.ends_with(".jpg") || name == "jpeg.tif" => 4, // these files'; see `jpeg_bounds`
        _ => 0,
    }
}

#[test]
fn every_form_has_pillows_pixels() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let told = std::fs::read(fixtures.join("image_forms.json")).unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (part, exif_orientation) in [("stored", false), ("upright", true)] {
        for (name, told) in told[part].as_object().unwrap() {
            let bytes = std::fs::read(fixtures.join("image_forms").join(name)).unwrap();
            let (expected, size) = pillows(told);
            let preparation = ImagePreparation {
                size: None,
                exif_orientation,
            };
            count += 1;
            let mut pixels = Vec::new();
            let found = decode(&bytes, Color::Rgb, &preparation, &mut pixels);
            if found != Ok(size) {
                wrong.push(format!("{name}: {found:?}, not {size:?}"));
                continue;
            }
            let off = pixels
                .iter()
                .zip(&expected)
                .map(|(ours, theirs)| ours.abs_diff(*theirs))
                .max();
            if off > Some(bound(name)) {
                wrong.push(format!("{name} is off by {off:?}"));
            }
            let mut greys = Vec::new();
            decode(&bytes, Color::Gray, &preparation, &mut greys).unwrap();
            let plane = size[0] * size[1];
            let theirs = |at: usize| {
                let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixels[channel * plane + at]));
                ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
            };
            assert!(greys.iter().copied().eq((0..plane).map(theirs)), "{name}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 80, "{count}");
}

/// A TIFF file of 16-bit greys in one strip, `[width, height]`, where 0 is white or black.
fn deep_tiff(size: [u16; 2], is_white: bool, values: &[u16]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let [width, height] = size.map(u32::from);
    let entries: [(u16, u32); 8] = [
        (256, width),
        (257, height),
        (258, 16),
        (259, 1),
        (262, u32::from(!is_white)),
        (273, 8),
        (278, height),
        (279, data.len() as u32),
    ];
    let mut bytes = [&b"II*\0"[..], &(8 + data.len() as u32).to_le_bytes(), &data].concat();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, value) in entries {
        // One number of 32 bits each.
        bytes.extend([tag.to_le_bytes(), 4u16.to_le_bytes()].concat());
        bytes.extend([1u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn deep_greys_whose_zero_is_white_are_turned_over() {
    let values: Vec<u16> = (0..=65_535).step_by(257 / 8).collect();
    let values = &values[..2047];
    let size = [23, 89];
    for is_white in [false, true] {
        let mut pixels = Vec::new();
        let found = read(&deep_tiff(size, is_white, values), Color::Gray, None, &mut pixels);
        assert_eq!(found, Ok([89, 23]));
        // The nearest of 256 values: 65535 is 255 times 257.
        let nearest = |value: u16| (f64::from(value) / 257.0).round() as u8;
        let expected = values.iter().map(|value| match is_white {
            true => nearest(65_535 - value),
            false => nearest(*value),
        });
        assert!(pixels.iter().copied().eq(expected), "{is_white}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Whatever is wrong with a file, it is decoded or refused, and no more memory is asked for than is allowed.
    #[test]
    fn damaged_files_are_decoded_or_refused(
        index: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        length in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        exif_orientation: bool,
    ) {
        let (name, mut bytes) = index.get(form_files()).clone();
        for (at, byte) in changes {
            // What is most telling stands at the beginning.
            let end = if byte % 2 == 0 { bytes.len() } else { bytes.len().min(64) };
            bytes[at.index(end)] = byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        let preparation = ImagePreparation { size: None, exif_orientation };
        let mut pixels = Vec::new();
        let started = std::time::Instant::now();
        if let Ok([height, width]) = decode(&bytes, Color::Rgb, &preparation, &mut pixels) {
            prop_assert_eq!(pixels.len(), 3 * height * width, "{}", name);
        }
        // Far beyond what any takes; a runaway would take for ever.
        prop_assert!(started.elapsed().as_secs() < 120, "{}", name);
    }
}

/// The files of all forms.
fn form_files() -> &'static [(String, Vec<u8>)] {
    static FILES: std::sync::OnceLock<Vec<(String, Vec<u8>)>> = std::sync::OnceLock::new();
    FILES.get_or_init(|| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/image_forms");
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let read = |path: &std::path::PathBuf| (path.display().to_string(), std::fs::read(path).unwrap());
        paths.iter().map(read).collect()
    })
}
