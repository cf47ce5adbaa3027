use candle_core::{DType, Device, Var};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::ops::testing::*;

const PLAIN: LossFunction = LossFunction::CrossEntropy {
    label_smoothing: 0.0,
    class_weights: None,
    ignore_index: None,
};

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).expect("numbers")
}

fn doubles(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).expect("numbers")
}

/// The loss that a fixture's case spells as a pipeline file would.
fn spelt(value: &Value) -> LossFunction {
    let (kind, options) = value
        .as_object()
        .and_then(|entry| entry.iter().next())
        .expect("one kind");
    let number = |name: &str| options[name].as_f64();
    let weights = |name: &str| options.get(name).map(floats);
    match kind.as_str() {
        "cross_entropy" => LossFunction::CrossEntropy {
            label_smoothing: number("label_smoothing").unwrap_or(0.0),
            class_weights: weights("class_weights"),
            ignore_index: number("ignore_index").map(|index| index as u32),
        },
        "binary_cross_entropy" => LossFunction::BinaryCrossEntropy {
            pos_weight: weights("pos_weight"),
        },
        "mse" => LossFunction::Mse,
        "distillation" => LossFunction::Distillation {
            temperature: number("temperature").expect("a number"),
        },
        _ => LossFunction::Huber {
            delta: number("delta").unwrap_or(1.0),
        },
    }
}

fn targets_of(value: &Value) -> OwnedTargets {
    if let Some(classes) = value.get("classes") {
        let classes = doubles(classes).into_iter().map(|class| class as u32);
        return OwnedTargets::Classes(classes.collect());
    }
    match value.get("probabilities") {
        Some(values) => OwnedTargets::Probabilities(floats(values)),
        None => OwnedTargets::Values(floats(&value["values"])),
    }
}

