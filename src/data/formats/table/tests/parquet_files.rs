//! Tests of tables in Parquet files.

use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::schema::CellFill;

const SCHEMA: &str = "message table {
    REQUIRED INT32 born (DATE);
    OPTIONAL DOUBLE x;
    OPTIONAL BYTE_ARRAY kind (UTF8);
    REQUIRED INT64 seen (TIMESTAMP(NANOS, true));
    REQUIRED BOOLEAN flag;
    REQUIRED INT32 price (DECIMAL(9, 2));
    REPEATED INT32 several;
    REQUIRED INT64 label;
}";

/// A file of `groups` row groups with 40 rows each.
fn file(compression: Compression, groups: usize) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    for _ in 0..groups {
        let rows: Vec<i64> = (0..40).collect();
        let present: Vec<i16> = rows.iter().map(|row| i16::from(row % 5 != 4)).collect();
        let there = || rows.iter().filter(|row| *row % 5 != 4);
        let mut group = writer.next_row_group().unwrap();
        let mut place = 0;
        while let Some(mut column) = group.next_column().unwrap() {
            let whole = |of: &dyn Fn(i64) -> i64| rows.iter().map(|row| of(*row)).collect::<Vec<i64>>();
            let short = |of: &dyn Fn(i64) -> i32| rows.iter().map(|row| of(*row)).collect::<Vec<i32>>();
            let written = match place {
                0 => column
                    .typed::<Int32Type>()
                    .write_batch(&short(&|row| row as i32 * 7 % 31), None, None),
                1 => {
                    let values: Vec<f64> = there().map(|row| (row * 11 % 40) as f64 / 4.0).collect();
                    column
                        .typed::<DoubleType>()
                        .write_batch(&values, Some(&present), None)
                }
                2 => {
                    let values: Vec<ByteArray> = there()
                        .map(|row| ["red", "blue"][*row as usize % 2].into())
                        .collect();
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&values, Some(&present), None)
                }
                3 => {
                    let moment = |row| 86_400_000_000_000 * (row * 13 % 40) + 500_000_000;
                    column
                        .typed::<Int64Type>()
                        .write_batch(&whole(&moment), None, None)
                }
                4 => {
                    let values: Vec<bool> = rows.iter().map(|row| row % 3 == 0).collect();
                    column.typed::<BoolType>().write_batch(&values, None, None)
                }
                5 => column.typed::<Int32Type>().write_batch(
                    &short(&|row| (row as i32 * 17 % 40) * 25),
                    None,
                    None,
                ),
                6 => {
                    let levels = vec![1; 80];
                    let repeated: Vec<i16> = (0..80).map(|at| at % 2).collect();
                    let values: Vec<i32> = (0..80).collect();
                    column
                        .typed::<Int32Type>()
                        .write_batch(&values, Some(&levels), Some(&repeated))
                }
                _ => column
                    .typed::<Int64Type>()
                    .write_batch(&whole(&|row| row % 2 * 9 + 1), None, None),
            };
            written.unwrap();
            column.close().unwrap();
            place += 1;
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

fn parquet(json: &str) -> Format {
    Format::from(serde_json::from_str::<ParquetOptions>(json).unwrap())
}

const OPTIONS: &str = r#"{
    "categorical": ["kind"], "ignore": ["several"], "missing": {"x": "mean", "kind": "indicator"},
    "dates": {"born": ["days"], "seen": ["year", "days"]}
}"#;

