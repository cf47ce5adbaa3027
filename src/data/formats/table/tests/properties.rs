//! Properties of reading tables: whatever the bytes, there is a dataset or an error.

use proptest::prelude::*;

use super::*;

const OPTIONS: [&str; 6] = [
    "{}",
    r#"{"header": true, "missing": "median"}"#,
    r#"{"header": true, "categorical": [0], "missing": "indicator", "task": "regression"}"#,
    r#"{"delimiter": ";", "decimal": ",", "thousands": ".", "missing": "drop"}"#,
    r#"{"quote": "single", "escape": "\\", "label": [0], "task": "multi_label"}"#,
    r#"{"quote": "none", "boolean": [0], "dates": {"1": ["year", "days"]}, "missing": {"default": {"constant": 1}}}"#,
];

/// Pieces that tables are made of, and some that they are not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just(b",".to_vec()),
        3 => Just(b"\n".to_vec()),
        1 => prop::sample::select(vec![&b"\r\n"[..], b"\r", b";", b"\t", b" ", b"\"", b"'", b"\\", b"\0"]).prop_map(<[u8]>::to_vec),
        3 => prop::sample::select(vec![
            "1", "0", "-2.5", "1e30", "1e400", "nan", "NA", "", "yes", "a", "b", "2026-01-31", "0001-01-01", "1.234,5", "\u{feff}", "é",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_a_table_or_an_error(
        pieces in prop::collection::vec(piece(), 0..120),
        options in 0..OPTIONS.len(),
        skips in any::<bool>(),
    ) {
        let mut bench = Bench::new();
        bench.on_error = if skips { OnError::Skip } else { OnError::Fail };
        bench.file("t.csv", &pieces.concat());
        if bench.prepare(&format(OPTIONS[options])).is_ok() {
            // What was written can be read again, and holds nothing but numbers.
            let dataset = crate::data::Dataset::open(&bench.output()).unwrap();
            let train = dataset.split(SplitName::Train).unwrap();
            let mut row = Vec::new();
            for index in 0..train.len() {
                train.read_sample(index, &mut row).unwrap();
                prop_assert!(row.iter().all(|number| number.is_finite()), "{row:?}");
            }
        }
    }

    #[test]
    fn quoted_texts_come_back(texts in prop::collection::vec("[ -~é]{1,8}", 2..20)) {
        let texts: Vec<String> = texts.iter().map(|text| format!("x{}x", text)).collect();
        let mut writer = csv::Writer::from_writer(Vec::new());
        for (row, text) in texts.iter().enumerate() {
            writer.write_record([text.as_str(), &row.to_string()]).unwrap();
        }
        let bench = Bench::new();
        bench.file("t.csv", &writer.into_inner().unwrap());
        let dataset = bench.dataset(&format(r#"{"categorical": [0], "task": "regression"}"#));
        let mut expected: Vec<String> = texts.clone();
        expected.sort_unstable();
        expected.dedup();
        let found = dataset.input().columns[0].categories().unwrap().to_vec();
        prop_assert_eq!(found, expected);
    }
}
