//! Parquet files.

#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use preparing::prepare_file;
use serde_json::json;

/// The parquet crate panics where some files are damaged, which Erlen catches: a find is what is not caught.
static LETS_PANICS_BE_CAUGHT: Once = Once::new();

fuzz_target!(|data: &[u8]| {
    LETS_PANICS_BE_CAUGHT.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let options = match choice >> 1 {
        0 => json!({}),
        1 => json!({"label": 0, "missing": "mean"}),
        2 => json!({"label": 0, "task": "regression", "missing": "drop", "categorical": [1]}),
        _ => json!({"label": [0, 1], "task": "multi_label", "missing": "indicator"}),
    };
    let folder = tempfile::tempdir().expect("there is space");
    prepare_file(folder.path(), "t.parquet", bytes, &json!({"parquet": options}), choice & 1 == 1);
});