#[test]
fn columns_of_all_types_are_read() {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let mut datasets = Vec::new();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        zstd,
        Compression::LZ4_RAW,
    ] {
        let bench = Bench::new();
        bench.file("t.parquet", &file(compression, 3));
        let dataset = bench.dataset(&parquet(OPTIONS));
        let expected = [
            "born.days",
            "x",
            "kind=blue",
            "kind=red",
            "kind is missing",
            "seen.year",
            "seen.days",
            "flag",
            "price",
        ];
        assert_eq!(dataset.input().names, expected);
        assert_eq!(dataset.target().names, ["1", "10"]);
        let train = dataset.split(SplitName::Train).unwrap();
        assert_eq!(train.len(), 120);
        let row = |index| {
            let mut row = Vec::new();
            train.read_sample(index, &mut row).unwrap();
            row
        };
        let half_a_second = 0.5 / 86_400.0;
        assert_eq!(
            row(3),
            [21.0, 8.25, 1.0, 0.0, 0.0, 1970.0, 39.0 + half_a_second, 1.0, 2.75]
        );
        let CellFill::Number(mean) = dataset.input().columns[1].missing.clone().unwrap().fill else {
            panic!("no number");
        };
        let numbers: Vec<i32> = (0..40)
            .filter(|row| row % 5 != 4)
            .map(|row| row * 11 % 40)
            .collect();
        assert!((mean - f64::from(numbers.iter().sum::<i32>()) / 4.0 / 32.0).abs() < 1e-9);
        assert_eq!(row(44)[..5], [28.0, mean as f32, 1.0, 0.0, 1.0]);
        assert_eq!(
            (label(&train, 41), train.origin(41)),
            (1, "t.parquet:42".to_owned())
        );
        datasets.push(bench.bytes());
    }
    assert!(datasets.iter().all(|bytes| *bytes == datasets[0]));
}

#[test]
fn parts_are_of_the_splits_that_they_are_called_after() {
    let bench = Bench::new();
    bench.file("data/train-00000-of-00002.parquet", &file(Compression::SNAPPY, 1));
    bench.file("data/train-00001-of-00002.parquet", &file(Compression::SNAPPY, 1));
    bench.file("data/test-00000-of-00001.parquet", &file(Compression::SNAPPY, 1));
    bench.file("data/README.md", b"no table");
    bench.file("README.md", b"no table");
    let dataset = bench.dataset(&parquet(OPTIONS));
    assert_eq!(dataset.split(SplitName::Train).unwrap().len(), 80);
    assert_eq!(dataset.split(SplitName::Test).unwrap().len(), 40);
}

#[test]
fn files_that_are_called_as_splits_are_splits() {
    let splits = |names: &[&str]| {
        let bench = Bench::new();
        for name in names {
            bench.file(name, &file(Compression::SNAPPY, 1));
        }
        let dataset = bench.dataset(&parquet(OPTIONS));
        SplitName::ALL.map(|name| dataset.split(name).map_or(0, |split| split.len()))
    };
    let [whole, ..] = splits(&["train.parquet"]);
    assert_eq!(splits(&["train.parquet", "test.parquet"]), [whole, 0, whole]);
    assert_eq!(
        splits(&["train.parquet", "validation.parquet", "test.parquet"]),
        [whole; 3]
    );
    // As older downloads are called, with a digest.
    let digests = [
        "train-00000-of-00001-4746b8785c874cc7.parquet",
        "test-00000-of-00001-f8a34d5c4cbfc8c1.parquet",
    ];
    assert_eq!(splits(&digests), [whole, 0, whole]);
    // Parts of one table.
    assert_eq!(splits(&["test.parquet"]), [whole, 0, 0]);
    assert_eq!(splits(&["train.parquet", "more.parquet"]), [2 * whole, 0, 0]);
}

