//! Tests of folders of images.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use super::*;
use crate::data::Dataset;
use crate::data::testing::{Bench, label};
use crate::schema::Dimensions;
use crate::spec::{Color, Format, OnError, StoredAs};

fn format() -> Format {
    Format::from(ImageFolderOptions::default())
}

fn encoded(width: u32, height: u32, shade: u8, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([shade, (x * 9) as u8, (y * 9) as u8]));
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn png(shade: u8) -> Vec<u8> {
    encoded(5, 4, shade, ImageFormat::Png)
}

fn jpeg(shade: u8) -> Vec<u8> {
    encoded(5, 4, shade, ImageFormat::Jpeg)
}

/// Two classes in two splits, in an archive's top folder.
fn folder() -> Bench {
    let bench = Bench::new();
    bench
        .file("pets/train/dog/b.png", &png(10))
        .file("pets/train/dog/a.PNG", &png(20));
    bench
        .file("pets/train/cat/more/c.jpg", &jpeg(30))
        .file("pets/train/cat/d.JPeg", &png(40));
    bench
        .file("pets/test/cat/e.png", &png(50))
        .file("pets/test/dog/f.png", &png(60));
    bench
}

fn first_pixels(dataset: &Dataset, split: SplitName) -> Vec<(String, u32, u8)> {
    let split = dataset.split(split).unwrap();
    let mut pixels = Vec::new();
    (0..split.len())
        .map(|index| {
            split.read_sample(index, &mut pixels).unwrap();
            (
                split.origin(index),
                label(&split, index),
                (pixels[0] * 255.0).round() as u8,
            )
        })
        .collect()
}

#[test]
fn reads_splits_and_classes_in_order() {
    let bench = folder();
    bench
        .file(".hidden/x", b"")
        .file("pets/train/.DS_Store", b"")
        .file("pets/train/cat/notes.txt", b"");
    bench.file("__MACOSX/pets/._x", b"");
    let dataset = bench.dataset(&format());
    assert_eq!(dataset.target().names, ["cat", "dog"]);
    let shape = Dimensions::image(3, Some([4, 5]));
    assert_eq!(dataset.input().dimensions, shape);
    let train = first_pixels(&dataset, SplitName::Train);
    let named: Vec<_> = train
        .iter()
        .map(|(origin, label, _)| (&origin[..], *label))
        .collect();
    let expected = [
        ("train/cat/d.JPeg", 0),
        ("train/cat/more/c.jpg", 0),
        ("train/dog/a.PNG", 1),
        ("train/dog/b.png", 1),
    ];
    assert_eq!(named, expected);
    assert_eq!((train[0].2, train[2].2), (40, 20));
    assert_eq!(
        first_pixels(&dataset, SplitName::Test)[1],
        ("test/dog/f.png".into(), 1, 60)
    );
    let notices = bench.notices.lock().unwrap();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(
        notices[0].ends_with("cat/notes.txt` is left out: it is not an image"),
        "{notices:?}"
    );
}

#[test]
fn planes_are_red_green_blue_and_rows() {
    let bench = folder();
    let dataset = bench.dataset(&format());
    let test = dataset.split(SplitName::Test).unwrap();
    let mut pixels = Vec::new();
    test.read_sample(0, &mut pixels).unwrap();
    let expected = (0..60).map(|at| {
        let (channel, y, x) = (at / 20, at % 20 / 5, at % 5);
        [50, x * 9, y * 9][channel] as f32 / 255.0
    });
    assert!(pixels.iter().copied().eq(expected));
}

#[test]
fn jpeg_colours_are_right() {
    let image = RgbImage::from_pixel(16, 16, Rgb([200, 30, 90]));
    let mut bytes = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Jpeg)
        .unwrap();
    let bench = Bench::new();
    bench.file("a/1.jpg", &bytes).file("b/1.jpg", &bytes);
    let train = bench.dataset(&format()).split(SplitName::Train).unwrap();
    let mut pixels = Vec::new();
    train.read_sample(0, &mut pixels).unwrap();
    for (plane, expected) in pixels.chunks(256).zip([200.0, 30.0, 90.0]) {
        assert!(
            plane.iter().all(|pixel| (pixel * 255.0 - expected).abs() < 4.0),
            "{plane:?}"
        );
    }
}

