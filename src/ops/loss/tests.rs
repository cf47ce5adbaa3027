use candle_core::{Device, Var};
use proptest::prelude::*;

use super::*;
use crate::ops::testing::*;

/// The definition: the cross-entropy of the smoothed target distribution and the softmax.
fn naive(logits: &[f64], labels: &[u32], classes: usize, options: CrossEntropy) -> f64 {
    let mut sum = 0.0;
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let total: f64 = row.iter().map(|logit| logit.exp()).sum();
        for (class, logit) in row.iter().enumerate() {
            let even = options.label_smoothing / classes as f64;
            let target = even
                + if class == label as usize {
                    1.0 - options.label_smoothing
                } else {
                    0.0
                };
            sum -= target * (logit.exp() / total).ln();
        }
    }
    sum / options.divisor
}

proptest! {
    #[test]
    fn agrees_with_the_definition_and_its_differences(
        labels in prop::collection::vec(0u32..5, 1..12),
        label_smoothing in prop::sample::select(vec![0.0, 0.1, 1.0]),
        divisor in 0.5f64..20.0,
    ) {
        let options = CrossEntropy { label_smoothing, divisor };
        let logits = random_var(&[labels.len(), 5], 1);
        let loss = cross_entropy(&logits, &labels, options).expect("valid");
        prop_assert!(loss.dims().is_empty());
        let values = host64(&logits);
        assert_close(&host(&loss), &[naive(&values, &labels, 5, options)], 1e-6);
        let expected = differences(&values, |values| 3.0 * naive(values, &labels, 5, options));
        assert_close(&gradient_of(&loss, &[3.0], &logits), &expected, 1e-6);
        let composed = composed::cross_entropy(&logits, &labels, options).expect("runs");
        assert_close(&gradient_of(&composed, &[3.0], &logits), &expected, 1e-5);
        let samples = cross_entropy_per_sample(&logits, &labels, label_smoothing).expect("valid");
        let mean = samples.iter().sum::<f64>() / divisor;
        prop_assert!((mean - naive(&values, &labels, 5, options)).abs() < 1e-9);
    }
}

#[test]
fn micro_batches_sum_to_the_batch() {
    let logits = random_var(&[7, 5], 1);
    let labels = [0, 1, 2, 3, 4, 0, 1];
    let options = CrossEntropy {
        label_smoothing: 0.1,
        divisor: 7.0,
    };
    let whole = cross_entropy(&logits, &labels, options).expect("valid");
    let part = |start: usize, len: usize| {
        let logits = logits.narrow(0, start, len).expect("valid");
        cross_entropy(&logits, &labels[start..start + len], options).expect("valid")
    };
    let parts = (part(0, 4) + part(4, 3)).expect("scalars");
    assert_close(&host(&parts), &host64(&whole), 1e-6);
    let whole: Vec<f64> = gradient_of(&whole, &[1.0], &logits)
        .into_iter()
        .map(f64::from)
        .collect();
    assert_close(&gradient_of(&parts, &[1.0], &logits), &whole, 1e-6);
}

#[test]
fn large_logits_do_not_overflow_and_bad_ones_show() {
    let options = CrossEntropy {
        label_smoothing: 0.0,
        divisor: 1.0,
    };
    let loss = |logits: [f32; 2], label| {
        let logits = Tensor::new(&[logits], &Device::Cpu).expect("valid");
        host(&cross_entropy(&logits, &[label], options).expect("valid"))[0]
    };
    assert_eq!(loss([1e4, -1e4], 1), 2e4);
    assert_eq!(loss([1e4, -1e4], 0), 0.0);
    assert_eq!(loss([f32::NEG_INFINITY, 0.0], 1), 0.0);
    assert_eq!(loss([f32::NEG_INFINITY, 0.0], 0), f32::INFINITY);
    assert!(loss([f32::INFINITY, 0.0], 0).is_nan());
    assert!(loss([f32::NAN, 0.0], 1).is_nan());
}

#[test]
fn threads_do_not_matter() {
    let logits = random_var(&[301, 17], 1);
    let labels: Vec<u32> = (0..301).map(|index| index % 17).collect();
    same_for_any_number_of_threads(|| {
        let options = CrossEntropy {
            label_smoothing: 0.1,
            divisor: 301.0,
        };
        let loss = cross_entropy(&logits, &labels, options).expect("valid");
        (host(&loss), gradient_of(&loss, &[1.0], &logits))
    });
}

#[test]
fn bad_labels_and_options_are_told() {
    let logits = Var::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).expect("valid");
    let told = |labels: &[u32], label_smoothing, divisor| {
        let options = CrossEntropy {
            label_smoothing,
            divisor,
        };
        cross_entropy(&logits, labels, options)
            .expect_err("refused")
            .to_string()
    };
    assert!(
        told(&[0, 3], 0.0, 1.0)
            .starts_with("sample 1 of the batch has label 3, but there are only 3 classes")
    );
    assert_eq!(
        told(&[0], 0.0, 1.0),
        "cross-entropy: logits of 2 x 3 for 1 labels"
    );
    assert!(told(&[0, 1], 1.5, 1.0).contains("label smoothing 1.5"));
    assert!(told(&[0, 1], 0.0, 0.0).contains("divisor 0"));
    assert!(told(&[0, 1], f64::NAN, 1.0).contains("label smoothing NaN"));
}
