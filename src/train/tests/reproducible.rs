//! The same bytes for any number of threads, on a repeat, and after interruptions: for every
//! architecture and every optimizer.

use serde_json::{Value, json};

use super::super::testing::{Bench, difference, recipe};
use super::assert_same;
use crate::spec::SplitName::{Train, Val};

/// Trains `model` on images of `[C, H, W]`: with 1, 2 and 4 threads, and interrupted after each step.
fn architecture(model: &Value, shape: [usize; 3]) {
    let mut bench = Bench::images_of(shape, &[(Train, 9), (Val, 3)]);
    // Two steps, of two micro-batches and of one.
    let changes = json!({
        "model": model, "batch_size": 3, "accumulate": 2, "epochs": 1,
        "optimizer": {"sgd": {"lr": 1e-4}},
    });
    let recipe = recipe(changes);
    let whole = bench.train(&recipe).unwrap();
    for threads in [1, 4] {
        bench.threads = threads;
        let again = bench.train(&recipe).unwrap();
        assert!(again.weights == whole.weights, "{model} on {threads} threads");
        assert_same(&whole, &again);
    }
    bench.threads = 2;
    let (resumed, interruptions) = bench.train_step_by_step(&recipe);
    assert!(interruptions >= 2, "{model}");
    assert_same(&whole, &resumed);
}

/// A test for each architecture, so that they run beside each other.
macro_rules! architectures {
    ($($name:ident: $model:tt on $shape:expr;)*) => {$(
        #[test]
        fn $name() {
            architecture(&json!($model), $shape);
        }
    )*};
}

architectures! {
    mlp: {"mlp": {"hidden": [8, 6], "dropout": 0.3}} on [1, 8, 8];
    conv_net: {"conv_net": {"channels": [4, 6], "dropout": 0.2}} on [1, 8, 8];
    sequential: {"sequential": {"layers": [
        {"conv": {"channels": 4}}, {"batch_norm": {}}, {"silu": {}}, {"max_pool": {}},
        {"conv": {"channels": 6, "groups": 2}}, {"gelu": {}}, {"avg_pool": {}}, {"flatten": {}},
        {"linear": {"width": 8}}, {"layer_norm": {}}, {"dropout": {}}, {"linear": {}}
    ]}} on [1, 8, 8];
    vit: {"vit": {
        "patch": 4, "width": 12, "depth": 2, "heads": 3, "dropout": 0.1, "attention_dropout": 0.1
    }} on [3, 8, 8];
    mobilenet_v3_small: {"mobilenet_v3_small": {}} on [3, 32, 32];
    efficientnet_b0: {"efficientnet_b0": {}} on [3, 32, 32];
    resnet18: {"resnet18": {"stem": "cifar"}} on [3, 8, 8];
    resnet34: {"resnet34": {}} on [3, 32, 32];
    resnet50: {"resnet50": {"stem": "cifar"}} on [3, 4, 4];
    resnet101: {"resnet101": {}} on [3, 32, 32];
    wide_resnet: {"wide_resnet": {"factor": 1}} on [3, 32, 32];
}

fn optimizers() -> Vec<Value> {
    vec![
        json!({"sgd": {"lr": 0.05}}),
        json!({"sgd": {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 1e-3}}),
        json!({"sgd": {"lr": 0.05, "momentum": 0.9, "nesterov": true}}),
        json!({"adam": {"lr": 0.01, "weight_decay": 1e-3}}),
        json!({"adamw": {"lr": 0.01}}),
        json!({"lion": {"lr": 0.003, "weight_decay": 0.1}}),
    ]
}

#[test]
fn every_optimizer_on_any_number_of_threads_and_after_any_step() {
    let schedules = [
        json!({"multistep": {"milestones": [1, 2]}}),
        json!({"exponential": {"gamma": 0.9}}),
        json!({"cosine_restarts": {"t_0": 1, "per": "step"}}),
        json!({"one_cycle": {}}),
        json!({"polynomial": {"per": "step"}}),
        json!({"cosine": {"per": "step"}}),
    ];
    for (optimizer, schedule) in optimizers().into_iter().zip(schedules) {
        // A scale that overflows at first: steps are skipped.
        let changes = json!({
            "precision": "f16", "batch_size": 4, "accumulate": 2, "epochs": 3, "optimizer": optimizer,
            "schedule": schedule, "warmup": {"epochs": 1}, "weight_decay_on": "weights",
            "clip": {"norm": 1.0, "value": 0.5}, "ema": {"decay": 0.9}, "select": "best",
            "normalize": {"mean": vec![0.0; 6], "std": vec![1e-3; 6]},
        });
        let mut bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
        let recipe = recipe(changes);
        let whole = bench.train(&recipe).unwrap();
        let skipped: u64 = whole
            .history
            .iter()
            .filter_map(|row| row.scaling)
            .map(|scaling| scaling.skipped_steps)
            .sum();
        assert!(skipped > 0, "{optimizer}: the test is to hold skipped steps");
        for threads in [1, 4] {
            bench.threads = threads;
            assert_same(&whole, &bench.train(&recipe).unwrap());
        }
        assert_same(&whole, &bench.train_step_by_step(&recipe).0);
    }
}

/// A sample's masks are its own: batches of 5 accumulated to 20 draw what batches of 20 draw.
#[test]
fn accumulation_drops_what_the_larger_batch_drops() {
    let bench = Bench::images_of([1, 8, 8], &[(Train, 41)]);
    for (model, certain) in [
        (
            json!({"mlp": {"hidden": [16], "dropout": 0.5}}),
            json!({"mlp": {"hidden": [16]}}),
        ),
        (
            json!({"vit": {"patch": 4, "width": 12, "depth": 2, "heads": 3, "dropout": 0.2, "attention_dropout": 0.3}}),
            json!({"vit": {"patch": 4, "width": 12, "depth": 2, "heads": 3}}),
        ),
    ] {
        let train = |model: &Value, batch_size: u32, accumulate: u32| {
            let changes = json!({"model": model, "batch_size": batch_size, "accumulate": accumulate});
            bench.train(&recipe(changes)).unwrap()
        };
        let large = train(&model, 20, 1);
        let apart = difference(&large, &train(&model, 5, 4));
        assert!(apart < 1e-4, "{model}: {apart}");
        assert!(difference(&large, &train(&certain, 20, 1)) > 1e-3, "{model}");
    }
}
