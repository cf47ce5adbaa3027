//! Tasks and losses of every kind.

use std::fmt::Write;

use serde_json::{Value, json};

use super::super::testing::{Bench, difference, recipe};
use super::super::*;
use super::assert_same;
use crate::data::{Dataset, SampleOrder};
use crate::event::Monitor;
use crate::random::{Purpose, Stream};
use crate::spec::SplitName::{Test, Train, Val};
use candle_core::Device;

/// A table of two numbers, a text, and what follows from them: `y = 40 + 3 a - 2 b + (c == "u")`,
/// and two labels.
fn table() -> String {
    let mut text = String::from("a,b,c,y,big,small\n");
    for row in 0..120 {
        let mut stream = Stream::new(3, Purpose::Bootstrap, 1, row);
        let (a, b) = (stream.normal(), stream.normal());
        let (c, shift) = if stream.bernoulli(0.5) {
            ("u", 5.0)
        } else {
            ("v", 0.0)
        };
        let y = 40.0 + 3.0 * a - 2.0 * b + shift;
        writeln!(
            text,
            "{a},{b},{c},{y},{},{}",
            u8::from(a > 0.3),
            u8::from(b < 0.0)
        )
        .unwrap();
    }
    text
}

fn regression() -> Bench {
    let format =
        json!({"label": "y", "task": "regression", "categorical": ["c"], "ignore": ["big", "small"]});
    Bench::csv(&table(), format, json!({"val": 0.2, "test": 0.2}))
}

fn labels() -> Bench {
    let format =
        json!({"label": ["big", "small"], "task": "multi_label", "categorical": ["c"], "ignore": ["y"]});
    Bench::csv(&table(), format, json!({"val": 0.2, "test": 0.2}))
}

/// The figures of a trained model on the test split.
fn judged(bench: &Bench, trained: &Trained) -> SplitTally {
    let folder = bench.folder.path().join("model");
    std::fs::create_dir_all(&folder).unwrap();
    write_weights(&folder, &trained.weights).unwrap();
    write_json(&folder.join(CARD_FILE), &trained.card).unwrap();
    let model = TrainedModel::load(&folder, &Device::Cpu, &Components::built_in()).unwrap();
    let dataset = Dataset::open(&bench.data()).unwrap();
    let tasks = Tasks::built_in();
    model.meet(&dataset, &tasks, &folder, &Monitor::silent()).unwrap();
    let options = Evaluation {
        task: model.task(&tasks).unwrap(),
        loss: model.card.reported_loss.clone(),
        batch_size: 16,
        order: SampleOrder::Given,
        test_time_flip: false,
        metrics: vec![crate::spec::EvaluationMetric::plain("roc_auc")],
        device: Device::Cpu,
    };
    let split = filled_split(&dataset, Test).unwrap();
    let judged = [JudgedModel::of(&model, split)];
    evaluate(&judged, &options, &Monitor::silent(), |_, _, _| Ok(())).unwrap()
}

#[test]
fn numbers_are_predicted_in_their_own_units() {
    let bench = regression();
    for loss in [json!({"mse": {}}), json!({"huber": {"delta": 0.5}}), Value::Null] {
        let changes = json!({
            "epochs": 40, "loss": loss, "model": {"mlp": {"hidden": []}},
            "optimizer": {"adam": {"lr": 0.05}},
        });
        let trained = bench.train(&recipe(changes)).unwrap();
        let scale = trained.card.target.scale.as_ref().unwrap();
        assert!((30.0..50.0).contains(&scale.mean[0]), "{scale:?}");
        let last = trained.history.last().unwrap().metrics();
        assert!(last["val_mae"] < 0.5 && last["train_mae"] < 0.5, "{last:?}");
        let tally = judged(&bench, &trained);
        let r2 = tally.figure("r2").unwrap();
        assert!(r2 > 0.98, "{loss}: {r2}");
        assert!(tally.figure("rmse").unwrap() < 0.6);
    }
    // Without scaling the loss is in the targets' units, squared.
    let changes = json!({"epochs": 2, "optimizer": {"adam": {"lr": 0.05}}, "standardize_targets": false});
    let trained = bench.train(&recipe(changes)).unwrap();
    assert_eq!(trained.card.target.scale, None);
    assert!(trained.history[0].train_loss.0 > 500.0);
}

