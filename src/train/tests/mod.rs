//! Training as a whole.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

mod distillation;
mod few_steps;
mod hostile_cards;
mod labelled_texts;
mod lengthening;
mod low_rank;
mod outside_task;
mod peft;
mod recipe;
mod refused;
mod reproducible;
mod segmentation;
mod similarity;
mod starting;
mod tasks;
mod texts;
mod traces;

use super::testing::{Bench, difference, recipe};
use super::*;
use crate::data::text_testing::documents;
use crate::event::{Activity, Level, Monitor};
use crate::spec::SplitName::{Train, Val};

/// The same weights, history and card, to the bit.
pub(super) fn assert_same(left: &Trained, right: &Trained) {
    assert_eq!(left.history, right.history);
    assert_eq!(left.card, right.card);
    assert_eq!(left.weights, right.weights);
}

/// Everything that makes a resume hard, on each kind of data.
fn demanding() -> Vec<(&'static str, Bench, Value)> {
    let splits = [(Train, 41), (Val, 12)];
    let dropout = json!({
        "model": {"mlp": {"hidden": [8, 6], "dropout": 0.3}},
        "accumulate": 2, "batch_size": 4, "epochs": 3,
        "optimizer": {"adamw": {"lr": 0.02}},
        "schedule": {"cosine": {}}, "warmup": {"epochs": 1},
        "select": "best",
    });
    let convolutions = json!({
        "model": {"conv_net": {"channels": [4, 6], "dropout": 0.2}},
        "batch_size": 7, "accumulate": 2, "epochs": 2, "checkpoint": {"every": 2},
        "augment": [{"random_crop": {"padding": 1}}, {"random_horizontal_flip": {}}],
    });
    let overflowing = json!({
        "precision": "f16", "batch_size": 2, "accumulate": 2, "epochs": 2,
        "normalize": {"mean": [0.0, 0.0, 0.0, 0.0], "std": [1e-3, 1e-3, 1e-3, 1e-3]},
        "optimizer": {"sgd": {"lr": 1e-7, "momentum": 0.9}},
    });
    let joined = json!({
        "model": {"gpt2": {"layers": 1, "heads": 2, "width": 8, "context": 8, "dropout": 0.2}},
        "pack": {"length": 6, "documents": "joined"}, "epochs": null, "steps": 7, "validate": {"steps": 3},
        "batch_size": 3, "accumulate": 2, "optimizer": {"adamw": {"lr": 0.02}}, "schedule": {"cosine": {}},
        "warmup": {"steps": 2}, "select": "best",
    });
    let separate = json!({
        "model": {"llama": {"layers": 1, "heads": 2, "width": 8, "context": 16, "attention_dropout": 0.3}},
        "pack": {"length": 12}, "epochs": null, "steps": 10, "validate": {"steps": 4}, "batch_size": 2,
        "batch_tokens": 20, "accumulate": 3, "optimizer": {"adamw": {"lr": 0.02}}, "ema": {"decay": 0.5},
    });
    let pixels = json!({
        "model": {"unet": {"width": 3, "depth": 1}}, "batch_size": 7, "accumulate": 2, "epochs": 2, "select": "best",
        "augment": [{"random_crop": {"padding": 2}}, {"random_horizontal_flip": {}}],
        "loss": {"cross_entropy": {"class_weights": "balanced"}},
    });
    let texts = || [documents(Train, 11, 20, 5), documents(Val, 11, 6, 5)].concat();
    vec![
        ("joined", Bench::texts(11, &texts()), joined),
        ("separate", Bench::texts(11, &texts()), separate),
        ("dropout", Bench::table(6, &splits), dropout),
        ("convolutions", Bench::images(&splits), convolutions),
        ("pixels", Bench::masks(&splits), pixels),
        ("overflowing", Bench::table(4, &splits), overflowing),
    ]
}

fn val_accuracy(row: &EpochFigures) -> f64 {
    row.validation
        .as_ref()
        .map_or(f64::NAN, |judgement| judgement.score.0)
}

#[test]
fn learns() {
    let bench = Bench::images(&[(Train, 60), (Val, 30)]);
    let trained = bench.train(&recipe(json!({"epochs": 12}))).unwrap();
    let last = trained.history.last().unwrap();
    assert!(
        last.train_loss.0 < 0.5 * trained.history[0].train_loss.0,
        "{last:?}"
    );
    assert!(val_accuracy(last) > 0.8, "{last:?}");
    assert_eq!(trained.card.metrics["val_accuracy"], val_accuracy(last));
    assert_eq!(trained.card.parameters, (64 * 8 + 8) + (8 * 3 + 3));
}

