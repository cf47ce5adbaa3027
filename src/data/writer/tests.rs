//! Tests of what the writer takes and refuses.

use std::fs;
use std::path::Path;

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn table(folder: &Path) -> DatasetWriter {
    let shape = SampleShape::Features { columns: 1 };
    DatasetWriter::create(folder, shape, names(&["x"])).unwrap()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().count() == 0
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = table(folder.path());
    writer.push(Sample::Features(&[1.0]), "a").unwrap();
    assert!(!is_empty(folder.path()));
    assert!(writer.push(Sample::Features(&[1.0, 2.0]), "b").is_err());
    assert!(writer.push(Sample::Pixels(&[1]), "b").is_err());
    assert!(writer.finish(names(&["c"]), &[1], &[SplitName::Train]).is_err());
    assert!(is_empty(folder.path()));
    let shape = SampleShape::Features { columns: 1 };
    assert!(DatasetWriter::create(folder.path(), shape, Vec::new()).is_err());
}

#[test]
fn samples_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shape = SampleShape::Images { channels: 3 };
    assert!(DatasetWriter::create(folder.path(), SampleShape::Images { channels: 0 }, Vec::new()).is_err());
    let mut writer = DatasetWriter::create(folder.path(), shape, Vec::new()).unwrap();
    let image = |height, width| Sample::Image {
        pixels: &[7; 12],
        height,
        width,
    };
    writer.push(image(2, 2), "good").unwrap();
    for (height, width) in [(2, 3), (0, 4), (usize::MAX, 2)] {
        let error = writer.push(image(height, width), "bad").unwrap_err().to_string();
        assert!(error.contains("bad: its 12 pixels do not fit"), "{error}");
    }
    assert!(writer.push(Sample::Pixels(&[7; 12]), "bad").is_err());
    let mut files = DatasetWriter::create_files(folder.path(), Color::Gray).unwrap();
    let empty = Sample::File {
        bytes: &[],
        height: 1,
        width: 1,
    };
    assert!(files.push(empty, "bad").is_err());
}

#[test]
fn values_must_fit_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let two = || names(&["y", "z"]);
    let writer = || table(folder.path());
    assert!(writer().predicting(Task::Classification, two()).is_err());
    assert!(writer().predicting(Task::Regression, Vec::new()).is_err());
    for (task, good, bad) in [
        (Task::MultiLabel, [0.0, 1.0], [0.0, 0.5]),
        (Task::Regression, [-3.5, 0.5], [0.0, f32::NAN]),
    ] {
        let mut writer = writer().predicting(task, two()).unwrap();
        writer.push(Sample::Features(&[1.0]), "a").unwrap();
        writer.push_values(&good).unwrap();
        assert!(writer.push_values(&bad).is_err());
        assert!(writer.push_values(&good[..1]).is_err());
        // A second sample without values.
        writer.push(Sample::Features(&[2.0]), "b").unwrap();
        assert!(writer.finish_values(&[SplitName::Train; 2]).is_err());
    }
    assert!(table(folder.path()).push_values(&[1.0]).is_err());
    let mut classes = table(folder.path());
    classes.push(Sample::Features(&[1.0]), "a").unwrap();
    assert!(classes.finish_values(&[SplitName::Train]).is_err());
    let mut none_to_train_on = table(folder.path());
    none_to_train_on.push(Sample::Features(&[1.0]), "a").unwrap();
    assert!(
        none_to_train_on
            .finish(names(&["c"]), &[0], &[SplitName::Test])
            .is_err()
    );
    assert!(is_empty(folder.path()));
}

#[test]
fn memory_does_not_grow_with_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    let shape = SampleShape::Images { channels: 1 };
    let writer = DatasetWriter::create(folder.path(), shape, Vec::new()).unwrap();
    let mut writer = writer.predicting(Task::Regression, names(&["y"])).unwrap();
    let before = writer.memory();
    let pixels = [3; 4096];
    for width in 1..=4096 {
        let sample = Sample::Image {
            pixels: &pixels[..width],
            height: 1,
            width,
        };
        writer.push(sample, "a sample of some folder").unwrap();
        writer.push_values(&[1.0]).unwrap();
    }
    // 8 MiB of pixels, and 8 + 8 + 4 + 8 + 23 bytes a sample beside them.
    assert_eq!(writer.memory(), before);
    assert!(before < 2 << 20, "{before}");
    writer.finish_values(&[SplitName::Train; 4096]).unwrap();
}
