use candle_core::{Device, Tensor, Var};
use serde_json::{Value, json};

use super::kernel::CHUNK;
use super::*;
use crate::ops::testing::same_for_any_number_of_threads;
use crate::spec;
use crate::train::ema::Ema;
use crate::train::gradients::{ClipLimits, StepGradients};
use crate::train::testing;

mod pytorch;

/// Longer than a chunk, so that several threads share a parameter.
const LENGTH: usize = CHUNK + 300;
const STEPS: usize = 100;
const PLAIN: ParameterSettings = ParameterSettings {
    frozen: false,
    lr_factor: 1.0,
    weight_decay: 0.0,
};

fn recipe(value: Value) -> spec::Optimizer {
    serde_json::from_value(value).unwrap()
}

/// One of each kind, with whatever it can do.
fn kinds() -> Vec<spec::Optimizer> {
    [
        json!({"sgd": {"lr": 1.0}}),
        json!({"sgd": {"lr": 1.0, "momentum": 0.9, "weight_decay": 5e-4}}),
        json!({"sgd": {"lr": 1.0, "momentum": 0.9, "nesterov": true}}),
        json!({"sgd": {"lr": 1.0, "momentum": 0.9, "dampening": 0.5}}),
        json!({"adam": {"lr": 1.0, "weight_decay": 0.1}}),
        json!({"adamw": {"lr": 1.0}}),
        json!({"lion": {"lr": 1.0, "weight_decay": 0.1}}),
    ]
    .map(recipe)
    .to_vec()
}

fn start(length: usize) -> Vec<f32> {
    (0..length).map(|i| ((i % 17) as f32 - 8.0) / 5.0).collect()
}

/// The gradient of a quadratic bowl with a different curvature and centre for each weight, with a
/// term that changes from step to step.
fn gradient(weight: f64, index: usize, step: usize) -> f64 {
    let curvature = 0.5 + (index % 7) as f64 / 3.0;
    curvature * (weight - (index % 5) as f64 / 4.0) + ((step * 31 + index) % 11) as f64 / 50.0
}

