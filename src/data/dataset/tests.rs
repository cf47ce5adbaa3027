//! Tests of datasets: written and read, damaged, foreign.

use std::fs;
use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::data::testing;
use crate::data::writer::{DatasetWriter, Sample};

fn names(count: u32) -> Vec<String> {
    (0..count).map(|index| format!("class {index}")).collect()
}

/// Reads all that can be read of a dataset; whatever was accepted must not panic.
fn read_all(dataset: &Dataset) -> Result<(), DataError> {
    let mut values = vec![0f32; dataset.outputs()];
    let mut sample = Vec::new();
    for split in dataset.splits().filter_map(|name| dataset.split(name)) {
        for index in 0..split.len() {
            split.origin(index);
            match split.task() {
                Task::Classification => assert!((split.label(index) as usize) < dataset.classes().len()),
                Task::MultiLabel | Task::Regression => split.values(index, &mut values),
            }
            let shape = split.read_sample(index, &mut sample)?;
            assert_eq!(sample.len(), shape.len());
        }
        split.target_moments();
    }
    Ok(())
}

/// Datasets of all layouts, `kind` from 0 to 3, with 4 samples.
fn write_kind(folder: &Path, kind: usize) {
    let splits = [
        SplitName::Train,
        SplitName::Train,
        SplitName::Test,
        SplitName::Train,
    ];
    match kind {
        0 => {
            testing::images(folder, 4);
        }
        1 => {
            let shape = SampleShape::Images { channels: 3 };
            let writer = DatasetWriter::create(folder, shape, Vec::new()).unwrap();
            let mut writer = writer.predicting(Task::MultiLabel, names(3)).unwrap();
            for side in 1..5usize {
                let pixels: Vec<u8> = (0..3 * side * (side + 1)).map(|at| (at * side) as u8).collect();
                let sample = Sample::Image {
                    pixels: &pixels,
                    height: side,
                    width: side + 1,
                };
                writer.push(sample, &format!("image {side}")).unwrap();
                let values = [0, 1, 2].map(|label| f32::from(u8::from(side > label)));
                writer.push_values(&values).unwrap();
            }
            writer.finish_values(&splits).unwrap();
        }
        2 => {
            let mut writer = DatasetWriter::create_files(folder, Color::Gray).unwrap();
            for side in 1..5u32 {
                writer
                    .push(
                        Sample::File {
                            bytes: &png(side, 3),
                            height: 3,
                            width: side as usize,
                        },
                        &format!("{side}.png"),
                    )
                    .unwrap();
            }
            writer.finish(names(2), &[0, 1, 0, 1], &splits).unwrap();
        }
        _ => {
            let shape = SampleShape::Features { columns: 1 };
            let writer = DatasetWriter::create(folder, shape, vec!["x".into()]).unwrap();
            let mut writer = writer
                .predicting(Task::Regression, vec!["y".into(), "z".into()])
                .unwrap();
            for value in [1.0f32, 2.0, 100.0, 6.0] {
                writer.push(Sample::Features(&[value]), "row").unwrap();
                writer.push_values(&[-value, 0.5]).unwrap();
            }
            writer.finish_values(&splits).unwrap();
        }
    }
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let image = image::GrayImage::from_fn(width, height, |x, y| image::Luma([(10 * x + y) as u8]));
    let mut bytes = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png)
        .unwrap();
    bytes
}

