use candle_core::Device;
use serde_json::Value;

use super::classification::{ClassTally, argmax};
use super::multi_label::LabelTally;
use super::ranking::roc_auc;
use super::regression::NumberTally;
use super::*;
use crate::data::ArrayValues;
use crate::spec;
use crate::spec::SplitName::Train;
use crate::train::testing::Bench;

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

fn assert_class_figures(tally: &dyn TaskTally, figures: &[ClassFigures], case: &Value) {
    let names = ["macro_precision", "macro_recall", "macro_f1"];
    for (name, expected) in names.into_iter().zip(case["macro"].as_array().unwrap()) {
        assert_is(tally.figure(name), expected);
    }
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
        let (outputs, classes) = (rows(&case["outputs"]), case["classes"].clone());
        let classes: Vec<u32> = serde_json::from_value(classes).unwrap();
        let width = outputs[0].len();
        let mut tally = ClassTally::new(width, true);
        let mut without_scores = ClassTally::new(width, false);
        for (outputs, &class) in outputs.iter().zip(&classes) {
            tally.count(outputs, class as usize);
            without_scores.count(outputs, class as usize);
        }
        for name in ["accuracy", "roc_auc", "calibration_error"] {
            assert_is(tally.figure(name), &case[name]);
        }
        assert_class_figures(&tally, &tally.class_figures(), &case);
        for absent in ["mae", "r2", "exact_match", "confusion"] {
            assert_eq!(tally.figure(absent), None);
        }
        assert_eq!(without_scores.figure("roc_auc"), None);
        let loss = LossCriterion::new(&Classification, None, width).unwrap();
        let losses = loss
            .sample_losses(&outputs.concat(), crate::ops::LossTargets::Classes(&classes))
            .unwrap();
        let mean = losses.iter().map(|(loss, _)| loss).sum::<f64>() / losses.len() as f64;
        assert_is(Some(mean), &case["loss"]);
    }
    for case in cases("multi_label") {
        let outputs = rows(&case["outputs"]);
        let mut tally = LabelTally::new(outputs[0].len(), true);
        for (outputs, values) in outputs.iter().zip(rows(&case["values"])) {
            tally.count(outputs, &values);
        }
        for name in ["accuracy", "exact_match", "roc_auc"] {
            assert_is(tally.figure(name), &case[name]);
        }
        assert_class_figures(&tally, &tally.class_figures(), &case);
        for absent in ["mae", "top3", "calibration_error"] {
            assert_eq!(tally.figure(absent), None);
        }
    }
    for case in cases("regression") {
        let outputs = rows(&case["outputs"]);
        let mut tally = NumberTally::new(outputs[0].len());
        for (outputs, values) in outputs.iter().zip(rows(&case["values"])) {
            tally.count(outputs, &values);
        }
        for name in ["mae", "rmse", "r2"] {
            assert_is(tally.figure(name), &case[name]);
        }
        assert_eq!(tally.figure("accuracy"), None);
    }
}

/// Four classes, of which the last neither occurs nor is predicted. Logits are logarithms of
/// probabilities, so every figure can be computed by hand.
#[test]
fn figures_by_hand() {
    let mut tally = ClassTally::new(4, true);
    let samples: [([f32; 4], usize); 5] = [
        ([0.7, 0.1, 0.1, 0.1], 0),   // right
        ([0.3, 0.4, 0.2, 0.1], 0),   // second
        ([0.2, 0.6, 0.1, 0.1], 1),   // right
        ([0.5, 0.3, 0.15, 0.05], 2), // third
        ([0.4, 0.2, 0.3, 0.1], 2),   // second
    ];
    for (probabilities, label) in samples {
        tally.count(&probabilities.map(|p| p.ln() + 3.0), label);
    }
    assert_close(tally.figure("accuracy").unwrap(), 0.4);
    assert_close(tally.figure("top3").unwrap(), 1.0);
    assert_close(tally.figure("top5").unwrap(), 1.0);
    assert_eq!(tally.confused(0, 1), 1);
    assert_eq!(tally.confused(2, 0), 2);

    let classes = tally.class_figures();
    assert_eq!((classes[0].support, classes[0].predicted), (2, 3));
    assert_close(classes[0].precision, 1.0 / 3.0);
    assert_close(classes[1].f1, 2.0 / 3.0);
    assert_close(classes[3].f1, 0.0);
    // The class that plays no part is left out of the means, and has no area.
    assert_close(tally.figure("macro_precision").unwrap(), (1.0 / 3.0 + 0.5) / 3.0);
    assert_close(tally.figure("macro_recall").unwrap(), 0.5);
    assert_close(tally.figure("macro_f1").unwrap(), (0.4 + 2.0 / 3.0) / 3.0);
    // Of class 0 4 of 6 pairs are in order, of class 1 all, of class 2 5 of 6.
    assert_close(
        tally.figure("roc_auc").unwrap(),
        (4.0 / 6.0 + 1.0 + 5.0 / 6.0) / 3.0,
    );
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
    let logits = [1000.0, 1000.0, -1000.0];
    assert_eq!(argmax(&logits), 0);
    let mut tally = ClassTally::new(3, false);
    tally.count(&logits, 1);
    assert_close(tally.figure("accuracy").unwrap(), 0.0);
    assert_close(tally.figure("top3").unwrap(), 1.0);
    // Half sure, and wrong.
    assert_close(tally.figure("calibration_error").unwrap(), 0.5);
    let mut tally = LabelTally::new(2, false);
    tally.count(&[1000.0, -1000.0], &[1.0, 0.0]);
    assert_eq!(tally.figure("exact_match"), Some(1.0));
    let mut tally = NumberTally::new(1);
    tally.count(&[2.0], &[1.0]);
    assert_eq!((tally.figure("mae"), tally.figure("r2")), (Some(1.0), None));
}

