//! What a study promises, search by search and pruner by pruner.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Definition, JobOutcome, Proposal, Study, SweepError, TrialJob, TrialPhase, Values};
use crate::spec::{Direction, EpochLimits, Sweep};

fn sweep(definition: Value) -> Sweep {
    serde_json::from_value(definition).unwrap()
}

fn values(value: Value) -> Values {
    serde_json::from_value(value).unwrap()
}

/// A study whose file gives every swept parameter the value 0, unless `own` says something else.
fn study(definition: &Value, own: Value) -> Study {
    try_study(definition, own, 7).unwrap()
}

fn try_study(definition: &Value, own: Value, seed: u64) -> Result<Study, SweepError> {
    let sweep = sweep(definition.clone());
    let mut all: Values = sweep.params.keys().map(|name| (name.clone(), json!(0))).collect();
    all.extend(values(own));
    Study::new(&Definition {
        sweep,
        own: all,
        seed,
        max_epochs: Some(27),
        judged: None,
    })
}

fn run(study: &mut Study) -> Option<TrialJob> {
    match study.propose().unwrap() {
        Proposal::Run(job) => {
            assert_eq!(
                study.propose().unwrap(),
                Proposal::Run(job.clone()),
                "asking changes nothing"
            );
            assert!(study.start(job.clone()));
            Some(job)
        }
        Proposal::Wait => None,
        Proposal::Finished => None,
    }
}

fn done(objective: f64) -> JobOutcome {
    JobOutcome::Done {
        objectives: vec![objective],
        curve: Vec::new(),
    }
}

/// Runs everything one after the other.
fn run_all(study: &mut Study, mut outcome: impl FnMut(&TrialJob) -> JobOutcome) -> Vec<TrialJob> {
    let mut jobs = Vec::new();
    while let Some(job) = run(study) {
        study.end(job.number, outcome(&job));
        jobs.push(job);
    }
    assert_eq!(study.propose().unwrap(), Proposal::Finished);
    jobs
}

fn number(values: &Values, name: &str) -> f64 {
    values[name].as_f64().unwrap()
}

/// Smallest at x = 0.3, y = 0.01, kind = b.
fn bowl(values: &Values) -> f64 {
    let x = number(values, "x") - 0.3;
    let y = number(values, "y").log10() + 2.0;
    let kind = if values["kind"] == "b" { 0.0 } else { 0.2 };
    x * x + 0.1 * y * y + kind
}

fn bowl_of(search: Value) -> Value {
    json!({
        "params": {
            "x": {"uniform": [0, 1]},
            "y": {"log_uniform": [1e-4, 1]},
            "kind": ["a", "b", "c"],
            "n": {"int": [1, 5], "when": {"kind": ["a", "b"]}},
        },
        "constraints": [{"exclude": {"kind": "a", "n": [4, 5]}}],
        "search": search,
        "objective": {"minimize": "model.val_loss"},
    })
}

fn searches() -> Vec<Value> {
    vec![
        json!({"random": {"trials": 30}}),
        json!({"sobol": {"trials": 30}}),
        json!({"tpe": {"trials": 30}}),
    ]
}