#[test]
fn classes_without_splits_and_a_class_called_train() {
    let bench = Bench::new();
    bench.file("bus/1.png", &png(1)).file("train/2.png", &png(2));
    let dataset = bench.dataset(&format());
    assert_eq!(dataset.target().names, ["bus", "train"]);
    assert_eq!(dataset.splits().collect::<Vec<_>>(), [SplitName::Train]);
}

#[test]
fn gray_and_resized() {
    let bench = folder();
    bench.file("pets/train/dog/large.png", &encoded(50, 40, 10, ImageFormat::Png));
    let options = ImageFolderOptions {
        size: Some([2, 3].map(|size: u32| size.try_into().unwrap())),
        color: Color::Gray,
        ..ImageFolderOptions::default()
    };
    let dataset = bench.dataset(&Format::from(options));
    let shape = Dimensions::image(1, Some([2, 3]));
    assert_eq!(dataset.input().dimensions, shape);
    let huge = ImageFolderOptions {
        size: Some([100_000u32.try_into().unwrap(); 2]),
        ..ImageFolderOptions::default()
    };
    let bench = folder();
    assert!(
        bench
            .error(&Format::from(huge))
            .contains("`size: [100000, 100000]` is too large")
    );
}

fn stored_files() -> Format {
    Format::from(ImageFolderOptions {
        store: StoredAs::Files,
        ..ImageFolderOptions::default()
    })
}

#[test]
fn images_of_various_sizes_stay_as_they_are() {
    let bench = folder();
    bench.file("pets/train/dog/large.png", &encoded(50, 40, 10, ImageFormat::Png));
    let dataset = bench.dataset(&format());
    assert_eq!(dataset.input().dimensions, Dimensions::image(3, None));
    let train = dataset.split(SplitName::Train).unwrap();
    let mut pixels = Vec::new();
    let shapes: Vec<(String, String)> = (0..train.len())
        .map(|index| {
            let shape = train.read_sample(index, &mut pixels).unwrap();
            (train.origin(index), shape.to_string())
        })
        .collect();
    assert_eq!(shapes[3], ("train/dog/b.png".into(), "3x4x5".into()));
    assert_eq!(shapes[4], ("train/dog/large.png".into(), "3x40x50".into()));
    train.read_sample(4, &mut pixels).unwrap();
    let shade = |at: usize| (pixels[at] * 255.0).round() as usize;
    // The pixel in row 39, column 49: 10, 49 * 9 and 39 * 9 as bytes.
    assert_eq!([1999, 3999, 5999].map(shade), [10, 185, 95]);
}

#[test]
fn files_are_kept_as_they_are_and_split_alike() {
    let mut bench = Bench::new();
    bench.split = crate::data::testing::shares(0.2, 0.2);
    for image in 0..20 {
        let (side, class) = (4 + u32::from(image) % 2, ["cat", "dog"][usize::from(image % 2)]);
        bench.file(
            &format!("{class}/{image}.jpg"),
            &encoded(5, side, image, ImageFormat::Jpeg),
        );
    }
    let mut parts = Vec::new();
    for format in [format(), stored_files()] {
        let dataset = bench.dataset(&format);
        assert_eq!(dataset.input().dimensions, Dimensions::image(3, None));
        let mut all = Vec::new();
        for split in dataset.splits().filter_map(|name| dataset.split(name)) {
            for index in 0..split.len() {
                let mut pixels = Vec::new();
                let shape = split.read_sample(index, &mut pixels).unwrap();
                all.push((
                    split.name(),
                    split.origin(index),
                    label(&split, index),
                    shape,
                    pixels,
                ));
            }
        }
        parts.push(all);
    }
    assert_eq!(parts[0].len(), 20);
    assert!(parts[0] == parts[1]);
    let file = std::fs::read(bench.input().join("cat/0.jpg")).unwrap();
    let bytes = bench.bytes();
    assert_eq!(bytes[64..64 + file.len()], file);

    let same = folder();
    let dataset = same.dataset(&stored_files());
    assert_eq!(dataset.input().to_string(), "3x4x5");
}

