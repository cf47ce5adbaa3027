use candle_core::Var;
use proptest::prelude::*;

use super::*;
use crate::ops::testing::*;

/// The sum over rows of the cross-entropy, divided by `divisor`.
fn naive(hidden: &[f64], weight: &[f64], bias: &[f64], targets: &[Option<u32>], divisor: f64) -> f64 {
    let width = hidden.len() / targets.len();
    let mut sum = 0.0;
    for (row, target) in hidden.chunks_exact(width).zip(targets) {
        let Some(target) = target else { continue };
        let logits = weight
            .chunks_exact(width)
            .zip(bias)
            .map(|(weight, bias)| bias + row.iter().zip(weight).map(|(x, weight)| x * weight).sum::<f64>());
        let logits: Vec<f64> = logits.collect();
        sum += logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[*target as usize];
    }
    sum / divisor
}

fn operands(rows: usize, width: usize, vocabulary: usize) -> [Var; 3] {
    [
        random_var(&[rows, width], 1),
        random_var(&[vocabulary, width], 2),
        random_var(&[vocabulary], 3),
    ]
}

fn targets(rows: usize, vocabulary: usize) -> Vec<Option<u32>> {
    (0..rows)
        .map(|row| (row % 5 != 3).then_some((row * 7 % vocabulary) as u32))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn agrees_with_the_definition_and_its_differences(
        rows in 1usize..20, width in 1usize..6, vocabulary in 1usize..90, divisor in 1u32..9,
    ) {
        let operands = operands(rows, width, vocabulary);
        let (targets, divisor) = (targets(rows, vocabulary), f64::from(divisor));
        let [hidden, weight, bias] = operands.each_ref().map(|operand| host64(operand));
        let value = |hidden: &[f64], weight: &[f64], bias: &[f64]| naive(hidden, weight, bias, &targets, divisor);
        let expected = [
            differences(&hidden, |hidden| value(hidden, &weight, &bias)),
            differences(&weight, |weight| value(&hidden, weight, &bias)),
            differences(&bias, |bias| value(&hidden, &weight, bias)),
        ];
        let run = || {
            vocabulary_loss(&operands[0], &operands[1], Some(&operands[2]), &targets, divisor, Precision::F32)
                .expect("fits")
        };
        for y in [run(), composing(run)] {
            assert_close(&host(&y), &[value(&hidden, &weight, &bias)], 1e-6);
            let variables: Vec<&Var> = operands.iter().collect();
            for (actual, expected) in gradients_of(&y, &[1.5], &variables).iter().zip(&expected) {
                let expected: Vec<f64> = expected.iter().map(|value| value * 1.5).collect();
                assert_close(actual, &expected, 3e-6);
            }
        }
    }
}

/// More rows than a block has, more columns than a task.
const LARGE: [usize; 3] = [600, 40, 300];

#[test]
fn blocks_agree_with_the_plain_loss_of_the_logits() {
    let [rows, width, vocabulary] = LARGE;
    let operands = operands(rows, width, vocabulary);
    let targets = targets(rows, vocabulary);
    let counted = targets.iter().flatten().count() as f64;
    for (precision, tolerance) in [
        (Precision::F32, 2e-6),
        (Precision::F16, 3e-3),
        (Precision::Bf16, 2e-2),
    ] {
        let blocks = || {
            vocabulary_loss(
                &operands[0],
                &operands[1],
                Some(&operands[2]),
                &targets,
                counted,
                precision,
            )
            .expect("fits")
        };
        let logits =
            crate::ops::linear(&operands[0], &operands[1], Some(&operands[2]), precision).expect("fits");
        let classes: Vec<u32> = targets.iter().map(|target| target.unwrap_or(u32::MAX)).collect();
        let kind = crate::ops::LossFunction::CrossEntropy {
            label_smoothing: 0.0,
            class_weights: None,
            ignore_index: Some(u32::MAX),
        };
        let plain = crate::ops::loss(
            &logits,
            crate::ops::LossTargets::Classes(&classes),
            &kind,
            counted,
        );
        let plain = plain.expect("fits");
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| value.into()).collect() };
        let variables: Vec<&Var> = operands.iter().collect();
        let expected = gradients_of(&plain, &[1.0], &variables);
        for own in [blocks(), composing(blocks)] {
            assert_close(&host(&own), &wide(&host(&plain)), tolerance);
            for (actual, expected) in gradients_of(&own, &[1.0], &variables).iter().zip(&expected) {
                assert_close(actual, &wide(expected), tolerance);
            }
        }
    }
}