fn points(definition: &Value, seed: u64, trials: u32) -> Vec<Values> {
    let mut definition = definition.clone();
    for options in definition["search"].as_object_mut().unwrap().values_mut() {
        options["trials"] = trials.into();
    }
    let mut study = try_study(&definition, json!({}), seed).unwrap();
    let loss = |job: &TrialJob| done(bowl(&job.values));
    run_all(&mut study, loss)
        .into_iter()
        .map(|job| job.values)
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_trials_and_more_trials_begin_alike() {
    for search in searches() {
        let definition = bowl_of(search.clone());
        let short = points(&definition, 1, 20);
        assert_eq!(short.len(), 20);
        assert_eq!(short, points(&definition, 1, 20), "{search}");
        assert_eq!(short, points(&definition, 1, 40)[..20], "{search}");
        assert_ne!(short, points(&definition, 2, 20), "{search}");
    }
}

#[test]
fn every_trial_is_a_point_of_the_space() {
    for search in searches() {
        let definition = bowl_of(search.clone());
        let space = sweep(definition.clone());
        for values in points(&definition, 3, 60) {
            assert!(
                values.keys().eq(space.params.keys()),
                "the order is the space's: {search}"
            );
            for (name, value) in &values {
                let is_used = name != "n" || values["kind"] != "c";
                if is_used {
                    assert!(
                        space.params[name].domain.contains(value),
                        "{name}: {value} ({search})"
                    );
                } else {
                    assert_eq!(*value, json!(0), "what is not used has the file's own value");
                }
            }
            assert!(
                space
                    .constraints
                    .iter()
                    .all(|constraint| constraint.holds(&values))
            );
        }
    }
}

#[test]
fn a_grid_goes_through_every_combination_once() {
    let definition = json!({"params": {
        "net": ["mlp", "conv"],
        "kernel": {"choice": [3, 5], "when": {"net": "conv"}},
        "padding": {"choice": [1, 2], "when": {"kernel": 5}},
        "lr": {"range": [1, 3, 1]},
    }, "constraints": [{"param": "lr", "at_most": "most"}]});
    let mut study = study(&definition, json!({"most": 2}));
    assert_eq!(study.wanted(), Some(8));
    let jobs = run_all(&mut study, |_| done(0.0));
    let found: Vec<Vec<Value>> = jobs
        .into_iter()
        .map(|job| job.values.into_values().collect())
        .collect();
    let line = |net: &str, kernel: u32, padding: u32, lr: u32| {
        vec![json!(net), json!(kernel), json!(padding), json!(lr)]
    };
    assert_eq!(
        found,
        [
            line("mlp", 0, 0, 1),
            line("mlp", 0, 0, 2),
            line("conv", 3, 0, 1),
            line("conv", 3, 0, 2),
            line("conv", 5, 1, 1),
            line("conv", 5, 1, 2),
            line("conv", 5, 2, 1),
            line("conv", 5, 2, 2),
        ]
    );
    assert_eq!(
        study.best(),
        Vec::<u32>::new(),
        "without an objective none is best"
    );
}

#[test]
fn a_small_space_is_gone_through_without_repeats() {
    for search in [
        json!({"random": {"trials": 100}}),
        json!({"sobol": {"trials": 100}}),
        json!({"tpe": {"trials": 100, "startup": 4}}),
    ] {
        let definition = json!({
            "params": {"a": ["x", "y", "z"], "b": {"int": [1, 4], "when": {"a": ["x", "y"]}}},
            "constraints": [{"exclude": {"a": "x", "b": 2}}],
            "search": search,
            "objective": {"minimize": "m.l"},
        });
        let mut study = study(&definition, json!({}));
        assert_eq!(study.wanted(), Some(8), "{search}");
        let jobs = run_all(&mut study, |job| done(f64::from(job.number)));
        let different: BTreeSet<String> = jobs.iter().map(|job| format!("{:?}", job.values)).collect();
        assert_eq!((jobs.len(), different.len()), (8, 8), "{search}");
    }
}

#[test]
fn without_outcomes_to_learn_from_nothing_waits() {
    for (search, free) in [
        (json!({"grid": {}}), 12),
        (json!({"random": {"trials": 12}}), 12),
        (json!({"sobol": {"trials": 12}}), 12),
        (json!({"tpe": {"trials": 12, "startup": 5}}), 5),
    ] {
        let definition = json!({
            "params": {"a": {"int": [1, 12]}},
            "search": search,
            "objective": {"minimize": "m.l"},
        });
        let mut study = study(&definition, json!({}));
        let mut started = 0;
        while run(&mut study).is_some() {
            started += 1;
        }
        assert_eq!(started, free, "{search}");
        assert_eq!(study.propose().unwrap(), Proposal::Wait, "{search}");
        assert_eq!(study.running().count(), free);
    }
}

#[test]
fn impossible_constraints_are_named() {
    let nothing = json!([{"param": "a", "at_least": 9}, {"sum": ["a", "b"], "at_most": 4}]);
    let a_grid = json!({
        "params": {"a": [1, 2, 3], "b": {"range": [1, 3, 1]}},
        "constraints": nothing,
    });
    let error = try_study(&a_grid, json!({}), 0).err().unwrap().to_string();
    assert_eq!(
        error,
        "no values fulfil the constraints: 9 points were tried, and 9 of them break `{param: a, at_least: 9}`; \
         take the constraint out or make it wider"
    );
    for search in searches() {
        let numbers = json!({
            "params": {"a": {"uniform": [0, 1]}, "b": {"uniform": [0, 1]}},
            "constraints": [{"product": ["a", "b"], "at_least": 2}],
            "search": search,
            "objective": {"minimize": "m.l"},
        });
        let error = try_study(&numbers, json!({}), 0)
            .unwrap()
            .propose()
            .unwrap_err()
            .to_string();
        assert!(error.contains("{product: [a, b], at_least: 2}"), "{error}");
    }
}

#[test]
fn mistakes_of_the_definition_are_reported() {
    let fails = |definition: Value| try_study(&definition, json!({}), 0).err().unwrap().to_string();
    let endless = fails(json!({"params": {"a": {"uniform": [0, 1]}}}));
    assert!(endless.contains("no end"), "{endless}");
    let choice = fails(json!({
        "params": {"a": ["x", "y"]},
        "search": {"cma_es": {}},
        "objective": {"minimize": "m.l"},
    }));
    assert!(choice.contains("`a` is something else"), "{choice}");
    let aimless = fails(json!({"params": {"a": {"uniform": [0, 1]}}, "search": {"tpe": {}}}));
    assert_eq!(aimless, "`tpe` needs an objective; it has 0");
    let circle = fails(json!({"params": {
        "a": {"choice": [1], "when": {"b": 1}},
        "b": {"choice": [1], "when": {"a": 1}},
    }}));
    assert!(circle.contains("`a` is used depends on `b`"), "{circle}");
    let blind = fails(json!({"params": {"a": [1]}, "prune": {"median": {}}}));
    assert!(blind.contains("no metric to judge by"), "{blind}");
    let unknown = Study::new(&Definition {
        sweep: sweep(json!({"params": {"a": [1]}})),
        own: Values::new(),
        seed: 0,
        max_epochs: None,
        judged: None,
    });
    assert_eq!(
        unknown.err().unwrap().to_string(),
        "the pipeline gives the swept parameter `a` no value; add it to `params`"
    );
}

#[test]
fn estimators_beat_random_draws() {
    let best = |search: &str| -> f64 {
        let definition = bowl_of(json!({search: {"trials": 40}}));
        let best_of = |seed| {
            let trials = points(&definition, seed, 40);
            trials.iter().map(bowl).fold(f64::INFINITY, f64::min)
        };
        (0..10).map(best_of).sum::<f64>() / 10.0
    };
    let (tpe, random) = (best("tpe"), best("random"));
    assert!(tpe < 0.5 * random, "tpe {tpe}, random {random}");
}

#[test]
fn estimators_keep_away_from_what_is_under_way() {
    let definition = json!({
        "params": {"x": {"uniform": [0, 1]}},
        "search": {"tpe": {"trials": 60}},
        "objective": {"minimize": "m.l"},
        "parallel": 8,
    });
    let mut study = study(&definition, json!({}));
    for _ in 0..30 {
        let job = run(&mut study).unwrap();
        study.end(job.number, done((number(&job.values, "x") - 0.5).abs()));
    }
    let together: Vec<f64> = std::iter::from_fn(|| run(&mut study))
        .map(|job| number(&job.values, "x"))
        .collect();
    assert_eq!(together.len(), 8);
    for (index, left) in together.iter().enumerate() {
        for right in &together[..index] {
            assert!((left - right).abs() > 1e-4, "{together:?}");
        }
    }
}

#[test]
fn covariance_adaptation_finds_the_bottom_of_a_rotated_valley() {
    // A quadratic whose axes lie across the parameters, a hundred times as steep along one.
    let valley = |values: &Values| {
        let (x, y, z) = (
            number(values, "x") - 0.7,
            number(values, "y") - 0.2,
            number(values, "z"),
        );
        let z = (z - 40.0) / 100.0;
        (x + y).powi(2) + 100.0 * (x - y).powi(2) + 10.0 * (z - x).powi(2)
    };
    let definition = json!({
        "params": {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}, "z": {"int": [0, 100]}},
        "search": {"cma_es": {"trials": 300}},
        "objective": {"minimize": "m.l"},
    });
    for seed in 0..3 {
        let mut study = try_study(&definition, json!({}), seed).unwrap();
        run_all(&mut study, |job| done(valley(&job.values)));
        let best = &study.trials()[study.best()[0] as usize - 1];
        assert!(valley(&best.values) < 1e-4, "seed {seed}: {:?}", best.values);
    }
}

