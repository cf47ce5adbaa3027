//! Tests of images that a list names.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::data::Dataset;
use crate::data::testing::{Bench, label};
use crate::spec::{Format, OnError};

fn png(shade: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_pixel(2, 2, Rgb([shade, 0, 0]));
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn format(json: &str) -> Format {
    Format::from(serde_json::from_str::<ImageManifestOptions>(json).unwrap())
}

/// Images `photos/0.png` to `photos/5.png`, and a list.
fn bench(name: &str, list: &str) -> Bench {
    let bench = Bench::new();
    for image in 0..6 {
        bench.file(&format!("photos/{image}.png"), &png(image));
    }
    bench.file(name, list.as_bytes());
    bench
}

fn origins(dataset: &Dataset, split: SplitName) -> Vec<(String, u32)> {
    let split = dataset.split(split).unwrap();
    (0..split.len())
        .map(|index| (split.origin(index), label(&split, index)))
        .collect()
}

fn rows(dataset: &Dataset) -> Vec<Vec<f32>> {
    let split = dataset.split(SplitName::Train).unwrap();
    let read = |index| {
        let mut values = vec![0.0; split.target().names.len()];
        split.target_values(index, &mut values).unwrap();
        values
    };
    (0..split.len()).map(read).collect()
}

#[test]
fn classes_and_splits_come_from_the_list() {
    let csv = "\u{feff}file_name,label,split\nphotos/3.png,10,Training\n\"./photos/1.png\",9,train\nphotos/0.png,9,dev\n\
               photos\\2.png,10,testing\n";
    let json = r#"{"file_name": "photos/3.png", "label": 10, "split": "train"}

{"file_name": "photos/1.png", "label": "9", "split": "train", "more": [1]}
{"file_name": "photos/0.png", "label": 9, "split": "validation"}
{"file_name": "photos/2.png", "label": 10, "split": "test"}
"#;
    for (name, list) in [("labels.csv", csv), ("labels.jsonl", json)] {
        let bench = bench(name, list);
        let dataset = bench.dataset(&format(&format!(
            r#"{{"file": "{name}", "label": "label", "split": "split"}}"#
        )));
        assert_eq!(dataset.target().names, ["9", "10"]);
        let train = origins(&dataset, SplitName::Train);
        assert_eq!(train, [("photos/3.png".into(), 1), ("photos/1.png".into(), 0)]);
        assert_eq!(origins(&dataset, SplitName::Val), [("photos/0.png".into(), 0)]);
        assert_eq!(origins(&dataset, SplitName::Test), [("photos/2.png".into(), 1)]);
        let told = format!(
            "2 images of the input are not in the list `{name}` and left out: `photos/4.png`, `photos/5.png`"
        );
        assert!(
            bench.notices.lock().unwrap().contains(&told),
            "{:?}",
            bench.notices
        );
    }
}

#[test]
fn paths_may_be_patterns_seen_from_the_list() {
    let bench = bench("photos/list.tsv", "id\tkind\n0\ta\n1\tb\n2\ta\n");
    let dataset = bench.dataset(&format(
        r#"{"file": "photos/list.tsv", "path": "{id}.png", "label": "kind"}"#,
    ));
    let expected = [
        ("photos/0.png".into(), 0),
        ("photos/1.png".into(), 1),
        ("photos/2.png".into(), 0),
    ];
    assert_eq!(origins(&dataset, SplitName::Train), expected);
}

#[test]
fn several_labels_and_numbers() {
    let marks = bench(
        "l.csv",
        "file_name,red,round\nphotos/0.png,1,0\nphotos/1.png,true,1\n",
    );
    let dataset = marks.dataset(&format(
        r#"{"file": "l.csv", "label": ["red", "round"], "task": "multi_label"}"#,
    ));
    assert_eq!(dataset.target().names, ["red", "round"]);
    assert_eq!(rows(&dataset), [[1.0, 0.0], [1.0, 1.0]]);

    let options = |name: &str, separator: &str| {
        format(&format!(
            r#"{{"file": "{name}", "label": "tags", "task": "multi_label", "separator": "{separator}"}}"#
        ))
    };
    let csv = bench(
        "l.csv",
        "file_name,tags\nphotos/0.png,red|round\nphotos/1.png,\nphotos/2.png,round\n",
    );
    let json = bench(
        "l.jsonl",
        "{\"file_name\": \"photos/0.png\", \"tags\": [\"red\", \"round\"]}\n{\"file_name\": \"photos/1.png\", \"tags\": []}\n\
         {\"file_name\": \"photos/2.png\", \"tags\": \"round\"}\n",
    );
    for dataset in [
        csv.dataset(&options("l.csv", "|")),
        json.dataset(&options("l.jsonl", "|")),
    ] {
        assert_eq!(dataset.target().names, ["red", "round"]);
        assert_eq!(rows(&dataset), [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]]);
    }

    let numbers = bench(
        "l.csv",
        "file_name,age,size\nphotos/0.png,1.5,-2\nphotos/1.png,2e3,7\n",
    );
    let dataset = numbers.dataset(&format(
        r#"{"file": "l.csv", "label": ["age", "size"], "task": "regression"}"#,
    ));
    assert_eq!(rows(&dataset), [[1.5, -2.0], [2000.0, 7.0]]);
}

