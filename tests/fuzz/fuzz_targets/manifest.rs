//! Lists of images, as CSV and as JSON lines, beside two images.

#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use preparing::prepare_file;
use serde_json::json;

const IMAGES: [(&str, &[u8]); 2] = [
    ("a.png", include_bytes!("../../fixtures/image_forms/black-white.png")),
    ("b.jpg", include_bytes!("../../fixtures/image_forms/1x1.jpg")),
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let file = if choice & 2 == 0 { "list.csv" } else { "list.jsonl" };
    let options = match choice >> 2 {
        0 => json!({"file": file, "path": "path", "label": "kind"}),
        1 => json!({"file": file, "path": "{path}.png", "label": "kind", "split": "part"}),
        2 => json!({"file": file, "path": "path", "label": "kind", "task": "multi_label", "separator": " "}),
        _ => json!({"file": file, "path": "path", "label": ["x", "y"], "task": "regression"}),
    };
    let folder = tempfile::tempdir().expect("there is space");
    let input = folder.path().join("input");
    fs::create_dir(&input).expect("there is space");
    for (name, image) in IMAGES {
        fs::write(input.join(name), image).expect("there is space");
    }
    let mut options = options;
    options["size"] = json!([2, 2]);
    prepare_file(folder.path(), file, bytes, &json!({"image_manifest": options}), choice & 1 == 1);
});
