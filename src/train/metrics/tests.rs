use serde_json::Value;

use super::ranking::roc_auc;
use super::*;
use crate::ops::{self, loss_per_sample};

#[track_caller]
fn assert_close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
}

#[track_caller]
fn assert_is(actual: Option<f64>, expected: &Value) {
    assert_close(actual.unwrap(), expected.as_f64().unwrap());
}

fn rows(value: &Value) -> Vec<Vec<f32>> {
    serde_json::from_value(value.clone()).unwrap()
}

/// A case of the fixture, added sample by sample.
fn tally(task: Task, case: &Value) -> Tally {
    let outputs = rows(&case["outputs"]);
    let width = outputs[0].len();
    let mut tally = Tally::new(task, width);
    if let Some(classes) = case.get("classes") {
        let classes: Vec<u32> = serde_json::from_value(classes.clone()).unwrap();
        let kind = ops::Loss::CrossEntropy {
            label_smoothing: 0.0,
            class_weights: None,
            ignore_index: None,
        };
        let losses =
            loss_per_sample(&outputs.concat(), ops::Targets::Classes(&classes), &kind, width).unwrap();
        for ((outputs, &class), loss) in outputs.iter().zip(&classes).zip(losses) {
            tally.add(outputs, Target::Class(class as usize), loss).unwrap();
        }
    } else {
        for (outputs, values) in outputs.iter().zip(rows(&case["values"])) {
            tally
                .add(outputs, Target::Values(&values), (0.5, width as f64))
                .unwrap();
        }
    }
    assert_eq!(tally.samples(), outputs.len() as u64);
    tally
}

fn assert_class_figures(tally: &Tally, case: &Value) {
    let means = tally.macro_means().unwrap();
    for (mean, expected) in means.into_iter().zip(case["macro"].as_array().unwrap()) {
        assert_is(Some(mean), expected);
    }
    let figures = tally.class_figures();
    assert_eq!(figures.len(), case["each"][0].as_array().unwrap().len());
    for (index, figures) in figures.iter().enumerate() {
        let each = &case["each"];
        assert_is(Some(figures.precision), &each[0][index]);
        assert_is(Some(figures.recall), &each[1][index]);
        assert_is(Some(figures.f1), &each[2][index]);
        assert_eq!(Some(figures.support), each[3][index].as_u64());
    }
}

/// Made by `tests/fixtures/metrics.py`.
#[test]
fn figures_are_those_of_scikit_learn() {
    let fixture: Value = serde_json::from_str(include_str!("../../../tests/fixtures/metrics.json")).unwrap();
    let cases = |name: &str| fixture[name].as_array().unwrap().clone();
    for case in cases("classification") {
        let tally = tally(Task::Classification, &case);
        assert_is(Some(tally.loss()), &case["loss"]);
        assert_is(tally.figure(Metric::Accuracy), &case["accuracy"]);
        assert_is(tally.figure(Metric::RocAuc), &case["roc_auc"]);
        assert_is(tally.figure(Metric::CalibrationError), &case["calibration_error"]);
        assert_is(Some(tally.score()), &case["accuracy"]);
        assert_class_figures(&tally, &case);
        for absent in [Metric::Mae, Metric::R2, Metric::ExactMatch, Metric::Confusion] {
            assert_eq!(tally.figure(absent), None);
        }
        assert_eq!(tally.clone().without_scores().roc_auc(), None);
    }
    for case in cases("multi_label") {
        let tally = tally(Task::MultiLabel, &case);
        assert_is(tally.figure(Metric::Accuracy), &case["accuracy"]);
        assert_is(tally.figure(Metric::ExactMatch), &case["exact_match"]);
        assert_is(tally.figure(Metric::RocAuc), &case["roc_auc"]);
        assert_class_figures(&tally, &case);
        assert_close(tally.loss(), 0.5 / 3.0);
        for absent in [Metric::Mae, Metric::Top3, Metric::CalibrationError] {
            assert_eq!(tally.figure(absent), None);
        }
    }
    for case in cases("regression") {
        let tally = tally(Task::Regression, &case);
        assert_is(tally.figure(Metric::Mae), &case["mae"]);
        assert_is(tally.figure(Metric::Rmse), &case["rmse"]);
        assert_is(tally.figure(Metric::R2), &case["r2"]);
        assert_is(Some(tally.score()), &case["mae"]);
        assert_eq!(tally.figure(Metric::Accuracy), None);
        assert!(tally.class_figures().is_empty());
    }
}

const WHOLE: (f64, f64) = (1.0, 1.0);