/// Made by `tests/fixtures/losses.py`.
#[test]
fn values_and_gradients_are_those_of_pytorch() {
    const WIDTH: usize = 4;
    let fixture: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/losses.json")).expect("JSON");
    let cases = fixture["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 26);
    for case in cases {
        let kind = spelt(&case["loss"]);
        let targets = targets_of(&case["targets"]);
        let values = floats(&case["outputs"]);
        let outputs =
            Tensor::from_slice(&values, (values.len() / WIDTH, WIDTH), &Device::Cpu).expect("valid");
        let outputs = Var::from_tensor(&outputs).expect("a variable");
        let value = [case["value"].as_f64().expect("a number")];
        let gradient = doubles(&case["gradient"]);
        let weight = loss_weight(targets.view(), &kind, WIDTH);
        let actual = loss(&outputs, targets.view(), &kind, weight).expect("valid");
        assert_close(&host(&actual), &value, 1e-6);
        assert_close(&gradient_of(&actual, &[1.0], &outputs), &gradient, 1e-6);

        let composed = composing(|| loss(&outputs, targets.view(), &kind, weight)).expect("runs");
        assert_close(&host(&composed), &value, 1e-5);
        assert_close(&gradient_of(&composed, &[1.0], &outputs), &gradient, 1e-5);

        let samples = loss_per_sample(&values, targets.view(), &kind, WIDTH).expect("valid");
        let [sum, count] = samples.iter().fold([0.0; 2], |[sum, count], (value, weight)| {
            [sum + value, count + weight]
        });
        assert!(
            (sum / count - value[0]).abs() <= 1e-12 * value[0].abs().max(1.0),
            "{kind:?}"
        );
        assert!((count - weight).abs() < 1e-12);
    }
}

/// Each kind of loss with targets for `samples` rows of five outputs.
fn kinds(samples: usize) -> Vec<(LossFunction, OwnedTargets)> {
    let classes: Vec<u32> = (0..samples).map(|index| (index * 7 % 5) as u32).collect();
    let shares = |len: usize| -> Vec<f32> { (0..len).map(|index| (index * 3 % 5) as f32 / 4.0).collect() };
    let weights = Some(vec![0.5, 1.0, 0.25, 3.0, 1.5]);
    vec![
        (PLAIN, OwnedTargets::Classes(classes.clone())),
        (
            LossFunction::CrossEntropy {
                label_smoothing: 0.2,
                class_weights: weights.clone(),
                ignore_index: Some(2),
            },
            OwnedTargets::Classes(classes),
        ),
        (
            LossFunction::CrossEntropy {
                label_smoothing: 0.1,
                class_weights: weights.clone(),
                ignore_index: None,
            },
            OwnedTargets::Probabilities(shares(5 * samples)),
        ),
        (
            LossFunction::BinaryCrossEntropy { pos_weight: weights },
            OwnedTargets::Values(shares(5 * samples)),
        ),
        (LossFunction::Mse, OwnedTargets::Values(shares(5 * samples))),
        (
            LossFunction::Huber { delta: 0.7 },
            OwnedTargets::Values(shares(5 * samples)),
        ),
        (
            LossFunction::Distillation { temperature: 2.5 },
            OwnedTargets::Values(shares(5 * samples)),
        ),
    ]
}

proptest! {
    #[test]
    fn gradients_are_those_of_differences(samples in 1usize..9, seed in 0u64..1000, divisor in 0.5f64..20.0) {
        let outputs = random_var(&[samples, 5], seed);
        let values = host64(&outputs);
        for (kind, targets) in kinds(samples) {
            let actual = loss(&outputs, targets.view(), &kind, divisor).expect("valid");
            prop_assert!(actual.dims().is_empty());
            let naive = |values: &[f64]| 3.0 / divisor * naive(values, targets.view(), &kind);
            assert_close(&host(&actual), &[naive(&values) / 3.0], 1e-5);
            let expected = differences(&values, naive);
            assert_close(&gradient_of(&actual, &[3.0], &outputs), &expected, 1e-5);
            let composed = composing(|| loss(&outputs, targets.view(), &kind, divisor)).expect("runs");
            // In f32, where distributions are alike, most of their distance cancels.
            let tolerance = match kind {
                LossFunction::Distillation { .. } => 1e-3,
                _ => 1e-5,
            };
            assert_close(&host(&composed), &host64(&actual), tolerance);
            assert_close(&gradient_of(&composed, &[3.0], &outputs), &expected, tolerance);
        }
    }
}

/// The definitions, in f64, without any care for overflow.
fn naive(outputs: &[f64], targets: LossTargets<'_>, loss: &LossFunction) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let rows = outputs.chunks_exact(5).enumerate();
    rows.map(|(sample, row)| {
        if let (LossFunction::Distillation { temperature }, LossTargets::Values(values)) = (loss, targets) {
            let softened = |row: Vec<f64>| {
                let powers: Vec<f64> = row.iter().map(|x| (x / temperature).exp()).collect();
                let total: f64 = powers.iter().sum();
                powers.into_iter().map(move |power| power / total)
            };
            let wanted = values[sample * 5..(sample + 1) * 5]
                .iter()
                .copied()
                .map(f64::from);
            let pairs = softened(wanted.collect()).zip(softened(row.to_vec()));
            let divergence: f64 = pairs.map(|(p, q)| p * (p / q).ln()).sum();
            return temperature.powi(2) * divergence;
        }
        let total: f64 = row.iter().map(|x| x.exp()).sum();
        let of_output = |(index, &x): (usize, &f64)| match (loss, targets) {
            (
                LossFunction::CrossEntropy {
                    label_smoothing,
                    class_weights,
                    ignore_index,
                },
                targets,
            ) => {
                let target = match targets {
                    LossTargets::Classes(classes) if Some(classes[sample]) == *ignore_index => return 0.0,
                    LossTargets::Classes(classes) => f64::from(u8::from(classes[sample] as usize == index)),
                    LossTargets::Probabilities(values) | LossTargets::Values(values) => {
                        f64::from(values[sample * 5 + index])
                    }
                };
                let weight = class_weights
                    .as_ref()
                    .map_or(1.0, |weights| f64::from(weights[index]));
                let target = (1.0 - label_smoothing) * target + label_smoothing / 5.0;
                -weight * target * (x.exp() / total).ln()
            }
            (LossFunction::BinaryCrossEntropy { pos_weight }, LossTargets::Values(values)) => {
                let target = f64::from(values[sample * 5 + index]);
                let weight = pos_weight
                    .as_ref()
                    .map_or(1.0, |weights| f64::from(weights[index]));
                -weight * target * sigmoid(x).ln() - (1.0 - target) * sigmoid(-x).ln()
            }
            (LossFunction::Mse, LossTargets::Values(values)) => {
                (x - f64::from(values[sample * 5 + index])).powi(2)
            }
            (LossFunction::Huber { delta }, LossTargets::Values(values)) => {
                let error = (x - f64::from(values[sample * 5 + index])).abs();
                if error < *delta {
                    error * error / 2.0
                } else {
                    delta * error - delta * delta / 2.0
                }
            }
            _ => unreachable!("the kinds of this test"),
        };
        row.iter().enumerate().map(of_output).sum::<f64>()
    })
    .sum()
}

#[test]
fn micro_batches_sum_to_the_batch() {
    let outputs = random_var(&[7, 5], 1);
    for (kind, targets) in kinds(7) {
        let weight = loss_weight(targets.view(), &kind, 5);
        let whole = loss(&outputs, targets.view(), &kind, weight).expect("valid");
        let part = |start: usize, len: usize| {
            let rows = outputs.narrow(0, start, len).expect("valid");
            let targets = match targets.view() {
                LossTargets::Classes(all) => LossTargets::Classes(&all[start..start + len]),
                LossTargets::Probabilities(all) => {
                    LossTargets::Probabilities(&all[5 * start..5 * (start + len)])
                }
                LossTargets::Values(all) => LossTargets::Values(&all[5 * start..5 * (start + len)]),
            };
            let part = loss(&rows, targets, &kind, weight).expect("valid");
            (part, loss_weight(targets, &kind, 5))
        };
        let ((first, first_weight), (second, second_weight)) = (part(0, 4), part(4, 3));
        assert!((first_weight + second_weight - weight).abs() < 1e-12);
        let parts = (first + second).expect("scalars");
        assert_close(&host(&parts), &host64(&whole), 1e-6);
        let whole = gradient_of(&whole, &[1.0], &outputs);
        let whole: Vec<f64> = whole.into_iter().map(f64::from).collect();
        assert_close(&gradient_of(&parts, &[1.0], &outputs), &whole, 1e-6);
    }
}

#[test]
fn large_logits_do_not_overflow_and_bad_ones_show() {
    let told = |logits: [f32; 2], targets: LossTargets<'_>, kind: &LossFunction| {
        let logits = Var::new(&[logits], &Device::Cpu).expect("valid");
        let loss = loss(&logits, targets, kind, 1.0).expect("valid");
        (host(&loss)[0], gradient_of(&loss, &[1.0], &logits))
    };
    let classes = |logits, class| told(logits, LossTargets::Classes(&[class]), &PLAIN);
    assert_eq!(classes([1e4, -1e4], 1), (2e4, vec![1.0, -1.0]));
    assert_eq!(classes([1e4, -1e4], 0), (0.0, vec![0.0, 0.0]));
    assert_eq!(classes([f32::NEG_INFINITY, 0.0], 1).0, 0.0);
    assert_eq!(classes([f32::NEG_INFINITY, 0.0], 0).0, f32::INFINITY);
    assert!(classes([f32::INFINITY, 0.0], 0).0.is_nan());
    assert!(classes([f32::NAN, 0.0], 1).0.is_nan());

    let binary = LossFunction::BinaryCrossEntropy { pos_weight: None };
    let labels = |logits| told(logits, LossTargets::Values(&[1.0, 0.0]), &binary);
    assert_eq!(labels([1000.0, -1000.0]), (0.0, vec![0.0, 0.0]));
    assert_eq!(labels([-1000.0, 1000.0]), (2000.0, vec![-1.0, 1.0]));
    // Where candle's own is infinite.
    let (value, _) = labels([-20.0, 20.0]);
    assert!((value - 40.0).abs() < 1e-5);
    let taught = LossFunction::Distillation { temperature: 2.0 };
    let from = |logits, teacher: [f32; 2]| told(logits, LossTargets::Values(&teacher), &taught);
    // Who agrees with a certain teacher loses nothing, and who denies it pays the distance.
    assert_eq!(from([1e4, -1e4], [1e4, -1e4]), (0.0, vec![0.0, 0.0]));
    assert_eq!(from([1e4, -1e4], [-1e4, 1e4]), (4e4, vec![2.0, -2.0]));
    assert_eq!(from([f32::NEG_INFINITY, 0.0], [-1e5, 1e5]).0, 0.0);
    assert_eq!(from([f32::NEG_INFINITY, 0.0], [0.0, 0.0]).0, f32::INFINITY);

    for kind in [
        binary,
        taught,
        LossFunction::Mse,
        LossFunction::Huber { delta: 1.0 },
    ] {
        let (value, gradient) = told([f32::NAN, 0.0], LossTargets::Values(&[1.0, 0.0]), &kind);
        assert!(value.is_nan() && gradient[0].is_nan(), "{kind:?}");
    }
}

