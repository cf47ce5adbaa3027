use serde_json::{Value, json};

use super::*;

fn rates(changes: Value) -> LearningRate {
    let mut recipe = json!({
        "data": "data", "model": {"mlp": {}}, "epochs": 9, "optimizer": {"sgd": {"lr": 0.1}},
    });
    for (name, value) in changes.as_object().unwrap() {
        recipe[name] = value.clone();
    }
    let recipe: spec::Train = serde_json::from_value(recipe).unwrap();
    let better = match recipe.monitor.as_deref() {
        Some("val_loss" | "val_mae") => Direction::Minimize,
        _ => Direction::Maximize,
    };
    LearningRate::new(&recipe, better)
}

fn assert_close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
}

/// Made by `tests/fixtures/schedules.py`.
#[test]
fn rates_are_those_of_pytorch() {
    let fixture: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/schedules.json")).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 28);
    for case in cases {
        let mut changes = json!({"schedule": case["schedule"], "epochs": case["epochs"]});
        for name in ["monitor", "warmup"] {
            if let Some(value) = case.get(name) {
                changes[name] = value.clone();
            }
        }
        let rates = rates(changes);
        let steps = case["steps"].as_u64().unwrap() as u32;
        let judged: Vec<f64> = case
            .get("judged")
            .map_or_else(Vec::new, |judged| serde_json::from_value(judged.clone()).unwrap());
        let expected = case["rates"].as_array().unwrap();
        let epochs = case["epochs"].as_u64().unwrap() as u32;
        assert_eq!(expected.len() as u32, epochs * steps);
        for (index, expected) in (0..).zip(expected) {
            let expected = expected.as_f64().unwrap();
            let epoch = index / steps;
            // A trainer knows the finished epochs only; that it knows more must not matter.
            for known in [epoch as usize, judged.len()] {
                let judged = &judged[..known.min(judged.len())];
                let actual = rates.at(epoch, index % steps, steps, judged);
                let error = (actual - expected).abs();
                assert!(
                    error <= 1e-9 * expected.abs() + 1e-16,
                    "{} at {index}: {actual} is not {expected}",
                    case["schedule"]
                );
            }
        }
    }
}

#[test]
fn a_rate_by_epoch_is_the_same_at_each_of_its_steps() {
    for schedule in [
        json!({"step": {"every": 2}}),
        json!({"multistep": {"milestones": [3]}}),
        json!({"exponential": {"gamma": 0.5}}),
        json!({"cosine": {}}),
        json!({"cosine_restarts": {"t_0": 2}}),
        json!({"polynomial": {}}),
    ] {
        let rates = rates(json!({"schedule": schedule}));
        for epoch in 0..9 {
            let first = rates.at(epoch, 0, 4, &[]);
            assert_eq!(rates.at(epoch, 3, 4, &[]), first);
        }
    }
}

#[test]
fn warmup_rises_by_step_and_the_schedule_counts_from_its_end() {
    let rates = rates(json!({
        "epochs": 6, "warmup": {"epochs": 2, "start": 0.2},
        "schedule": {"multistep": {"milestones": [1, 3], "gamma": 0.5}},
    }));
    for step in 0..10 {
        let expected = 0.1 * (0.2 + 0.8 * f64::from(step) / 10.0);
        assert_close(rates.at(step / 5, step % 5, 5, &[]), expected);
    }
    assert_close(rates.at(2, 0, 5, &[]), 0.1);
    assert_close(rates.at(3, 0, 5, &[]), 0.05);
    assert_close(rates.at(5, 4, 5, &[]), 0.025);
}

#[test]
fn a_warmup_longer_than_training_is_cut_short() {
    for schedule in [
        json!({"cosine": {}}),
        json!({"one_cycle": {}}),
        json!({"polynomial": {}}),
    ] {
        let rates = rates(json!({"epochs": 2, "schedule": schedule, "warmup": {"epochs": 4, "start": 0.0}}));
        assert_close(rates.at(0, 0, 2, &[]), 0.0);
        assert_close(rates.at(1, 1, 2, &[]), 0.1 * 3.0 / 8.0);
        assert!(rates.at(4, 0, 2, &[]).is_finite());
        assert!(rates.at(9, 0, 0, &[]).is_finite());
    }
}

#[test]
fn one_cycle_of_very_few_steps_has_an_end() {
    for (epochs, pct_start) in [(1, 0.3), (1, 1.0), (2, 0.5), (2, 1.0), (3, 0.34)] {
        let rates = rates(json!({"epochs": epochs, "schedule": {"one_cycle": {"pct_start": pct_start}}}));
        for epoch in 0..epochs {
            let rate = rates.at(epoch, 0, 1, &[]);
            assert!(rate > 0.0 && rate <= 0.1, "{rate}");
        }
    }
}

#[test]
fn a_plateau_counts_neither_the_warmup_nor_what_was_not_judged() {
    let plateau = json!({"plateau": {"factor": 0.5, "patience": 1}});
    let plain = rates(json!({"schedule": plateau, "monitor": "val_loss"}));
    let nan = f64::NAN;
    let judged = [1.0, nan, 1.0, nan, nan, 1.0, 1.0, 1.0];
    let seen: Vec<f64> = (0..9).map(|epoch| plain.at(epoch, 0, 1, &judged)).collect();
    assert_eq!(seen, [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025]);

    let warm = rates(json!({"schedule": plateau, "monitor": "val_loss", "warmup": {"epochs": 3}}));
    let judged = [0.1, 0.1, 0.1, 1.0, 1.0, 1.0];
    assert_close(warm.at(5, 0, 1, &judged), 0.1);
    assert_close(warm.at(6, 0, 1, &judged), 0.05);
}

#[test]
fn more_is_better_where_accuracy_is_monitored() {
    let plateau = json!({"plateau": {"factor": 0.5, "patience": 0}});
    let rising = [0.1, 0.2, 0.3];
    let by_default = rates(json!({"schedule": plateau}));
    assert_eq!(by_default.at(3, 0, 1, &rising), 0.1);
    for monitor in ["val_mae", "val_loss"] {
        let by_error = rates(json!({"schedule": plateau, "monitor": monitor}));
        assert_eq!(by_error.at(3, 0, 1, &rising), 0.025);
    }
}
