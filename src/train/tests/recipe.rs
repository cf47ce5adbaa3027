//! What a recipe may ask for beside an optimizer and epochs.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::testing::{Bench, difference, recipe};
use super::super::*;
use super::{assert_same, val_accuracy};
use crate::event::{Activity, Monitor};
use crate::spec::SplitName::{Train, Val};

/// What a training tells, and its result.
fn heard(bench: &Bench, recipe: &crate::spec::Train) -> (Trained, Vec<String>) {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let listening = Arc::clone(&messages);
    let emit = move |activity| {
        if let Activity::Notice { message, .. } = activity {
            listening.lock().unwrap().push(message);
        }
    };
    let _ = std::fs::remove_dir_all(bench.scratch());
    let trained = bench.go_on(recipe, &Monitor::new(emit, Arc::default())).unwrap();
    let messages = messages.lock().unwrap().clone();
    (trained, messages)
}

#[test]
fn training_stops_early_where_nothing_is_gained() {
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let base = json!({"epochs": 40, "optimizer": {"sgd": {"lr": 2.0}}});
    let mut changes = base.clone();
    changes["early_stop"] = json!({"patience": 3});
    let (stopped, messages) = heard(&bench, &recipe(changes.clone()));
    let epochs = stopped.history.len();
    assert!((4..40).contains(&epochs), "{epochs}");
    assert!(
        messages.iter().any(|message| message.contains("early_stop")),
        "{messages:?}"
    );
    // The rule, by hand: the best is three epochs old, and it was not so before.
    let accuracies: Vec<f64> = stopped.history.iter().map(val_accuracy).collect();
    let age = |upto: usize| {
        let best = accuracies[..upto].iter().copied().fold(f64::MIN, f64::max);
        let at = accuracies.iter().position(|&accuracy| accuracy == best).unwrap();
        upto - 1 - at
    };
    assert_eq!(age(epochs), 3);
    assert!((1..epochs).all(|upto| age(upto) < 3));
    assert_eq!(stopped.card.epochs as usize, epochs);
    // Up to there it is the training that never stops.
    let mut shorter = base;
    shorter["epochs"] = json!(epochs);
    let shorter = bench.train(&recipe(shorter)).unwrap();
    assert_eq!(stopped.history, shorter.history);
    assert_eq!(stopped.weights, shorter.weights);
    // And interrupted after each step it is the same.
    assert_same(&stopped, &bench.train_step_by_step(&recipe(changes)).0);
}

#[test]
fn validations_fall_where_they_are_asked_for() {
    // 41 samples in batches of 8: 6 steps an epoch.
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let steps = |validate| {
        let trained = bench
            .train(&recipe(json!({"validate": validate, "epochs": 4})))
            .unwrap();
        let steps = trained.validations.map(|validations| {
            let places = validations.iter().map(|given| (given.epoch, given.step));
            places.collect::<Vec<_>>()
        });
        let rows: Vec<bool> = trained
            .history
            .iter()
            .map(|row| row.validation.is_some())
            .collect();
        (steps, rows)
    };
    let (none, rows) = steps(json!({"epochs": 3}));
    assert_eq!((none, rows), (None, vec![false, false, true, true]));
    let (within, rows) = steps(json!({"steps": 5}));
    let expected = vec![(1, 5), (2, 10), (3, 15), (4, 20), (4, 24)];
    assert_eq!((within, rows), (Some(expected), vec![true; 4]));
    let (both, _) = steps(json!({"steps": 4, "epochs": 2}));
    let expected = vec![(1, 4), (2, 8), (2, 12), (3, 16), (4, 20), (4, 24)];
    assert_eq!(both, Some(expected));
}

#[test]
fn validating_within_epochs_changes_no_weight() {
    let bench = Bench::images(&[(Train, 41), (Val, 8)]);
    let changes = |validate| {
        json!({
            "model": {"conv_net": {"channels": [4], "dropout": 0.3}}, "validate": validate,
            "ema": {"decay": 0.9},
        })
    };
    let often = recipe(changes(json!({"steps": 1})));
    let trained = bench.train(&often).unwrap();
    let seldom = bench.train(&recipe(changes(json!({"epochs": 9})))).unwrap();
    assert_eq!(trained.weights, seldom.weights);
    assert_same(&trained, &bench.train_step_by_step(&often).0);
}

#[test]
fn the_best_validation_within_an_epoch_can_be_selected() {
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let changes = json!({
        "validate": {"steps": 1}, "select": "best", "monitor": "val_loss", "epochs": 3,
        "optimizer": {"sgd": {"lr": 3.0}},
    });
    let trained = bench.train(&recipe(changes)).unwrap();
    let validations = trained.validations.unwrap();
    let best = validations
        .iter()
        .min_by(|left, right| left.loss.0.total_cmp(&right.loss.0))
        .unwrap();
    assert_eq!(trained.card.selected_step, best.step);
    assert_eq!(trained.card.selected_epoch, best.epoch);
    assert_eq!(trained.card.metrics["val_loss"], best.loss.0);
    assert!(best.step < 18, "the test is to hold a better step than the last");
}

