//! Tests of images with masks.

use std::borrow::Cow;
use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use png::{BitDepth, ColorType, Encoder};
use serde_json::{Value, json};

use super::*;
use crate::data::Dataset;
use crate::data::testing::Bench;
use crate::schema::NO_PIXEL_CLASS;
use crate::spec::SplitName::{Test, Train, Val};
use crate::spec::{Format, OnError, TargetKind};

/// `masks` with these options beside two classes.
fn format(options: Value) -> Format {
    let mut options = options;
    if options.get("classes").is_none() {
        options["classes"] = json!(["ground", "thing"]);
    }
    serde_json::from_value(json!({"masks": options})).unwrap()
}

fn png(width: u32, height: u32, form: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(form);
    encoder.set_depth(depth);
    if form == ColorType::Indexed {
        // Colours that no value is.
        let palette: Vec<u8> = (0..3 << depth as u8)
            .map(|place: u32| (200 - place % 64) as u8)
            .collect();
        encoder.set_palette(Cow::Owned(palette));
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

/// A grey mask of 4x2 pixels.
fn mask(values: [u8; 8]) -> Vec<u8> {
    png(4, 2, ColorType::Grayscale, BitDepth::Eight, &values)
}

/// An image of 4x2 pixels.
fn picture(shade: u8) -> Vec<u8> {
    encoded(4, 2, shade, ImageFormat::Png)
}

fn encoded(width: u32, height: u32, shade: u8, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([shade, (x * 9) as u8, (y * 9) as u8]));
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// A picture whose EXIF data turn it by a quarter.
fn turned(shade: u8) -> Vec<u8> {
    oriented(shade, 6)
}

/// A picture with an orientation in its EXIF data.
fn oriented(shade: u8, orientation: u8) -> Vec<u8> {
    let mut bytes = picture(shade);
    let mut exif = *b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    exif[18] = orientation;
    let mut chunk = b"eXIf".to_vec();
    chunk.extend_from_slice(&exif);
    let checksum = crc32fast::hash(&chunk).to_be_bytes();
    let length = (exif.len() as u32).to_be_bytes();
    // Behind the header, which has 13 bytes.
    bytes.splice(33..33, [&length[..], &chunk, &checksum].concat());
    bytes
}

/// Two images to train with and one to test with.
fn bench() -> Bench {
    let bench = Bench::new();
    bench
        .file("training/images/b.png", &picture(1))
        .file("training/masks/b.png", &mask([0, 0, 1, 1, 0, 255, 1, 0]))
        .file("training/images/deep/a.jpg", &encoded(4, 2, 2, ImageFormat::Jpeg))
        .file("training/masks/deep/a.PNG", &mask([1, 1, 1, 1, 0, 0, 0, 0]))
        .file("test/images/c.png", &picture(3))
        .file("test/masks/c.png", &mask([0; 8]));
    bench
}

fn pixels(dataset: &Dataset, split: SplitName, index: usize) -> Vec<u8> {
    let split = dataset.split(split).unwrap();
    split.pixel_classes(index).unwrap().to_vec()
}

/// The message without the folder that nobody can know before.
fn told(bench: &Bench, message: &str) -> String {
    message.replace(&bench.input().display().to_string(), "input")
}

#[test]
fn masks_lie_beside_their_images_in_the_dataset() {
    let bench = bench();
    let dataset = bench.dataset(&format(json!({"color": "gray"})));
    assert_eq!(dataset.task().unwrap(), TargetKind::Segmentation);
    assert_eq!(dataset.target().names, ["ground", "thing"]);
    assert_eq!(dataset.target().dimensions, Dimensions::image(1, Some([2, 4])));
    assert_eq!(dataset.input().channels(), 1);
    assert_eq!(dataset.splits().collect::<Vec<_>>(), [Train, Test]);
    assert_eq!(pixels(&dataset, Train, 0), [0, 0, 1, 1, 0, NO_PIXEL_CLASS, 1, 0]);
    assert_eq!(pixels(&dataset, Train, 1), [1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(
        dataset.split(Train).unwrap().origin(1),
        "training/images/deep/a.jpg"
    );
    // The same files are the same bytes.
    let first = bench.bytes();
    bench.dataset(&format(json!({"color": "gray"})));
    assert_eq!(bench.bytes(), first);
}

#[test]
fn values_are_read_whatever_their_depth_and_palette() {
    let expected = [0, 1, 1, 0, 1, 0, 0, 1];
    let indexed = |depth, data: &[u8]| png(4, 2, ColorType::Indexed, depth, data);
    let grey = |depth, data: &[u8]| png(4, 2, ColorType::Grayscale, depth, data);
    let wide: Vec<u8> = expected.iter().flat_map(|value| [0, *value]).collect();
    for mask in [
        indexed(BitDepth::One, &[0b0110_0000, 0b1001_0000]),
        indexed(BitDepth::Two, &[0b0001_0100, 0b0100_0001]),
        indexed(BitDepth::Four, &[0x01, 0x10, 0x10, 0x01]),
        indexed(BitDepth::Eight, &expected),
        grey(BitDepth::One, &[0b0110_0000, 0b1001_0000]),
        grey(BitDepth::Four, &[0x01, 0x10, 0x10, 0x01]),
        grey(BitDepth::Eight, &expected),
        grey(BitDepth::Sixteen, &wide),
    ] {
        let bench = Bench::new();
        bench.file("images/a.png", &picture(1)).file("masks/a.png", &mask);
        let dataset = bench.dataset(&format(json!({"images": "images", "masks": "masks"})));
        assert_eq!(pixels(&dataset, Train, 0), expected);
    }
}

#[test]
fn colours_and_other_values_tell_classes_too() {
    let places = json!({"images": "x/images", "masks": "x/masks"});
    let with = |key: &str, value: Value| {
        let mut options = places.clone();
        options[key] = value;
        options
    };
    let bench = Bench::new();
    bench.file("x/images/a.png", &picture(1));
    let colors = [
        [9, 8, 7],
        [0, 0, 1],
        [255, 255, 255],
        [9, 8, 7],
        [0, 0, 1],
        [0, 0, 1],
        [9, 8, 7],
        [0, 0, 1],
    ];
    bench.file(
        "x/masks/a.png",
        &png(4, 2, ColorType::Rgb, BitDepth::Eight, &colors.concat()),
    );
    let mut options = with("colors", json!({"ground": [9, 8, 7], "thing": [0, 0, 1]}));
    options["ignore"] = json!([255, 255, 255]);
    let dataset = bench.dataset(&format(options));
    assert_eq!(pixels(&dataset, Train, 0), [0, 1, NO_PIXEL_CLASS, 0, 1, 1, 0, 1]);

    bench.file("x/masks/a.png", &mask([0, 255, 255, 0, 0, 0, 0, 255]));
    let dataset = bench.dataset(&format(with("values", json!({"thing": 255, "ground": 0}))));
    assert_eq!(pixels(&dataset, Train, 0), [0, 1, 1, 0, 0, 0, 0, 1]);
    bench.dataset(&format(with("values", json!({"thing": 7, "ground": 0}))));
    let notices = bench.notices.lock().unwrap().clone();
    assert_eq!(notices, ["classes that no pixel of the train split has: `thing`"]);
    let binary = bench.prepare(&format(places)).unwrap_err().to_string();
    assert_eq!(
        told(&bench, &binary),
        "`input`: its masks hold nothing but 0 and 255, and pixels of 255 are left out: if they are those of `thing`, \
         write `values: {ground: 0, thing: 255}` and `ignore: none`"
    );
}

#[test]
fn sizes_are_those_of_the_files_or_one_that_is_asked_for() {
    let bench = bench();
    bench
        .file("training/images/wide.png", &encoded(6, 2, 9, ImageFormat::Png))
        .file(
            "training/masks/wide.png",
            &png(
                6,
                2,
                ColorType::Grayscale,
                BitDepth::Eight,
                &[0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0],
            ),
        );
    let dataset = bench.dataset(&format(json!({})));
    assert!(!dataset.target().dimensions.is_fixed() && !dataset.input().dimensions.is_fixed());
    assert_eq!(pixels(&dataset, Train, 2).len(), 12);
    let dataset = bench.dataset(&format(json!({"size": [4, 3]})));
    assert_eq!(dataset.target().dimensions, Dimensions::image(1, Some([4, 3])));
    // Rows 0, 0, 1, 1; columns 1, 3, 5: those in which the centres of pixels lie.
    assert_eq!(pixels(&dataset, Train, 2), [1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0]);
    let dataset = bench.dataset(&format(json!({"store": "files"})));
    assert!(dataset.input().is_encoded());
    assert_eq!(pixels(&dataset, Train, 2)[..6], [0, 1, 0, 1, 0, 1]);
}

#[test]
fn what_could_be_meant_in_two_ways_is_told() {
    let bench = bench();
    bench.file("test/masks/c.png", &mask([0, 255, 255, 0, 0, 0, 0, 255]));
    assert_eq!(
        told(&bench, &bench.error(&format(json!({})))),
        "`input`: the masks of its test split hold nothing but 0 and 255, and pixels of 255 are left out: if they are \
         those of `thing`, write `values: {ground: 0, thing: 255}` and `ignore: none`"
    );
    bench
        .file("test/masks/c.png", &mask([0; 8]))
        .file("training_more/images/d.png", &picture(4))
        // Upside down to whoever obeys EXIF, and of the same size.
        .file("training/images/b.png", &oriented(1, 3));
    bench.notices.lock().unwrap().clear();
    bench.dataset(&format(json!({})));
    let notices = bench.notices.lock().unwrap().clone();
    let notices: Vec<String> = notices.iter().map(|notice| told(&bench, notice)).collect();
    assert_eq!(
        notices,
        [
            "`input/training_more/images` is left out: it is called neither train, val nor test",
            "1 image is turned or mirrored by EXIF data, and taken as stored: where masks are those of upright images, \
             write `exif_orientation: true`",
        ]
    );
    bench.file("training/masks/b.jpg", &encoded(4, 2, 0, ImageFormat::Jpeg));
    let several = bench.prepare(&format(json!({}))).unwrap_err().to_string();
    assert_eq!(
        told(&bench, &several),
        "`input`: 1 image with several masks:\n`input/training/images/b.png`: both `input/training/masks/b.jpg` and \
         `input/training/masks/b.png` are masks for it: keep one\nmend them, or write `on_error: skip` to leave them out"
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let bench = bench();
    bench
        .file("training/images/alone.png", &picture(4))
        .file("training/masks/orphan.png", &mask([0; 8]))
        .file("training/images/b.jpg", &encoded(4, 2, 5, ImageFormat::Jpeg))
        .file("training/images/lossy.png", &picture(6))
        .file("training/masks/lossy.jpg", &encoded(4, 2, 6, ImageFormat::Jpeg))
        .file("training/images/colour.png", &picture(7))
        .file("training/masks/colour.png", &picture(7))
        .file("training/images/odd.png", &picture(8))
        .file("training/masks/odd.png", &mask([0, 1, 7, 7, 7, 9, 0, 0]))
        .file("training/images/small.png", &encoded(2, 2, 10, ImageFormat::Png))
        .file("training/masks/small.png", &mask([0; 8]))
        .file("training/images/broken.png", b"no image")
        .file("training/masks/broken.png", &mask([0; 8]))
        .file("training/images/cut.png", &picture(11))
        .file("training/masks/cut.png", &mask([0; 8])[..40])
        .file("training/images/turned.png", &turned(12))
        .file(
            "training/masks/turned.png",
            &png(2, 4, ColorType::Grayscale, BitDepth::Eight, &[0; 8]),
        );
    let message = told(&bench, &bench.error(&format(json!({}))));
    insta::assert_snapshot!("all_problems", message);

    let mut bench = bench;
    bench.on_error = OnError::Skip;
    let prepared = bench.prepare(&format(json!({}))).unwrap();
    assert_eq!(prepared.skipped, 9);
    let dataset = Dataset::open(&bench.output()).unwrap();
    // Pixels of unknown values do not count; the image stays.
    let train = dataset.split(Train).unwrap();
    let odd = (0..train.len())
        .find(|index| train.origin(*index).ends_with("odd.png"))
        .unwrap();
    let none = NO_PIXEL_CLASS;
    assert_eq!(pixels(&dataset, Train, odd), [0, 1, none, none, none, none, 0, 0]);
    let list = fs::read_to_string(bench.output().join("problems.csv")).unwrap();
    insta::assert_snapshot!("listed_problems", told(&bench, &list));
    let notices = bench.notices.lock().unwrap();
    assert!(
        notices
            .last()
            .unwrap()
            .ends_with("look whether those that are left are what you mean to train and test on")
    );
    assert!(
        notices
            .iter()
            .any(|notice| notice.ends_with("`problems.csv` lists them")),
        "{notices:?}"
    );
}

#[test]
fn images_that_are_turned_have_upright_masks_where_that_is_said() {
    let bench = Bench::new();
    bench.file("images/turned.png", &turned(12)).file(
        "masks/turned.png",
        &png(
            2,
            4,
            ColorType::Grayscale,
            BitDepth::Eight,
            &[0, 0, 0, 0, 0, 1, 0, 1],
        ),
    );
    let upright =
        |upright: bool| format(json!({"images": "images", "masks": "masks", "exif_orientation": upright}));
    let dataset = bench.dataset(&upright(true));
    assert_eq!(dataset.input().dimensions.size(), Some([4, 2]));
    bench.file("masks/turned.png", &mask([0, 0, 1, 0, 0, 0, 0, 0]));
    let message = told(&bench, &bench.prepare(&upright(true)).unwrap_err().to_string());
    assert!(
        message.contains("EXIF data turn it by a quarter: write `exif_orientation: false`"),
        "{message}"
    );
}

#[test]
fn many_problems_are_counted() {
    let bench = bench();
    for number in 0..30 {
        bench.file(&format!("training/images/more-{number:02}.png"), &picture(number));
    }
    let message = told(&bench, &bench.error(&format(json!({}))));
    assert!(
        message
            .starts_with("`input`: 30 missing masks:\n`input/training/images/more-00.png`: there is no mask"),
        "{message}"
    );
    assert!(
        message.ends_with("... and 10 more\nmend them, or write `on_error: skip` to leave them out"),
        "{message}"
    );
}

#[test]
fn folders_that_are_not_there_are_told() {
    let bench = Bench::new();
    bench.file("train/pictures/a.png", &picture(1));
    assert_eq!(
        told(&bench, &bench.error(&format(json!({})))),
        "`input`: there is no folder `{split}/images` here or one folder down"
    );
    assert_eq!(
        told(
            &bench,
            &bench.error(&format(json!({"images": "{split}/pictures"})))
        ),
        "`input`: there is no folder of masks `input/train/masks` for the images in `input/train/pictures`: name it in \
         `masks`"
    );
    let bench = Bench::new();
    bench
        .file("images/val/a.png", &picture(1))
        .file("masks/val/a.png", &mask([0; 8]));
    let elsewhere = json!({"images": "images/{split}", "masks": "masks/{split}"});
    assert_eq!(
        told(&bench, &bench.error(&format(elsewhere.clone()))),
        "`input`: `images: images/{split}` finds no training split: call one of the folders `train`"
    );
    bench
        .file("images/Train/b.png", &picture(2))
        .file("masks/Train/b.png", &mask([0, 0, 0, 1, 0, 0, 0, 0]));
    let dataset = bench.dataset(&format(elsewhere));
    assert_eq!(dataset.splits().collect::<Vec<_>>(), [Train, Val]);
}