#[test]
fn stored_files_are_checked_and_not_resized() {
    let mut bench = folder();
    let mut broken = jpeg(3);
    broken.truncate(broken.len() - 20);
    bench.file("pets/train/cat/bad.jpg", &broken);
    let error = bench.error(&stored_files());
    assert!(
        error.contains("train/cat/bad.jpg`: the image is corrupt"),
        "{error}"
    );
    bench.on_error = OnError::Skip;
    assert_eq!(bench.prepare(&stored_files()).unwrap().skipped, 1);
    let resized = Format::from(ImageFolderOptions {
        size: Some([4u32, 5].map(|side| side.try_into().unwrap())),
        store: StoredAs::Files,
        ..ImageFolderOptions::default()
    });
    let error = folder().error(&resized);
    assert!(
        error.contains("remove `size`, and add `resize: {size: [4, 5]}` to the training's `augment`"),
        "{error}"
    );
}

#[test]
fn corrupt_images_are_named_or_left_out() {
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 20].to_vec();
    let mut flipped = png(9);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    for bad in [
        cut(jpeg(3)),
        cut(png(3)),
        flipped,
        Vec::new(),
        b"GIF89a not really".to_vec(),
    ] {
        let mut bench = folder();
        bench.file("pets/train/cat/bad.jpg", &bad);
        let error = bench.error(&format());
        assert!(
            error.contains("train/cat/bad.jpg`: the image is corrupt"),
            "{error}"
        );
        bench.on_error = OnError::Skip;
        let prepared = bench.prepare(&format()).unwrap();
        assert_eq!((prepared.skipped, prepared.splits[&SplitName::Train]), (1, 4));
    }
    let mut bench = folder();
    bench.on_error = OnError::Skip;
    bench
        .file("pets/train/cat/d.JPeg", b"")
        .file("pets/train/cat/more/c.jpg", b"");
    let error = bench.error(&format());
    assert!(
        error.contains("class `cat` has no sample in the train split"),
        "{error}"
    );
}

#[test]
fn folders_that_do_not_fit_are_named() {
    let bench = folder();
    bench.file("pets/train/bird/readme.txt", b"");
    assert!(
        bench
            .error(&format())
            .contains("bird`: this class folder has no image")
    );
    let bench = folder();
    bench.file("pets/test/emu/x.png", &png(1));
    assert!(
        bench
            .error(&format())
            .contains("class `emu` is missing in the train split")
    );
    let bench = folder();
    bench
        .file("pets/val/cat/x.png", &png(1))
        .file("pets/valid/cat/x.png", &png(1));
    assert!(
        bench
            .error(&format())
            .contains("both `val` and `valid` are the val split")
    );
    let bench = Bench::new();
    bench
        .file("test/cat/1.png", &png(1))
        .file("val/cat/2.png", &png(1));
    assert!(
        bench
            .error(&format())
            .contains("it has split folders, but no `train`")
    );
    assert!(Bench::new().error(&format()).contains("no class folder is here"));
    let bench = Bench::new();
    bench.file("1.png", &png(1));
    assert!(bench.error(&format()).contains("no class folder is here"));
}

