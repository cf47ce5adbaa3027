//! Tables of text, by each of several options: the first byte chooses.

#![no_main]

use libfuzzer_sys::fuzz_target;
use preparing::prepare_file;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let options = match choice >> 1 {
        0 => json!({}),
        1 => json!({"header": true, "missing": "median"}),
        2 => json!({"header": true, "categorical": [0], "missing": "indicator", "task": "regression"}),
        3 => json!({"delimiter": ";", "decimal": ",", "thousands": ".", "missing": "drop"}),
        4 => json!({"quote": "single", "escape": "\\", "label": [0], "task": "multi_label"}),
        5 => json!({"quote": "none", "boolean": [0], "dates": {"1": ["year", "days"]},
                    "missing": {"default": {"constant": 1}}}),
        _ => json!({"header": true, "image": {"height": 2, "width": 2, "max": 16}}),
    };
    let folder = tempfile::tempdir().expect("there is space");
    prepare_file(folder.path(), "t.csv", bytes, &json!({"csv": options}), choice & 1 == 1);
});