#[test]
fn what_cannot_be_read_is_told() {
    let told = |bytes: &[u8], options: &str| {
        let bench = Bench::new();
        bench.file("t.parquet", bytes).error(&parquet(options))
    };
    let good = file(Compression::SNAPPY, 1);
    let message = told(&good, "{}");
    assert!(
        message.contains("column `several` holds lists, or things of several parts: name it in `ignore`"),
        "{message}"
    );
    let message = told(&good, r#"{"ignore": ["several"]}"#);
    assert!(
        message.contains(
            "row 1, column `born`: `1970-01-01` is not a finite number; in all of the table, 4 columns are"
        ),
        "{message}"
    );
    assert!(
        message.contains("column `seen`: 40 dates (`1970-01-01T00:00:00.5Z` in row 1)"),
        "{message}"
    );
    for (bytes, expected) in [
        (
            &b"x,y\n1,2\n"[..],
            "it is no Parquet file but text: a table in CSV is read by `format: {csv",
        ),
        (&good[..good.len() / 2], "cannot be read as a Parquet file"),
        (b"", "it is empty"),
        (b"\x1f\x8b\x08\0\0", "it is a compressed file"),
        (
            b"PK\x03\x04 xl/sheet",
            "it is no Parquet file but a workbook of Excel (.xlsx)",
        ),
    ] {
        let message = told(bytes, OPTIONS);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn damage_is_an_error_or_harmless() {
    // Every eighth byte in turn is damaged, in three ways.
    let good = file(Compression::SNAPPY, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    std::panic::set_hook(Box::new(|_| {}));
    for at in (0..good.len()).step_by(8) {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= change;
            std::fs::write(&path, &bytes).unwrap();
            let Ok(header) = parquet_header::ParquetHeader::read(&path) else {
                continue;
            };
            let leaves: Vec<Option<usize>> = header.columns.iter().map(|column| column.leaf).collect();
            let Ok(mut rows) = ParquetRows::open(&path, &leaves, parquet_rows::BATCH) else {
                continue;
            };
            let mut count = 0;
            while let Ok(Some(_)) = rows.next_row() {
                count += 1;
                assert!(count <= 1_000_000, "byte {at} makes rows without an end");
            }
        }
    }
    let _ = std::panic::take_hook();
}

/// The values of a column.
enum Cells<'a> {
    Whole(&'a [i64]),
    Text(&'a [&'a str]),
}

/// A file with a row group of `columns`, which `schema` describes, and what it says of their classes.
fn columns_of(schema: &str, columns: &[Cells<'_>], told: Option<&str>) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let pairs = told.map(|told| {
        let value = format!(r#"{{"info": {{"features": {told}}}}}"#);
        vec![parquet::file::metadata::KeyValue::new(
            "huggingface".to_owned(),
            value,
        )]
    });
    let properties = WriterProperties::builder().set_key_value_metadata(pairs).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for cells in columns {
        let mut column = group.next_column().unwrap().unwrap();
        let written = match cells {
            Cells::Whole(values) => column.typed::<Int64Type>().write_batch(values, None, None),
            Cells::Text(values) => {
                let values: Vec<ByteArray> = values.iter().map(|value| (*value).into()).collect();
                column.typed::<ByteArrayType>().write_batch(&values, None, None)
            }
        };
        written.unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

const COLORED: &str = "message table {
    REQUIRED INT64 x;
    REQUIRED INT64 color;
    REQUIRED INT64 label;
}";

#[test]
fn names_of_whole_numbers_are_the_categories() {
    let file = |colors: &str, numbers: &[i64]| {
        let told = format!(
            r#"{{"color": {{"names": {colors}, "_type": "ClassLabel"}}, "label": {{"names": ["no", "yes"], "_type": "ClassLabel"}}}}"#
        );
        let columns = [
            Cells::Whole(&[5, 3, 9, 7]),
            Cells::Whole(numbers),
            Cells::Whole(&[0, 1, 1, 0]),
        ];
        columns_of(COLORED, &columns, Some(&told))
    };
    let mut bench = Bench::new();
    bench.split_folders = vec![SplitName::Train, SplitName::Test];
    bench.file(
        "train/a.parquet",
        &file(r#"["red", "green", "blue"]"#, &[0, 2, 1, 2]),
    );
    // The same names in another order.
    bench.file(
        "test/b.parquet",
        &file(r#"["blue", "green", "red"]"#, &[2, 0, 1, 0]),
    );
    let dataset = bench.dataset(&parquet(r#"{"categorical": ["color"], "label": "label"}"#));
    assert_eq!(
        dataset.input().names,
        ["x", "color=blue", "color=green", "color=red"]
    );
    assert_eq!(dataset.target().names, ["no", "yes"]);
    let inputs = |split| {
        let split = dataset.split(split).unwrap();
        let read = |index| {
            let mut row = Vec::new();
            split.read_sample(index, &mut row).unwrap();
            row
        };
        (0..split.len()).map(read).collect::<Vec<Vec<f32>>>()
    };
    assert_eq!(inputs(SplitName::Train), inputs(SplitName::Test));
    assert_eq!(inputs(SplitName::Train)[0], [5.0, 0.0, 0.0, 1.0]);

    // -1 stands for what is not known; other numbers have no name.
    let bench = Bench::new();
    bench.file("t.parquet", &file(r#"["red", "green", "blue"]"#, &[0, -1, 1, 2]));
    let options = r#"{"categorical": ["color"], "missing": {"color": "indicator"}}"#;
    let names = bench.dataset(&parquet(options)).input().names.clone();
    assert_eq!(names[4], "color is missing");
    let bench = Bench::new();
    let message = bench
        .file("t.parquet", &file(r#"["red"]"#, &[0, 0, 1, 0]))
        .error(&parquet(r#"{"categorical": ["color"]}"#));
    assert!(
        message.contains("row 3, column `color`: there is no class 1"),
        "{message}"
    );

    // Taken for measurements, which is told; and never half of them.
    let bench = Bench::new();
    bench.file("t.parquet", &file(r#"["red", "green", "blue"]"#, &[0, 2, 1, 2]));
    assert_eq!(bench.dataset(&parquet("{}")).input().names, ["x", "color"]);
    let notices = bench.notices.lock().unwrap().join("\n");
    assert!(
        notices.contains("taken for measurements: column `color`; add them to `categorical`"),
        "{notices}"
    );
    let mut bench = Bench::new();
    bench.split_folders = vec![SplitName::Train, SplitName::Test];
    bench.file(
        "train/a.parquet",
        &file(r#"["red", "green", "blue"]"#, &[0, 2, 1, 2]),
    );
    let columns = [
        Cells::Whole(&[5, 3]),
        Cells::Whole(&[0, 1]),
        Cells::Whole(&[0, 1]),
    ];
    bench.file(
        "test/b.parquet",
        &columns_of(
            COLORED,
            &columns,
            Some(r#"{"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}"#),
        ),
    );
    let message = bench.error(&parquet(r#"{"categorical": ["color"]}"#));
    assert!(
        message.contains("b.parquet`: column `color` holds whole numbers that it does not name"),
        "{message}"
    );
}

#[test]
fn integers_of_64_bits_without_a_sign_are_right_to_the_last_digit() {
    let schema = "message table {
        REQUIRED INT64 id (INTEGER(64, false));
        REQUIRED INT64 kind (INTEGER(64, false));
        REQUIRED BYTE_ARRAY who (UTF8);
        REQUIRED INT64 label (INTEGER(64, false));
    }";
    let largest = u64::MAX;
    let whole = |of: &dyn Fn(u64) -> u64| (0..24).map(|row| of(row).cast_signed()).collect::<Vec<i64>>();
    let ids = whole(&|row| largest - row * 5 % 24);
    let kinds = whole(&|row| largest - row % 2);
    let labels = whole(&|row| largest - row % 3);
    let who: Vec<&str> = (0..24).map(|row| ["x", "y", "z"][row / 2 % 3]).collect();
    let columns = [
        Cells::Whole(&ids),
        Cells::Whole(&kinds),
        Cells::Text(&who),
        Cells::Whole(&labels),
    ];
    let bench = Bench::new();
    bench.file("t.parquet", &columns_of(schema, &columns, None));
    let dataset = bench.dataset(&parquet(r#"{"categorical": ["kind", "who"]}"#));
    assert_eq!(
        dataset.target().names,
        [
            "18446744073709551613",
            "18446744073709551614",
            "18446744073709551615"
        ]
    );
    assert_eq!(
        dataset.input().names[1..3],
        ["kind=18446744073709551614", "kind=18446744073709551615"]
    );
    let told = bench.notices.lock().unwrap().join("\n");
    assert!(
        told.contains("column `id`: `18446744073709551615` becomes 18446744073709551616"),
        "{told}"
    );
}