/// Four classes, of which the last neither occurs nor is predicted. Logits are logarithms of
/// probabilities, so every figure can be computed by hand.
#[test]
fn figures_by_hand() {
    let mut tally = Tally::new(Task::Classification, 4);
    let samples: [([f32; 4], usize); 5] = [
        ([0.7, 0.1, 0.1, 0.1], 0),   // right
        ([0.3, 0.4, 0.2, 0.1], 0),   // second
        ([0.2, 0.6, 0.1, 0.1], 1),   // right
        ([0.5, 0.3, 0.15, 0.05], 2), // third
        ([0.4, 0.2, 0.3, 0.1], 2),   // second
    ];
    for (probabilities, label) in samples {
        let logits = probabilities.map(|p| p.ln() + 3.0);
        let judged = tally.add(&logits, Target::Class(label), WHOLE).unwrap();
        let Judged::Class {
            predicted,
            probabilities: told,
        } = judged
        else {
            panic!("{judged:?}")
        };
        assert_eq!(predicted, argmax(&probabilities));
        for (actual, expected) in told.iter().zip(probabilities) {
            assert!((actual - f64::from(expected)).abs() < 1e-6);
        }
    }
    assert_close(tally.accuracy().unwrap(), 0.4);
    assert_close(tally.top(2).unwrap(), 0.8);
    assert_close(tally.figure(Metric::Top3).unwrap(), 1.0);
    assert_close(tally.figure(Metric::Top5).unwrap(), 1.0);
    assert_eq!(tally.confused(0, 1), 1);
    assert_eq!(tally.confused(2, 0), 2);

    let classes = tally.class_figures();
    assert_eq!((classes[0].support, classes[0].predicted), (2, 3));
    assert_close(classes[0].precision, 1.0 / 3.0);
    assert_close(classes[1].f1, 2.0 / 3.0);
    assert_close(classes[3].f1, 0.0);
    // The class that plays no part is left out of the means, and has no area.
    let [precision, recall, f1] = tally.macro_means().unwrap();
    assert_close(precision, (1.0 / 3.0 + 0.5) / 3.0);
    assert_close(recall, 0.5);
    assert_close(f1, (0.4 + 2.0 / 3.0) / 3.0);
    // Of class 0 4 of 6 pairs are in order, of class 1 all, of class 2 5 of 6.
    assert_close(tally.roc_auc().unwrap(), (4.0 / 6.0 + 1.0 + 5.0 / 6.0) / 3.0);
}

#[test]
fn areas_count_ties_half_and_need_both_kinds() {
    let area = |samples: &[(f64, bool)]| roc_auc(samples.to_vec());
    assert_eq!(area(&[(0.1, false), (0.2, true)]), Some(1.0));
    assert_eq!(area(&[(0.2, false), (0.1, true)]), Some(0.0));
    assert_eq!(area(&[(0.2, false), (0.2, true)]), Some(0.5));
    assert_eq!(
        area(&[(0.5, true), (0.2, false), (0.5, false), (0.1, true)]),
        Some(1.5 / 4.0)
    );
    assert_eq!(area(&[(0.5, true), (0.2, true)]), None);
    assert_eq!(area(&[(0.5, false)]), None);
    assert_eq!(area(&[]), None);
}

#[test]
fn ties_go_to_the_first_and_large_logits_do_not_overflow() {
    let mut tally = Tally::new(Task::Classification, 3);
    let judged = tally.add(&[1000.0, 1000.0, -1000.0], Target::Class(1), WHOLE);
    assert_eq!(
        judged,
        Some(Judged::Class {
            predicted: 0,
            probabilities: vec![0.5, 0.5, 0.0]
        })
    );
    assert_close(tally.accuracy().unwrap(), 0.0);
    assert_close(tally.top(2).unwrap(), 1.0);
    // Half sure, and wrong.
    assert_close(tally.calibration_error().unwrap(), 0.5);

    let mut tally = Tally::new(Task::MultiLabel, 2);
    let judged = tally.add(&[1000.0, -1000.0], Target::Values(&[1.0, 0.0]), WHOLE);
    assert_eq!(
        judged,
        Some(Judged::Labels {
            probabilities: vec![1.0, 0.0]
        })
    );
    assert_eq!(tally.exact_match(), Some(1.0));
}

#[test]
fn what_is_not_finite_or_does_not_fit_is_not_counted() {
    let mut tally = Tally::new(Task::Classification, 2);
    assert_eq!(tally.add(&[f32::NAN, 0.0], Target::Class(0), WHOLE), None);
    assert_eq!(tally.add(&[f32::INFINITY, 0.0], Target::Class(0), WHOLE), None);
    assert_eq!(tally.add(&[0.0, 0.0], Target::Class(2), WHOLE), None);
    assert_eq!(tally.add(&[0.0, 0.0], Target::Values(&[0.0, 1.0]), WHOLE), None);
    assert_eq!(tally.samples(), 0);
    for metric in [
        Metric::Accuracy,
        Metric::Loss,
        Metric::RocAuc,
        Metric::CalibrationError,
    ] {
        assert_eq!(tally.figure(metric), None);
    }
    assert_eq!(tally.macro_means(), None);
    assert!(tally.score().is_nan());

    let mut tally = Tally::new(Task::Regression, 1);
    assert_eq!(tally.add(&[f32::NAN], Target::Values(&[0.0]), WHOLE), None);
    assert_eq!(tally.mae(), None);
    tally.add(&[2.0], Target::Values(&[1.0]), WHOLE).unwrap();
    assert_eq!((tally.mae(), tally.r2()), (Some(1.0), None));
}

/// The samples of an ignored class have weight 0.
#[test]
fn ignored_samples_are_judged_but_do_not_count() {
    let mut tally = Tally::new(Task::Classification, 2);
    tally.add(&[1.0, 0.0], Target::Class(0), (0.25, 1.0)).unwrap();
    let judged = tally.add(&[1.0, 0.0], Target::Class(1), (0.0, 0.0));
    assert!(judged.is_some());
    assert_eq!(tally.samples(), 2);
    assert_eq!((tally.accuracy(), tally.loss()), (Some(1.0), 0.25));
    assert_eq!((tally.confused(1, 0), tally.roc_auc()), (0, None));
}