#[test]
fn bad_lines_are_named_or_left_out() {
    let good = "file_name,label,split\nphotos/0.png,a,train\nphotos/1.png,b,train\n";
    for (line, told) in [
        ("photos/9.png,a,train", "there is no image `photos/9.png`"),
        ("photos/0.png,b,train", "its image is named in line 2 already"),
        (
            "../photos/2.png,b,train",
            "`../photos/2.png` is no path below the list's folder",
        ),
        (
            "/photos/2.png,b,train",
            "`/photos/2.png` is no path below the list's folder",
        ),
        ("photos/2.png,,train", "its `label` is missing"),
        (
            "photos/2.png,a,predict",
            "its split (`split`) is `predict`: train, val or test is expected",
        ),
        ("photos/2.png,a", "it has 2 fields, and the first line 3"),
    ] {
        let mut bench = bench("l.csv", &format!("{good}{line}\n"));
        let format = format(r#"{"file": "l.csv", "label": "label", "split": "split"}"#);
        let error = bench.error(&format);
        assert!(
            error.contains("l.csv` line 4: ") && error.contains(told),
            "{error}"
        );
        bench.on_error = OnError::Skip;
        assert_eq!(bench.prepare(&format).unwrap().skipped, 1);
    }
    let list = "{\"file_name\": \"photos/0.png\", \"label\": \"a\"}\n[1]\n";
    let error = bench("l.jsonl", list).error(&format(r#"{"file": "l.jsonl", "label": "label"}"#));
    assert!(error.contains("l.jsonl` line 2: it is no JSON object"), "{error}");
    let error = bench("l.csv", good).error(&format(r#"{"file": "l.csv", "label": "lable"}"#));
    assert!(
        error.contains("it has no column `lable`; its columns are `file_name`, `label`, `split`"),
        "{error}"
    );
    let error = bench("l.csv", good).error(&format(r#"{"file": "m.csv", "label": "label"}"#));
    assert!(error.contains("there is no list `m.csv` here"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a list holds, it is read or refused.
    #[test]
    fn any_list_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), is_csv: bool) {
        let name = if is_csv { "l.csv" } else { "l.jsonl" };
        let mut bench = bench(name, "");
        let list = [&b"file_name,label\nphotos/0.png,a\nphotos/1.png,b\n"[..], &bytes].concat();
        bench.file(name, if is_csv { &list } else { &bytes });
        bench.on_error = OnError::Skip;
        drop(bench.prepare(&format(&format!(r#"{{"file": "{name}", "label": "label"}}"#))));
    }
}
