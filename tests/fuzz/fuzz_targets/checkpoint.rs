//! Files of weights: what they say of themselves, and, where that fits the network, their values.

#![no_main]

use std::fs;
use std::sync::OnceLock;

use erlen::data::{Dataset, Formats, SplitInput, prepare};
use erlen::event::Monitor;
use erlen::metric::MetricTable;
use erlen::spec::{Preprocess, Train};
use erlen::train::{Components, SingleWorker, Training, init_problem, train};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Four columns and three classes, as the network in the fixtures has it.
fn dataset() -> &'static Dataset {
    static DATASET: OnceLock<Dataset> = OnceLock::new();
    DATASET.get_or_init(|| {
        let folder = tempfile::tempdir().expect("there is space").keep();
        let table = folder.join("t.csv");
        fs::write(&table, "1,2,3,4,a\n2,3,1,5,b\n0,1,0,2,c\n").expect("there is space");
        let options = json!({"input": "raw", "format": {"csv": {}}});
        let options: Preprocess = serde_json::from_value(options).expect("the options are right");
        let inputs = [SplitInput::whole(&table)];
        prepare(&options, &Formats::built_in(), &inputs, &folder, &Monitor::silent()).expect("a table");
        Dataset::open(&folder).expect("what was written can be read")
    })
}

fuzz_target!(|bytes: &[u8]| {
    let components = Components::built_in();
    let folder = tempfile::tempdir().expect("there is space");
    let weights = folder.path().join("w.pth");
    fs::write(&weights, bytes).expect("there is space");
    let recipe = json!({
        "data": "data", "model": {"sequential": {"layers": [{"linear": {"width": 8}}, {"relu": {}}, {"linear": {}}]}},
        "init": {"from": "./w.pth"}, "epochs": 1, "optimizer": {"sgd": {"lr": 0.1}}
    });
    let recipe: Train = components
        .vocabulary
        .reading(|| serde_json::from_value(recipe))
        .expect("the recipe is right");
    if init_problem(&recipe.model, &weights, &components).is_some() {
        return;
    }
    let training = Training {
        recipe: &recipe,
        metrics: &MetricTable::built_in(),
        dataset: dataset(),
        init: Some(&weights),
        pretrained: None,
        teachers: &[],
        seed: 0,
        identity: "fuzz".into(),
        scratch: folder.path(),
        collective: &SingleWorker,
        limits: None,
        shorter: None,
        device: erlen::train::DeviceChoice::Cpu.open().expect("there is a processor"),
        components: &components,
    };
    // Weights may be anything; that their training diverges is told.
    let _ = train(&training, &Monitor::silent());
});