/// PyTorch gives NaN here.
#[test]
fn a_batch_of_ignored_samples_gives_nothing() {
    let outputs = random_var(&[3, 5], 1);
    let kind = LossFunction::CrossEntropy {
        label_smoothing: 0.1,
        class_weights: None,
        ignore_index: Some(9),
    };
    let targets = LossTargets::Classes(&[9, 9, 9]);
    let weight = loss_weight(targets, &kind, 5);
    assert_eq!(weight, 0.0);
    for divisor in [weight, 4.0] {
        let loss = loss(&outputs, targets, &kind, divisor).expect("valid");
        assert_eq!(host(&loss), [0.0]);
        assert_eq!(gradient_of(&loss, &[1.0], &outputs), [0.0; 15]);
    }
    let samples = loss_per_sample(&host(&outputs), targets, &kind, 5).expect("valid");
    assert_eq!(samples, [(0.0, 0.0); 3]);
}

#[test]
fn threads_do_not_matter() {
    let outputs = random_var(&[301, 5], 1);
    for (kind, targets) in kinds(301) {
        same_for_any_number_of_threads(|| {
            let loss = loss(&outputs, targets.view(), &kind, 301.0).expect("valid");
            let samples = loss_per_sample(&host(&outputs), targets.view(), &kind, 5).expect("valid");
            (host(&loss), gradient_of(&loss, &[1.0], &outputs), samples)
        });
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let outputs = Var::zeros((2, 3), DType::F32, &Device::Cpu).expect("valid");
    let told = |targets: LossTargets<'_>, kind: &LossFunction| {
        let error = loss(&outputs, targets, kind, 1.0)
            .expect_err("refused")
            .to_string();
        let other = loss_per_sample(&[0.0; 6], targets, kind, 3).expect_err("refused");
        assert_eq!(error, other.to_string());
        error
    };
    let cross = |label_smoothing, class_weights, ignore_index| LossFunction::CrossEntropy {
        label_smoothing,
        class_weights,
        ignore_index,
    };
    let classes = LossTargets::Classes(&[0, 1]);
    let (ones, zeros) = (
        LossTargets::Probabilities(&[1.0; 6]),
        LossTargets::Values(&[0.0; 6]),
    );
    let binary = |pos_weight| LossFunction::BinaryCrossEntropy { pos_weight };

    assert!(
        told(LossTargets::Classes(&[0, 3]), &PLAIN)
            .starts_with("sample 1 of the batch has label 3, but there are only 3 classes")
    );
    assert_eq!(
        told(LossTargets::Classes(&[0]), &PLAIN),
        "cross-entropy: 1 targets for outputs of shape [2, 3]"
    );
    for (targets, kind, expected) in [
        (classes, cross(1.5, None, None), "label smoothing 1.5"),
        (classes, cross(f64::NAN, None, None), "label smoothing NaN"),
        (
            classes,
            cross(0.0, Some(vec![1.0]), None),
            "1 class weights for 3 outputs",
        ),
        (
            classes,
            cross(0.0, Some(vec![1.0, -1.0, 1.0]), None),
            "one of the class weights is -1",
        ),
        (ones, cross(0.0, None, Some(1)), "`ignore_index` has no meaning"),
        (zeros, PLAIN, "compares with classes"),
        (
            LossTargets::Probabilities(&[0.0, 0.5, 1.5, 0.0, 0.0, 0.0]),
            PLAIN,
            "the target of sample 0 is 1.5",
        ),
        (classes, binary(None), "compares with labels"),
        (
            zeros,
            binary(Some(vec![1.0; 2])),
            "2 positive weights for 3 outputs",
        ),
        (
            LossTargets::Values(&[0.0, 1.0, 1.0, 1.0, 2.0, 1.0]),
            binary(None),
            "the target of sample 1 is 2",
        ),
        (classes, LossFunction::Mse, "compares with numbers"),
        (
            LossTargets::Values(&[0.0, 1.0, f32::NAN, 1.0, 2.0, 1.0]),
            LossFunction::Mse,
            "the target of sample 0 is NaN",
        ),
        (zeros, LossFunction::Huber { delta: 0.0 }, "delta 0"),
        (
            zeros,
            LossFunction::Distillation { temperature: 0.0 },
            "temperature 0 is not over 0",
        ),
        (
            classes,
            LossFunction::Distillation { temperature: 1.0 },
            "compares with numbers",
        ),
    ] {
        let error = told(targets, &kind);
        assert!(error.contains(expected), "{error}");
    }
    let divided = |divisor| {
        loss(&outputs, classes, &PLAIN, divisor)
            .expect_err("refused")
            .to_string()
    };
    assert!(divided(-1.0).contains("the divisor -1"));
    assert!(divided(f64::NAN).contains("the divisor NaN"));
    assert!(loss_per_sample(&[0.0; 5], classes, &PLAIN, 3).is_err());
}
