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
        (&b"x,y\n1,2\n"[..], "cannot be read as a Parquet file"),
        (&good[..good.len() / 2], "cannot be read as a Parquet file"),
        (b"", "cannot be read as a Parquet file"),
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
            let Ok(mut rows) = parquet_rows::ParquetRows::open(&path, &leaves, parquet_rows::BATCH) else {
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
