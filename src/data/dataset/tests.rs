//! Tests of datasets: written and read, damaged, foreign.

use std::fs;
use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::data::testing;
use crate::data::testing::{bytes_of, label, with_classes};
use crate::data::writer::DatasetWriter;
use crate::schema::ElementType;

fn names(count: u32) -> Vec<String> {
    (0..count).map(|index| format!("class {index}")).collect()
}

/// Reads all that can be read of a dataset; whatever was accepted must not panic.
fn read_all(dataset: &Dataset) -> Result<(), DataError> {
    let schema = dataset.schema();
    let mut values = vec![0f32; dataset.target().names.len()];
    let mut sample = Vec::new();
    for split in dataset.splits().filter_map(|name| dataset.split(name)) {
        for index in 0..split.len() {
            split.origin(index);
            for (place, field) in schema.fields().iter().enumerate() {
                let value = split.value(place, index);
                assert!(value.dimensions.fits(&field.dimensions));
                if !field.is_encoded() {
                    let bytes = value.dimensions.len().unwrap() * field.element.bytes();
                    assert_eq!(value.bytes.len(), bytes);
                }
            }
            match split.task() {
                Ok(TargetKind::Classification) => assert!((label(&split, index) as usize) < values.len()),
                Ok(TargetKind::Detection) => {
                    let objects = split.objects(index).unwrap();
                    assert!(
                        objects
                            .iter()
                            .all(|object| (object.class as usize) < values.len())
                    );
                    assert!(
                        objects
                            .iter()
                            .all(|object| object.width >= 0.0 && object.area.is_finite())
                    );
                }
                Ok(_) => split.target_values(index, &mut values)?,
                Err(_) => {}
            }
            if dataset.input().is_image() || dataset.input().is_row() {
                let shape = split.read_sample(index, &mut sample)?;
                assert_eq!(Some(sample.len()), shape.len());
            }
        }
        split.target_moments();
    }
    Ok(())
}

const SPLITS: [SplitName; 4] = [
    SplitName::Train,
    SplitName::Train,
    SplitName::Test,
    SplitName::Train,
];

/// Datasets of all layouts, `kind` from 0 to 4, with 4 samples.
fn write_kind(folder: &Path, kind: usize) {
    let schema = |fields: Vec<Field>| Schema::new(fields).unwrap();
    match kind {
        0 => {
            testing::images(folder, 4);
        }
        1 => {
            let schema = schema(vec![
                Field::image("image", Dimensions::image(3, None)),
                Field::labels("labels", names(3)),
            ]);
            let mut writer = DatasetWriter::create(folder, schema).unwrap();
            for side in 1..5usize {
                let pixels: Vec<u8> = (0..3 * side * (side + 1)).map(|at| (at * side) as u8).collect();
                let image = FieldValue::pixels(&pixels, [3, side, side + 1]);
                let labels = [0, 1, 2].map(|label| u8::from(side > label));
                let labels = FieldValue {
                    bytes: &labels,
                    dimensions: Dimensions::row(3),
                };
                writer.push(&[image, labels], &format!("image {side}")).unwrap();
            }
            writer.finish(&SPLITS).unwrap();
        }
        2 => {
            let files = Field::image_files("image", Dimensions::image(1, None));
            let mut writer = DatasetWriter::create(folder, with_classes(files)).unwrap();
            for side in 1..5u32 {
                let bytes = png(side, 3);
                let file = FieldValue::image_file(&bytes, 1, Some([3, side as usize]));
                writer.push(&[file], &format!("{side}.png")).unwrap();
            }
            writer
                .finish_with_classes(names(2), &[0, 1, 0, 1], &SPLITS)
                .unwrap();
        }
        3 => {
            let schema = schema(vec![
                Field::features("features", vec!["x".into()]),
                Field::numbers("targets", vec!["y".into(), "z".into()]),
            ]);
            let mut writer = DatasetWriter::create(folder, schema).unwrap();
            for value in [1.0f32, 2.0, 100.0, 6.0] {
                let (input, target) = (bytes_of(&[value]), bytes_of(&[-value, 0.5]));
                let values = [FieldValue::row(&input, 1), FieldValue::row(&target, 2)];
                writer.push(&values, "row").unwrap();
            }
            writer.finish(&SPLITS).unwrap();
        }
        _ => write_everything(folder),
    }
}