fn falling(step: usize) -> f64 {
    0.05 / (1.0 + step as f64 / 40.0)
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

/// The gradients of some parameters, counted on from one to the next.
fn gradients_of(parameters: &[Parameter], step: usize, scale: f64) -> Vec<Option<Tensor>> {
    let mut index = 0;
    let mut of = |parameter: &Parameter| {
        let gradient = values(parameter).into_iter().map(|weight| {
            index += 1;
            (gradient(f64::from(weight), index - 1, step) * scale) as f32
        });
        let gradient: Vec<f32> = gradient.collect();
        Some(Tensor::new(gradient, &Device::Cpu).unwrap())
    };
    parameters.iter().map(&mut of).collect()
}

fn rule(recipe: &spec::Optimizer) -> Box<dyn UpdateRule> {
    Optimizers::built_in().rule(recipe).unwrap()
}

fn optimizer(recipe: &spec::Optimizer, parameters: &[Parameter]) -> Optimizer {
    let settings = ParameterSettings {
        weight_decay: recipe.weight_decay(),
        ..PLAIN
    };
    Optimizer::new(rule(recipe), parameters, &vec![settings; parameters.len()])
}

fn run(recipe: &spec::Optimizer, length: usize) -> Vec<f32> {
    let parameters = [parameter("weight", start(length))];
    let mut optimizer = optimizer(recipe, &parameters);
    for step in 0..STEPS {
        let gradients = gradients_of(&parameters, step, 1.0);
        optimizer
            .step(&parameters, &gradients, falling(step), 1.0, None)
            .unwrap();
    }
    values(&parameters[0])
}

#[test]
fn threads_and_chunks_do_not_matter() {
    for recipe in kinds() {
        let long = same_for_any_number_of_threads(|| run(&recipe, LENGTH));
        assert_eq!(long[..50], run(&recipe, 50), "{recipe:?}");
    }
}

/// What runs on other devices.
#[test]
fn tensor_operations_agree_with_the_kernels() {
    for recipe in kinds() {
        let settings = [ParameterSettings {
            weight_decay: recipe.weight_decay(),
            lr_factor: 0.7,
            ..PLAIN
        }];
        let run = |in_place| {
            let parameters = [parameter("weight", start(60))];
            let mut optimizer = Optimizer::with_kernels(rule(&recipe), &parameters, &settings, in_place);
            for step in 0..STEPS {
                if step == 40 {
                    let state = optimizer.state().unwrap();
                    optimizer = Optimizer::with_kernels(rule(&recipe), &parameters, &settings, in_place);
                    optimizer.load_state(&state).unwrap();
                    assert_eq!(optimizer.state().unwrap(), state);
                }
                let gradients = gradients_of(&parameters, step, 8.0);
                optimizer
                    .step(&parameters, &gradients, falling(step), 0.125, Some(0.6))
                    .unwrap();
            }
            let state = optimizer.state().unwrap();
            let buffers = state.buffers.values().flat_map(|buffer| buffer.to_f32().unwrap());
            (values(&parameters[0]), buffers.collect::<Vec<f32>>())
        };
        let ((kernel, buffers), (tensors, tensor_buffers)) = (run(true), run(false));
        for (one, other) in kernel
            .iter()
            .zip(&tensors)
            .chain(buffers.iter().zip(&tensor_buffers))
        {
            assert!((one - other).abs() < 1e-6, "{recipe:?}: {one} is not {other}");
        }
        assert_eq!(
            (kernel.len(), buffers.len()),
            (tensors.len(), tensor_buffers.len())
        );
    }
}

#[test]
fn a_power_of_two_in_the_gradient_is_taken_out_exactly() {
    for recipe in kinds() {
        let parameters = [parameter("weight", start(60))];
        let mut optimizer = optimizer(&recipe, &parameters);
        for step in 0..STEPS {
            let gradients = gradients_of(&parameters, step, 4096.0);
            optimizer
                .step(&parameters, &gradients, falling(step), 1.0 / 4096.0, None)
                .unwrap();
        }
        assert_eq!(values(&parameters[0]), run(&recipe, 60));
    }
}

#[test]
fn a_restored_state_continues_to_the_bit() {
    for recipe in kinds() {
        let whole = run(&recipe, 60);
        for stop in [0, 1, 42] {
            let mut parameters = [parameter("weight", start(60))];
            let mut optimizer = optimizer(&recipe, &parameters);
            for step in 0..STEPS {
                if step == stop {
                    let state = optimizer.state().unwrap();
                    parameters = [parameter("weight", values(&parameters[0]))];
                    optimizer = self::optimizer(&recipe, &parameters);
                    optimizer.load_state(&state).unwrap();
                    assert_eq!(optimizer.state().unwrap(), state);
                }
                let gradients = gradients_of(&parameters, step, 1.0);
                optimizer
                    .step(&parameters, &gradients, falling(step), 1.0, None)
                    .unwrap();
            }
            assert_eq!(values(&parameters[0]), whole);
        }
    }
}

#[test]
fn what_is_not_finite_shows_in_the_weights() {
    for recipe in kinds() {
        for in_place in [true, false] {
            let parameters = [parameter("weight", vec![1.0])];
            let settings = [PLAIN];
            let mut optimizer = Optimizer::with_kernels(rule(&recipe), &parameters, &settings, in_place);
            let gradients = [Some(Tensor::new(&[f32::NAN], &Device::Cpu).unwrap())];
            optimizer
                .step(&parameters, &gradients, 0.1, 1.0, Some(1.0))
                .unwrap();
            assert!(values(&parameters[0])[0].is_nan(), "{recipe:?}");
        }
    }
}

#[test]
fn frozen_parameters_and_those_without_a_gradient_stay() {
    let recipe = recipe(json!({"sgd": {"lr": 1.0, "momentum": 0.9}}));
    let names = ["left", "right", "frozen"];
    let parameters = names.map(|name| parameter(name, start(60)));
    let frozen = ParameterSettings {
        frozen: true,
        ..PLAIN
    };
    let mut optimizer = Optimizer::new(rule(&recipe), &parameters, &[PLAIN, PLAIN, frozen]);
    let mut gradients = gradients_of(&parameters, 0, 1.0);
    gradients[1] = None;
    optimizer.step(&parameters, &gradients, 0.1, 1.0, None).unwrap();
    assert_ne!(values(&parameters[0]), start(60));
    assert_eq!(values(&parameters[1]), start(60));
    assert_eq!(values(&parameters[2]), start(60));
    let state = optimizer.state().unwrap();
    assert_eq!(state.steps.keys().collect::<Vec<_>>(), ["left"]);
}

#[test]
fn a_foreign_state_is_refused() {
    let recipe = recipe(json!({"sgd": {"lr": 1.0, "momentum": 0.9}}));
    let parameters = [parameter("left", start(60))];
    let mut optimizer = optimizer(&recipe, &parameters);
    let gradients = gradients_of(&parameters, 0, 1.0);
    optimizer.step(&parameters, &gradients, 0.1, 1.0, None).unwrap();
    let state = optimizer.state().unwrap();
    let refused = |name: &str, length: usize| {
        let parameters = [parameter(name, vec![0.0; length])];
        self::optimizer(&recipe, &parameters)
            .load_state(&state)
            .unwrap_err()
    };
    let error = refused("left", 3);
    assert!(
        error.contains("`left.momentum_buffer` has shape [60], but [3]"),
        "{error}"
    );
    let error = refused("up", 60);
    assert!(error.contains("has 1 buffers, but 0 are expected"), "{error}");

    let wrong = [Some(Tensor::new(&[1f32], &Device::Cpu).unwrap())];
    assert!(optimizer.step(&parameters, &wrong, 0.1, 1.0, None).is_err());
    // A step that failed counts for nothing.
    assert_eq!(optimizer.state().unwrap(), state);
}