#[test]
fn a_generation_waits_for_the_one_before_and_for_nothing_else() {
    let definition = json!({
        "params": {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}},
        "search": {"cma_es": {"trials": 18, "population": 6}},
        "objective": {"maximize": "m.a"},
        "parallel": 6,
    });
    let mut study = study(&definition, json!({}));
    for generation in 0..3 {
        let jobs: Vec<TrialJob> = std::iter::from_fn(|| run(&mut study)).collect();
        assert_eq!(jobs.len(), 6, "generation {generation}");
        assert_eq!(study.propose().unwrap(), Proposal::Wait);
        for job in jobs.iter().rev() {
            study.end(
                job.number,
                if job.trial % 3 == 0 {
                    JobOutcome::Failed {
                        error: "out of memory".into(),
                    }
                } else {
                    done(number(&job.values, "x"))
                },
            );
        }
    }
    assert_eq!(study.propose().unwrap(), Proposal::Finished);
}

/// A trial with these figures, under limits.
fn train(curve: &[f64], limits: Option<&EpochLimits>, known: usize) -> JobOutcome {
    let stop =
        (known + 1..curve.len()).find(|epochs| limits.is_some_and(|limits| limits.pause(&curve[..*epochs])));
    match stop {
        Some(epochs) => JobOutcome::Paused {
            curve: curve[..epochs].to_vec(),
        },
        None => JobOutcome::Done {
            objectives: vec![curve[curve.len() - 1]],
            curve: curve.to_vec(),
        },
    }
}

