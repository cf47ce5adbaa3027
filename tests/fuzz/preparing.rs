//! What the fuzz targets of input files share: whatever the bytes, there is a dataset that can be read, or an error.

use std::fs;
use std::path::Path;

use erlen::data::{Dataset, Formats, SplitInput, prepare};
use erlen::event::Monitor;
use erlen::spec::{Preprocess, SplitName};
use serde_json::{Value, json};

/// Prepares the file `name` with the content `bytes`, beside whatever `folder` holds, and reads what came of it.
///
/// # Panics
/// A dataset was written and cannot be read, or holds what is no number.
pub fn prepare_file(folder: &Path, name: &str, bytes: &[u8], format: &Value, skips: bool) {
    let input = folder.join("input");
    let output = folder.join("output");
    fs::create_dir_all(&input).expect("there is space");
    fs::create_dir(&output).expect("there is space");
    fs::write(input.join(name), bytes).expect("there is space");
    let on_error = if skips { "skip" } else { "fail" };
    let options = json!({"input": "raw", "format": format, "on_error": on_error, "split": {"val": 0.2}});
    let options: Preprocess = serde_json::from_value(options).expect("the options are right");
    let inputs = [SplitInput::whole(&input)];
    let prepared = prepare(&options, &Formats::built_in(), &inputs, &output, &Monitor::silent());
    if prepared.is_err() {
        return;
    }
    let dataset = Dataset::open(&output).expect("what was written can be read");
    for split in [SplitName::Train, SplitName::Val] {
        let Some(split) = dataset.split(split) else {
            continue;
        };
        let mut row = Vec::new();
        for index in 0..split.len() {
            split.read_sample(index, &mut row).expect("each sample can be read");
            assert!(row.iter().all(|number| number.is_finite()), "{row:?}");
        }
    }
}