/// Sample `i` has class `i % 3`.
fn classes() -> (Bench, Split) {
    let bench = Bench::table(2, &[(Train, 6)]);
    let dataset = Dataset::open(&bench.data()).unwrap();
    let split = dataset.split(Train).unwrap();
    (bench, split)
}

#[test]
fn what_is_not_finite_is_not_counted() {
    let (_bench, split) = classes();
    let served = Array::stacked(ArrayValues::U32(vec![0, 1]), vec![2]);
    let mut tally = SplitTally::new(Classification.tally(3, &[EvaluationMetric::plain("roc_auc")]));
    assert!(
        !tally
            .add(&[f32::NAN, 0.0, 0.0], (&served, 0), &split, 0, (1.0, 1.0))
            .unwrap()
    );
    assert!(
        !tally
            .add(&[f32::INFINITY, 0.0, 0.0], (&served, 0), &split, 0, (1.0, 1.0))
            .unwrap()
    );
    assert_eq!((tally.samples(), tally.counted()), (0, 0));
    for name in ["accuracy", "loss", "roc_auc", "calibration_error", "macro_f1"] {
        assert_eq!(tally.figure(name), None);
    }
}

/// The samples of an ignored class have weight 0.
#[test]
fn ignored_samples_do_not_count() {
    let (_bench, split) = classes();
    let served = Array::stacked(ArrayValues::U32(vec![0, 1]), vec![2]);
    let mut tally = SplitTally::new(Classification.tally(3, &[]));
    assert!(
        tally
            .add(&[1.0, 0.0, 0.0], (&served, 0), &split, 0, (0.25, 1.0))
            .unwrap()
    );
    assert!(
        tally
            .add(&[1.0, 0.0, 0.0], (&served, 1), &split, 1, (0.0, 0.0))
            .unwrap()
    );
    assert_eq!((tally.samples(), tally.counted()), (2, 1));
    assert_eq!((tally.figure("accuracy"), tally.loss()), (Some(1.0), 0.25));
}

/// The scores of a batch, by the host and as other devices compute them.
fn scores(criterion: &dyn Criterion, outputs: &Tensor, targets: &Array) -> [f64; 2] {
    let host = criterion.score(outputs, targets).unwrap();
    let device = scores::composing(|| criterion.score(outputs, targets)).unwrap();
    [host, device].map(|score| score.to_scalar::<f64>().unwrap())
}

#[test]
fn scores_are_the_same_wherever_they_are_computed() {
    let outputs = [
        0.5f32, -0.25, 0.25, -1.0, 2.0, 1.5, 0.75, 1.0, -3.0, 0.0, 0.0, 1.0,
    ];
    let outputs = Tensor::new(&outputs, &Device::Cpu)
        .unwrap()
        .reshape((4, 3))
        .unwrap();
    let target = |scale| ModelTarget {
        task: String::new(),
        names: ["a", "b", "c"].map(str::to_owned).to_vec(),
        width: None,
        scale,
    };
    let ignoring = Loss::CrossEntropy(spec::CrossEntropy {
        ignore_index: Some(1),
        ..spec::CrossEntropy::default()
    });
    for (loss, right) in [(None, 3.0), (Some(&ignoring), 2.0)] {
        let criterion = Classification.criterion(&target(None), loss, false).unwrap();
        let targets = Array::stacked(ArrayValues::U32(vec![0, 1, 0, 2]), vec![4]);
        assert_eq!(scores(&*criterion, &outputs, &targets), [right; 2]);
    }
    let soft = Array::stacked(
        ArrayValues::F32(vec![0.5, 0.3, 0.2, 0.6, 0.4, 0.0, 0.1, 0.9, 0.0, 0.0, 0.0, 1.0]),
        vec![4, 3],
    );
    let criterion = Classification.criterion(&target(None), None, true).unwrap();
    assert_eq!(scores(&*criterion, &outputs, &soft), [3.0; 2]);
    let labels = Array::stacked(
        ArrayValues::F32(vec![1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0]),
        vec![4, 3],
    );
    let criterion = MultiLabel.criterion(&target(None), None, false).unwrap();
    assert_eq!(scores(&*criterion, &outputs, &labels), [8.0; 2]);
    let scale = crate::data::TargetScale {
        mean: vec![0.0; 3],
        std: vec![1.0, 2.0, 4.0],
    };
    let criterion = Regression.criterion(&target(Some(scale)), None, false).unwrap();
    let numbers = Array::stacked(ArrayValues::F32(vec![0.0; 12]), vec![4, 3]);
    // By columns: 2.25, 3.25 and 5.75.
    assert_eq!(scores(&*criterion, &outputs, &numbers), [2.25 + 6.5 + 23.0; 2]);
}