/// A trial's curve that is its value `q` from the first epoch on.
fn flat(job: &TrialJob, epochs: usize) -> Vec<f64> {
    vec![number(&job.values, "q"); epochs]
}

fn known_epochs(study: &Study, job: &TrialJob) -> usize {
    study.trials()[job.trial as usize - 1].curve.len()
}

fn asha(qualities: &[f64]) -> Value {
    json!({
        "params": {"q": qualities},
        "objective": {"maximize": "m.val_accuracy"},
        "prune": {"asha": {"min_epochs": 1, "reduction": 3}},
    })
}

fn until(job: &TrialJob) -> Option<u32> {
    job.limits.as_ref().and_then(|limits| limits.until)
}

/// Worked by hand: rungs at 1, 3 and 9 of 27 epochs, and one in three goes on.
#[test]
fn halving_promotes_as_on_paper() {
    let qualities = [0.5, 0.3, 0.4, 0.9, 0.1, 0.8, 0.2, 0.95, 0.7];
    let mut study = study(&asha(&qualities), json!({}));
    let mut trace = Vec::new();
    while let Some(job) = run(&mut study) {
        trace.push((job.trial, until(&job)));
        let known = known_epochs(&study, &job);
        study.end(job.number, train(&flat(&job, 27), job.limits.as_ref(), known));
    }
    assert_eq!(
        trace,
        [
            (1, Some(1)),
            (2, Some(1)),
            (3, Some(1)),
            // Of three the best one: 0.5.
            (1, Some(3)),
            // 0.9 leads at once, and the place is its own.
            (4, Some(1)),
            (4, Some(3)),
            (5, Some(1)),
            // Of six two: 0.9 went on, and so does 0.8. That makes three at the next rung.
            (6, Some(1)),
            (6, Some(3)),
            (4, Some(9)),
            (7, Some(1)),
            (8, Some(1)),
            // Of eight two: 0.95 takes a place, and is the best of four at the next rung.
            (8, Some(3)),
            (8, Some(9)),
            // Of nine three: 0.95, 0.9 and 0.8, which all went on.
            (9, Some(1)),
            // Nothing is left, and none came to its end.
            (8, None),
        ]
    );
    let spent: u32 = study.trials().iter().map(|trial| trial.epochs()).sum();
    assert_eq!(spent, 27 + 9 + 3 + 3 + 5);
    assert_eq!(study.best(), [8]);
}

