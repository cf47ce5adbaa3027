use candle_core::{Device, Tensor, Var};
use serde_json::json;

use super::*;

/// Longer than a chunk, so that several threads share a parameter.
const LENGTH: usize = CHUNK + 300;
const STEPS: usize = 100;

fn recipe(value: serde_json::Value) -> spec::Optimizer {
    serde_json::from_value(value).unwrap()
}

fn start() -> Vec<f32> {
    (0..LENGTH).map(|i| ((i % 17) as f32 - 8.0) / 5.0).collect()
}

/// The gradient of a quadratic bowl with a different curvature and centre for each weight, with a
/// term that changes from step to step.
fn gradient(weight: f64, index: usize, step: usize) -> f64 {
    let curvature = 0.5 + (index % 7) as f64 / 3.0;
    curvature * (weight - (index % 5) as f64 / 4.0) + ((step * 31 + index) % 11) as f64 / 50.0
}

fn parameter(name: &str, values: Vec<f32>) -> Parameter {
    let length = values.len();
    Parameter {
        name: name.to_owned(),
        var: Var::from_vec(values, length, &Device::Cpu).unwrap(),
        decays: true,
        frozen: false,
    }
}

fn values(parameter: &Parameter) -> Vec<f32> {
    parameter.var.to_vec1().unwrap()
}

fn gradients_of(parameter: &Parameter, step: usize, scale: f64) -> Vec<Option<Tensor>> {
    let gradient: Vec<f32> = values(parameter)
        .iter()
        .enumerate()
        .map(|(index, &weight)| (gradient(f64::from(weight), index, step) * scale) as f32)
        .collect();
    vec![Some(Tensor::new(gradient, &Device::Cpu).unwrap())]
}

fn run(recipe: &spec::Optimizer, lr: impl Fn(usize) -> f64) -> Vec<f32> {
    let parameters = [parameter("weight", start())];
    let mut optimizer = Optimizer::new(recipe, &parameters);
    for step in 0..STEPS {
        let gradients = gradients_of(&parameters[0], step, 1.0);
        optimizer.step(&parameters, &gradients, lr(step), 1.0).unwrap();
    }
    values(&parameters[0])
}

/// Follows each weight by itself in f64; `rule` gives the next weight.
fn assert_follows(actual: &[f32], mut rule: impl FnMut(f64, f64, usize, &mut [f64; 2]) -> f64) {
    for index in (0..LENGTH).step_by(997).chain([LENGTH - 1]) {
        let mut weight = f64::from(start()[index]);
        let mut state = [0.0; 2];
        for step in 0..STEPS {
            weight = rule(weight, gradient(weight, index, step), step, &mut state);
        }
        let error = (f64::from(actual[index]) - weight).abs();
        assert!(error < 1e-5, "weight {index}: {} is not {weight}", actual[index]);
    }
}

fn falling(step: usize) -> f64 {
    0.05 / (1.0 + step as f64 / 40.0)
}

#[test]
fn sgd_without_momentum() {
    let recipe = recipe(json!({"sgd": {"lr": 1.0, "weight_decay": 0.01}}));
    let actual = run(&recipe, falling);
    assert_follows(&actual, |weight, gradient, step, _| {
        weight - falling(step) * (gradient + 0.01 * weight)
    });
}

#[test]
fn sgd_with_momentum_starts_with_the_gradient() {
    let recipe = recipe(json!({"sgd": {"lr": 1.0, "momentum": 0.9, "weight_decay": 5e-4}}));
    let actual = run(&recipe, falling);
    assert_follows(&actual, |weight, gradient, step, state| {
        let gradient = gradient + 5e-4 * weight;
        state[0] = if step == 0 {
            gradient
        } else {
            0.9 * state[0] + gradient
        };
        weight - falling(step) * state[0]
    });
}

#[test]
fn sgd_with_nesterov_momentum() {
    let recipe = recipe(json!({"sgd": {"lr": 1.0, "momentum": 0.8, "nesterov": true}}));
    let actual = run(&recipe, falling);
    assert_follows(&actual, |weight, gradient, step, state| {
        state[0] = if step == 0 {
            gradient
        } else {
            0.8 * state[0] + gradient
        };
        weight - falling(step) * (gradient + 0.8 * state[0])
    });
}