proptest! {
    #[test]
    fn reads_what_was_written(
        columns in 1usize..6,
        samples in prop::collection::vec((any::<u32>(), 0u32..3, 0usize..3, "\\PC{0,8}"), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let shape = SampleShape::Features { columns };
        let names_of_columns: Vec<String> = (0..columns).map(|index| format!("f{index}")).collect();
        let mut writer = DatasetWriter::create(folder.path(), shape, names_of_columns.clone()).unwrap();
        let row = |value: u32| -> Vec<f32> {
            (0..columns).map(|column| value as f32 / (column as f32 + 1.0)).collect()
        };
        for (value, _, _, origin) in &samples {
            writer.push(Sample::Features(&row(*value)), origin).unwrap();
        }
        let labels: Vec<u32> = samples.iter().map(|sample| sample.1).collect();
        let mut splits: Vec<SplitName> = samples.iter().map(|sample| SplitName::ALL[sample.2]).collect();
        splits[0] = SplitName::Train;
        writer.finish(names(3), &labels, &splits).unwrap();

        let dataset = Dataset::open(folder.path()).unwrap();
        prop_assert_eq!(dataset.shape(), shape);
        prop_assert_eq!(dataset.columns(), &names_of_columns[..]);
        prop_assert_eq!(dataset.classes(), &names(3)[..]);
        prop_assert_eq!((dataset.task(), dataset.outputs()), (Task::Classification, 3));
        for name in SplitName::ALL {
            let members: Vec<usize> = (0..samples.len()).filter(|index| splits[*index] == name).collect();
            let split = dataset.split(name);
            prop_assert_eq!(split.as_ref().map_or(0, Split::len), members.len());
            prop_assert_eq!(dataset.splits().any(|other| other == name), !members.is_empty());
            for (index, member) in members.into_iter().enumerate() {
                let split = split.as_ref().unwrap();
                let mut read = Vec::new();
                prop_assert_eq!(split.read_sample(index, &mut read).unwrap(), shape);
                prop_assert_eq!(read, row(samples[member].0));
                prop_assert_eq!(split.label(index), labels[member]);
                prop_assert_eq!(&split.origin(index), &samples[member].3);
            }
        }
    }

    #[test]
    fn damage_is_an_error_or_harmless(
        kind in 0usize..4,
        at in 0usize..4000,
        value in any::<u8>(),
        cut in 0usize..4000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        write_kind(folder.path(), kind);
        let mut bytes = fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] = value;
        fs::write(&path, &bytes).unwrap();
        if let Ok(dataset) = Dataset::open(folder.path())
            && let Err(error) = read_all(&dataset)
        {
            // Only image files can turn out to be bad once the dataset is open.
            prop_assert_eq!(kind, 2);
            prop_assert!(error.to_string().contains("sample `"), "{}", error);
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes[..cut % bytes.len()]).unwrap();
        prop_assert!(Dataset::open(folder.path()).is_err());
    }
}

#[test]
fn images_of_various_sizes_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    write_kind(folder.path(), 1);
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.shape(), SampleShape::Images { channels: 3 });
    assert_eq!(dataset.shape().to_string(), "3 channels of various sizes");
    assert_eq!((dataset.task(), dataset.outputs()), (Task::MultiLabel, 3));
    assert_eq!(dataset.classes(), names(3));
    assert!(dataset.targets().is_empty());
    let train = dataset.split(SplitName::Train).unwrap();
    assert_eq!((train.classes(), train.outputs()), (3, 3));
    assert_eq!(train.target_moments(), (Vec::new(), Vec::new()));
    let mut sample = Vec::new();
    let mut labels = [9.0; 3];
    for (index, side) in [1usize, 2, 4].into_iter().enumerate() {
        let shape = train.read_sample(index, &mut sample).unwrap();
        let expected = SampleShape::Image {
            channels: 3,
            height: side,
            width: side + 1,
        };
        assert_eq!(shape, expected);
        let pixels = (0..3 * side * (side + 1)).map(|at| f32::from((at * side) as u8) / 255.0);
        assert!(sample.iter().copied().eq(pixels));
        train.values(index, &mut labels);
        let expected = [0, 1, 2].map(|label| f32::from(u8::from(side > label)));
        assert_eq!(labels, expected);
        assert_eq!(train.origin(index), format!("image {side}"));
    }
}

#[test]
fn images_of_one_size_in_the_end_are_a_dataset_of_that_size() {
    let [various, fixed] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let shape = SampleShape::Image {
        channels: 1,
        height: 2,
        width: 3,
    };
    let write = |folder: &Path, shape: SampleShape, sample: Sample<'_>| {
        let mut writer = DatasetWriter::create(folder, shape, Vec::new()).unwrap();
        for _ in 0..3 {
            writer.push(sample, "x").unwrap();
        }
        writer.finish(names(1), &[0; 3], &[SplitName::Train; 3]).unwrap();
        fs::read(folder.join(FILE_NAME)).unwrap()
    };
    let pixels = &[1, 2, 3, 4, 5, 6];
    let image = Sample::Image {
        pixels,
        height: 2,
        width: 3,
    };
    let left = write(various.path(), SampleShape::Images { channels: 1 }, image);
    assert_eq!(left, write(fixed.path(), shape, Sample::Pixels(pixels)));
    assert_eq!(Dataset::open(various.path()).unwrap().shape(), shape);
}

#[test]
fn image_files_are_decoded_and_bad_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    write_kind(folder.path(), 2);
    let path = folder.path().join(FILE_NAME);
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.shape(), SampleShape::Images { channels: 1 });
    let test = dataset.split(SplitName::Test).unwrap();
    let mut sample = Vec::new();
    let shape = test.read_sample(0, &mut sample).unwrap();
    assert_eq!(shape.to_string(), "1x3x3");
    let expected = [0, 10, 20, 1, 11, 21, 2, 12, 22].map(|pixel| pixel as f32 / 255.0);
    assert_eq!(sample, expected);

    // The third file's content is lost: the signature stands at its beginning.
    let mut bytes = fs::read(&path).unwrap();
    let start = 64 + png(1, 3).len() + png(2, 3).len();
    bytes[start..start + 8].fill(0);
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    let error = read_all(&dataset).unwrap_err().to_string();
    assert!(
        error.contains("sample `3.png`: the image is corrupt") && error.contains("run that stage again"),
        "{error}"
    );
    assert!(
        dataset
            .split(SplitName::Train)
            .unwrap()
            .read_sample(0, &mut sample)
            .is_ok()
    );
}