/// The probabilities or numbers that a task says for outputs.
fn said(task: &dyn Task, outputs: &[f32]) -> Vec<f64> {
    let names: Vec<String> = (0..outputs.len()).map(|index| index.to_string()).collect();
    let columns = task.predicted_columns(&names);
    let values = task.predicted(outputs, &names);
    assert_eq!(columns.len(), values.len());
    let of_all = columns
        .iter()
        .zip(&values)
        .filter(|(column, _)| column.of.is_some());
    let numbers = of_all.filter_map(|(_, value)| match value {
        PredictedValue::Number(number) => Some(*number),
        _ => None,
    });
    numbers.collect()
}

#[test]
fn what_several_models_say_is_averaged() {
    let models: [&[f32]; 3] = [&[0.5, -2.0, 3.0], &[-1.0, 0.25, 0.0], &[80.0, -90.0, 2.0]];
    let tasks: [&dyn Task; 2] = [&Classification, &MultiLabel];
    for task in tasks {
        let together = said(task, &task.average(&models));
        let each: Vec<Vec<f64>> = models.iter().map(|outputs| said(task, outputs)).collect();
        for (place, probability) in together.iter().enumerate() {
            let mean = each.iter().map(|one| one[place]).sum::<f64>() / 3.0;
            // Outputs are kept in single precision.
            assert!((probability - mean).abs() < 1e-6, "{probability} is not {mean}");
        }
    }
    assert_eq!(
        said(&Regression, &Regression.average(&models)),
        [26.5, -30.583_333_969_116_21, 5.0 / 3.0].map(|mean| f64::from(mean as f32))
    );
    // Outputs beyond any probability stay finite.
    let certain: [&[f32]; 2] = [&[3000.0, -3000.0], &[2900.0, -3000.0]];
    for task in tasks {
        let together = task.average(&certain);
        assert!(together.iter().all(|output| output.is_finite()), "{together:?}");
        let first = said(task, &together);
        assert_eq!(first, [1.0, 0.0]);
    }
}

/// scikit-learn 1.9.1's `matthews_corrcoef` and `f1_score`.
#[test]
fn correlation_and_f1_of_classes_are_those_of_scikit_learn() {
    let tally = |classes: usize, wanted: &[usize], found: &[usize]| {
        let mut tally = ClassTally::new(classes, false);
        for (wanted, found) in wanted.iter().zip(found) {
            let mut logits = vec![0.0; classes];
            logits[*found] = 1.0;
            tally.count(&logits, *wanted);
        }
        tally
    };
    let three = tally(
        3,
        &[0, 1, 2, 2, 1, 0, 0, 1, 2, 1],
        &[0, 1, 1, 2, 1, 2, 0, 0, 2, 1],
    );
    assert_close(three.figure("mcc").unwrap(), 0.545_454_545_454_545_4);
    assert_eq!(three.figure("f1"), None);
    let two = tally(2, &[0, 1, 1, 0, 1], &[0, 1, 0, 0, 1]);
    assert_close(two.figure("mcc").unwrap(), 0.666_666_666_666_666_6);
    assert_close(two.figure("f1").unwrap(), 0.8);
    assert_eq!(tally(2, &[0, 1, 1], &[1, 1, 1]).figure("mcc"), Some(0.0));
}

#[test]
fn correlations_are_kept_where_they_are_asked_for() {
    let mut tally = NumberTally::new(2).keeping(true);
    for (outputs, targets) in [
        ([1.0, 0.0], [2.0, 1.0]),
        ([2.0, 1.0], [4.0, 0.0]),
        ([4.0, 3.0], [8.0, -1.0]),
    ] {
        tally.count(&outputs, &targets);
    }
    // 1 of the first output; of the second -1 by ranks.
    assert_eq!(tally.figure("spearman"), Some(0.0));
    let second = -3.0 / (14.0f64 / 3.0 * 2.0).sqrt();
    assert_close(tally.figure("pearson").unwrap(), (1.0 + second) / 2.0);
    assert_eq!(NumberTally::new(1).figure("pearson"), None);
}