#[test]
fn more_trials_bring_paused_ones_back() {
    let play = |study: &mut Study| run_all(study, |job| train(&flat(job, 27), job.limits.as_ref(), 0));
    let mut short = study(&asha(&[0.9, 0.8, 0.1, 0.2, 0.3]), json!({}));
    let first = play(&mut short);
    assert_eq!(short.trials()[1].epochs(), 1, "of five trials only one went on");
    let mut long = study(&asha(&[0.9, 0.8, 0.1, 0.2, 0.3, 0.15, 0.05]), json!({}));
    for job in first {
        assert!(long.start(job.clone()));
        long.end(job.number, train(&flat(&job, 27), job.limits.as_ref(), 0));
    }
    let later: Vec<(u32, Option<u32>)> = play(&mut long)
        .iter()
        .map(|job| (job.trial, until(job)))
        .collect();
    assert_eq!(later, [(6, Some(1)), (2, Some(3)), (7, Some(1))]);
}

#[test]
fn a_paused_trial_of_a_larger_rung_is_never_run_twice() {
    let mut study = study(&asha(&[0.1, 0.2, 0.3, 0.4]), json!({}));
    let mut reached = BTreeMap::new();
    while let Some(job) = run(&mut study) {
        let before = reached.insert(job.trial, until(&job).unwrap_or(27));
        assert!(before.is_none_or(|before| before < until(&job).unwrap_or(27)));
        let known = known_epochs(&study, &job);
        study.end(job.number, train(&flat(&job, 27), job.limits.as_ref(), known));
    }
    assert_eq!(reached[&4], 27);
}

#[test]
fn the_median_rule_stops_what_is_worse_than_most() {
    let definition = json!({
        "params": {"q": [0.5, 0.6, 0.7, 0.1, 0.9]},
        "objective": {"maximize": "m.val_accuracy"},
        "prune": {"median": {"min_epochs": 2, "startup": 3}},
    });
    let mut study = study(&definition, json!({}));
    // Every curve rises by 0.01 an epoch, with a dip at the third.
    let curve = |job: &TrialJob| -> Vec<f64> {
        let q = number(&job.values, "q");
        let at = |epoch: i32| {
            if epoch == 2 {
                0.0
            } else {
                q + 0.01 * f64::from(epoch)
            }
        };
        (0..27).map(at).collect()
    };
    let jobs = run_all(&mut study, |job| train(&curve(job), job.limits.as_ref(), 0));
    assert_eq!(jobs.len(), 5);
    assert!(jobs[..3].iter().all(|job| job.limits.is_none()));
    let limits = &jobs[3].limits.as_ref().unwrap().worse_than;
    assert!(limits.keys().copied().eq(2..27), "{limits:?}");
    assert_eq!(limits[&2], 0.61, "the median of 0.51, 0.61 and 0.71");
    assert_eq!(limits[&3], 0.61, "the best so far, not the dip");
    assert_eq!(study.trials()[3].state, TrialPhase::Paused);
    assert_eq!(study.trials()[3].epochs(), 2);
    let limits = &jobs[4].limits.as_ref().unwrap().worse_than;
    assert_eq!(
        limits[&2],
        0.5 * (0.51 + 0.61),
        "what was stopped there counts there"
    );
    assert_eq!(limits[&4], 0.6 + 0.03, "and no further");
    assert_eq!(
        study.trials()[4].state,
        TrialPhase::Done {
            objectives: vec![0.9 + 0.26]
        }
    );
    assert_eq!(study.best(), [5]);
}

#[test]
fn patience_is_handed_on() {
    let definition = json!({
        "params": {"q": [0.5, 0.6]},
        "objective": {"minimize": "m.val_loss"},
        "prune": {"patience": {"epochs": 4}},
    });
    let mut study = study(&definition, json!({}));
    let jobs = run_all(&mut study, |job| train(&flat(job, 27), job.limits.as_ref(), 0));
    let limits = jobs[0].limits.as_ref().unwrap();
    assert_eq!((limits.patience, limits.metric.as_str()), (Some(4), "val_loss"));
    assert_eq!(limits.direction, Direction::Minimize);
    assert_eq!(jobs.len(), 2, "what was stopped stays so");
    assert!(study.trials().iter().all(|trial| trial.epochs() == 5));
}

