//! More epochs go on where fewer ended, to the bytes of training so long at once.

use std::sync::{Arc, Mutex};

use super::*;
use crate::spec::StageKind as _;

/// What a training of `long` epochs gives by itself, and what it gives where it goes on from one of `short`;
/// the epochs that the latter trained, and what it told.
fn lengthened(mut bench: Bench, changes: &Value, short: u32, long: u32) -> (Trained, Trained, usize, String) {
    let of = |epochs: u32| {
        let mut changes = changes.clone();
        changes["epochs"] = json!(epochs);
        recipe(changes)
    };
    let expected = bench.train(&of(long)).unwrap();
    bench.train(&of(short)).unwrap();
    let kept = bench.folder.path().join("kept.safetensors");
    fs::copy(bench.scratch().join(LAST_CHECKPOINT), &kept).unwrap();
    bench.shorter = Some((kept, bench.identity.clone()));
    bench.identity = "longer".to_owned();

    let heard = Arc::new(Mutex::new((0, String::new())));
    let hearing = Arc::clone(&heard);
    let hear = move |activity| {
        let mut heard = hearing.lock().unwrap();
        match activity {
            Activity::EpochFinished { .. } => heard.0 += 1,
            Activity::Notice { message, .. } => heard.1.push_str(&message),
            _ => {}
        }
    };
    let monitor = Monitor::new(hear, Arc::new(AtomicBool::new(false)));
    fs::remove_dir_all(bench.scratch()).unwrap();
    let longer = bench.go_on(&of(long), &monitor).unwrap();
    // Interrupted on the way it is the same, too; but an interrupted validation is made again and again here.
    if changes
        .get("validate")
        .is_none_or(|validate| validate.get("steps").is_none())
    {
        let _ = fs::remove_dir_all(bench.scratch());
        let (interrupted, _) = bench.train_step_by_step(&of(long));
        assert_same(&expected, &interrupted);
    }
    let (epochs, told) = heard.lock().unwrap().clone();
    (expected, longer, epochs, told)
}

#[test]
fn more_epochs_go_on_from_fewer() {
    let splits = [(Train, 41), (Val, 12)];
    let recipes = [
        ("momentum", json!({})),
        (
            "everything",
            json!({
                "model": {"mlp": {"hidden": [8, 6], "dropout": 0.3}}, "accumulate": 2, "batch_size": 4,
                "optimizer": {"adamw": {"lr": 0.02}}, "ema": {"decay": 0.9}, "select": "best",
                "warmup": {"epochs": 2}, "schedule": {"multistep": {"milestones": [1, 3]}},
            }),
        ),
        (
            "plateau",
            json!({"schedule": {"plateau": {"patience": 0, "factor": 0.5}}, "validate": {"epochs": 3}}),
        ),
        ("rare validations", json!({"validate": {"epochs": 3}})),
        (
            "validations by steps",
            json!({"validate": {"steps": 5}, "batch_size": 4}),
        ),
        ("a short cosine", json!({"schedule": {"cosine": {"t_max": 3}}})),
        (
            "restarts",
            json!({"schedule": {"cosine_restarts": {"t_0": 2, "per": "step"}}}),
        ),
        ("half precision", json!({"precision": "f16"})),
        (
            "patience",
            json!({"early_stop": {"patience": 2}, "validate": {"epochs": 3}}),
        ),
    ];
    for (name, changes) in recipes {
        assert!(
            matches!(recipe(changes.clone()).fields_of_any_length(), Some(Ok(_))),
            "{name}"
        );
        let (expected, longer, epochs, told) = lengthened(Bench::table(6, &splits), &changes, 4, 7);
        assert_same(&expected, &longer);
        assert_eq!(expected.validations, longer.validations, "{name}");
        assert_eq!(epochs, 3, "{name}: {told}");
        assert!(
            told.contains("goes on where a training of 4 epochs ended"),
            "{name}: {told}"
        );
    }
}

#[test]
fn a_training_that_stopped_early_stays_as_it_is() {
    let changes = json!({"early_stop": {"patience": 1}, "optimizer": {"sgd": {"lr": 1e-30}}});
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let (expected, longer, epochs, _) = lengthened(bench, &changes, 4, 7);
    assert_same(&expected, &longer);
    assert_eq!((longer.card.epochs, epochs), (2, 0));
}

#[test]
fn a_best_epoch_that_was_judged_as_the_last_one_is_no_beginning() {
    // The first epochs gain, and the only regular validation comes after the last epoch of the shorter one.
    let changes = json!({
        "validate": {"epochs": 3}, "select": "best", "monitor": "val_loss", "optimizer": {"sgd": {"lr": 0.01}},
    });
    let bench = Bench::table(6, &[(Train, 41), (Val, 12)]);
    let (expected, longer, epochs, told) = lengthened(bench, &changes, 4, 7);
    assert_same(&expected, &longer);
    assert_eq!(epochs, 7, "{told}");
    assert!(
        told.contains("starts anew") && told.contains("`validate`"),
        "{told}"
    );
}

#[test]
fn what_depends_on_the_length_is_no_beginning() {
    for (schedule, named) in [
        (json!({"cosine": {}}), "`schedule: cosine`"),
        (json!({"one_cycle": {}}), "`schedule: one_cycle`"),
        (json!({"polynomial": {}}), "`schedule: polynomial`"),
    ] {
        let why = recipe(json!({"schedule": schedule})).fields_of_any_length();
        assert!(matches!(&why, Some(Err(why)) if why.contains(named)), "{why:?}");
    }
    let lasting = recipe(json!({"checkpoint": {"lasting": false}})).fields_of_any_length();
    assert!(
        matches!(&lasting, Some(Err(why)) if why.contains("lasting")),
        "{lasting:?}"
    );
    let fields = |epochs: u32| recipe(json!({"epochs": epochs})).fields_of_any_length();
    assert_eq!(fields(4), fields(7));
}