#[test]
fn threads_do_not_matter_and_a_second_walk_finds_the_same() {
    let [rows, width, vocabulary] = LARGE;
    let operands = operands(rows, width, vocabulary);
    let targets = targets(rows, vocabulary);
    for precision in [Precision::F32, Precision::Bf16] {
        same_for_any_number_of_threads(|| {
            let y =
                vocabulary_loss(&operands[0], &operands[1], None, &targets, 3.0, precision).expect("fits");
            let walk = || gradients_of(&y, &[1.0], &[&operands[0], &operands[1]]);
            let first = walk();
            assert_eq!(first, walk());
            (host(&y), first)
        });
    }
}

#[test]
fn rows_are_judged_one_by_one() {
    let [rows, width, vocabulary] = LARGE;
    let operands = operands(rows, width, vocabulary);
    let targets = targets(rows, vocabulary);
    let verdicts = vocabulary_verdicts(
        &operands[0],
        &operands[1],
        Some(&operands[2]),
        &targets,
        Precision::F32,
    )
    .expect("fits");
    assert_eq!(verdicts.len(), rows);
    let [hidden, weight, bias] = operands.each_ref().map(|operand| host64(operand));
    for row in [0, 3, 599] {
        let hidden = &hidden[row * width..][..width];
        let expected = targets[row].map(|target| naive(hidden, &weight, &bias, &[Some(target)], 1.0));
        match (verdicts[row].map(|verdict| verdict.loss), expected) {
            (Some(loss), Some(expected)) => assert!((loss - expected).abs() < 1e-5, "{loss} for {expected}"),
            (loss, expected) => assert_eq!(loss, expected),
        }
    }
    // The likeliest of each row, by logits in f64: the score of the training loss is how many were predicted.
    let likeliest: Vec<u32> = (0..rows)
        .map(|row| {
            let logit = |class: usize| {
                let products = (0..width).map(|at| hidden[row * width + at] * weight[class * width + at]);
                products.sum::<f64>() + bias[class]
            };
            let best = (0..vocabulary).max_by(|a, b| logit(*a).total_cmp(&logit(*b)));
            best.unwrap() as u32
        })
        .collect();
    let right: Vec<Option<u32>> = (0..rows)
        .map(|row| match row % 3 {
            0 => Some(likeliest[row]),
            1 => Some((likeliest[row] + 1) % vocabulary as u32),
            _ => None,
        })
        .collect();
    let found = vocabulary_verdicts(
        &operands[0],
        &operands[1],
        Some(&operands[2]),
        &right,
        Precision::F32,
    );
    for (row, verdict) in found.expect("fits").into_iter().enumerate() {
        assert_eq!(
            verdict.map(|verdict| verdict.is_likeliest),
            [Some(true), Some(false), None][row % 3]
        );
    }
    let (_, score) = vocabulary_loss_with_score(
        &operands[0],
        &operands[1],
        Some(&operands[2]),
        &right,
        1.0,
        Precision::F32,
    )
    .expect("fits");
    assert_eq!(score.to_scalar::<f64>().expect("one"), rows.div_ceil(3) as f64);
}

#[test]
fn without_targets_nothing_is_learnt() {
    let operands = operands(3, 4, 5);
    let run = |targets: &[Option<u32>], divisor| {
        let y = vocabulary_loss(&operands[0], &operands[1], None, targets, divisor, Precision::F32)
            .expect("fits");
        (host(&y), gradients_of(&y, &[1.0], &[&operands[0], &operands[1]]))
    };
    for (value, gradients) in [
        run(&[None; 3], 0.0),
        run(&[None; 3], 2.0),
        run(&[Some(1); 3], 0.0),
    ] {
        assert_eq!(value, [0.0]);
        assert!(gradients.iter().flatten().all(|value| *value == 0.0));
    }
}

#[test]
fn misfits_are_told() {
    let told = |rows: usize, targets: &[Option<u32>], divisor| {
        vocabulary_loss(
            &random(&[rows, 2], 1),
            &random(&[5, 2], 1),
            None,
            targets,
            divisor,
            Precision::F32,
        )
        .expect_err("refused")
        .to_string()
    };
    assert_eq!(
        told(2, &[Some(0)], 1.0),
        "vocabulary loss: hidden states [2, 2], weight [5, 2], bias [] and 1 targets do not fit each other"
    );
    assert_eq!(
        told(2, &[None, Some(5)], 1.0),
        "vocabulary loss: the target 5 of row 1 is not under 5, the vocabulary's size"
    );
    assert!(told(1, &[Some(0)], f64::NAN).contains("divisor NaN"));
}