/// Every kind of field that there is, and samples that have none of what may be absent.
fn everything() -> Schema {
    Schema::new(vec![
        Field::tokens("tokens", ElementType::U16),
        Field::text("text"),
        Field::tokens("ids", ElementType::I32),
        Field::image("image", Dimensions::image(1, None)),
        Field::objects("boxes", names(1)),
        Field::class("classes", names(3)).with_dimensions(Dimensions::ragged()),
        Field::mask("mask", Dimensions::image(1, None)),
        Field::weight("weight"),
    ])
    .unwrap()
}

/// Any number of values.
fn tokens(bytes: &[u8], count: usize) -> FieldValue<'_> {
    FieldValue {
        bytes,
        dimensions: Dimensions::row(count),
    }
}

fn write_everything(folder: &Path) {
    let mut writer = DatasetWriter::create(folder, everything()).unwrap();
    let pixels = [5; 20];
    for (index, text) in ["", "as", "größer", "x"].into_iter().enumerate() {
        let words: Vec<u8> = (0..index as u16)
            .flat_map(|word| (1000 + word).to_le_bytes())
            .collect();
        let ids: Vec<u8> = (0..3 - index as i32).flat_map(|id| (-id).to_le_bytes()).collect();
        let object = Object::from_row([1.0, 2.0, 3.0, 4.0, 0.0, 12.0, 3.0]);
        let objects = Object::write(&vec![object; index]);
        let classes: Vec<u8> = (0..index as u32).flat_map(u32::to_le_bytes).collect();
        let weight = bytes_of(&[index as f32]);
        let shape = [1, index + 1, 5];
        let values = [
            tokens(&words, index),
            FieldValue::text(text),
            tokens(&ids, 3 - index),
            FieldValue::pixels(&pixels[..5 * (index + 1)], shape),
            objects.as_value(),
            tokens(&classes, index),
            FieldValue::pixels(&pixels[..5 * (index + 1)], shape),
            FieldValue {
                bytes: &weight,
                dimensions: Dimensions::SCALAR,
            },
        ];
        writer.push(&values, &format!("sample {index}")).unwrap();
    }
    writer.finish(&SPLITS).unwrap();
}

#[test]
fn every_kind_of_field_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    write_everything(folder.path());
    let dataset = Dataset::open(folder.path()).unwrap();
    let mut fields = everything().fields().to_vec();
    fields.push(Field::origin());
    assert_eq!(dataset.schema().fields(), fields);
    assert_eq!(
        (&dataset.input().name[..], &dataset.target().name[..]),
        ("tokens", "boxes")
    );
    assert_eq!(dataset.task().unwrap(), TargetKind::Detection);
    let train = dataset.split(SplitName::Train).unwrap();
    let value = |name: &str, index: usize| train.value(dataset.schema().position(name).unwrap(), index);
    // The samples 0, 1 and 3 of the file.
    for (index, place) in [0usize, 1, 3].into_iter().enumerate() {
        let words: Vec<u8> = (0..place as u16)
            .flat_map(|word| (1000 + word).to_le_bytes())
            .collect();
        assert_eq!(value("tokens", index).bytes, words);
        assert_eq!(value("tokens", index).dimensions, Dimensions::row(place));
        assert_eq!(
            value("text", index).bytes,
            ["", "as", "größer", "x"][place].as_bytes()
        );
        assert_eq!(value("ids", index).bytes.len(), 4 * (3 - place));
        assert_eq!(value("image", index).dimensions.size(), Some([place + 1, 5]));
        assert_eq!(value("mask", index).dimensions.size(), Some([place + 1, 5]));
        assert_eq!(value("boxes", index).dimensions.side(0), Some(place));
        assert_eq!(value("boxes", index).bytes.len(), 56 * place);
        assert_eq!(value("classes", index).bytes.len(), 4 * place);
        assert_eq!(value("weight", index).bytes, (place as f32).to_le_bytes());
        assert_eq!(train.origin(index), format!("sample {place}"));
    }
    assert!(read_all(&dataset).is_ok());
}

