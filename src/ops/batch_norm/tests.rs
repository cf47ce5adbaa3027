use candle_core::{DType, Var};
use proptest::prelude::*;

use super::kernels::moments;
use super::*;
use crate::ops::testing::*;

const OPTIONS: BatchNormOptions = BatchNormOptions {
    epsilon: 1e-5,
    momentum: 0.1,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Plain,
    Relu,
    Add,
    AddRelu,
}

const FORMS: [Form; 4] = [Form::Plain, Form::Relu, Form::Add, Form::AddRelu];

/// The definition, in f64, over rows of `weight.len()` channels.
fn naive(x: &[f64], weight: &[f64], bias: &[f64], residual: &[f64], form: Form) -> Vec<f64> {
    let channels = weight.len();
    let rows = (x.len() / channels) as f64;
    let mut y = vec![0.0; x.len()];
    for channel in 0..channels {
        let values: Vec<f64> = x.iter().skip(channel).step_by(channels).copied().collect();
        let mean = values.iter().sum::<f64>() / rows;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / rows;
        for (row, value) in values.iter().enumerate() {
            let index = row * channels + channel;
            let normalised = (value - mean) / (variance + 1e-5).sqrt();
            let sum = normalised * weight[channel] + bias[channel];
            y[index] = match form {
                Form::Plain => sum,
                Form::Relu => sum.max(0.0),
                Form::Add => sum + residual[index],
                Form::AddRelu => (sum + residual[index]).max(0.0),
            };
        }
    }
    y
}

struct Case {
    x: Var,
    weight: Var,
    bias: Var,
    residual: Var,
    output_gradient: Vec<f32>,
}

impl Case {
    fn new(shape: [usize; 4], offset: f64) -> Self {
        let x = random(&shape, 1).affine(2.0, offset).expect("valid");
        Self {
            x: Var::from_tensor(&x).expect("valid"),
            weight: random_var(&shape[3..], 2),
            bias: random_var(&shape[3..], 3),
            residual: random_var(&shape, 4),
            output_gradient: host(&random(&shape, 5)),
        }
    }

    fn epilogue(&self, form: Form) -> Epilogue<'_> {
        match form {
            Form::Plain => Epilogue::None,
            Form::Relu => Epilogue::Relu,
            Form::Add => Epilogue::Add(&self.residual),
            Form::AddRelu => Epilogue::AddRelu(&self.residual),
        }
    }

    fn gradients(&self, y: &Tensor, form: Form) -> Vec<Vec<f32>> {
        let mut variables = vec![&self.x, &self.weight, &self.bias];
        if matches!(form, Form::Add | Form::AddRelu) {
            variables.push(&self.residual);
        }
        gradients_of(y, &self.output_gradient, &variables)
    }

    /// Output and gradients in training.
    fn run(&self, form: Form, running: &mut RunningStatistics) -> Vec<Vec<f32>> {
        let statistics = Statistics::Batch(running);
        let epilogue = self.epilogue(form);
        let y = batch_norm(
            &self.x,
            &self.weight,
            &self.bias,
            statistics,
            OPTIONS,
            epilogue,
            Precision::F32,
        );
        let y = y.expect("runs");
        let mut results = vec![host(&y)];
        results.extend(self.gradients(&y, form));
        results
    }
}

