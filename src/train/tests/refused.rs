//! What cannot be trained says so, before or as soon as it can be known.

use serde_json::{Value, json};

use super::super::testing::{Bench, recipe};
use crate::spec::SplitName::{Train, Val};

/// The message of a training that must fail.
fn refusal(bench: &Bench, changes: Value) -> String {
    bench
        .train(&recipe(changes.clone()))
        .err()
        .unwrap_or_else(|| panic!("{changes} was trained"))
        .to_string()
}

fn assert_told(bench: &Bench, changes: Value, parts: &[&str]) {
    let error = refusal(bench, changes);
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn losses_and_figures_that_the_data_does_not_have() {
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    assert_told(
        &bench,
        json!({"loss": {"mse": {}}}),
        &[
            "`train.loss`",
            "`data` has classes to predict",
            "use cross_entropy",
        ],
    );
    assert_told(
        &bench,
        json!({"loss": {"cross_entropy": {"class_weights": [1.0, 2.0]}}}),
        &[
            "`train.loss.cross_entropy.class_weights`",
            "2 values",
            "has 3 (ant, bee, cat)",
        ],
    );
    assert_told(
        &bench,
        json!({"loss": {"cross_entropy": {"ignore_index": 3}}}),
        &["ignore_index: 3", "has 3"],
    );
    assert_told(
        &bench,
        json!({"monitor": "val_mae"}),
        &["`train.monitor`", "use val_loss or val_accuracy"],
    );
    assert_told(
        &bench,
        json!({"standardize_targets": true}),
        &["`train.standardize_targets`", "classes"],
    );
}

#[test]
fn options_that_need_a_validation_split() {
    let bench = Bench::table(6, &[(Train, 41)]);
    for (changes, part) in [
        (json!({"select": "best"}), "select: best"),
        (json!({"early_stop": {"patience": 2}}), "early_stop"),
        (json!({"schedule": {"plateau": {}}}), "plateau"),
    ] {
        assert_told(&bench, changes, &[part, "no val split"]);
    }
}

#[test]
fn no_batch_is_left() {
    let bench = Bench::table(6, &[(Train, 41)]);
    assert_told(
        &bench,
        json!({"batch_size": 64, "drop_last": true}),
        &["drop_last", "64", "41"],
    );
}

#[test]
fn a_batch_of_one_with_batch_norm_is_known_before_the_first_step() {
    let layers = json!([{"flatten": {}}, {"linear": {"width": 8}}, {"batch_norm": {}}, {"linear": {}}]);
    let model = json!({"sequential": {"layers": layers}});
    // 41 samples in batches of 8 leave one.
    let bench = Bench::images(&[(Train, 41)]);
    let error = refusal(&bench, json!({"model": model, "batch_size": 8}));
    assert!(error.contains("batch_size"), "{error}");
    let changes = json!({"model": model, "batch_size": 8, "drop_last": true, "epochs": 1});
    bench.train(&recipe(changes)).unwrap();
}

#[test]
fn models_that_do_not_fit_the_data() {
    let table = Bench::table(6, &[(Train, 41)]);
    assert_told(
        &table,
        json!({"model": {"resnet18": {}}}),
        &["resnet18", "6 columns"],
    );
    assert_told(&table, json!({"model": {"vit": {}}}), &["vit", "6 columns"]);
    let images = Bench::images(&[(Train, 41)]);
    assert_told(&images, json!({"model": {"vit": {"patch": 3}}}), &["3", "8"]);
    let layers = json!([{"flatten": {}}, {"linear": {"width": 5}}]);
    assert_told(
        &images,
        json!({"model": {"sequential": {"layers": layers}}}),
        &["5", "3"],
    );
    assert_told(
        &table,
        json!({"augment": [{"random_horizontal_flip": {}}]}),
        &["augment"],
    );
}

#[test]
fn groups_that_name_nothing() {
    let bench = Bench::table(6, &[(Train, 41)]);
    assert_told(
        &bench,
        json!({"groups": [{"parameters": ["layer1.*"], "frozen": true}]}),
        &["layer1.*"],
    );
    assert_told(
        &bench,
        json!({"groups": [{"parameters": ["*"], "frozen": true}]}),
        &["frozen"],
    );
    assert_told(
        &bench,
        json!({"groups": [{"parameters": ["*"]}, {"parameters": ["0.*"], "frozen": true}]}),
        &["`0.*` in group 2", "earlier groups"],
    );
}

#[test]
fn images_that_are_judged_in_another_size_than_they_are_trained_in() {
    let bench = Bench::images(&[(Train, 41)]);
    let cropped = json!({"augment": [{"random_resized_crop": {"size": 6}}]});
    assert_told(
        &bench,
        cropped.clone(),
        &["1x6x6", "1x8x8", "eval_transforms: [{resize: {size: 6}}"],
    );
    let mut both = cropped;
    both["eval_transforms"] = json!([{"resize": {"size": 6}}, {"center_crop": {"size": 6}}]);
    both["epochs"] = json!(1);
    bench.train(&recipe(both)).unwrap();
}

#[test]
fn what_goes_by_validations_that_never_come() {
    // 6 steps an epoch, 3 epochs.
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    for (changes, parts) in [
        (
            json!({"schedule": {"plateau": {}}, "validate": {"steps": 13}}),
            ["`schedule: plateau`", "3 epochs (6 steps each)"],
        ),
        (
            json!({"early_stop": {"patience": 1}, "validate": {"epochs": 3}}),
            ["`early_stop`", "none falls before the last"],
        ),
    ] {
        assert_told(&bench, changes, &parts);
    }
    bench
        .train(&recipe(
            json!({"schedule": {"plateau": {}}, "validate": {"steps": 12}}),
        ))
        .unwrap();
}
