//! Tests of images in Parquet files, on files of Hugging Face's `datasets`
//! (`tests/fixtures/parquet_images.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::data::Dataset;

/// The files of a fixture's part, by their paths in it.
fn fixture(part: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet_images");
    let found = walkdir::WalkDir::new(root.join(part)).sort_by_file_name();
    let files = found
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| {
            let name = entry.path().strip_prefix(&root).unwrap().to_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// An input with these parts of the fixture.
fn bench(parts: &[&str]) -> Bench {
    let bench = Bench::new();
    for (path, bytes) in parts.iter().flat_map(|part| fixture(part)) {
        bench.file(path.to_str().unwrap(), &bytes);
    }
    bench
}

fn parquet(json: &str) -> Format {
    Format::from(serde_json::from_str::<ParquetOptions>(json).unwrap())
}

fn folder(json: &str) -> Format {
    Format::from(serde_json::from_str::<crate::spec::ImageFolderOptions>(json).unwrap())
}

/// What a sample is: its class, its pixels and their dimensions.
type Sample = (String, Vec<f32>, Dimensions);

/// The samples of a dataset by their rows; `row` tells these from a sample's place in its split and its origin.
fn samples(dataset: &Dataset, row: impl Fn(usize, &str) -> usize) -> BTreeMap<(SplitName, usize), Sample> {
    let mut found = BTreeMap::new();
    for name in dataset.splits() {
        let split = dataset.split(name).unwrap();
        for index in 0..split.len() {
            let mut pixels = Vec::new();
            let dimensions = split.read_sample(index, &mut pixels).unwrap();
            let class = dataset.target().names[label(&split, index) as usize].clone();
            let row = row(index, &split.origin(index));
            found.insert((name, row), (class, pixels, dimensions));
        }
    }
    found
}

#[test]
fn images_are_those_of_a_folder_with_the_same_files() {
    for options in [
        "{}",
        r#"{"size": [6, 5]}"#,
        r#"{"color": "gray"}"#,
        r#"{"exif_orientation": true}"#,
        r#"{"store": "files", "color": "gray", "exif_orientation": true}"#,
    ] {
        let hub = bench(&["hub"]);
        let with_image = options
            .replacen('{', r#"{"image": "image", "#, 1)
            .replace(", }", "}");
        let ours = hub.dataset(&parquet(&with_image));
        assert_eq!(ours.target().names, ["dog", "cat", "bird"], "{options}");
        let lying = bench(&["folder"]);
        let theirs = lying.dataset(&folder(options));
        assert_eq!(theirs.target().names, ["bird", "cat", "dog"]);
        let stem = |origin: &str| {
            Path::new(origin)
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        };
        let theirs = samples(&theirs, |_, origin| stem(origin));
        let ours = samples(&ours, |index, _| index);
        assert_eq!(ours.len(), 10);
        assert!(ours == theirs, "{options}");
        let told = hub.notices.lock().unwrap().join("\n");
        assert!(
            told.contains("1 of the 4 classes that the files name has no sample and is left out")
                && told.contains("`unicorn`"),
            "{told}"
        );
    }
    let dataset = bench(&["hub"]).dataset(&parquet(r#"{"image": "image"}"#));
    let train = dataset.split(SplitName::Train).unwrap();
    assert_eq!(train.origin(0), "train-00000-of-00002.parquet:1");
    assert_eq!(train.origin(5), "train-00001-of-00002.parquet:2");
}

#[test]
fn images_may_be_bytes_alone_and_have_numbers_for_targets() {
    let bytes = bench(&["bytes.parquet"]);
    let dataset = bytes.dataset(&parquet(r#"{"image": "image", "label": "label"}"#));
    assert_eq!(dataset.target().names, ["x", "y"]);
    let lying = Bench::new();
    for (path, bytes) in fixture("folder/test") {
        lying.file(
            path.strip_prefix("folder/test").unwrap().to_str().unwrap(),
            &bytes,
        );
    }
    let theirs = lying.dataset(&folder(r#"{"splits": "none"}"#));
    let theirs = samples(&theirs, |index, _| index);
    let ours = samples(&dataset, |index, _| index);
    assert_eq!(ours.len(), 3);
    for (ours, theirs) in ours.values().zip(theirs.values()) {
        assert!(ours.1 == theirs.1 && ours.2 == theirs.2);
    }

    let hub = bench(&["hub"]);
    let numbers = r#"{"image": "image", "label": ["weight", "label"], "task": "regression"}"#;
    let dataset = hub.dataset(&parquet(numbers));
    assert_eq!(dataset.target().names, ["weight", "label"]);
    let test = dataset.split(SplitName::Test).unwrap();
    let mut values = [0.0; 2];
    test.target_values(2, &mut values).unwrap();
    assert_eq!(values, [1.0, 2.0]);
}

#[test]
fn what_is_no_column_of_images_is_told() {
    let told = |part: &str, options: &str| bench(&[part]).error(&parquet(options));
    for (part, options, expected) in [
        (
            "hub",
            "{}",
            "column `image` holds images: add `image: image`, or name it in `ignore`",
        ),
        (
            "hub",
            r#"{"image": "note"}"#,
            "column `note` holds texts, and `image` needs images as files have them",
        ),
        (
            "hub",
            r#"{"image": "boxes"}"#,
            "column `boxes` holds lists, and `image` needs",
        ),
        (
            "hub",
            r#"{"image": "weight"}"#,
            "column `weight` holds numbers or dates, and `image` needs",
        ),
        ("hub", r#"{"image": "img"}"#, "it has no column `img` (`image`)"),
        (
            "hub",
            r#"{"image": "image", "label": "boxes"}"#,
            "column `boxes` holds lists, or things of several parts: what is asked of it needs one value a row",
        ),
        (
            "hub",
            r#"{"image": "image", "label": "image"}"#,
            "both `label` and `image` name column `image`",
        ),
        (
            "bytes.parquet",
            r#"{"label": "label"}"#,
            "row 1, column `image`: it holds bytes that are no text: name the column in `ignore`, or in `image` if \
             these are images",
        ),
        (
            "paths.parquet",
            r#"{"image": "image"}"#,
            "row 1, column `image`: it holds no image, but the path of one (`bird/2.jpg`)",
        ),
        (
            "paths.parquet",
            r#"{"image": "image"}"#,
            "map(datasets.table.embed_table_storage, batched=True)",
        ),
        (
            "brotli.parquet",
            "{}",
            "its column `x` is compressed by Brotli, which is not supported: write the file with zstd or snappy",
        ),
    ] {
        let message = told(part, options);
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("iconv"), "{message}");
    }
}

/// Rows of a made-up file: an image, its path, and a label.
type MadeRow<'a> = (Option<&'a [u8]>, Option<&'a str>, i64);

/// A file with images; `names` are those of the label's classes.
fn made(rows: &[MadeRow<'_>], names: Option<&str>) -> Vec<u8> {
    let schema = "message schema {
        OPTIONAL group image { OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (UTF8); }
        REQUIRED INT64 label;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let metadata = names.map(|names| {
        let text = format!(
            r#"{{"info": {{"features": {{"label": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}"#
        );
        vec![KeyValue::new("huggingface".into(), text)]
    });
    let properties = WriterProperties::builder()
        .set_key_value_metadata(metadata)
        .build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for part in 0..3 {
        let mut column = group.next_column().unwrap().unwrap();
        if part == 2 {
            let labels: Vec<i64> = rows.iter().map(|row| row.2).collect();
            column
                .typed::<Int64Type>()
                .write_batch(&labels, None, None)
                .unwrap();
        } else {
            let cells = rows.iter().map(|row| match part {
                0 => row.0,
                _ => row.1.map(str::as_bytes),
            });
            // Without an image and a path the whole of the two is nothing.
            let levels = rows.iter().zip(cells.clone()).map(|(row, cell)| match cell {
                Some(_) => 2,
                None => i16::from(row.0.is_some() || row.1.is_some()),
            });
            let levels: Vec<i16> = levels.collect();
            let values: Vec<ByteArray> = cells
                .flatten()
                .map(|cell| ByteArray::from(cell.to_vec()))
                .collect();
            column
                .typed::<ByteArrayType>()
                .write_batch(&values, Some(&levels), None)
                .unwrap();
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

/// Encoded images that are there.
fn pngs() -> [Vec<u8>; 2] {
    let files = fixture("folder/train");
    let png = |name: &str| {
        files
            .iter()
            .find(|(path, _)| path.ends_with(name))
            .unwrap()
            .1
            .clone()
    };
    [png("dog/0.png"), png("dog/3.png")]
}

const IMAGES: &str = r#"{"image": "image", "label": "label"}"#;
const NAMES: &str = r#"["dog", "cat"]"#;

#[test]
fn bad_images_and_labels_are_left_out_where_that_is_asked_for() {
    let [one, two] = &pngs();
    let rows: [MadeRow; 7] = [
        (Some(one), None, 1),
        (Some(b"no image"), Some("a.png"), 0),
        (None, None, 0),
        (None, Some("b.png"), 0),
        (Some(one), None, 2),
        (Some(one), None, -1),
        (Some(two), Some("c.png"), 0),
    ];
    let file = made(&rows, Some(NAMES));
    let expected = [
        "row 2, column `image`: the image is corrupt: it begins as no image does",
        "row 3, column `image`: it holds no image: leave such rows out by `drop` for this column in `missing`",
        "row 4, column `image`: it holds no image, but the path of one (`b.png`)",
        "row 5, column `label`: there is no class 2: the file's metadata `huggingface` names 2 classes",
        "row 6, column `label`: the label is empty",
    ];
    let mut bench = Bench::new();
    bench.on_error = OnError::Skip;
    bench.file("t.parquet", &file);
    let dataset = bench.dataset(&parquet(IMAGES));
    assert_eq!(dataset.target().names, ["dog", "cat"]);
    let train = dataset.split(SplitName::Train).unwrap();
    let found: Vec<(String, u32)> = (0..train.len())
        .map(|index| (train.origin(index), label(&train, index)))
        .collect();
    assert_eq!(found, [("t.parquet:1".into(), 1), ("t.parquet:7".into(), 0)]);
    let notices = bench.notices.lock().unwrap().join("\n");
    for expected in expected {
        assert!(notices.contains(expected), "{expected} is not in\n{notices}");
    }
    // Each of them is an error where nothing is to be left out.
    for row in 1..6 {
        let rows = [rows[0], rows[row], rows[6]];
        let bench = Bench::new();
        let message = bench
            .file("t.parquet", &made(&rows, Some(NAMES)))
            .error(&parquet(IMAGES));
        let (_, expected) = expected[row - 1].split_once(", ").unwrap();
        assert!(message.contains(&format!("row 2, {expected}")), "{message}");
    }
    // What holds nothing may be left out on purpose, and what is damaged may not.
    let dropping = r#"{"image": "image", "label": "label", "missing": "drop"}"#;
    let bench = Bench::new();
    let dataset = bench
        .file(
            "t.parquet",
            &made(&[rows[0], rows[2], rows[5], rows[6]], Some(NAMES)),
        )
        .dataset(&parquet(dropping));
    assert_eq!(dataset.split(SplitName::Train).unwrap().len(), 2);
    let notices = bench.notices.lock().unwrap().join("\n");
    assert!(
        notices.contains("2 rows are left out for cells that hold nothing")
            && notices.contains("column `image`: 1, column `label`: 1"),
        "{notices}"
    );
}

#[test]
fn classes_are_told_by_their_names_from_file_to_file() {
    let [one, two] = &pngs();
    let rows: [MadeRow; 2] = [(Some(one), None, 0), (Some(two), None, 1)];
    let classes = |first: Option<&str>, second: Option<&str>| {
        let bench = Bench::new();
        bench.file("train-0-of-1.parquet", &made(&rows, first));
        bench.file("test-0-of-1.parquet", &made(&rows, second));
        bench.prepare(&parquet(IMAGES)).map(|_| {
            let dataset = Dataset::open(&bench.output()).unwrap();
            let found = samples(&dataset, |index, _| index);
            found
                .into_values()
                .map(|sample| sample.0)
                .collect::<Vec<String>>()
        })
    };
    // Another order is another numbering of the same classes.
    let found = classes(Some(r#"["dog", "cat"]"#), Some(r#"["cat", "dog"]"#)).unwrap();
    assert_eq!(found, ["dog", "cat", "cat", "dog"]);
    assert_eq!(classes(None, None).unwrap(), ["0", "1", "0", "1"]);
    let message = classes(Some(NAMES), None).unwrap_err().to_string();
    assert!(
        message.contains("test-0-of-1.parquet`: column `label` holds whole numbers that it does not name"),
        "{message}"
    );
    let bench = Bench::new();
    bench.file("t.parquet", &made(&rows, Some("[1]")));
    assert_eq!(bench.dataset(&parquet(IMAGES)).target().names, ["0", "1"]);
    let notices = bench.notices.lock().unwrap().join("\n");
    assert!(
        notices.contains("not all of the names are texts; it is not used"),
        "{notices}"
    );
}

#[test]
fn wide_decimals_and_numbers_that_are_none_are_read() {
    let rows = |file: &str, options: &str| {
        let dataset = bench(&[file]).dataset(&parquet(options));
        let train = dataset.split(SplitName::Train).unwrap();
        let read = |index| {
            let mut row = Vec::new();
            train.read_sample(index, &mut row).unwrap();
            row
        };
        (0..train.len()).map(read).collect::<Vec<Vec<f32>>>()
    };
    let columns = r#"{"label": "x", "task": "regression"}"#;
    let found = bench(&["decimals.parquet"]).dataset(&parquet(columns));
    let found: Vec<Vec<f32>> = self::rows(&found.split(SplitName::Train).unwrap())
        .into_iter()
        .map(|(_, target)| target)
        .collect();
    assert_eq!(found, [[1.5], [-1.234_567_9e19], [0.0]]);

    let message = bench(&["nan.parquet"]).error(&parquet("{}"));
    assert!(
        message.contains("row 2, column `x`: `NaN` is not a finite number")
            && message
                .contains("column `x`: 1 cell holds nothing (`NaN` in row 2): add `missing: {x: median}`"),
        "{message}"
    );
    assert_eq!(
        rows("nan.parquet", r#"{"missing": "mean"}"#),
        [[1.0], [2.0], [3.0]]
    );
    // A regression, as one class alone is left.
    let dropped = r#"{"label": "x", "task": "regression", "categorical": ["label"], "missing": "drop"}"#;
    assert_eq!(rows("nan.parquet", dropped), [[1.0], [1.0]]);
}

#[test]
fn damaged_files_are_read_or_refused() {
    let (_, good) = fixture("hub/data").remove(0);
    let (mut read, mut refused) = (0, 0);
    std::panic::set_hook(Box::new(|_| {}));
    for at in (0..good.len()).step_by(24) {
        for change in [0x01, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= change;
            let mut bench = Bench::new();
            bench.on_error = OnError::Skip;
            bench.file("t.parquet", &bytes);
            match bench.prepare(&parquet(IMAGES)) {
                Ok(prepared) => {
                    read += 1;
                    assert!(prepared.splits.values().sum::<u64>() + prepared.skipped <= 3);
                }
                Err(_) => refused += 1,
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(read > 50 && refused > 50, "{read} read, {refused} refused");
}