/// A file of the layout before this one, as the program that knew no other wrote it.
#[test]
fn files_of_the_layout_before_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let header = |samples: &str, targets: &str| {
        format!(
            r#"{{"count":2,"samples":{samples},"targets":{targets},"splits":{{"train":{{"offset":192,"length":4}},"test":{{"offset":256,"length":4}}}},"origins":{{"ends":{{"offset":320,"length":16}},"text":{{"offset":384,"length":2}}}}}}"#
        )
    };
    let classes = r#"{"kind":"classes","classes":["a","b"],"data":{"offset":128,"length":8}}"#;
    let labels = r#"{"kind":"labels","names":["a","b"],"data":{"offset":128,"length":4}}"#;
    let numbers = r#"{"kind":"values","names":["y"],"data":{"offset":128,"length":8}}"#;
    let pixels = r#"{"layout":"pixels","shape":{"image":{"channels":1,"height":2,"width":2}},"data":{"offset":64,"length":8}}"#;
    let features = r#"{"layout":"features","columns":["x"],"data":{"offset":64,"length":8}}"#;
    let files = r#"{"layout":"files","color":"gray","shape":{"images":{"channels":1}},"ends":{"offset":512,"length":16},"data":{"offset":64,"length":8}}"#;
    let images = r#"{"layout":"images","channels":1,"sizes":{"offset":576,"length":16},"ends":{"offset":512,"length":16},"data":{"offset":64,"length":8}}"#;
    for (samples, targets, input, target) in [
        (
            pixels,
            classes,
            Field::image("image", Dimensions::image(1, Some([2, 2]))),
            Field::class("class", vec!["a".into(), "b".into()]),
        ),
        (
            features,
            labels,
            Field::features("features", vec!["x".into()]),
            Field::labels("labels", vec!["a".into(), "b".into()]),
        ),
        (
            files,
            classes,
            Field::image_files("image", Dimensions::image(1, None)),
            Field::class("class", vec!["a".into(), "b".into()]),
        ),
        (
            images,
            numbers,
            Field::image("image", Dimensions::image(1, None)),
            Field::numbers("targets", vec!["y".into()]),
        ),
    ] {
        let mut bytes = vec![0; 640];
        bytes[..8].copy_from_slice(b"ERLENDAT");
        bytes[8] = 2;
        bytes[64..72].copy_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
        bytes[132] = u8::from(targets == classes);
        // The second sample is the one to test.
        bytes[256] = 1;
        bytes[320] = 1;
        bytes[328] = 2;
        bytes[384..386].copy_from_slice(b"pq");
        bytes[512] = 4;
        bytes[520] = 8;
        for size in [576, 580, 584, 588] {
            bytes[size] = 2;
        }
        let json = header(samples, targets);
        bytes[16..24].copy_from_slice(&640u64.to_le_bytes());
        bytes[24..32].copy_from_slice(&(json.len() as u64).to_le_bytes());
        bytes[32..40].copy_from_slice(&(640 + json.len() as u64).to_le_bytes());
        bytes.extend_from_slice(json.as_bytes());
        let path = folder.path().join(FILE_NAME);
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        assert_eq!(dataset.schema().fields(), [input, target, Field::origin()]);
        let test = dataset.split(SplitName::Test).unwrap();
        assert_eq!((test.len(), &test.origin(0)[..]), (1, "q"));
        assert_eq!(test.value(0, 0).bytes, [2, 0, 0, 0]);
        if targets == classes {
            assert_eq!(label(&test, 0), 1);
        }
        if samples == images {
            assert_eq!(test.value(0, 0).dimensions.size(), Some([2, 2]));
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
        let names_of_columns: Vec<String> = (0..columns).map(|index| format!("f{index}")).collect();
        let schema = with_classes(Field::features("features", names_of_columns.clone()));
        let mut writer = DatasetWriter::create(folder.path(), schema).unwrap();
        let row = |value: u32| -> Vec<f32> {
            (0..columns).map(|column| value as f32 / (column as f32 + 1.0)).collect()
        };
        for (value, _, _, origin) in &samples {
            writer.push(&[FieldValue::row(&bytes_of(&row(*value)), columns)], origin).unwrap();
        }
        let labels: Vec<u32> = samples.iter().map(|sample| sample.1).collect();
        let mut splits: Vec<SplitName> = samples.iter().map(|sample| SplitName::ALL[sample.2]).collect();
        splits[0] = SplitName::Train;
        writer.finish_with_classes(names(3), &labels, &splits).unwrap();

        let dataset = Dataset::open(folder.path()).unwrap();
        prop_assert_eq!(dataset.input().dimensions, Dimensions::row(columns));
        prop_assert_eq!(&dataset.input().names, &names_of_columns);
        prop_assert_eq!(&dataset.target().names, &names(3));
        prop_assert_eq!(dataset.task().unwrap(), TargetKind::Classification);
        for name in SplitName::ALL {
            let members: Vec<usize> = (0..samples.len()).filter(|index| splits[*index] == name).collect();
            let split = dataset.split(name);
            prop_assert_eq!(split.as_ref().map_or(0, Split::len), members.len());
            prop_assert_eq!(dataset.splits().any(|other| other == name), !members.is_empty());
            for (index, member) in members.into_iter().enumerate() {
                let split = split.as_ref().unwrap();
                let mut read = Vec::new();
                prop_assert_eq!(split.read_sample(index, &mut read).unwrap(), Dimensions::row(columns));
                prop_assert_eq!(read, row(samples[member].0));
                prop_assert_eq!(label(split, index), labels[member]);
                prop_assert_eq!(&split.origin(index), &samples[member].3);
            }
        }
    }

    #[test]
    fn damage_is_an_error_or_harmless(
        kind in 0usize..5,
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
    assert_eq!(dataset.input().dimensions, Dimensions::image(3, None));
    assert_eq!(dataset.input().to_string(), "3 channels of various sizes");
    assert_eq!(dataset.task().unwrap(), TargetKind::MultiLabel);
    assert_eq!(dataset.target().names, names(3));
    let train = dataset.split(SplitName::Train).unwrap();
    assert_eq!(train.class(0), None);
    assert_eq!(train.target_moments(), (Vec::new(), Vec::new()));
    let mut sample = Vec::new();
    let mut labels = [9.0; 3];
    for (index, side) in [1usize, 2, 4].into_iter().enumerate() {
        let shape = train.read_sample(index, &mut sample).unwrap();
        let expected = Dimensions::image(3, Some([side, side + 1]));
        assert_eq!(shape, expected);
        let pixels = (0..3 * side * (side + 1)).map(|at| f32::from((at * side) as u8) / 255.0);
        assert!(sample.iter().copied().eq(pixels));
        train.target_values(index, &mut labels).unwrap();
        let expected = [0, 1, 2].map(|label| f32::from(u8::from(side > label)));
        assert_eq!(labels, expected);
        assert_eq!(train.origin(index), format!("image {side}"));
    }
}

#[test]
fn images_of_one_size_in_the_end_are_a_dataset_of_that_size() {
    let [various, fixed] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let size = Dimensions::image(1, Some([2, 3]));
    let write = |folder: &Path, dimensions: Dimensions| {
        let schema = with_classes(Field::image("image", dimensions));
        let mut writer = DatasetWriter::create(folder, schema).unwrap();
        for _ in 0..3 {
            let image = FieldValue::pixels(&[1, 2, 3, 4, 5, 6], [1, 2, 3]);
            writer.push(&[image], "x").unwrap();
        }
        writer
            .finish_with_classes(names(1), &[0; 3], &[SplitName::Train; 3])
            .unwrap();
        fs::read(folder.join(FILE_NAME)).unwrap()
    };
    let left = write(various.path(), Dimensions::image(1, None));
    assert_eq!(left, write(fixed.path(), size));
    let dataset = Dataset::open(various.path()).unwrap();
    assert_eq!(dataset.input().dimensions, size);
}

#[test]
fn image_files_are_decoded_and_bad_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    write_kind(folder.path(), 2);
    let path = folder.path().join(FILE_NAME);
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.input().dimensions, Dimensions::image(1, None));
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
    let files = Field::image_files("image", Dimensions::image(3, None));
    let mut writer = DatasetWriter::create(folder.path(), with_classes(files)).unwrap();
    let bytes = png(2, 3);
    let file = FieldValue::image_file(&bytes, 3, Some([4, 4]));
    writer.push(&[file], "a.png").unwrap();
    writer
        .finish_with_classes(names(1), &[0], &[SplitName::Train])
        .unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.input().to_string(), "3x4x4");
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
    assert_eq!(dataset.task().unwrap(), TargetKind::Regression);
    assert_eq!(dataset.target().names, ["y", "z"]);
    let train = dataset.split(SplitName::Train).unwrap();
    let mut values = [0f32; 2];
    train.target_values(2, &mut values).unwrap();
    assert!(train.target_values(2, &mut values[..1]).is_err());
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
            "it has version 1 of the layout, and this Erlen reads versions 2 to 7 (it is made by a `preprocess` stage; \
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
fn the_layout_before_the_columns_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    testing::images(folder.path(), 2);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 3;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    assert!(dataset.input().columns.is_empty());
    assert!(read_all(&dataset).is_ok());
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