#[test]
fn agrees_with_the_definition_and_its_differences() {
    for shape in [[2, 3, 2, 3], [1, 5, 1, 2], [4, 1, 1, 5]] {
        for form in FORMS {
            let case = Case::new(shape, 0.5);
            let (x, weight) = (host64(&case.x), host64(&case.weight));
            let (bias, residual) = (host64(&case.bias), host64(&case.residual));
            let loss = |x: &[f64], w: &[f64], b: &[f64], r: &[f64]| {
                weighted(&naive(x, w, b, r, form), &case.output_gradient)
            };
            let expected = [
                naive(&x, &weight, &bias, &residual, form),
                differences(&x, |x| loss(x, &weight, &bias, &residual)),
                differences(&weight, |weight| loss(&x, weight, &bias, &residual)),
                differences(&bias, |bias| loss(&x, &weight, bias, &residual)),
                differences(&residual, |residual| loss(&x, &weight, &bias, residual)),
            ];
            let results = case.run(form, &mut RunningStatistics::new(shape[3]));
            for (actual, expected) in results.iter().zip(expected) {
                assert_close(actual, &expected, 1e-5);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn forward_agrees_over_many_shapes(
        shape in [1usize..9, 1usize..20, 1usize..20, 1usize..40],
        offset in -3.0f64..3.0,
        form in prop::sample::select(FORMS.to_vec()),
    ) {
        let rows = shape[0] * shape[1] * shape[2];
        prop_assume!(rows > 3);
        let case = Case::new(shape, offset);
        let mut running = RunningStatistics::new(shape[3]);
        let results = case.run(form, &mut running);
        let (weight, bias) = (host64(&case.weight), host64(&case.bias));
        let expected = naive(&host64(&case.x), &weight, &bias, &host64(&case.residual), form);
        assert_close(&results[0], &expected, 1e-5);
        // The composition on candle's operations has independent gradients.
        let mut other = RunningStatistics::new(shape[3]);
        let statistics = Statistics::Batch(&mut other);
        let epilogue = case.epilogue(form);
        let y = composing(|| batch_norm(&case.x, &case.weight, &case.bias, statistics, OPTIONS, epilogue, Precision::F32));
        let y = y.expect("runs");
        for (actual, expected) in results[1..].iter().zip(case.gradients(&y, form)) {
            let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
            // A value within rounding of 0 may pass one ReLU and not the other.
            let differing = results[0].iter().zip(&host(&y)).any(|(a, b)| (*a > 0.0) != (*b > 0.0));
            if !differing {
                assert_close(actual, &expected, 2e-4);
            }
        }
        for (own, other) in running.mean.iter().zip(&other.mean) {
            prop_assert!((own - other).abs() < 1e-4);
        }
        for (own, other) in running.variance.iter().zip(&other.variance) {
            prop_assert!((own - other).abs() < 1e-3 * other.abs());
        }
    }
}

#[test]
fn a_mean_far_from_zero_costs_no_accuracy() {
    let values: Vec<f32> = (0..40_000).map(|index| 1e4 + (index % 7) as f32).collect();
    let exact: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    let mean = exact.iter().sum::<f64>() / 40_000.0;
    let variance = exact.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 40_000.0;
    let moments = moments(&values, 1);
    assert!((moments.mean[0] - mean).abs() < 1e-3, "{}", moments.mean[0]);
    assert!(
        (moments.variance[0] - variance).abs() < 1e-4 * variance,
        "{}",
        moments.variance[0]
    );
}

#[test]
fn threads_do_not_matter() {
    for form in FORMS {
        let case = Case::new([13, 17, 11, 24], 0.1);
        same_for_any_number_of_threads(|| {
            let mut running = RunningStatistics::new(24);
            (case.run(form, &mut running), running.mean, running.variance)
        });
    }
}

#[test]
fn running_statistics_follow_the_batches_and_serve_evaluation() {
    let x = Var::new(&[[[[1.0f32], [2.0]], [[3.0], [6.0]]]], &candle_core::Device::Cpu).expect("valid");
    let weight = Var::new(&[2.0f32], x.device()).expect("valid");
    let bias = Var::new(&[1.0f32], x.device()).expect("valid");
    let mut running = RunningStatistics::new(1);
    let none = Epilogue::None;
    batch_norm(
        &x,
        &weight,
        &bias,
        Statistics::Batch(&mut running),
        OPTIONS,
        none,
        Precision::F32,
    )
    .expect("runs");
    // Mean 3; squared deviations 4 + 1 + 0 + 9, over 3.
    assert_eq!(running.batches, 1);
    assert!((running.mean[0] - 0.3).abs() < 1e-6);
    assert!((running.variance[0] - (0.9 + 0.1 * 14.0 / 3.0)).abs() < 1e-6);

    let deviation = (f64::from(running.variance[0]) + 1e-5).sqrt();
    let (mean, variance) = running.tensors(x.device()).expect("valid");
    let statistics = Statistics::Running {
        mean: &mean,
        variance: &variance,
    };
    let y = batch_norm(&x, &weight, &bias, statistics, OPTIONS, none, Precision::F32).expect("runs");
    let expected: Vec<f64> = [1.0, 2.0, 3.0, 6.0]
        .iter()
        .map(|x| 2.0 * (x - 0.3) / deviation + 1.0)
        .collect();
    assert_close(&host(&y), &expected, 1e-6);
    let gradients = gradients_of(&y, &[1.0, 1.0, 1.0, 1.0], &[&x, &weight]);
    assert_close(&gradients[0], &[2.0 / deviation; 4], 1e-6);
    assert_close(&gradients[1], &[(12.0 - 4.0 * 0.3) / deviation], 1e-6);
}

#[test]
fn what_is_frozen_is_constant_and_lets_the_gradient_through() {
    let (mean, variance) = (random(&[3], 6), random(&[3], 7).sqr().expect("valid"));
    for form in FORMS {
        let case = Case::new([2, 3, 4, 3], 0.5);
        let run = |frozen| {
            let (mean, variance) = (&mean, &variance);
            let statistics = match frozen {
                true => Statistics::Frozen { mean, variance },
                false => Statistics::Running { mean, variance },
            };
            let (x, epilogue) = (&case.x, case.epilogue(form));
            let y = batch_norm(
                x,
                &case.weight,
                &case.bias,
                statistics,
                OPTIONS,
                epilogue,
                Precision::F32,
            );
            y.expect("runs")
        };
        let (frozen, running) = (run(true), run(false));
        assert_eq!(host(&frozen), host(&running));
        let of_x = gradient_of(&frozen, &case.output_gradient, &case.x);
        assert_eq!(of_x, gradient_of(&running, &case.output_gradient, &case.x));
        let gradients = frozen
            .sum_all()
            .and_then(|sum| sum.backward())
            .expect("differentiable");
        assert!(gradients.get(&case.weight).is_none() && gradients.get(&case.bias).is_none());
        // A map of each channel, whose slope is no function of the batch.
        let deviations: Vec<f64> = host64(&variance)
            .iter()
            .map(|variance| (variance + 1e-5).sqrt())
            .collect();
        let (weight, bias, residual) = (host64(&case.weight), host64(&case.bias), host64(&case.residual));
        let means = host64(&mean);
        let define = |x: &[f64]| -> Vec<f64> {
            let value = |(place, x): (usize, &f64)| {
                let channel = place % 3;
                let y = (x - means[channel]) / deviations[channel] * weight[channel] + bias[channel];
                match form {
                    Form::Plain => y,
                    Form::Relu => y.max(0.0),
                    Form::Add => y + residual[place],
                    Form::AddRelu => (y + residual[place]).max(0.0),
                }
            };
            x.iter().enumerate().map(value).collect()
        };
        let x = host64(&case.x);
        assert_close(&host(&frozen), &define(&x), 2e-6);
        assert_close(
            &of_x,
            &differences(&x, |x| weighted(&define(x), &case.output_gradient)),
            2e-6,
        );
    }
}

#[test]
fn a_single_value_is_refused_in_training_alone() {
    let x = random_var(&[1, 1, 1, 2], 4);
    let (weight, bias) = (random_var(&[2], 1), random_var(&[2], 2));
    let mut running = RunningStatistics::new(2);
    let run = |statistics: Statistics| {
        batch_norm(
            &x,
            &weight,
            &bias,
            statistics,
            OPTIONS,
            Epilogue::None,
            Precision::F32,
        )
    };
    let error = run(Statistics::Batch(&mut running)).expect_err("refused");
    assert!(error.to_string().contains("raise `batch_size`"), "{error}");
    assert_eq!(running, RunningStatistics::new(2));
    let (mean, variance) = running.tensors(x.device()).expect("valid");
    let running = Statistics::Running {
        mean: &mean,
        variance: &variance,
    };
    run(running).expect("nothing is normalised over the batch");
}

#[test]
fn epsilon_and_momentum_are_those_asked_for() {
    let x = Var::new(&[[[[1.0f32], [3.0]]]], &candle_core::Device::Cpu).expect("valid");
    let (weight, bias) = (
        Tensor::new(&[1.0f32], x.device()),
        Tensor::new(&[0.0f32], x.device()),
    );
    let (weight, bias) = (weight.expect("valid"), bias.expect("valid"));
    let options = BatchNormOptions {
        epsilon: 3.0,
        momentum: 0.01,
    };
    let run = |statistics: Statistics<'_>| {
        let none = Epilogue::None;
        batch_norm(&x, &weight, &bias, statistics, options, none, Precision::F32).expect("runs")
    };
    let check = || {
        let mut running = RunningStatistics::new(1);
        let y = run(Statistics::Batch(&mut running));
        // Variance 1 and epsilon 3 make a deviation of 2.
        assert_close(&host(&y), &[-0.5, 0.5], 1e-6);
        assert_close(&running.mean, &[0.02], 1e-6);
        assert_close(&running.variance, &[0.99 + 0.01 * 2.0], 1e-6);
        let (mean, variance) = running.tensors(x.device()).expect("valid");
        let y = run(Statistics::Running {
            mean: &mean,
            variance: &variance,
        });
        let deviation = (f64::from(running.variance[0]) + 3.0).sqrt();
        assert_close(&host(&y), &[0.98 / deviation, 2.98 / deviation], 1e-6);
    };
    check();
    composing(check);
}

#[test]
fn what_is_not_a_number_stays_visible() {
    let x = Var::new(&[[[[1.0f32], [f32::NAN]]]], &candle_core::Device::Cpu).expect("valid");
    let (weight, bias) = (random_var(&[1], 1), random_var(&[1], 2));
    let mut running = RunningStatistics::new(1);
    let y = batch_norm(
        &x,
        &weight,
        &bias,
        Statistics::Batch(&mut running),
        OPTIONS,
        Epilogue::Relu,
        Precision::F32,
    );
    assert!(host(&y.expect("runs")).iter().all(|value| value.is_nan()));
    assert!(running.mean[0].is_nan() && running.variance[0].is_nan());
}

#[test]
fn narrow_formats_round_the_result_once() {
    let case = Case::new([3, 4, 5, 6], 0.3);
    let run = |precision| {
        let mut running = RunningStatistics::new(6);
        let statistics = Statistics::Batch(&mut running);
        let epilogue = case.epilogue(Form::AddRelu);
        batch_norm(
            &case.x,
            &case.weight,
            &case.bias,
            statistics,
            OPTIONS,
            epilogue,
            precision,
        )
        .expect("runs")
    };
    let exact = run(Precision::F32);
    let narrow = run(Precision::Bf16);
    let rounded = exact.to_dtype(DType::BF16).and_then(|y| y.to_dtype(DType::F32));
    assert_eq!(host(&narrow), host(&rounded.expect("valid")));
}

#[test]
fn misfits_are_told() {
    let x = random(&[1, 2, 2, 3], 1);
    let affine = random(&[3], 1);
    let mut running = RunningStatistics::new(4);
    let statistics = Statistics::Batch(&mut running);
    let error = batch_norm(
        &x,
        &affine,
        &affine,
        statistics,
        OPTIONS,
        Epilogue::None,
        Precision::F32,
    );
    let message = error.expect_err("4 is not 3").to_string();
    assert!(
        message.contains("3 channels") && message.ends_with("for 4"),
        "{message}"
    );
}