#[test]
fn trials_of_an_earlier_definition_are_kept_where_they_still_belong() {
    let definition = json!({
        "params": {"q": {"range": [1, 6, 1]}, "p": {"choice": [1, 2], "when": {"q": 6}}},
        "constraints": [{"param": "q", "at_least": 2}],
        "objective": {"maximize": "m.val_accuracy"},
    });
    let mut study = study(&definition, json!({}));
    assert_eq!(study.wanted(), Some(6));
    assert!(study.adopt(values(json!({"q": 3, "p": 0})), Some(done(0.3))));
    assert!(study.adopt(values(json!({"p": 2, "q": 6.0})), None));
    for (gone, why) in [
        (json!({"q": 7, "p": 0}), "it is beyond the range"),
        (json!({"q": 1, "p": 0}), "it breaks the constraint"),
        (json!({"q": 4, "p": 1}), "what is not used has another value now"),
        (json!({"q": 4}), "a value is missing"),
        (json!({"q": 3, "p": 0}), "it is there already"),
    ] {
        assert!(!study.adopt(values(gone), Some(done(0.9))), "{why}");
    }
    let curve = vec![0.4, 0.5];
    assert!(study.adopt(
        values(json!({"q": 4, "p": 0})),
        Some(JobOutcome::Paused { curve })
    ));
    let jobs = run_all(&mut study, |job| done(number(&job.values, "q")));
    let order: Vec<(u32, f64)> = jobs
        .iter()
        .map(|job| (job.trial, number(&job.values, "q")))
        .collect();
    assert_eq!(
        order,
        [(2, 6.0), (3, 4.0), (4, 2.0), (5, 5.0), (6, 6.0)],
        "first what is to be run, then what was stopped, then what is new"
    );
    assert!(jobs[1].limits.is_none(), "without a pruner it goes to its end");
    assert_eq!(study.trials().len(), 6);
    assert!(
        !study.adopt(values(json!({"q": 5, "p": 0})), None),
        "something was started"
    );
}

#[test]
fn failed_trials_stop_nothing_and_can_be_retried() {
    let definition = bowl_of(json!({"tpe": {"trials": 25}}));
    let mut study = study(&definition, json!({}));
    let fails = || JobOutcome::Failed {
        error: "diverged".into(),
    };
    let jobs = run_all(&mut study, |job| {
        if job.trial % 2 == 0 {
            fails()
        } else {
            done(bowl(&job.values))
        }
    });
    assert_eq!(jobs.len(), 25);
    study.retry(4);
    study.retry(5);
    assert_eq!(study.trials()[3].state, TrialPhase::Waiting);
    let again = run(&mut study).unwrap();
    assert_eq!((again.trial, again.number), (4, 26));
    assert_eq!(again.values, jobs[3].values);
    assert_eq!(study.propose().unwrap(), Proposal::Wait);
    study.end(26, done(-1.0));
    assert_eq!(study.propose().unwrap(), Proposal::Finished);
    assert_eq!(study.best(), [4]);

    let mut hopeless = try_study(&definition, json!({}), 0).unwrap();
    assert_eq!(run_all(&mut hopeless, |_| fails()).len(), 25);
    assert!(hopeless.best().is_empty());
}

#[test]
fn what_is_no_number_is_worst() {
    let definition = json!({"params": {"q": [1, 2, 3]}, "objective": {"maximize": "m.a"}});
    let mut study = study(&definition, json!({}));
    run_all(&mut study, |job| {
        done(if job.trial == 2 { 0.1 } else { f64::NAN })
    });
    assert_eq!(study.best(), [2]);
}

#[test]
fn several_objectives_give_a_front_and_a_search_finds_it() {
    let distance = |search: Value, seed: u64| {
        let definition = json!({
            "params": {"x": {"uniform": [-2, 2]}, "y": {"uniform": [-2, 2]}, "z": {"uniform": [-2, 2]}},
            "search": search,
            "objective": [{"minimize": "m.size"}, {"maximize": "m.accuracy"}],
        });
        let mut study = try_study(&definition, json!({}), seed).unwrap();
        // The front is the line from the origin to (1, 0, 0).
        let jobs = run_all(&mut study, |job| {
            let [x, y, z] = ["x", "y", "z"].map(|name| number(&job.values, name));
            let aside = y * y + z * z;
            JobOutcome::Done {
                objectives: vec![x * x + aside, -((x - 1.0) * (x - 1.0) + aside)],
                curve: Vec::new(),
            }
        });
        let best = study.best();
        assert!(!best.is_empty() && best.windows(2).all(|pair| pair[0] < pair[1]));
        let aside = |values: &Values| number(values, "y").hypot(number(values, "z"));
        let mut distances: Vec<f64> = jobs.iter().map(|job| aside(&job.values)).collect();
        distances.sort_by(f64::total_cmp);
        distances[10]
    };
    let mean = |search: Value| (0..5).map(|seed| distance(search.clone(), seed)).sum::<f64>() / 5.0;
    let (tpe, random) = (
        mean(json!({"tpe": {"trials": 60}})),
        mean(json!({"random": {"trials": 60}})),
    );
    assert!(tpe < 0.6 * random, "tpe {tpe}, random {random}");
}