#[test]
fn adamw_corrects_its_bias_and_decays_apart() {
    let recipe = recipe(json!({"adamw": {"lr": 1.0, "betas": [0.9, 0.99], "weight_decay": 0.05}}));
    let actual = run(&recipe, falling);
    assert_follows(&actual, |weight, gradient, step, [mean, square]| {
        let (lr, count) = (falling(step), step as i32 + 1);
        let weight = weight - lr * 0.05 * weight;
        *mean = 0.9 * *mean + 0.1 * gradient;
        *square = 0.99 * *square + 0.01 * gradient * gradient;
        let mean = *mean / (1.0 - 0.9f64.powi(count));
        let square = *square / (1.0 - 0.99f64.powi(count));
        weight - lr * mean / (square.sqrt() + 1e-8)
    });
}

#[test]
fn a_power_of_two_in_the_gradient_is_taken_out_exactly() {
    for kind in [
        json!({"sgd": {"lr": 1.0, "momentum": 0.9}}),
        json!({"adamw": {"lr": 1.0}}),
    ] {
        let recipe = recipe(kind);
        let parameters = [parameter("weight", start())];
        let mut optimizer = Optimizer::new(&recipe, &parameters);
        for step in 0..STEPS {
            let gradients = gradients_of(&parameters[0], step, 4096.0);
            optimizer
                .step(&parameters, &gradients, falling(step), 1.0 / 4096.0)
                .unwrap();
        }
        assert_eq!(values(&parameters[0]), run(&recipe, falling));
    }
}

#[test]
fn a_restored_state_continues_to_the_bit() {
    for kind in [
        json!({"sgd": {"lr": 1.0}}),
        json!({"sgd": {"lr": 1.0, "momentum": 0.9}}),
        json!({"adamw": {"lr": 1.0}}),
    ] {
        let recipe = recipe(kind);
        for stop in [0, 1, 42] {
            let mut parameters = [parameter("weight", start())];
            let mut optimizer = Optimizer::new(&recipe, &parameters);
            for step in 0..STEPS {
                if step == stop {
                    let state = optimizer.state();
                    parameters = [parameter("weight", values(&parameters[0]))];
                    optimizer = Optimizer::new(&recipe, &parameters);
                    optimizer.load_state(&state).unwrap();
                    assert_eq!(optimizer.state(), state);
                }
                let gradients = gradients_of(&parameters[0], step, 1.0);
                optimizer
                    .step(&parameters, &gradients, falling(step), 1.0)
                    .unwrap();
            }
            assert_eq!(values(&parameters[0]), run(&recipe, falling));
        }
    }
}

#[test]
fn a_foreign_state_is_refused_and_a_missing_gradient_changes_nothing() {
    let recipe = recipe(json!({"sgd": {"lr": 1.0, "momentum": 0.9}}));
    let parameters = [parameter("left", start()), parameter("right", start())];
    let mut optimizer = Optimizer::new(&recipe, &parameters);
    let mut gradients = gradients_of(&parameters[0], 0, 1.0);
    gradients.push(None);
    optimizer.step(&parameters, &gradients, 0.1, 1.0).unwrap();
    assert_eq!(values(&parameters[1]), start());
    let state = optimizer.state();
    assert_eq!(state.steps.keys().collect::<Vec<_>>(), ["left"]);

    let mut other = Optimizer::new(&recipe, &[parameter("left", vec![0.0; 3])]);
    let error = other.load_state(&state).unwrap_err();
    assert!(error.contains("`left.momentum_buffer` has shape"), "{error}");
    let mut other = Optimizer::new(&recipe, &[parameter("up", start())]);
    assert!(other.load_state(&state).is_err());

    let wrong = [Some(Tensor::new(&[1f32], &Device::Cpu).unwrap()), None];
    assert!(optimizer.step(&parameters, &wrong, 0.1, 1.0).is_err());
}

/// Made by `tests/fixtures/optimizers.py`.
#[test]
fn trajectories_are_those_of_pytorch() {
    let fixture: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/optimizers.json")).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let actual = run(&recipe(case["recipe"].clone()), falling);
        for (actual, expected) in actual.iter().zip(case["weights"].as_array().unwrap()) {
            let error = (f64::from(*actual) - expected.as_f64().unwrap()).abs();
            assert!(error < 1e-5, "{}: {actual} is not {expected}", case["recipe"]);
        }
    }
}