#[test]
fn an_image_file_must_have_the_size_that_the_dataset_claims() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = DatasetWriter::create_files(folder.path(), Color::Rgb).unwrap();
    let bytes = png(2, 3);
    let sample = Sample::File {
        bytes: &bytes,
        height: 4,
        width: 4,
    };
    writer.push(sample, "a.png").unwrap();
    writer.finish(names(1), &[0], &[SplitName::Train]).unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.shape().to_string(), "3x4x4");
    let error = read_all(&dataset).unwrap_err().to_string();
    assert!(
        error.contains("sample `a.png`: it has 3x2 pixels (height x width) and should have 4x4"),
        "{error}"
    );
}

#[test]
fn numbers_to_be_predicted_and_their_moments() {
    let folder = tempfile::tempdir().unwrap();
    write_kind(folder.path(), 3);
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!((dataset.task(), dataset.outputs()), (Task::Regression, 2));
    assert_eq!(dataset.targets(), ["y", "z"]);
    assert!(dataset.classes().is_empty());
    let train = dataset.split(SplitName::Train).unwrap();
    assert_eq!((train.classes(), train.outputs()), (0, 2));
    let mut values = [0f32; 2];
    train.values(2, &mut values);
    assert_eq!(values, [-6.0, 0.5]);
    // -1, -2, -6 and 0.5 three times; the deviation of the latter counts as 1.
    let (mean, deviation) = train.target_moments();
    assert_eq!((mean[0], mean[1], deviation[1]), (-3.0, 0.5, 1.0));
    assert!((deviation[0] - (14.0f64 / 3.0).sqrt()).abs() < 1e-12);
    assert!(read_all(&dataset).is_ok());
}

/// The message of the error that the dataset with `bytes` at `at` gives.
fn damaged(folder: &Path, whole: &[u8], at: usize, bytes: &[u8]) -> String {
    let path = folder.join(FILE_NAME);
    let mut changed = whole.to_vec();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    fs::remove_file(&path).unwrap();
    fs::write(&path, changed).unwrap();
    Dataset::open(folder).unwrap_err().to_string()
}

#[test]
fn foreign_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let error = || Dataset::open(folder.path()).unwrap_err().to_string();
    assert!(error().contains("cannot open"));
    for bytes in [&b""[..], &[0; 200], b"ERLENDAT"] {
        fs::write(&path, bytes).unwrap();
        let error = error();
        assert!(
            error.contains("is not a usable dataset") || error.contains("cannot map"),
            "{error}"
        );
    }
    fs::remove_file(&path).unwrap();
    testing::images(folder.path(), 2);
    let whole = fs::read(&path).unwrap();
    for (at, value, expected) in [
        (
            8,
            1,
            "it has version 1 of the layout, and this Erlen reads version 2 (it is made by a `preprocess` stage; \
             run that stage again)",
        ),
        (32, 1, "bytes and should have"),
        // Two images of 192 bytes follow the first 64; then come the labels.
        (64 + 2 * 192, 2, "sample 0 has label 2, and there are 2 classes"),
        (
            64 + 2 * 192 + 64,
            1,
            "the indices of its train split are not right",
        ),
    ] {
        let error = damaged(folder.path(), &whole, at, &[value]);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn damaged_sizes_and_targets_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    write_kind(folder.path(), 1);
    let whole = fs::read(&path).unwrap();
    // 120 bytes of pixels from 64 on; then sizes, ends and labels, each from a multiple of 64 on.
    let (sizes, ends, labels) = (192, 256, 320);
    for (at, value, expected) in [
        (sizes, 2, "image 0 claims 2x2 pixels and has 6 values"),
        (ends, 7, "image 0 claims 1x2 pixels and has 7 values"),
        (ends + 8, 5, "the ends of its samples are not right"),
        (labels + 4, 2, "the labels of sample 1 are neither 0 nor 1"),
    ] {
        let error = damaged(folder.path(), &whole, at, &[value]);
        assert!(error.contains(expected), "{error}");
    }
    write_kind(folder.path(), 3);
    let whole = fs::read(&path).unwrap();
    // 16 bytes of features, then the targets.
    let error = damaged(folder.path(), &whole, 128 + 12, &f32::NAN.to_le_bytes());
    assert!(
        error.contains("the targets of sample 1 are not finite"),
        "{error}"
    );
}