/// Runs a study of four at once, where of those that run the one ends next that `order` says; the
/// jobs in the order of their numbers.
fn jobs_in_any_order(definition: &Value, order: &[usize]) -> Vec<TrialJob> {
    let mut study = study(definition, json!({}));
    let (mut jobs, mut running) = (Vec::<TrialJob>::new(), Vec::<TrialJob>::new());
    let mut order = order.iter().cycle();
    loop {
        if running.len() < 4
            && let Some(job) = run(&mut study)
        {
            jobs.push(job.clone());
            running.push(job);
            continue;
        }
        if running.is_empty() {
            assert_eq!(study.propose().unwrap(), Proposal::Finished);
            return jobs;
        }
        let job = running.swap_remove(order.next().unwrap() % running.len());
        let known = known_epochs(&study, &job);
        let curve: Vec<f64> = (0..9)
            .map(|epoch| -bowl(&job.values) + 0.01 * f64::from(epoch))
            .collect();
        let outcome = if job.trial % 7 == 3 {
            JobOutcome::Failed {
                error: "no memory".into(),
            }
        } else {
            train(&curve, job.limits.as_ref(), known)
        };
        study.end(job.number, outcome);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_order_in_which_jobs_end_changes_nothing(
        order in prop::collection::vec(0..4usize, 1..20),
        which in 0..5usize,
    ) {
        let mut definition = match which {
            0 | 1 => bowl_of(json!({"tpe": {"trials": 24, "startup": 6}})),
            2 => bowl_of(json!({"random": {"trials": 24}})),
            3 => bowl_of(json!({"sobol": {"trials": 24}})),
            _ => {
                let mut numbers = bowl_of(json!({"cma_es": {"trials": 24}}));
                numbers["params"] = json!({
                    "x": {"uniform": [0, 1]},
                    "y": {"log_uniform": [1e-4, 1]},
                    "kind": {"int": [1, 4]},
                });
                numbers["constraints"] = json!([]);
                numbers
            }
        };
        definition["parallel"] = 4.into();
        definition["objective"] = json!({"maximize": "m.val_accuracy"});
        if which != 1 {
            definition["prune"] = json!({"asha": {"min_epochs": 1, "reduction": 2}});
        } else {
            definition["prune"] = json!({"median": {"startup": 2}});
        }
        let expected = jobs_in_any_order(&definition, &[0]);
        prop_assert!(expected.len() >= 24);
        prop_assert_eq!(jobs_in_any_order(&definition, &order), expected);
    }
}

#[test]
fn a_study_is_built_again_from_what_was_started_and_ended() {
    let mut definition = bowl_of(json!({"tpe": {"trials": 30, "startup": 5}}));
    definition["prune"] = json!({"asha": {"metric": "m.val_loss"}});
    let curve = |job: &TrialJob| vec![bowl(&job.values); 27];
    let mut first = study(&definition, json!({}));
    let jobs = run_all(&mut first, |job| train(&curve(job), job.limits.as_ref(), 0));
    for cut in [0, 1, 7, 20, jobs.len() - 1] {
        let mut again = study(&definition, json!({}));
        for job in &jobs[..cut] {
            let text = serde_json::to_string(job).unwrap();
            let job: TrialJob = serde_json::from_str(&text).unwrap();
            let outcome = train(&curve(&job), job.limits.as_ref(), 0);
            let number = job.number;
            assert!(again.start(job));
            again.end(number, outcome);
        }
        assert_eq!(
            again.propose().unwrap(),
            Proposal::Run(jobs[cut].clone()),
            "after {cut} jobs"
        );
    }
}
