//! Tests of what the writer takes and refuses.

use std::fs;
use std::path::Path;

use super::*;
use crate::data::testing::{bytes_of, with_classes};
use crate::schema::{Dimensions, ElementType};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn table(folder: &Path) -> DatasetWriter {
    let schema = with_classes(Field::features("features", names(&["x"])));
    DatasetWriter::create(folder, schema).unwrap()
}

/// Rows of one number that are to predict `target`.
fn predicting(folder: &Path, target: Field) -> DatasetWriter {
    let schema = Schema::new(vec![Field::features("features", names(&["x"])), target]).unwrap();
    DatasetWriter::create(folder, schema).unwrap()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().count() == 0
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = table(folder.path());
    writer
        .push(&[FieldValue::row(&bytes_of(&[1.0]), 1)], "a")
        .unwrap();
    assert!(!is_empty(folder.path()));
    let two = bytes_of(&[1.0, 2.0]);
    assert!(writer.push(&[FieldValue::row(&two, 2)], "b").is_err());
    assert!(writer.push(&[FieldValue::row(&two, 1)], "b").is_err());
    assert!(writer.push(&[FieldValue::pixels(&[1], [1, 1, 1])], "b").is_err());
    assert!(writer.push(&[], "b").is_err());
    assert!(
        writer
            .finish_with_classes(names(&["c"]), &[1], &[SplitName::Train])
            .is_err()
    );
    assert!(is_empty(folder.path()));
}

#[test]
fn schemas_without_input_or_target_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let class = |name: &str| Field::class(name, Vec::new());
    let image = || Field::image("image", Dimensions::image(1, None));
    for (fields, expected) in [
        (vec![image()], "something to predict"),
        (vec![class("a")], "something to show"),
        (
            vec![image(), class("a"), Field::origin()],
            "where samples come from",
        ),
        (vec![image(), class("a"), class("b")], "two kinds of classes"),
    ] {
        let error = DatasetWriter::create(folder.path(), Schema::new(fields).unwrap());
        let error = error.err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(is_empty(folder.path()));
}

#[test]
fn samples_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let schema = with_classes(Field::image("image", Dimensions::image(3, None)));
    let mut writer = DatasetWriter::create(folder.path(), schema).unwrap();
    writer
        .push(&[FieldValue::pixels(&[7; 12], [3, 2, 2])], "good")
        .unwrap();
    for shape in [[3, 2, 3], [3, 0, 4], [3, usize::MAX, 2], [1, 3, 4]] {
        let value = FieldValue::pixels(&[7; 12], shape);
        let error = writer.push(&[value], "bad").unwrap_err().to_string();
        assert!(error.contains("bad: its 12 pixels do not fit"), "{error}");
    }
    let schema = with_classes(Field::image_files("image", Dimensions::image(1, None)));
    let mut files = DatasetWriter::create(folder.path(), schema).unwrap();
    let empty = FieldValue::image_file(&[], 1, Some([1, 1]));
    assert!(files.push(&[empty], "bad").is_err());
}

#[test]
fn values_must_be_what_their_field_says() {
    let folder = tempfile::tempdir().unwrap();
    let row = bytes_of(&[1.0]);
    let input = FieldValue::row(&row, 1);
    let two = || names(&["y", "z"]);
    let numbers = |numbers: [f32; 2]| bytes_of(&numbers);
    for (target, good, bad) in [
        (Field::labels("labels", two()), vec![0, 1], vec![0, 2]),
        (
            Field::numbers("targets", two()),
            numbers([-3.5, 0.5]),
            numbers([0.0, f32::NAN]),
        ),
        (
            Field::class("class", two()),
            1u32.to_le_bytes().to_vec(),
            2u32.to_le_bytes().to_vec(),
        ),
    ] {
        let mut writer = predicting(folder.path(), target.clone());
        let dimensions = target.dimensions;
        let mut push = |bytes: &[u8]| writer.push(&[input, FieldValue { bytes, dimensions }], "a");
        push(&good).unwrap();
        assert!(push(&bad).is_err());
        assert!(push(&good[..1]).is_err());
        assert!(writer.push(&[input], "b").is_err());
        assert!(writer.finish(&[SplitName::Train; 2]).is_err());
    }
    let mut classes = table(folder.path());
    classes.push(&[input], "a").unwrap();
    assert!(classes.finish(&[SplitName::Train]).is_err());
    let mut none_to_train_on = table(folder.path());
    none_to_train_on.push(&[input], "a").unwrap();
    assert!(
        none_to_train_on
            .finish_with_classes(names(&["c"]), &[0], &[SplitName::Test])
            .is_err()
    );
    assert!(is_empty(folder.path()));
}

#[test]
fn memory_does_not_grow_with_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema::new(vec![
        Field::image("image", Dimensions::image(1, None)),
        Field::numbers("targets", names(&["y"])),
        Field::tokens("tokens", ElementType::U16),
    ]);
    let mut writer = DatasetWriter::create(folder.path(), schema.unwrap()).unwrap();
    let before = writer.memory();
    let pixels = [3; 4096];
    let target = bytes_of(&[1.0]);
    for width in 1..=4096 {
        let tokens = FieldValue {
            bytes: &pixels[..2 * (width / 2)],
            dimensions: Dimensions::row(width / 2),
        };
        let image = FieldValue::pixels(&pixels[..width], [1, 1, width]);
        let values = [image, FieldValue::row(&target, 1), tokens];
        writer.push(&values, "a sample of some folder").unwrap();
    }
    // 8 MiB of pixels and as many of tokens, and more beside them.
    assert_eq!(writer.memory(), before);
    assert!(before < 2 << 20, "{before}");
    writer.finish(&[SplitName::Train; 4096]).unwrap();
}