#[test]
fn accumulation_equals_the_larger_batch() {
    // 50 samples: steps of 20, 20 and 10; then of 20, 20 and 7, with a last micro-batch of 2.
    for samples in [50, 47] {
        let bench = Bench::table(6, &[(Train, samples), (Val, 9)]);
        let large = bench.train(&recipe(json!({"batch_size": 20}))).unwrap();
        let micro = bench
            .train(&recipe(json!({"batch_size": 5, "accumulate": 4})))
            .unwrap();
        let apart = difference(&large, &micro);
        assert!(apart < 1e-6, "{samples} samples: {apart}");
        for (large, micro) in large.history.iter().zip(&micro.history) {
            assert!((large.train_loss.0 - micro.train_loss.0).abs() < 1e-6);
            assert_eq!(large.train_score, micro.train_score);
        }
        // The test can fail: other groups give other weights.
        let other = bench
            .train(&recipe(json!({"batch_size": 4, "accumulate": 4})))
            .unwrap();
        assert!(difference(&large, &other) > 1e-4);
    }
}

#[test]
fn threads_and_repeats_give_the_same_bits() {
    for (name, mut bench, changes) in demanding() {
        let recipe = recipe(changes);
        let first = bench.train(&recipe).unwrap();
        assert_same(&first, &bench.train(&recipe).unwrap());
        bench.threads = 1;
        assert_same(&first, &bench.train(&recipe).unwrap());
        bench.seed += 1;
        assert_ne!(first.weights, bench.train(&recipe).unwrap().weights, "{name}");
    }
}

#[test]
fn an_interruption_after_any_step_changes_no_bit() {
    for (name, bench, changes) in demanding() {
        let recipe = recipe(changes);
        let undisturbed = bench.train(&recipe).unwrap();
        let (resumed, interruptions) = bench.train_step_by_step(&recipe);
        let steps = EpochSteps::new(&recipe, recipe.batches(41)).total();
        assert!(
            interruptions as u64 >= steps,
            "{name}: {interruptions} interruptions"
        );
        assert_same(&undisturbed, &resumed);
        let skipped: u64 = resumed
            .history
            .iter()
            .filter_map(|row| row.scaling)
            .map(|scaling| scaling.skipped_steps)
            .sum();
        assert_eq!(
            skipped > 0,
            name == "overflowing",
            "{name}: {skipped} steps skipped"
        );
    }
}

#[test]
fn the_previous_checkpoint_serves_where_the_latest_is_damaged() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let recipe = recipe(json!({"epochs": 4}));
    let undisturbed = bench.train(&recipe).unwrap();
    let files = Checkpoint::files(&bench.scratch());
    let [(0, latest), (1, previous)] = files.as_slice() else {
        panic!("{files:?}");
    };
    assert!(previous.exists());
    fs::write(latest, b"torn").unwrap();

    let activities = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&activities);
    let monitor = Monitor::new(
        move |activity| heard.lock().unwrap().push(activity),
        Arc::new(AtomicBool::new(false)),
    );
    assert_same(&undisturbed, &bench.go_on(&recipe, &monitor).unwrap());
    let activities = activities.lock().unwrap();
    assert!(matches!(
        &activities[0],
        Activity::Notice { level: Level::Warning, message } if message.contains("checkpoint.safetensors")
    ));
    assert!(matches!(
        &activities[1],
        Activity::TrainingStarted {
            resumed_from: Some((3, 0)),
            ..
        }
    ));
    let epochs = activities
        .iter()
        .filter(|activity| matches!(activity, Activity::EpochFinished { .. }));
    assert_eq!(epochs.count(), 1);
}

#[test]
fn kernels_are_kept_and_others_are_told() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let recipe = recipe(json!({"epochs": 4}));
    let trained = bench.train(&recipe).unwrap();
    assert_eq!(trained.card.kernels, ["f32"]);
    // As if it had begun elsewhere.
    let folder = bench.scratch();
    let (_, latest) = &Checkpoint::files(&folder)[0];
    let mut checkpoint = Checkpoint::open(latest, &bench.identity).unwrap();
    checkpoint.progress.kernels = vec!["AMX bf16".to_owned()];
    checkpoint.write(&folder, 2).unwrap();
    let messages = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&messages);
    let hear = move |activity| {
        if let Activity::Notice { message, .. } = activity {
            heard.lock().unwrap().push(message);
        }
    };
    let monitor = Monitor::new(hear, Arc::new(AtomicBool::new(false)));
    let gone_on = bench.go_on(&recipe, &monitor).unwrap();
    assert_eq!(gone_on.card.kernels, ["AMX bf16", "f32"]);
    assert_eq!(gone_on.weights, trained.weights);
    let messages = messages.lock().unwrap();
    assert!(
        messages[0]
            .starts_with("the training began with kernels for AMX bf16, and goes on with those for f32: "),
        "{messages:?}"
    );
}

