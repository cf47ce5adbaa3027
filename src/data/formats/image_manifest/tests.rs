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
fn lists_of_another_form_are_read_or_named() {
    let options = |name: &str| format(&format!(r#"{{"file": "{name}", "label": "label"}}"#));
    let csv = "file_name,label\nphotos/0.png,a\nphotos/1.png,b\n";
    for (delimiter, name) in [(';', "l.csv"), ('\t', "l.csv"), ('|', "l.csv"), (',', "l.tsv")] {
        let told = bench(name, &csv.replace(',', &delimiter.to_string())).error(&options(name));
        assert!(
            told.contains(&format!("so add `delimiter: {:?}`", delimiter.to_string())),
            "{told}"
        );
    }
    let told = bench("l.csv", "file,label\nphotos/0.png,a\n").error(&options("l.csv"));
    assert!(
        told.contains("it has no column `file_name`") && !told.contains("delimiter"),
        "{told}"
    );
    let list =
        r#"[{"file_name": "photos/0.png", "label": "a"}, {"file_name": "photos/1.png", "label": "b"}]"#;
    for name in ["l.json", "l.jsonl", "l.csv"] {
        let told = bench(name, list).error(&options(name));
        assert!(
            told.contains("it is a list in JSON, and records are read from JSON lines"),
            "{told}"
        );
    }
    // An object a line is one whatever the file is called.
    let lines = "{\"file_name\": \"photos/0.png\", \"label\": \"a\"}\n{\"file_name\": \"photos/1.png\", \"label\": \"b\"}\n";
    let dataset = bench("l.json", lines).dataset(&options("l.json"));
    assert_eq!(dataset.target().names, ["a", "b"]);
}

#[test]
fn a_column_of_splits_that_nothing_names_is_told() {
    let told = |list: &str, json: &str| {
        let bench = bench("l.csv", list);
        bench.dataset(&format(json));
        let notices = bench.notices.lock().unwrap().join("\n");
        notices
            .lines()
            .find(|line| line.contains("seems to say the splits"))
            .map(str::to_owned)
    };
    let list = "file_name,label,Split\nphotos/0.png,a,train\nphotos/1.png,b,Train\nphotos/2.png,a,test\n";
    let unnamed = r#"{"file": "l.csv", "label": "label"}"#;
    assert_eq!(
        told(list, unnamed).unwrap(),
        "the list's column `Split` seems to say the splits (`test`, `train`), and nothing names it: all images are training \
         samples; add `split: Split` to the format if it does"
    );
    let named = r#"{"file": "l.csv", "label": "label", "split": "Split"}"#;
    assert_eq!(told(list, named), None);
    // What is no split, or the label itself.
    assert_eq!(told(&list.replace("Train", "7 of 9"), unnamed), None);
    assert_eq!(told(list, r#"{"file": "l.csv", "label": "Split"}"#), None);
    assert_eq!(told(&list.replace("Split", "kind"), unnamed), None);
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
    let list = "[\n {\"file_name\": \"photos/0.png\", \"label\": \"a\"}\n]\n";
    let error = bench("l.jsonl", list).error(&format(r#"{"file": "l.jsonl", "label": "label"}"#));
    assert!(
        error.contains("it is a list in JSON, and records are read from JSON lines: write an object a line"),
        "{error}"
    );
    let error = bench("l.csv", "PK\u{3}\u{4} xl/").error(&format(r#"{"file": "l.csv", "label": "label"}"#));
    assert!(
        error.contains("it is no table of text but a workbook of Excel"),
        "{error}"
    );
    let error = bench("l.csv", good).error(&format(r#"{"file": "l.csv", "label": "lable"}"#));
    assert!(
        error.contains("it has no column `lable`; its columns are `file_name`, `label`, `split`"),
        "{error}"
    );
    let error = bench("l.csv", good).error(&format(r#"{"file": "m.csv", "label": "label"}"#));
    assert!(error.contains("there is no list `m.csv` here"), "{error}");
}

/// What becomes of a list of the images `photos/0.png` to `photos/5.png`.
fn placed(list: &str, name: &str, json: &str, split: &str) -> Result<(Dataset, Bench), String> {
    let mut bench = bench(name, list);
    bench.split = serde_json::from_str(split).unwrap();
    match bench.prepare(&format(json)) {
        Ok(_) => Ok((Dataset::open(&bench.output()).unwrap(), bench)),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn columns_of_the_list_decide_the_splits() {
    let options = r#"{"file": "l.csv", "label": "y", "task": "regression"}"#;
    let rows = |cell: &dyn Fn(usize) -> String| -> String {
        (0..6)
            .map(|image| format!("photos/{image}.png,{},{image}\n", cell(image)))
            .collect()
    };
    let names = |dataset: &Dataset, split| {
        let split = dataset.split(split).unwrap();
        (0..split.len())
            .map(|index| split.origin(index))
            .collect::<Vec<String>>()
    };
    let groups = rows(&|image| ["1", "1.0", "b", "B ", "c", "c"][image].to_owned());
    let split = r#"{"test": 0.34, "group": "who"}"#;
    let (dataset, bench) = placed(&format!("file_name,who,y\n{groups}"), "l.csv", options, split).unwrap();
    let (train, test) = (
        names(&dataset, SplitName::Train),
        names(&dataset, SplitName::Test),
    );
    assert_eq!((train.len(), test.len()), (4, 2));
    let pair = |name: &String| name[7..8].parse::<usize>().unwrap() / 2;
    assert_eq!(pair(&test[0]), pair(&test[1]));
    let told = bench.notices.lock().unwrap().join("\n");
    assert!(
        told.contains("`split.group`: 2 groups are written in several ways")
            && told.contains("`1` and `1.0`, `b` and `B`"),
        "{told}"
    );

    let dates = rows(&|image| format!("2026-01-{:02}", (image * 5) % 6 + 1));
    let split = r#"{"test": 0.34, "order": "when"}"#;
    let (dataset, _bench) = placed(&format!("file_name,when,y\n{dates}"), "l.csv", options, split).unwrap();
    assert_eq!(names(&dataset, SplitName::Test), ["photos/1.png", "photos/2.png"]);
    let mixed = dates.replace("2026-01-04", "20260104");
    let error = placed(&format!("file_name,when,y\n{mixed}"), "l.csv", options, split)
        .err()
        .unwrap();
    assert!(
        error.contains("`split.order`: line 2 holds a date without a time zone (`2026-01-01`) and line ")
            && error.contains(" a number (`20260104`)"),
        "{error}"
    );

    let parts = rows(&|image| ["train", "train", "dev", "testing", "Training", "test"][image].to_owned());
    let list = format!("file_name,part,y\n{parts}");
    let split = r#"{"column": "part"}"#;
    let (dataset, _bench) = placed(&list, "l.csv", options, split).unwrap();
    assert_eq!(names(&dataset, SplitName::Val), ["photos/2.png"]);
    assert_eq!(names(&dataset, SplitName::Test), ["photos/3.png", "photos/5.png"]);
    for (split, json, told) in [
        (r#"{"column": "prt"}"#, options, "it has no column `prt`"),
        (
            r#"{"group": 1, "test": 0.3}"#,
            options,
            "`split.group` is 1, and the fields of records have names",
        ),
        (
            split,
            r#"{"file": "l.csv", "label": "y", "task": "regression", "split": "y"}"#,
            "the list's `split` names the column `y`, and `split.column` the column `part`",
        ),
    ] {
        let error = placed(&list, "l.csv", json, split).err().unwrap();
        assert!(error.contains(told), "{error}");
    }
    // Of JSON lines a group that is not there is a bad line.
    let json: String = (0..6)
        .map(|image| match image {
            3 => format!("{{\"file_name\": \"photos/{image}.png\", \"y\": {image}}}\n"),
            _ => format!(
                "{{\"file_name\": \"photos/{image}.png\", \"y\": {image}, \"who\": {}}}\n",
                image / 2
            ),
        })
        .collect();
    let options = r#"{"file": "l.jsonl", "label": "y", "task": "regression"}"#;
    let error = placed(&json, "l.jsonl", options, r#"{"test": 0.34, "group": "who"}"#)
        .err()
        .unwrap();
    assert!(error.contains("l.jsonl` line 4: its `who` is missing"), "{error}");
}

#[test]
fn labels_in_json_are_read_by_one_rule() {
    let list = |labels: &[&str]| -> String {
        labels
            .iter()
            .enumerate()
            .map(|(image, label)| format!("{{\"file_name\": \"photos/{image}.png\", \"label\": {label}}}\n"))
            .collect()
    };
    let read = |labels: &[&str], json: &str| {
        let (dataset, bench) = placed(&list(labels), "l.jsonl", json, "{}")?;
        let told = bench.notices.lock().unwrap().join("\n");
        Ok::<_, String>((dataset, told))
    };
    let options = r#"{"file": "l.jsonl", "label": "label"}"#;
    let classes = |labels: &[&str]| {
        let (dataset, told) = read(labels, options)?;
        let found = origins(&dataset, SplitName::Train)
            .into_iter()
            .map(|(_, class)| class);
        Ok::<_, String>((dataset.target().names.clone(), found.collect::<Vec<u32>>(), told))
    };
    let (names, found, _) = classes(&["1", "1.0", "\"1\"", "\" 1 \"", "2", "\"2.0\""]).unwrap();
    assert_eq!(
        (names, found),
        (vec!["1".to_owned(), "2".to_owned()], vec![0, 0, 0, 0, 1, 1])
    );
    let (names, found, _) = classes(&["true", "\"true\"", "false", "\"false\"", "true", "true"]).unwrap();
    assert_eq!(
        (names, found),
        (
            vec!["false".to_owned(), "true".to_owned()],
            vec![1, 1, 0, 0, 1, 1]
        )
    );
    // Beside texts numbers are texts; what may be meant to be one is told.
    let (names, _, told) = classes(&["1", "1.0", "\"cat\"", "true", "\"True\"", "1"]).unwrap();
    assert_eq!(names, ["1", "1.0", "True", "cat", "true"]);
    for expected in [
        "the classes `1` and `1.0` are the same but for how the number is written",
        "the classes `True` and `true` are the same but for upper and lower case",
        "the classes `1` and `True` mean the same to most programs",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    let exact = [
        "9007199254740993",
        "9007199254740992",
        "18446744073709551615",
        "18446744073709551614",
    ];
    let (names, ..) = classes(&exact).unwrap();
    assert_eq!(
        names,
        [
            "9007199254740992",
            "9007199254740993",
            "18446744073709551614",
            "18446744073709551615"
        ]
    );
    for (label, told) in [
        ("null", "its `label` is missing"),
        ("\"\"", "its `label` is missing"),
        ("[1]", "is a list or an object"),
        (
            "18446744073709551616",
            "is a number of more digits than are kept of one in JSON",
        ),
    ] {
        let error = classes(&["1", "2", label]).unwrap_err();
        assert!(
            error.contains("l.jsonl` line 3: ") && error.contains(told),
            "{label}: {error}"
        );
    }

    let several = r#"{"file": "l.jsonl", "label": "label", "task": "multi_label"}"#;
    let (dataset, _) = read(&["[1, \"2\"]", "[1.0]", "[]", "[10, true]", "2", "true"], several).unwrap();
    assert_eq!(dataset.target().names, ["1", "1.0", "10", "2", "true"]);
    let (dataset, told) = read(&["[1, \"2\"]", "[1.0]", "[]", "[10]", "2", "\"10.0\""], several).unwrap();
    assert_eq!(dataset.target().names, ["1", "2", "10"]);
    assert_eq!(rows(&dataset)[1], [1.0, 0.0, 0.0]);
    assert_eq!(rows(&dataset)[5], [0.0, 0.0, 1.0]);
    assert_eq!(told, "");
    let error = read(&["[1, null]"], several).err().unwrap();
    assert!(error.contains("neither a text nor a number"), "{error}");

    let numbers = r#"{"file": "l.jsonl", "label": "label", "task": "regression"}"#;
    let (dataset, told) = read(
        &["1", "\"2.5\"", "16777217", "1e30", "\"1\u{a0}234\"", "3"],
        numbers,
    )
    .unwrap();
    assert_eq!(rows(&dataset)[4], [1234.0]);
    assert!(told.contains("`label`: `16777217` becomes 16777216"), "{told}");
    assert!(
        read(&["true"], numbers)
            .err()
            .unwrap()
            .contains("a finite number is expected")
    );
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
