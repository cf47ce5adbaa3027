//! Tests of tables.

mod cells;
mod hard;
mod parquet_files;
mod parquet_images;
mod properties;
mod splits;

use std::io::Write;

use super::*;
use crate::data::testing::{Bench, label, shares};
use crate::schema::FeatureColumn;
use crate::spec::{CsvColumn, CsvImage, Format, OnError};

fn options() -> CsvOptions {
    parsed("{}")
}

/// Options as a pipeline file spells them.
fn parsed(json: &str) -> CsvOptions {
    serde_json::from_str(json).unwrap()
}

fn format(json: &str) -> Format {
    Format::from(parsed(json))
}

/// The rows of a split's samples, and what is to be predicted for them.
fn rows(split: &crate::data::Split) -> Vec<(Vec<f32>, Vec<f32>)> {
    let mut values = vec![0f32; split.target().names.len()];
    (0..split.len())
        .map(|index| {
            let mut row = Vec::new();
            split.read_sample(index, &mut row).unwrap();
            split.target_values(index, &mut values).unwrap();
            (row, values.clone())
        })
        .collect()
}

fn error(text: &str, options: CsvOptions) -> String {
    Bench::new()
        .file("t.csv", text.as_bytes())
        .error(&Format::from(options))
}

#[test]
fn reads_a_table_with_names() {
    let bench = Bench::new();
    let text = "\u{feff}kind; width ;\"the;height\"\n10;1.5;-0\r\n9; 2e1 ;4\n\n10;3;\"5\"";
    bench.file("t.csv", text.as_bytes());
    let dataset = bench.dataset(&format(r#"{"label": "kind", "header": true, "delimiter": ";"}"#));
    assert_eq!(dataset.input().dimensions, Dimensions::row(2));
    assert_eq!(dataset.input().names, ["width", "the;height"]);
    assert_eq!(dataset.target().names, ["9", "10"]);
    let train = dataset.split(SplitName::Train).unwrap();
    let rows: Vec<_> = (0..train.len())
        .map(|index| {
            let mut row = Vec::new();
            train.read_sample(index, &mut row).unwrap();
            (label(&train, index), row, train.origin(index))
        })
        .collect();
    let origin = |line| format!("t.csv:{line}");
    let expected = [
        (1, vec![1.5, 0.0], origin(2)),
        (0, vec![20.0, 4.0], origin(3)),
        (1, vec![3.0, 5.0], origin(5)),
    ];
    assert_eq!(rows, expected);
    assert!(dataset.split(SplitName::Test).is_none());
}

#[test]
fn reads_gzipped_images() {
    let bench = Bench::new();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"0,16,8,1,cat\n16,0,0,0,dog\n").unwrap();
    bench.file("t.csv.gz", &gz.finish().unwrap());
    let image = CsvImage {
        channels: 1.try_into().unwrap(),
        height: 2.try_into().unwrap(),
        width: 2.try_into().unwrap(),
        max: 16.try_into().unwrap(),
    };
    let with_image = CsvOptions {
        image: Some(image),
        ..options()
    };
    let train = bench
        .dataset(&Format::from(with_image.clone()))
        .split(SplitName::Train)
        .unwrap();
    let mut pixels = Vec::new();
    train.read_sample(0, &mut pixels).unwrap();
    assert_eq!(pixels, [0.0, 1.0, 128.0 / 255.0, 16.0 / 255.0]);

    let bad = error("0,16,17,1,cat\n", with_image.clone());
    assert!(
        bad.contains("line 1, column 2 (from 0): `17` is not an integer from 0 to 16"),
        "{bad}"
    );
    let bad = error("0,16,1,cat\n", with_image);
    assert!(
        bad.contains("3 columns beside the label, and `image` says 1x2x2"),
        "{bad}"
    );
}

#[test]
fn bad_tables_are_named() {
    for (text, expected) in [
        (
            "1,x,a\n",
            "line 1, column 1 (from 0): `x` is not a finite number; if the first line names the columns, add `header: true`",
        ),
        ("1,2,a\n1,nan,b\n", "line 2, column 1 (from 0): `nan` is not"),
        ("1,2,a\n1,1e39,b\n", "`1e39` is not a finite number"),
        ("1,2,a\n\n\n,2,b\n", "line 4, column 0 (from 0): `` is not"),
        (
            "1,2,a\n1,b\n",
            "line 2: it has 2 fields, and the first line has 3",
        ),
        ("1,2,a\n1,2,\n", "the label is empty"),
        ("", "it is empty"),
        ("1\n2\n", "its first line has one field"),
        ("1,2,a\n1,3,a\n", "2 readable samples of 1 class"),
    ] {
        let error = error(text, options());
        assert!(error.contains(expected), "{text:?}: {error}");
    }
    let named = |label: CsvColumn, header| CsvOptions {
        label: crate::spec::LabelColumns::One(label),
        header,
        ..options()
    };
    let kind = || CsvColumn::Name("kind".into());
    assert!(error("a,b\n", named(kind(), false)).contains("add `header: true`"));
    assert!(
        error("a,b\n1,2\n", named(kind(), true)).contains("no column `kind` (`label`); its columns are a, b")
    );
    assert!(error("a,a\n1,2\n", named(kind(), true)).contains("columns 0 and 1 (from 0) are both named `a`"));
    assert!(error("1,2\n", named(CsvColumn::Index(2), false)).contains("`label: 2` is no column of its 2"));
    assert!(error("1,2\n", named(CsvColumn::Index(-3), false)).contains("`label: -3`"));
    let delimiter = CsvOptions {
        delimiter: 'é',
        ..options()
    };
    assert!(error("1,2\n", delimiter).contains("ASCII"));
}

#[test]
fn bad_rows_can_be_left_out() {
    let mut bench = Bench::new();
    bench.on_error = OnError::Skip;
    let bad = "1,inf,a\n".repeat(12);
    bench.file("t.csv", format!("1,2,a\n{bad}3,4,b\n5,\u{e9},a\n").as_bytes());
    let prepared = bench.prepare(&Format::from(options())).unwrap();
    assert_eq!((prepared.skipped, prepared.splits[&SplitName::Train]), (13, 2));
    let notices = bench.notices.lock().unwrap();
    assert_eq!(
        notices
            .iter()
            .filter(|notice| notice.starts_with("left out: "))
            .count(),
        10
    );
    let last = &notices[notices.len() - 2..];
    assert!(last[0].contains("13 unreadable samples left out"), "{notices:?}");
    assert!(
        last[1].starts_with("13 of 15 samples (86.7 %) are left out"),
        "{notices:?}"
    );
}

#[test]
fn shuffled_rows_give_the_same_splits() {
    let mut rows: Vec<String> = (0..300)
        .map(|row| format!("{},{},c{}\n", row, row * row, row % 3))
        .collect();
    let mut sets = Vec::new();
    for seed in 0..3 {
        let mut bench = Bench::new();
        bench.split = shares(0.1, 0.2);
        bench.file(&format!("{seed}.csv"), rows.concat().as_bytes());
        let dataset = bench.dataset(&Format::from(options()));
        let set = |name| {
            let split = dataset.split(name).unwrap();
            let mut set: Vec<String> = (0..split.len())
                .map(|index| {
                    let mut row = Vec::new();
                    split.read_sample(index, &mut row).unwrap();
                    format!("{row:?} {}", label(&split, index))
                })
                .collect();
            set.sort_unstable();
            set
        };
        let here = SplitName::ALL.map(set);
        assert_eq!(here.each_ref().map(Vec::len), [210, 30, 60]);
        sets.push(here);
        crate::random::Stream::new(seed, crate::random::Purpose::Shuffle, 0, 0).shuffle(&mut rows);
    }
    assert_eq!(sets[0], sets[1]);
    assert_eq!(sets[0], sets[2]);
}

#[test]
fn the_committed_digits_are_whole() {
    let bench = Bench::new();
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/digits.csv.gz");
    std::fs::copy(digits, bench.input().join("digits.csv.gz")).unwrap();
    let image = CsvImage {
        channels: 1.try_into().unwrap(),
        height: 8.try_into().unwrap(),
        width: 8.try_into().unwrap(),
        max: 16.try_into().unwrap(),
    };
    let format = Format::from(CsvOptions {
        image: Some(image),
        ..options()
    });
    let dataset = bench.dataset(&format);
    assert_eq!(dataset.target().names.len(), 10);
    assert_eq!(dataset.target().names[9], "9");
    assert_eq!(dataset.split(SplitName::Train).unwrap().len(), 1797);
    let first = bench.bytes();
    bench.prepare(&format).unwrap();
    assert!(first == bench.bytes(), "the same input gave other bytes");
}

#[test]
fn several_numbers_are_predicted() {
    let bench = Bench::new();
    bench.file("t.csv", b"y,id,x,z\n1.5,a1,10,-0\n-2,a2,20,3e1\n1.5,a3,30,0\n");
    let options = r#"{"label": ["z", "y"], "task": "regression", "ignore": ["id"], "header": true}"#;
    let dataset = bench.dataset(&format(options));
    assert_eq!(dataset.task().unwrap(), TargetKind::Regression);
    assert_eq!(dataset.target().names, ["z", "y"]);
    assert_eq!(dataset.input().names, ["x"]);
    let train = dataset.split(SplitName::Train).unwrap();
    let expected = [
        (vec![10.0], vec![0.0, 1.5]),
        (vec![20.0], vec![30.0, -2.0]),
        (vec![30.0], vec![0.0, 1.5]),
    ];
    assert_eq!(rows(&train), expected);
    assert!(bench.notices.lock().unwrap().is_empty());
}

#[test]
fn several_labels_are_predicted() {
    let bench = Bench::new();
    bench.file("t.csv", b"5,1,0\n6,0,1.0\n7,0,0\n");
    let dataset = bench.dataset(&format(r#"{"label": [1, -1], "task": "multi_label"}"#));
    assert_eq!(dataset.task().unwrap(), TargetKind::MultiLabel);
    assert_eq!(dataset.target().names, ["column_1", "column_2"]);
    let train = dataset.split(SplitName::Train).unwrap();
    let expected = [
        (vec![5.0], vec![1.0, 0.0]),
        (vec![6.0], vec![0.0, 1.0]),
        (vec![7.0], vec![0.0, 0.0]),
    ];
    assert_eq!(rows(&train), expected);
}

#[test]
fn images_can_have_labels_and_numbers() {
    let bench = Bench::new();
    bench.file("t.csv", b"0,16,8,0,1.25\n1,2,3,4,7\n");
    let options = r#"{"task": "regression", "image": {"height": 2, "width": 2, "max": 16}}"#;
    let dataset = bench.dataset(&format(options));
    assert_eq!(dataset.input().to_string(), "1x2x2");
    let train = dataset.split(SplitName::Train).unwrap();
    assert_eq!(rows(&train)[0], (vec![0.0, 1.0, 128.0 / 255.0, 0.0], vec![1.25]));
}

#[test]
fn categories_become_columns_of_their_own() {
    let bench = Bench::new();
    let text = "size,colour,weight,label\n10,red,1,a\n9, blue ,2,b\n10,Blue,3,a\n";
    bench.file("t.csv", text.as_bytes());
    let dataset = bench.dataset(&format(r#"{"categorical": ["colour", 0], "header": true}"#));
    let names = [
        "size=9",
        "size=10",
        "colour=Blue",
        "colour=blue",
        "colour=red",
        "weight",
    ];
    assert_eq!(dataset.input().names, names);
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let columns = [
        FeatureColumn::category("size", texts(&["9", "10"])),
        FeatureColumn::category("colour", texts(&["Blue", "blue", "red"])),
        FeatureColumn::number("weight"),
    ];
    assert_eq!(dataset.input().columns, columns);
    let train = dataset.split(SplitName::Train).unwrap();
    let mut row = Vec::new();
    for (index, expected) in [
        [0.0, 1.0, 0.0, 0.0, 1.0, 1.0],
        [1.0, 0.0, 0.0, 1.0, 0.0, 2.0],
        [0.0, 1.0, 1.0, 0.0, 0.0, 3.0],
    ]
    .into_iter()
    .enumerate()
    {
        train.read_sample(index, &mut row).unwrap();
        assert_eq!(row, expected);
    }
}

#[test]
fn columns_whose_numbers_become_equal_are_told() {
    let mut bench = Bench::new();
    bench.on_error = OnError::Skip;
    // The last row is left out, so its number does not count.
    let text = "id,time,x,y\n1,1700000000,0.1,1\n2,1700000001,0.2,16777217\n16777217,5,nan,2\n";
    bench.file("t.csv", text.as_bytes());
    let options = r#"{"task": "regression", "header": true}"#;
    let train = bench.dataset(&format(options)).split(SplitName::Train).unwrap();
    let first = (vec![1.0, 1_700_000_000.0, 0.1], vec![1.0]);
    assert_eq!(rows(&train)[0], first);
    let notices = bench.notices.lock().unwrap();
    assert_eq!(notices.len(), 4, "{notices:?}");
    assert!(notices[0].starts_with("left out: "), "{notices:?}");
    assert!(
        notices[1]
            .starts_with("column `time`: `1700000001` becomes 1700000000, as numbers are kept with 24 bits"),
        "{notices:?}"
    );
    assert!(
        notices[2].starts_with("column `y`: `16777217` becomes 16777216"),
        "{notices:?}"
    );
}

#[test]
fn a_new_category_does_not_reshuffle_the_splits() {
    let mut lines: Vec<String> = (0..200)
        .map(|row| format!("{row},{},{}\n", ["red", "blue", "green"][row % 3], row % 2))
        .collect();
    let splits = |lines: &[String]| {
        let mut bench = Bench::new();
        bench.split = shares(0.1, 0.2);
        bench.file("t.csv", lines.concat().as_bytes());
        let dataset = bench.dataset(&format(r#"{"categorical": [1]}"#));
        let mut places: Vec<(String, SplitName)> = Vec::new();
        for name in SplitName::ALL {
            let split = dataset.split(name).unwrap();
            places.extend((0..split.len()).map(|index| (split.origin(index), name)));
        }
        places.sort_unstable();
        (dataset.input().names.len(), places)
    };
    let (columns, before) = splits(&lines);
    lines.push("7,amber,1\n".into());
    let (more_columns, after) = splits(&lines);
    assert_eq!((columns, more_columns), (4, 5));
    // One more sample moves the ends of the splits by one, at most.
    let moved = before.iter().filter(|place| !after.contains(place)).count();
    assert!(moved <= 2, "{moved} moved");
}

#[test]
fn rows_that_are_left_out_make_no_category() {
    let mut bench = Bench::new();
    let text = "red,1,a\nblue,2,b\ngreen,nan,a\n,3,b\nyellow,4,\n";
    bench.file("t.csv", text.as_bytes());
    let options = format(r#"{"categorical": [0]}"#);
    let error = bench.error(&options);
    assert!(
        error.contains("line 3, column 1 (from 0): `nan` is not"),
        "{error}"
    );
    bench.on_error = OnError::Skip;
    let prepared = bench.prepare(&options).unwrap();
    assert_eq!((prepared.skipped, prepared.splits[&SplitName::Train]), (3, 2));
    let dataset = crate::data::Dataset::open(&bench.output()).unwrap();
    assert_eq!(
        dataset.input().names,
        ["column_0=blue", "column_0=red", "column_1"]
    );
    let notices = bench.notices.lock().unwrap();
    assert!(
        notices[1].contains("line 4, column 0 (from 0): the category is empty"),
        "{notices:?}"
    );
}

#[test]
fn bad_values_are_named() {
    let regression = r#"{"task": "regression", "header": true}"#;
    let labels = r#"{"label": ["y", "z"], "task": "multi_label", "header": true}"#;
    for (text, options, expected) in [
        (
            "x,y\n1,2\n1,cat\n",
            regression,
            "line 3, column `y`: `cat` is not a finite number",
        ),
        ("x,y\n1,cat\n", regression, "classes need `task: classification`"),
        (
            "x,y\n1,NaN\n",
            regression,
            "line 2, column `y`: the label is missing (`NaN`)",
        ),
        (
            "x,y\n1,-inf\n",
            regression,
            "column `y`: `-inf` is not a finite number",
        ),
        ("x,y\n1,1e39\n", regression, "`1e39` is not a finite number"),
        ("x,y\n1,\n", regression, "line 2, column `y`: the label is empty"),
        (
            "x,y\nNaN,1\n",
            regression,
            "line 2, column `x`: `NaN` is not a finite number",
        ),
        (
            "x,y\n",
            regression,
            "it has no rows: its first line names the columns",
        ),
        (
            "x,y,z\n1,0,2\n",
            labels,
            "line 2, column `z`: `2` is neither 0 nor 1",
        ),
        ("x,y,z\n1,-1,0\n", labels, "column `y`: `-1` is neither 0 nor 1"),
        ("x,y,z\n1,0.5,0\n", labels, "`0.5` is neither 0 nor 1"),
        ("x,y,z\n1,nan,0\n", labels, "the label is missing (`nan`)"),
        ("x,y,z\n1,yes,0\n", labels, "`yes` is neither 0 nor 1"),
    ] {
        let error = error(text, parsed(options));
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn columns_that_do_not_fit_are_named() {
    for (options, expected) in [
        (r#"{"label": ["y", "x"]}"#, "a classification has one"),
        (r#"{"label": []}"#, "`label` names no column"),
        (
            r#"{"label": "y", "ignore": [2]}"#,
            "both `label` and `ignore` name column `y`",
        ),
        (
            r#"{"label": "y", "categorical": ["x"], "ignore": ["x"]}"#,
            "both `categorical` and `ignore` name column `x`",
        ),
        (
            r#"{"label": "y", "categorical": [-1]}"#,
            "both `label` and `categorical` name column `y`",
        ),
        (
            r#"{"label": ["y", -1], "task": "regression"}"#,
            "`label` names column `y` twice",
        ),
        (r#"{"ignore": ["x", "w"]}"#, "no column is left to be a feature"),
        (
            r#"{"ignore": ["v"]}"#,
            "it has no column `v` (`ignore`); its columns are x, w, y: did you mean `x`?",
        ),
        (
            r#"{"categorical": [3]}"#,
            "`categorical: 3` is no column of its 3",
        ),
        (
            r#"{"categorical": ["x"], "image": {"height": 1, "width": 2}}"#,
            "which cannot be `categorical`",
        ),
    ] {
        let mut options = parsed(options);
        options.header = true;
        let error = error("x,w,y\n1,2,a\n3,4,b\n", options.clone());
        assert!(error.contains(expected), "{options:?}: {error}");
    }
}

#[test]
fn regression_splits_go_by_content_and_keep_copies_together() {
    let mut lines: Vec<String> = (0..200).map(|row| format!("{row},{}\n", row * 7 % 13)).collect();
    // Copies of a row with other targets.
    lines.extend((0..8).map(|target| format!("5,{target}\n")));
    let mut sets = Vec::new();
    for seed in 0..2 {
        let mut bench = Bench::new();
        bench.split = shares(0.1, 0.2);
        bench.file("t.csv", lines.concat().as_bytes());
        let dataset = bench.dataset(&format(r#"{"task": "regression"}"#));
        let set = |name| {
            let mut features: Vec<u32> = rows(&dataset.split(name).unwrap())
                .iter()
                .map(|(row, _)| row[0] as u32)
                .collect();
            features.sort_unstable();
            features
        };
        let here = SplitName::ALL.map(set);
        let copies = here
            .each_ref()
            .map(|set| set.iter().filter(|row| **row == 5).count());
        assert!(copies.contains(&9), "{copies:?}");
        let lens = here.each_ref().map(Vec::len);
        assert_eq!(lens.iter().sum::<usize>(), 208);
        assert!(
            (42..=50).contains(&lens[2]) && (21..=29).contains(&lens[1]),
            "{lens:?}"
        );
        sets.push(here);
        crate::random::Stream::new(seed, crate::random::Purpose::Shuffle, 0, 0).shuffle(&mut lines);
    }
    assert_eq!(sets[0], sets[1]);
    let mut bench = Bench::new();
    bench.split = shares(0.1, 0.2);
    bench.file("t.csv", b"1,2\n1,3\n1,4\n");
    let error = bench.error(&format(r#"{"task": "regression"}"#));
    assert!(
        error.contains("the input has 3 training samples, too few"),
        "{error}"
    );
}

#[test]
fn labels_and_targets_that_teach_nothing_are_told() {
    let mut bench = Bench::new();
    bench.split = shares(0.3, 0.3);
    let lines: String = (0..30)
        .map(|row| format!("{}.5,0,1,{}\n", row * 7 % 30, row % 2))
        .collect();
    bench.file("t.csv", lines.as_bytes());
    let labels = r#"{"label": [1, 2, 3], "task": "multi_label"}"#;
    bench.prepare(&format(labels)).unwrap();
    let expected = ["train", "val", "test"]
        .map(|split| format!("labels that apply to no sample of the {split} split: `column_1`"));
    let mut expected = expected.to_vec();
    expected.insert(
        1,
        "labels that apply to every sample of the train split: `column_2`".into(),
    );
    assert_eq!(*bench.notices.lock().unwrap(), expected);

    bench.notices.lock().unwrap().clear();
    bench
        .prepare(&format(&labels.replace("multi_label", "regression")))
        .unwrap();
    assert_eq!(
        *bench.notices.lock().unwrap(),
        ["targets that are the same in all samples of the train split: `column_1`, `column_2`"]
    );
}

#[test]
fn a_label_that_only_other_splits_have_is_told() {
    let mut bench = Bench::new();
    bench.split = shares(0.1, 0.2);
    let lines: String = (0..60)
        .map(|row| format!("{}.5,{}\n", row * 7 % 60, row % 2))
        .collect();
    bench.file("t.csv", lines.as_bytes());
    let options = format(r#"{"task": "multi_label"}"#);
    let dataset = bench.dataset(&options);
    // The label now applies just to what is tested on.
    let mut features = Vec::new();
    dataset
        .split(SplitName::Test)
        .unwrap()
        .read_sample(0, &mut features)
        .unwrap();
    let tested = features[0] as u32;
    let lines: String = (0..60)
        .map(|row| row * 7 % 60)
        .map(|number| format!("{number}.5,{}\n", u8::from(number == tested)))
        .collect();
    bench.file("t.csv", lines.as_bytes());
    bench.prepare(&options).unwrap();
    let notices = bench.notices.lock().unwrap();
    assert_eq!(
        *notices,
        ["train", "val"]
            .map(|split| format!("labels that apply to no sample of the {split} split: `column_1`"))
    );
}

/// A committed table, prepared as `json` says.
fn committed(name: &str, json: &str) -> crate::data::Dataset {
    let bench = Bench::new();
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(name);
    std::fs::copy(table, bench.input().join(name)).unwrap();
    bench.dataset(&format(json))
}

#[test]
fn the_committed_tables_are_whole() {
    let wine = committed("wine.csv", r#"{"header": true, "label": "cultivar"}"#);
    assert_eq!(wine.target().names, ["0", "1", "2"]);
    assert_eq!(
        (wine.input().names.len(), &wine.input().names[12][..]),
        (13, "proline")
    );
    let train = wine.split(SplitName::Train).unwrap();
    let count = |class| {
        (0..train.len())
            .filter(|index| label(&train, *index) == class)
            .count()
    };
    assert_eq!([0, 1, 2].map(count), [59, 71, 48]);

    let options = r#"{"header": true, "label": "target", "task": "regression", "categorical": ["sex"]}"#;
    let diabetes = committed("diabetes.csv", options);
    assert_eq!(diabetes.input().names[..4], ["age", "sex=1", "sex=2", "bmi"]);
    assert_eq!(
        (diabetes.input().names.len(), &diabetes.target().names[..]),
        (11, &["target".to_owned()][..])
    );
    let train = diabetes.split(SplitName::Train).unwrap();
    assert_eq!(train.len(), 442);
    // As NumPy has them: `load_diabetes().target.mean()` and `.std()`.
    let (mean, deviation) = train.target_moments();
    assert!((mean[0] - 152.133_484_162_895_94).abs() < 1e-9, "{mean:?}");
    assert!(
        (deviation[0] - 77.005_745_869_450_44).abs() < 1e-9,
        "{deviation:?}"
    );
}