#[test]
fn several_labels_are_predicted_each_by_itself() {
    let bench = labels();
    let changes = json!({"epochs": 40, "optimizer": {"adamw": {"lr": 0.05}}});
    let trained = bench.train(&recipe(changes)).unwrap();
    assert_eq!(trained.card.target.names, ["big", "small"]);
    let last = trained.history.last().unwrap().metrics();
    assert!(last["val_accuracy"] > 0.85, "{last:?}");
    let tally = judged(&bench, &trained);
    assert!(tally.figure("roc_auc").unwrap() > 0.95);
    assert!(tally.figure("exact_match").unwrap() > 0.75);
}

/// Each task's recipes, with every loss and its options.
fn recipes() -> Vec<(Bench, Value)> {
    let classes = || Bench::table(6, &[(Train, 41), (Val, 12)]);
    let weighted = json!({"cross_entropy": {"class_weights": [1.0, 3.0, 0.5], "label_smoothing": 0.1}});
    vec![
        (classes(), json!({"loss": weighted})),
        (classes(), json!({"loss": {"cross_entropy": {"ignore_index": 1}}})),
        (
            regression(),
            json!({"loss": {"huber": {"delta": 1.0}}, "standardize_targets": true}),
        ),
        (
            labels(),
            json!({"loss": {"binary_cross_entropy": {"pos_weight": [2.0, 0.5]}}}),
        ),
    ]
}

#[test]
fn accumulation_equals_the_larger_batch_whatever_the_loss() {
    for (bench, changes) in recipes() {
        let with = |more: Value| {
            let mut changes = changes.clone();
            for (key, value) in more.as_object().unwrap() {
                changes[key] = value.clone();
            }
            bench.train(&recipe(changes)).unwrap()
        };
        let large = with(json!({"batch_size": 20}));
        let micro = with(json!({"batch_size": 5, "accumulate": 4}));
        let apart = difference(&large, &micro);
        assert!(apart < 2e-6, "{changes}: {apart}");
        let other = with(json!({"batch_size": 4, "accumulate": 4}));
        assert!(difference(&large, &other) > 1e-5, "{changes}");
        for (large, micro) in large.history.iter().zip(&micro.history) {
            let relative = (large.train_loss.0 / micro.train_loss.0 - 1.0).abs();
            assert!(relative < 1e-5, "{changes}: {relative}");
        }
    }
}

#[test]
fn every_task_and_loss_resumes_to_the_bit() {
    for (bench, changes) in recipes() {
        let recipe = recipe(changes);
        let whole = bench.train(&recipe).unwrap();
        assert_same(&whole, &bench.train_step_by_step(&recipe).0);
    }
}

#[test]
fn mixing_trains_on_soft_targets() {
    let bench = Bench::images(&[(Train, 60), (Val, 30)]);
    for mix in [json!(["mixup"]), json!(["cutmix"]), json!(["mixup", "cutmix"])] {
        let names: Vec<Value> = mix
            .as_array()
            .unwrap()
            .iter()
            .map(|name| json!({name.as_str().unwrap(): {}}))
            .collect();
        let changes = json!({"epochs": 15, "augment": names, "optimizer": {"adamw": {"lr": 0.01}}});
        let trained = bench.train(&recipe(changes.clone())).unwrap();
        let last = trained.history.last().unwrap().metrics();
        assert!(last["val_accuracy"] > 0.7, "{mix}: {last:?}");
        let mut short = changes;
        short["epochs"] = json!(2);
        let short = recipe(short);
        assert_same(&bench.train(&short).unwrap(), &bench.train_step_by_step(&short).0);
    }
}
