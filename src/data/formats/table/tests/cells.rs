//! Tests of cells that hold nothing, dates, booleans and other spellings of numbers.

use super::*;
use crate::schema::CellFill;

/// A table of people with holes.
const PEOPLE: &str = "\
age,city,when,member,price,label
30,Bonn,2026-01-05,yes,\"1.234,5\",a
,Kiel,2026-01-06,no,\"2,5\",b
40,,2026-01-07,yes,NA,a
50,Bonn,?,no,\"0,5\",b
60,Bonn,2026-02-28,yes,\"7\",a
";

const OPTIONS: &str = r#"{
    "header": true, "categorical": ["city"], "boolean": ["member"], "decimal": ",", "thousands": ".",
    "dates": {"when": ["month", "day", "weekday"]}
"#;

/// The columns' fills.
fn fills(dataset: &crate::data::Dataset) -> Vec<(String, CellFill)> {
    let columns = dataset.input().columns.iter();
    columns
        .filter_map(|column| Some((column.name.clone(), column.missing.clone()?.fill)))
        .collect()
}

fn read(text: &str, options: &str) -> (crate::data::Dataset, Bench) {
    let bench = Bench::new();
    bench.file("t.csv", text.as_bytes());
    (bench.dataset(&format(options)), bench)
}

#[test]
fn cells_that_hold_nothing_are_filled() {
    let missing = r#", "missing": {"default": "median", "price": "indicator", "when": {"constant": 1}}}"#;
    let (dataset, _bench) = read(PEOPLE, &format!("{OPTIONS}{missing}"));
    assert_eq!(
        dataset.input().names,
        [
            "age",
            "city=Bonn",
            "city=Kiel",
            "when.month",
            "when.day",
            "when.weekday",
            "member",
            "price",
            "price is missing"
        ]
    );
    let fill = |name: &str, number| (name.to_owned(), CellFill::Number(number));
    let found = fills(&dataset);
    assert_eq!(found[0], fill("age", 45.0));
    assert_eq!(found[1], ("city".to_owned(), CellFill::Category("Bonn".into())));
    assert_eq!(
        found[2..5],
        [
            fill("when.month", 1.0),
            fill("when.day", 1.0),
            fill("when.weekday", 1.0)
        ]
    );
    let (name, CellFill::Number(mean)) = &found[6] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (name.as_str(), *mean),
        ("price", (1234.5 + 2.5 + 0.5 + 7.0) / 4.0)
    );
    let train = dataset.split(SplitName::Train).unwrap();
    let row = |index| {
        let mut row = Vec::new();
        train.read_sample(index, &mut row).unwrap();
        row
    };
    assert_eq!(row(0), [30.0, 1.0, 0.0, 1.0, 5.0, 1.0, 1.0, 1234.5, 0.0]);
    assert_eq!(row(1)[..3], [45.0, 0.0, 1.0]);
    assert_eq!(row(2), [40.0, 1.0, 0.0, 1.0, 7.0, 3.0, 1.0, *mean as f32, 1.0]);
    assert_eq!(row(3)[3..6], [1.0, 1.0, 1.0]);
}

#[test]
fn fills_come_from_the_training_split_alone() {
    // The test rows hold other numbers, and another text most often.
    let text = "x,kind,part,y\n1,a,train,1\n,,train,2\n3,a,train,3\n8,b,train,4\n900,b,test,5\n,b,test,6\n700,,test,7\n";
    let mut bench = Bench::new();
    bench.split.column = Some(CsvColumn::Name("part".into()));
    bench.file("t.csv", text.as_bytes());
    let options = r#"{"header": true, "task": "regression", "categorical": ["kind"], "missing": {"x": "mean", "kind": "mode"}}"#;
    let dataset = bench.dataset(&format(options));
    let expected = [
        ("x".to_owned(), CellFill::Number(4.0)),
        ("kind".to_owned(), CellFill::Category("a".into())),
    ];
    assert_eq!(fills(&dataset), expected);
    let test = dataset.split(SplitName::Test).unwrap();
    let rows: Vec<Vec<f32>> = rows(&test).into_iter().map(|(row, _)| row).collect();
    assert_eq!(rows, [[900.0, 0.0, 1.0], [4.0, 0.0, 1.0], [700.0, 1.0, 0.0]]);
}