#[test]
fn a_checkpoint_of_another_architecture_is_not_continued() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let small = recipe(json!({"model": {"mlp": {"hidden": [4]}}}));
    let large = recipe(json!({}));
    let expected = bench.train(&large).unwrap();
    bench.train(&small).unwrap();
    let monitor = Monitor::silent();
    assert_same(&expected, &bench.go_on(&large, &monitor).unwrap());
}

#[test]
fn a_diverged_training_says_where_and_what_to_try() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let wild = json!({"sgd": {"lr": 1e30}});
    let error = bench.train(&recipe(json!({"optimizer": wild}))).unwrap_err();
    assert!(
        matches!(error, TrainError::NonFiniteLoss { epoch: 1, .. }),
        "{error}"
    );
    let error = error.to_string();
    assert!(
        error.contains("epoch 1, batch ") && error.contains("lower the learning rate"),
        "{error}"
    );
    assert!(!error.contains("f32"), "{error}");

    let error = bench
        .train(&recipe(json!({"optimizer": wild, "precision": "bf16"})))
        .unwrap_err();
    assert!(error.to_string().contains("precision: f32"), "{error}");

    // A single step: no further loss would show it.
    let single = json!({"optimizer": {"sgd": {"lr": 1e300}}, "batch_size": 64, "epochs": 1});
    let error = bench.train(&recipe(single)).unwrap_err();
    assert!(
        matches!(error, TrainError::NonFiniteWeights { epoch: 1, .. }),
        "{error}"
    );
}

#[test]
fn the_best_epoch_is_selected_where_asked() {
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let changes = |select| json!({"epochs": 6, "select": select, "optimizer": {"sgd": {"lr": 3.0}}});
    let best = bench.train(&recipe(changes("best"))).unwrap();
    let accuracies = best.history.iter().map(val_accuracy);
    let highest = accuracies.clone().fold(f64::MIN, f64::max);
    let expected = accuracies
        .clone()
        .position(|accuracy| accuracy == highest)
        .unwrap();
    assert_eq!(best.card.selected_epoch as usize, expected + 1);
    assert_eq!(best.card.metrics["val_accuracy"], highest);

    // The selected weights are those of that epoch: training only so far gives them too.
    let mut shorter = changes("last");
    shorter["epochs"] = json!(expected + 1);
    let shorter = bench.train(&recipe(shorter)).unwrap();
    assert_eq!(best.weights, shorter.weights);
    let last = bench.train(&recipe(changes("last"))).unwrap();
    assert_eq!(last.card.selected_epoch, 6);

    let bench = Bench::table(6, &[(Train, 41)]);
    let error = bench.train(&recipe(changes("best"))).unwrap_err().to_string();
    assert!(error.contains("no val split"), "{error}");
}

#[test]
fn half_precision_follows_f32() {
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let full = bench.train(&recipe(json!({}))).unwrap();
    for precision in ["bf16", "f16"] {
        let half = bench.train(&recipe(json!({"precision": precision}))).unwrap();
        let difference = difference(&full, &half);
        assert!(difference > 0.0 && difference < 0.05, "{precision}: {difference}");
    }
}

#[test]
fn a_pause_at_the_limits_changes_nothing_but_the_moment() {
    use crate::spec::{Direction, EpochLimits};

    for (name, bench, change) in demanding() {
        let metric = match name {
            "pixels" => "val_pixel_accuracy",
            _ => "val_accuracy",
        };
        let limits = |until: u32| EpochLimits {
            metric: metric.into(),
            direction: Direction::Maximize,
            until: Some(until),
            worse_than: std::collections::BTreeMap::new(),
            patience: None,
        };
        let recipe = recipe(change);
        let whole = bench.train(&recipe).unwrap();
        let expected: Vec<f64> = whole.history.iter().map(val_accuracy).collect();
        fs::remove_dir_all(bench.scratch()).unwrap();
        let pause = |until: u32| match bench.go_until(&recipe, Some(&limits(until)), &Monitor::silent()) {
            Err(TrainError::Paused { curve }) => curve,
            other => panic!("{name}: {:?}", other.map(|trained| trained.history)),
        };
        let same = |curve: &[f64], epochs: usize| {
            curve.len() == epochs
                && curve
                    .iter()
                    .zip(&expected)
                    .all(|(left, right)| left.to_bits() == right.to_bits())
        };
        assert!(same(&pause(1), 1), "{name}");
        // A checkpoint beyond the limits does not change what is told of them.
        let epochs = recipe.length().epochs();
        if epochs > 2 {
            assert!(same(&pause(2), 2), "{name}");
            assert!(same(&pause(1), 1), "{name}");
        }
        // The last epoch ends the training whatever the limits say.
        let trained = bench
            .go_until(&recipe, Some(&limits(epochs)), &Monitor::silent())
            .unwrap();
        assert_same(&whole, &trained);
    }
}
