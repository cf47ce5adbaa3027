//! Tests of the intake.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::data::formats::{Formats, SplitInput};
use crate::data::prepare::prepare;
use crate::data::testing::{Bench, bytes_of, shares, with_classes};
use crate::spec::{Cifar10Options, CsvOptions, Format};

/// Rows of one number, with classes.
fn table() -> Schema {
    with_classes(Field::features("features", vec!["x".into()]))
}

fn push(intake: &mut Intake<'_>, split: SplitName, class: u32, number: f32) {
    let row = bytes_of(&[number]);
    let sample = IntakeSample {
        split,
        class: Some(class),
        values: &[FieldValue::row(&row, 1)],
        origin: "x",
    };
    intake.push(sample).unwrap();
}

#[test]
fn splits_of_the_input_stay_and_overlaps_are_told() {
    let bench = Bench::new();
    let monitor = Monitor::silent();
    let output = bench.output();
    let split = shares(0.25, 0.5);
    let others = BTreeMap::new();
    let mut intake = Intake::new(&output, OnError::Fail, &split, &others, &monitor);
    intake.begin(table(), &output).unwrap();
    for value in 0..20u8 {
        let split = if value < 4 {
            SplitName::Test
        } else {
            SplitName::Train
        };
        push(&mut intake, split, u32::from(value % 2), f32::from(value));
    }
    let classes = Classes::known(vec!["even".into(), "odd".into()]);
    let prepared = intake.finish(Some(classes)).unwrap();
    let counts: Vec<u64> = prepared.splits.values().copied().collect();
    assert_eq!(counts, [12, 4, 4]);
}

#[test]
fn equal_samples_in_two_splits_are_told() {
    let bench = Bench::new();
    let output = bench.output();
    let notices = Arc::clone(&bench.notices);
    let emit = move |activity| {
        if let crate::event::Activity::Notice { message, .. } = activity {
            notices.lock().unwrap().push(message);
        }
    };
    let monitor = Monitor::new(emit, Arc::default());
    let split = SplitOptions::default();
    let others = BTreeMap::new();
    let mut intake = Intake::new(&output, OnError::Fail, &split, &others, &monitor);
    intake.begin(table(), &output).unwrap();
    for (split, label, value) in [
        (SplitName::Train, 0, 1.0f32),
        (SplitName::Train, 1, 2.0),
        (SplitName::Test, 0, 1.0),
        (SplitName::Test, 1, 3.0),
    ] {
        push(&mut intake, split, label, value);
    }
    intake
        .finish(Some(Classes::known(vec!["a".into(), "b".into()])))
        .unwrap();
    assert_eq!(
        bench.notices.lock().unwrap()[..],
        ["1 sample of the test split equals training samples"]
    );
    assert_ne!(digest_bytes(&[1]), digest_bytes(&[2]));
}

#[test]
fn a_stopped_monitor_ends_the_work() {
    let bench = Bench::new();
    bench.file("t.csv", b"1,2,a\n1,3,b\n");
    let text = r#"{"label": -1}"#;
    let options = bench.options(Format::from(serde_json::from_str::<CsvOptions>(text).unwrap()));
    let monitor = Monitor::new(|_| {}, Arc::new(AtomicBool::new(true)));
    let error = prepare(
        &options,
        &Formats::built_in(),
        &[SplitInput::whole(&bench.input())],
        &bench.output(),
        &monitor,
    )
    .unwrap_err();
    assert!(matches!(error, DataError::Stopped));
    let missing = bench.folder.path().join("nowhere");
    let options = bench.options(Format::from(Cifar10Options {}));
    let error = prepare(
        &options,
        &Formats::built_in(),
        &[SplitInput::whole(&missing)],
        &bench.output(),
        &monitor,
    )
    .unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    bench.file("t.csv", b"1,2,a\n1,3,b\n");
    let options = bench.options(Format::from(serde_json::from_str::<CsvOptions>("{}").unwrap()));
    let output = bench.folder.path().join("absent");
    let error = prepare(
        &options,
        &Formats::built_in(),
        &[SplitInput::whole(&bench.input())],
        &output,
        &Monitor::silent(),
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("cannot create") && error.contains("absent/dataset.bin"),
        "{error}"
    );
}
