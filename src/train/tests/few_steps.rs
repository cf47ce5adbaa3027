//! Runs so short that what a recipe asks for means little in them.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::event::{Activity, Level, Monitor};

/// What is warned of while a recipe with `changes` trains.
fn warnings(bench: &Bench, changes: Value) -> Vec<String> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let monitor = Monitor::new(
        move |activity| {
            if let Activity::Notice {
                level: Level::Warning,
                message,
            } = activity
            {
                hears.lock().unwrap().push(message);
            }
        },
        Arc::new(AtomicBool::new(false)),
    );
    bench.go_on(&recipe(changes), &monitor).unwrap();
    heard.lock().unwrap().clone()
}

/// PyTorch's loops make one step of a group that the epoch's end cuts short.
#[test]
fn more_accumulation_than_batches_is_one_step_an_epoch() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let whole = bench.train(&recipe(json!({"batch_size": 41}))).unwrap();
    let grouped = recipe(json!({"batch_size": 10, "accumulate": 6}));
    assert!(difference(&whole, &bench.train(&grouped).unwrap()) < 1e-6);
    let bench = Bench::table(6, &[(Train, 41)]);
    let told = warnings(&bench, json!({"batch_size": 10, "accumulate": 6}));
    assert_eq!(
        told,
        [
            "`accumulate: 6` is more than an epoch's micro-batches (5): an epoch is one step over its samples (41)"
        ]
    );
}

#[test]
fn an_average_that_is_mostly_its_start_is_told() {
    let bench = Bench::table(6, &[(Train, 41)]);
    let short = json!({"batch_size": 10, "accumulate": 1, "epochs": 4, "ema": {}});
    assert_eq!(
        warnings(&bench, short),
        [
            "`ema`: after all 20 steps, 98 % of the average are still the weights of the first one (`decay: 0.999`); a \
          smaller `decay` forgets them"
        ]
    );
    let bench = Bench::table(6, &[(Train, 41)]);
    let enough = json!({"batch_size": 10, "accumulate": 1, "epochs": 4, "ema": {"decay": 0.8}});
    assert!(warnings(&bench, enough).is_empty());
}