#[test]
fn rows_can_be_left_out_and_are_counted() {
    let text: String = (0..40)
        .map(|row| {
            if row % 4 == 0 {
                format!("NA,{}\n", row % 2)
            } else {
                format!("{},{}\n", row * 7 % 41, row % 3 % 2)
            }
        })
        .collect();
    let bench = Bench::new();
    bench.file("t.csv", format!("x,y\n{text}").as_bytes());
    let prepared = bench
        .prepare(&format(r#"{"header": true, "missing": "drop"}"#))
        .unwrap();
    assert_eq!((prepared.skipped, prepared.splits[&SplitName::Train]), (10, 30));
    let notices = bench.notices.lock().unwrap();
    assert_eq!(
        notices[0],
        "10 rows are left out for cells that hold nothing, as `missing: drop` asks for (column `x`: 10)"
    );
    assert!(
        notices
            .last()
            .unwrap()
            .starts_with("10 of 40 samples (25.0 %) are left out"),
        "{notices:?}"
    );
}

#[test]
fn all_columns_that_are_not_right_are_told_at_once() {
    let told = error(PEOPLE, parsed(r#"{"header": true}"#));
    assert!(told.contains("t.csv`, line 2, column `city`: `Bonn` is not a finite number; in all of the table, 5 columns are not as needed:"), "{told}");
    for expected in [
        "column `age`: 1 cell holds nothing (the first in line 3): add `missing: {age: median}`",
        "column `city`: 1 cell holds nothing (the first in line 4): add `missing: {city: mode}`",
        "4 texts (`Bonn` in line 2), 2 different ones: add it to `categorical` or `ignore`",
        "column `when`: 1 cell holds nothing (`?` in line 5)",
        "4 dates (`2026-01-05` in line 2): add `dates: {when: [year, month, weekday]}`",
        "column `member`: 5 yes or no (`yes` in line 2): add it to `boolean`",
        "2 numbers with decimal commas (`2,5` in line 3): add `decimal: \",\"`",
        "1 number with decimal commas and `.` between thousands (`1.234,5` in line 2)",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn texts_that_may_mean_nothing_are_texts_unless_told() {
    let text = "x,kind,label\n1,None,a\n2,some,b\n3,NA,a\n4,some,b\n";
    let names = |options: &str| read(text, options).0.input().names.clone();
    assert_eq!(
        names(r#"{"header": true, "categorical": ["kind"]}"#),
        ["x", "kind=NA", "kind=None", "kind=some"]
    );
    let told =
        r#"{"header": true, "categorical": ["kind"], "missing_values": ["NA"], "missing": "indicator"}"#;
    assert_eq!(
        names(told),
        ["x", "x is missing", "kind=None", "kind=some", "kind is missing"]
    );
    let constant = r#"{"header": true, "categorical": ["kind"], "missing_values": ["NA"], "missing": {"kind": {"constant": "gone"}}}"#;
    assert_eq!(names(constant), ["x", "kind=None", "kind=gone", "kind=some"]);
    let given = error(
        "x,label\n1,a\nNA,b\n",
        parsed(r#"{"header": true, "missing_values": ["-9"], "missing": "mean"}"#),
    );
    assert!(
        given.contains("line 3, column `x`: `NA` is not a finite number"),
        "{given}"
    );
}

#[test]
fn what_cannot_be_filled_is_told() {
    for (options, expected) in [
        (
            r#"{"header": true, "categorical": ["city"], "missing": {"city": "mean"}}"#,
            "texts have neither mean nor median",
        ),
        (
            r#"{"header": true, "missing": {"age": {"constant": "x"}}}"#,
            "cannot be filled with the text `x`",
        ),
        (
            r#"{"header": true, "missing": {"agee": "mean"}}"#,
            "no column `agee` (`missing`)",
        ),
        (
            r#"{"header": true, "dates": {"city": ["year"]}, "ignore": ["city"]}"#,
            "both `dates` and `ignore` name column `city`",
        ),
        (
            r#"{"header": true, "ignore": ["city", "age", "price", "member"], "dates": {"when": ["year"]}}"#,
            "line 5, column `when`: `?` is no date",
        ),
        (
            r#"{"header": true, "ignore": ["city", "age", "price", "when"], "boolean": ["member"], "label": ["age"]}"#,
            "both `label` and `ignore`",
        ),
    ] {
        let told = error(PEOPLE, parsed(options));
        assert!(told.contains(expected), "{options}: {told}");
    }
    let empty = error(
        "x,y,label\n1,,a\n2,NA,b\n",
        parsed(r#"{"header": true, "missing": "mean"}"#),
    );
    assert!(
        empty.contains("column `y` holds nothing in all of the training split"),
        "{empty}"
    );
}

#[test]
fn features_of_one_name_are_refused() {
    let table = "d,d.year,y\n2024-01-31,1,a\n2025-01-31,2,b\n";
    let message = error(table, parsed(r#"{"header": true, "dates": {"d": ["year"]}}"#));
    assert!(
        message.ends_with("two features are called `d.year`: rename a column"),
        "{message}"
    );
}

#[test]
fn what_is_filled_is_told_and_counted() {
    let text = "x,kind,part,y\n1,a,train,1\n,,train,2\n3,a,train,3\n8,b,train,4\n900,b,test,5\n,b,test,6\n700,,test,7\n";
    let mut bench = Bench::new();
    bench.split.column = Some(CsvColumn::Name("part".into()));
    bench.file("t.csv", text.as_bytes());
    let told = |missing: &str| {
        bench.notices.lock().unwrap().clear();
        let options = r#"{"header": true, "task": "regression", "categorical": ["kind"], "missing": "#;
        bench.prepare(&format(&format!("{options}{missing}}}"))).unwrap();
        let notices = bench.notices.lock().unwrap();
        let filled = notices.iter().filter(|notice| notice.contains("filled with"));
        filled.cloned().collect::<Vec<String>>()
    };
    let x = |with: &str| {
        format!(
            "column `x`: 2 cells hold nothing and are filled with {with}: 1 of 4 in train, 1 of 3 in test"
        )
    };
    let kind = |with: &str| {
        format!(
            "column `kind`: 2 cells hold nothing and are filled with {with}: 1 of 4 in train, 1 of 3 in test"
        )
    };
    assert_eq!(
        told(r#"{"x": "mean", "kind": "mode"}"#),
        [
            x("4, the mean of the training split"),
            kind("`a`, the most frequent of the training split")
        ]
    );
    assert_eq!(
        told(r#"{"x": {"constant": -1}, "kind": {"constant": "none"}}"#),
        [
            x("-1, the constant of `missing`"),
            kind("`none`, the constant of `missing`")
        ]
    );
    assert_eq!(told(r#"{"x": "median", "kind": "drop"}"#).len(), 1);
    // A column that is mostly filled is warned of.
    let mut bench = Bench::new();
    bench.split.column = Some(CsvColumn::Name("part".into()));
    bench.file("t.csv", b"x,part,y\n,train,1\n,train,2\n3,train,3\n4,test,4\n");
    bench
        .prepare(&format(
            r#"{"header": true, "task": "regression", "missing": "mean"}"#,
        ))
        .unwrap();
    let notices = bench.notices.lock().unwrap();
    assert!(
        notices[0].starts_with(
            "column `x`: 2 cells hold nothing and are filled with 3, the mean of the training split: 2 of 3 in train, 0 of 1 \
             in test; a model learns little"
        ),
        "{notices:?}"
    );
}

#[test]
fn blanks_that_nobody_sees_are_blanks() {
    let text = "x,kind,label\n\u{a0}1\u{a0}234\u{a0}567\u{202f},\u{a0}a\u{200b},p\u{a0}\n\u{a0},b,q\n\u{feff}7,a,p\n";
    let (dataset, _bench) = read(
        text,
        r#"{"header": true, "categorical": ["kind"], "missing": {"x": {"constant": 5}}}"#,
    );
    assert_eq!(dataset.input().names, ["x", "kind=a", "kind=b"]);
    assert_eq!(dataset.target().names, ["p", "q"]);
    let train = dataset.split(SplitName::Train).unwrap();
    let rows: Vec<Vec<f32>> = (0..3)
        .map(|index| {
            let mut row = Vec::new();
            train.read_sample(index, &mut row).unwrap();
            row
        })
        .collect();
    assert_eq!(rows, [[1_234_567.0, 1.0, 0.0], [5.0, 0.0, 1.0], [7.0, 1.0, 0.0]]);

    let (dataset, _bench) = read(
        "x;y\n1\u{202f}234,5;2\n1 234,5;3\n",
        r#"{"header": true, "delimiter": ";", "decimal": ",", "thousands": " ", "task": "regression"}"#,
    );
    let train = dataset.split(SplitName::Train).unwrap();
    assert_eq!(super::rows(&train)[0].0, super::rows(&train)[1].0);

    // What cannot be told is named, with what to write.
    let told = error(
        "x;y\n1\u{a0}234,5;2\n1 234,5;3\n",
        parsed(r#"{"header": true, "delimiter": ";", "task": "regression"}"#),
    );
    assert!(
        told.contains("1 number with decimal commas (`1\u{a0}234,5` in line 2): add `decimal: \",\"`")
            && told.contains(
                "1 number with decimal commas and ` ` between thousands (`1 234,5` in line 3): add `decimal: \",\"` and \
                 `thousands: \" \"`"
            ),
        "{told}"
    );
}

#[test]
fn categories_that_are_alike_are_told() {
    let kinds = [
        "red",
        "Red",
        "blue",
        "bl\u{a0}ue",
        "1",
        "1.0",
        "caf\u{e9}",
        "cafe\u{301}",
    ];
    let text: String = (0..48)
        .map(|row| format!("{},{},{}\n", row * 7 % 31, kinds[row % 8], row % 2))
        .collect();
    let (dataset, bench) = read(
        &format!("x,kind,y\n{text}"),
        r#"{"header": true, "categorical": ["kind"]}"#,
    );
    assert_eq!(dataset.input().names.len(), 9);
    let told = bench.notices.lock().unwrap().join("\n");
    for expected in [
        "the categories `Red` and `red` of column `kind` are the same but for upper and lower case; they stay two categories",
        "the categories `1` and `1.0` of column `kind` are the same but for how the number is written",
        "the categories `cafe\u{301}` and `caf\u{e9}` of column `kind` are the same but for how letters are encoded",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert!(!told.contains("`blue`"), "{told}");
}

#[test]
fn days_that_become_equal_are_told() {
    let told = |json: &str, step: &dyn Fn(u32) -> String| {
        let bench = Bench::new();
        let rows: String = (10..34)
            .map(|row| format!("{},{},{}\n", step(row), row % 7, row % 5))
            .collect();
        bench.file("t.csv", format!("when,x,y\n{rows}").as_bytes());
        bench.dataset(&format(json));
        let notices = bench.notices.lock().unwrap().join("\n");
        notices
            .lines()
            .find(|line| line.contains("become equal"))
            .map(str::to_owned)
    };
    let minutes = |row: u32| format!("2024-07-01T12:{row}:00");
    let days = |parts: &str| {
        format!(r#"{{"header": true, "task": "regression", "label": "y", "dates": {{"when": [{parts}]}}}}"#)
    };
    let problem = told(&days(r#""days""#), &minutes).unwrap();
    assert!(
        problem.starts_with("column `when`: of its days `19905.")
            && problem.contains("add the parts hour and minute"),
        "{problem}"
    );
    assert_eq!(told(&days(r#""hour", "minute", "weekday""#), &minutes), None);
    assert_eq!(
        told(&days(r#""days""#), &|row| format!("2024-07-{row}")
            .replace("2024-07-3", "2024-08-1")),
        None
    );
}
