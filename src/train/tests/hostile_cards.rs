//! Cards that tell of far more than there is: nothing is made of them.

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde_json::{Value, json};

use super::super::testing::{Bench, recipe};
use super::super::*;
use crate::spec::SplitName::Train;

/// Why the model in `folder`, whose card is changed, cannot be loaded.
fn told(folder: &Path, change: impl Fn(&mut Value)) -> String {
    let path = folder.join(CARD_FILE);
    let card = std::fs::read(&path).unwrap();
    let mut changed: Value = serde_json::from_slice(&card).unwrap();
    change(&mut changed);
    write_json(&path, &changed).unwrap();
    let loaded = TrainedModel::load(folder, &Device::Cpu, &Components::built_in());
    std::fs::write(&path, card).unwrap();
    loaded
        .err()
        .unwrap_or_else(|| panic!("loaded: {changed}"))
        .to_string()
}

fn kept(bench: &Bench, name: &str, trained: &Trained) -> PathBuf {
    let folder = bench.folder.path().join(name);
    std::fs::create_dir(&folder).unwrap();
    match &trained.base {
        Some(base) => write_adapter(&folder, base, &trained.weights).unwrap(),
        None => write_weights(&folder, &trained.weights).unwrap(),
    }
    write_json(&folder.join(CARD_FILE), &trained.card).unwrap();
    folder
}

#[test]
fn networks_of_more_numbers_than_their_weights_are_refused() {
    let mut bench = Bench::table(6, &[(Train, 41)]);
    let trained = bench.train(&recipe(json!({"epochs": 1}))).unwrap();
    let folder = kept(&bench, "model", &trained);
    let wide = |width: u64| {
        move |card: &mut Value| card["architecture"] = json!({"mlp": {"hidden": [width], "dropout": 0.0}})
    };
    // A little more is told by the names.
    let problem = told(&folder, wide(9));
    assert!(
        problem.contains("0.weight ([9, 6] wanted, [8, 6] of floats given)"),
        "{problem}"
    );
    for width in [1 << 28, 1 << 29] {
        let problem = told(&folder, wide(width));
        assert!(problem.contains("model.json"), "{problem}");
        assert!(
            problem.contains(&format!(
                "far more numbers than the 83 that its weights hold: `0.weight` alone would be [{width}, 6]"
            )),
            "{problem}"
        );
    }
    let problem = told(&folder, wide((1 << 32) - 1));
    assert!(problem.contains("is too large"), "{problem}");
    let problem = told(&folder, |card| card["target"]["width"] = json!(1u64 << 31));
    assert!(
        problem.contains("too large") || problem.contains("far more numbers"),
        "{problem}"
    );
    for columns in [1u64 << 31, 1 << 62] {
        let problem = told(&folder, |card| {
            card["input"] = json!({"features": {"columns": columns}});
        });
        assert!(
            problem.contains("a network is shown at most 268435456 numbers"),
            "{problem}"
        );
    }
    let image = json!({"image": {"channels": 1u64 << 31, "height": 1u64 << 31, "width": 1u64 << 31}});
    let problem = told(&folder, |card| card["input"] = image.clone());
    assert!(problem.contains("is too large"), "{problem}");

    // Changes of another rank than those that are there.
    bench.init = Some(folder);
    let lora = json!({"lora": {"rank": 2, "targets": "all_linear"}, "epochs": 1, "init": {"from": "model"}});
    let tuned = bench.train(&recipe(lora)).unwrap();
    let folder = kept(&bench, "tuned", &tuned);
    let problem = told(&folder, |card| card["lora"]["rank"] = json!(u32::MAX));
    assert!(
        problem.contains("the card tells of changes of rank 4294967295, and `0.lora_A.weight` is [2, 6]"),
        "{problem}"
    );
}