#[test]
fn averaged_weights_are_what_is_judged_and_kept() {
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let changes = |decay: f64| json!({"ema": {"decay": decay}, "epochs": 4});
    let plain = bench.train(&recipe(json!({"epochs": 4}))).unwrap();
    let averaged = bench.train(&recipe(changes(0.8))).unwrap();
    // Training goes on from the weights themselves.
    for (plain, averaged) in plain.history.iter().zip(&averaged.history) {
        assert_eq!(plain.train_loss, averaged.train_loss);
        assert_ne!(plain.validation, averaged.validation);
    }
    assert!(difference(&plain, &averaged) > 1e-4);
    // An average that forgets at once is the weights.
    let forgetful = bench.train(&recipe(changes(0.0))).unwrap();
    assert_eq!(plain.weights, forgetful.weights);
    assert_same(&averaged, &bench.train_step_by_step(&recipe(changes(0.8))).0);
}

#[test]
fn a_plateau_lowers_the_rate_and_survives_interruptions() {
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let changes = json!({
        "epochs": 8, "optimizer": {"sgd": {"lr": 2.0}},
        "schedule": {"plateau": {"factor": 0.5, "patience": 0}}, "monitor": "val_loss",
    });
    let trained = bench.train(&recipe(changes.clone())).unwrap();
    let rates: Vec<f64> = trained.history.iter().map(|row| row.lr.0).collect();
    assert!(rates[7] < rates[0], "{rates:?}");
    assert_same(&trained, &bench.train_step_by_step(&recipe(changes)).0);
}

#[test]
fn clipping_bounds_what_a_step_may_do() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let changes =
        |clip| json!({"clip": clip, "epochs": 1, "optimizer": {"sgd": {"lr": 1.0}}, "batch_size": 41});
    let free = bench.train(&recipe(changes(json!({})))).unwrap();
    let norm = free.history[0].gradient_norm.0;
    assert!(norm > 0.01);
    // A norm of a tenth moves the weights a tenth as far.
    let start = start_of(&bench);
    let moved = |trained: &Trained| {
        let squares = trained.weights.iter().flat_map(|(name, tensor)| {
            let start = start.weights[name].to_f32().unwrap();
            let now = tensor.to_f32().unwrap();
            start
                .into_iter()
                .zip(now)
                .map(|(start, now)| f64::from(now - start).powi(2))
                .collect::<Vec<_>>()
        });
        squares.sum::<f64>().sqrt()
    };
    assert!((moved(&free) - norm).abs() < 1e-3 * norm, "one step of rate 1");
    let clipped = bench
        .train(&recipe(changes(json!({"norm": norm / 10.0}))))
        .unwrap();
    assert!((moved(&clipped) - norm / 10.0).abs() < 1e-3 * norm);
    assert_eq!(
        clipped.history[0].gradient_norm, free.history[0].gradient_norm,
        "told as it was"
    );
    let limited = bench.train(&recipe(changes(json!({"value": 1e-3})))).unwrap();
    let count = limited.card.parameters as f64;
    assert!(moved(&limited) < 1.01e-3 * count.sqrt());
}

/// The weights before the first step: a training with a rate that changes nothing.
fn start_of(bench: &Bench) -> Trained {
    bench
        .train(&recipe(json!({"epochs": 1, "optimizer": {"sgd": {"lr": 1e-30}}})))
        .unwrap()
}

#[test]
fn lines_are_logged_as_often_as_asked_for() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let (quiet, messages) = heard(&bench, &recipe(json!({})));
    assert_eq!(messages, [""; 0]);
    let (trained, messages) = heard(&bench, &recipe(json!({"log_every": 4})));
    assert_same(&quiet, &trained);
    // 18 steps.
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert!(
        messages[1].starts_with("epoch 2, step 2/6: loss ") && messages[1].contains("gradient norm"),
        "{messages:?}"
    );
}

#[test]
fn checkpoints_within_epochs_are_written_in_time_and_as_many_as_asked_for() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let changes = json!({"checkpoint": {"minutes": 1e-9, "keep": 4, "every": 99}});
    let frequent = recipe(changes);
    let trained = bench.train(&frequent).unwrap();
    assert_eq!(std::fs::read_dir(bench.scratch()).unwrap().count(), 4);
    assert_eq!(Checkpoint::files(&bench.scratch()).len(), 4);
    assert_same(&trained, &bench.train(&recipe(json!({}))).unwrap());
    // From the oldest of them, in the middle of an epoch, the rest is the same.
    bench.train(&frequent).unwrap();
    let files = Checkpoint::files(&bench.scratch());
    std::fs::rename(&files[3].1, &files[0].1).unwrap();
    assert_same(&trained, &bench.go_on(&frequent, &Monitor::silent()).unwrap());
}

#[test]
fn the_last_smaller_batch_can_be_left_out() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let whole = bench
        .train(&recipe(json!({"batch_size": 20, "drop_last": true, "epochs": 2})))
        .unwrap();
    let other = bench
        .train(&recipe(json!({"batch_size": 20, "epochs": 2})))
        .unwrap();
    assert!(difference(&whole, &other) > 1e-4);
}