/// The samples of each split there is, and the classes.
fn splits_of(bench: &Bench, format: &Format) -> (Vec<(&'static str, usize)>, Vec<String>) {
    let dataset = bench.dataset(format);
    let splits = dataset
        .splits()
        .map(|name| (name.as_str(), dataset.split(name).unwrap().len()));
    (splits.collect(), dataset.target().names.clone())
}

fn with_splits(yaml: &str) -> Format {
    let splits = serde_json::from_str(yaml).unwrap();
    Format::from(ImageFolderOptions {
        splits: Some(splits),
        ..ImageFolderOptions::default()
    })
}

/// Folders with one image each.
fn folders(paths: &[&str]) -> Bench {
    let bench = Bench::new();
    for (shade, path) in (0..).zip(paths) {
        bench.file(&format!("{path}/1.png"), &png(shade));
    }
    bench
}

#[test]
fn splits_are_known_by_the_names_that_people_give_them() {
    for [train, val, test] in [
        ["Training", "", "Testing"],
        ["Training", "", "Test"],
        ["train", "", "Testing"],
        ["train", "dev", "test"],
        ["TRAIN", "Validation", "holdout"],
        ["train", "", "eval"],
        ["train", "eval", "test"],
        ["train2017", "val2017", "test2017"],
        ["seg_train/seg_train", "", "seg_test/seg_test"],
        ["pets/train/train", "", "pets/test/test"],
    ] {
        let named = [("train", train), ("val", val), ("test", test)];
        let named = named.into_iter().filter(|(_, folder)| !folder.is_empty());
        let paths: Vec<String> = named
            .clone()
            .flat_map(|(_, folder)| ["cat", "dog"].map(|class| format!("{folder}/{class}")))
            .collect();
        let bench = folders(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        let (splits, classes) = splits_of(&bench, &format());
        assert_eq!(
            splits,
            named.map(|(split, _)| (split, 2)).collect::<Vec<_>>(),
            "{paths:?}"
        );
        assert_eq!(classes, ["cat", "dog"]);
        assert_eq!(*bench.notices.lock().unwrap(), [""; 0]);
    }
}

#[test]
fn splits_may_lie_inside_the_classes() {
    let bench = folders(&["cat/train", "cat/test", "dog/train", "dog/test"]);
    assert_eq!(
        splits_of(&bench, &format()),
        (vec![("train", 2), ("test", 2)], vec!["cat".into(), "dog".into()])
    );
    let bench = folders(&["cat/train", "cat/test", "dog/train/deep", "dog/other"]);
    let error = bench.error(&format());
    assert!(
        error.contains("`cat` holds folders that are called as splits are, and `dog` does not"),
        "{error}"
    );
    assert_eq!(splits_of(&bench, &with_splits(r#""none""#)).0, [("train", 4)]);
}

#[test]
fn what_may_be_a_split_or_a_class_is_asked() {
    let cases: [(&[&str], &str); 5] = [
        (
            &["bus/a", "car/a", "train/a", "train/b"],
            "(called so: `train`; not: `bus`, `car`): name them, as in `splits: {train: train, test: ...}`",
        ),
        (
            &["cat", "dog", "test/cat", "test/dog"],
            "(called so: `test`; not: `cat`, `dog`)",
        ),
        (
            &["train/a", "train/b", "test/c", "test/d", "foo/a"],
            "(called so: `train`, `test`; not: `foo`)",
        ),
        (
            &["train", "test"],
            "`test`, `train` are called as splits are, and hold images without class folders",
        ),
        (
            &["train/a", "train/b", "Training/a"],
            "both `Training` and `train` are the train split",
        ),
    ];
    for (paths, told) in cases {
        let error = folders(paths).error(&format());
        assert!(error.contains(told), "{paths:?}: {error}");
    }
    let all = folders(cases[0].0);
    assert_eq!(
        splits_of(&all, &with_splits(r#""none""#)).1,
        ["bus", "car", "train"]
    );
    let bench = folders(&["a/x", "a/y", "b/x", "c/d/y"]);
    let missing = with_splits(r#"{"train": "a", "val": "z"}"#);
    assert!(
        bench
            .error(&missing)
            .contains("`splits` names the val split's folder `z`, which is not here")
    );
    let named = with_splits(r#"{"train": ["a", "b"], "test": "c/d"}"#);
    assert_eq!(
        splits_of(&bench, &named),
        (vec![("train", 3), ("test", 1)], vec!["x".into(), "y".into()])
    );
}

#[test]
fn what_is_left_out_is_told_with_the_reason() {
    let bench = folders(&[
        "train/a", "train/b", "test/a", "test/b", "fold9/a", "val", "notes",
    ]);
    std::fs::remove_file(bench.input().join("notes/1.png")).unwrap();
    bench
        .file("notes/x.txt", b"")
        .file("stray.png", &png(9))
        .file("train/stray.png", &png(8));
    assert_eq!(splits_of(&bench, &format()).0, [("train", 2), ("test", 2)]);
    let notices = bench.notices.lock().unwrap();
    for told in [
        "val` is left out: its images are in no class folder, so they cannot be in the val split",
        "fold9` is left out: it is not called as a split is; if it is one, name it in `splits`",
        "notes` is left out: it holds no image",
        "input/stray.png` is left out: it lies in no class folder",
        "train/stray.png` is left out: it lies in no class folder",
    ] {
        assert!(
            notices.iter().any(|notice| notice.contains(told)),
            "{told}: {notices:?}"
        );
    }
    assert_eq!(notices.len(), 5, "{notices:?}");
}

#[test]
fn classes_that_are_probably_others_are_told() {
    let bench = folders(&["set1/a", "set1/b", "set2/a", "set2/b"]);
    assert_eq!(splits_of(&bench, &format()).1, ["set1", "set2"]);
    let told = "the class folders `set1` and `set2` hold folders of the same names (`a`, `b`): if these are the classes";
    assert!(bench.notices.lock().unwrap()[0].starts_with(told));
    let bench = folders(&["Cat", "cat", "dog"]);
    assert_eq!(splits_of(&bench, &format()).1, ["Cat", "cat", "dog"]);
    let told = "the classes `Cat` and `cat` are the same but for upper and lower case";
    assert!(bench.notices.lock().unwrap()[0].starts_with(told));
    let error = folders(&["train/cat", "train/dog", "test/Cat"]).error(&format());
    assert!(
        error.contains("class `Cat` is missing in the train split: rename it, if it is `cat`"),
        "{error}"
    );
}

#[test]
fn images_are_known_by_their_content() {
    let bench = Bench::new();
    bench
        .file("train/a/1", &png(1))
        .file("train/b/x.dat", &jpeg(2))
        .file("Testing/a/0001", &png(3));
    assert_eq!(splits_of(&bench, &format()).0, [("train", 2), ("test", 1)]);
}

#[test]
fn a_class_that_is_not_tested_is_told() {
    let bench = folder();
    // Comes before the others, so that theirs are not the first folders' indices.
    bench.file("pets/train/bird/x.png", &png(1));
    let dataset = bench.dataset(&format());
    assert_eq!(dataset.target().names, ["bird", "cat", "dog"]);
    let test: Vec<(String, u32)> = first_pixels(&dataset, SplitName::Test)
        .into_iter()
        .map(|(origin, label, _)| (origin, label))
        .collect();
    assert_eq!(test, [("test/cat/e.png".into(), 1), ("test/dog/f.png".into(), 2)]);
    assert_eq!(
        *bench.notices.lock().unwrap(),
        ["class `bird` has no sample in the test split"]
    );
}

#[test]
fn threads_do_not_matter() {
    let bench = folder();
    for image in 0..40 {
        bench.file(&format!("pets/train/cat/{image}.jpg"), &jpeg(image));
    }
    bench.file("pets/train/cat/large.jpg", &encoded(60, 50, 8, ImageFormat::Jpeg));
    for format in [format(), stored_files()] {
        let bytes = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| bench.prepare(&format)).unwrap();
            bench.bytes()
        });
        assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2]);
    }
}
