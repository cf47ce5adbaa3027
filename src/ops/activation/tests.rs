use candle_core::{Device, Var};
use serde_json::Value;

use super::*;
use crate::ops::testing::*;

const ALL: [Function; 10] = [
    Function::Relu,
    Function::Relu6,
    Function::LeakyRelu(0.2),
    Function::Gelu,
    Function::GeluTanh,
    Function::Silu,
    Function::Hardswish,
    Function::Hardsigmoid,
    Function::Sigmoid,
    Function::Tanh,
];

/// The definition, in f64.
fn exact(function: Function, x: f64) -> f64 {
    match function {
        Function::Relu => x.max(0.0),
        Function::Relu6 => x.clamp(0.0, 6.0),
        Function::LeakyRelu(slope) => x.max(f64::from(slope) * x),
        Function::Gelu => 0.5 * x * (1.0 + candle_core::cpu::erf::erf_f64(x / 2f64.sqrt())),
        Function::GeluTanh => {
            let cubic = x + 0.044715 * x.powi(3);
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * cubic).tanh())
        }
        Function::Silu => x / (1.0 + (-x).exp()),
        Function::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Function::Hardsigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Tanh => x.tanh(),
    }
}

#[test]
fn gradients_are_the_differences_of_the_definition() {
    // Normal numbers, wide enough to pass the corners at 3.
    let x = Var::from_tensor(&(random(&[5, 7, 9], 1) * 2.5).expect("valid")).expect("valid");
    let weights = host(&random(&[5, 7, 9], 2));
    for function in ALL {
        let define = |x: &[f64]| -> Vec<f64> { x.iter().map(|&x| exact(function, x)).collect() };
        let y = activate(&x, function, Precision::F32).expect("runs");
        assert_eq!(y.dims(), [5, 7, 9]);
        assert_close(&host(&y), &define(&host64(&x)), 1e-7);
        let expected = differences(&host64(&x), |x| weighted(&define(x), &weights));
        assert_close(&gradient_of(&y, &weights, &x), &expected, 3e-7);

        let composed = composing(|| activate(&x, function, Precision::F32)).expect("runs");
        assert_close(&host(&composed), &define(&host64(&x)), 1e-6);
        assert_close(&gradient_of(&composed, &weights, &x), &expected, 2e-6);
    }
}

/// Values, corners and far ends against PyTorch, in f32 and in bf16.
#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let cases: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/activations.json")).expect("valid JSON");
    let numbers = |value: &Value| -> Vec<f64> {
        let values = value.as_array().expect("a list");
        values.iter().map(|x| x.as_f64().expect("a number")).collect()
    };
    let narrow = |values: Vec<f64>| -> Vec<f32> { values.into_iter().map(|x| x as f32).collect() };
    let x = narrow(numbers(&cases["x"]));
    let weights = narrow(numbers(&cases["gradient"]));
    let x = Var::new(x.as_slice(), &Device::Cpu).expect("valid");
    let of = |name: &str, precision| match name {
        "relu" => relu(&x),
        "relu6" => relu6(&x),
        "leaky_relu" => leaky_relu(&x, 0.01, precision),
        "gelu" => gelu(&x, precision),
        "gelu_tanh" => gelu_tanh(&x, precision),
        "silu" => silu(&x, precision),
        "hardswish" => hardswish(&x, precision),
        "hardsigmoid" => hardsigmoid(&x, precision),
        "sigmoid" => sigmoid(&x, precision),
        "tanh" => tanh(&x, precision),
        other => panic!("{other} is not tested"),
    };
    let functions = cases["functions"].as_object().expect("a map");
    assert_eq!(functions.len(), 9);
    for (name, case) in functions {
        let y = of(name, Precision::F32).expect("runs");
        let gradient = gradient_of(&y, &weights, &x);
        let parts = [(host(&y), "f64", "y"), (gradient, "f64", "x")];
        for (actual, format, what) in parts {
            for ((actual, expected), x) in actual.iter().zip(numbers(&case[format][what])).zip(host(&x)) {
                let error = (f64::from(*actual) - expected).abs();
                // PyTorch too derives the gradients of sigmoid and tanh from their rounded values.
                let tolerance = 1.5e-7 * expected.abs() + 2e-7;
                assert!(
                    error <= tolerance,
                    "{name}, {what} at {x}: {actual} instead of {expected}"
                );
            }
        }
        let y = of(name, Precision::Bf16).expect("runs");
        let gradient = gradient_of(&y, &weights, &x);
        let parts = [(host(&y), "y"), (gradient, "x")];
        for (actual, what) in parts {
            for ((actual, expected), x) in actual.iter().zip(numbers(&case["bf16"][what])).zip(host(&x)) {
                // Half a unit in the last place: PyTorch's f32 may lie on the other side of a tie.
                let error = (f64::from(*actual) - expected).abs();
                let tolerance = expected.abs() / 128.0 + 1e-6;
                assert!(
                    error <= tolerance,
                    "bf16 {name}, {what} at {x}: {actual} instead of {expected}"
                );
                assert_eq!(actual.to_bits() & 0xffff, 0, "{name} at {x}: {actual} is no bf16");
            }
        }
    }
}

#[test]
fn relu_at_and_around_zero() {
    let x = [-1.0f32, -0.0, 0.0, 1e-30, 2.0, f32::NAN, f32::NEG_INFINITY];
    let x = Var::new(&x, &Device::Cpu).expect("valid");
    let y = relu(&x).expect("runs");
    let values = host(&y);
    assert_eq!(values[..5], [0.0, 0.0, 0.0, 1e-30, 2.0]);
    assert!(values[5].is_nan() && values[6] == 0.0);
    let gradient = gradient_of(&y, &[3.0; 7], &x);
    assert_eq!(gradient, [0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 0.0]);
}

#[test]
fn far_ends_are_finite_and_nan_stays() {
    let x = Var::new(
        &[1e30f32, -1e30, f32::MAX, f32::MIN, -200.0, f32::NAN],
        &Device::Cpu,
    )
    .expect("valid");
    for function in ALL {
        let y = activate(&x, function, Precision::F32).expect("runs");
        let composed = composing(|| activate(&x, function, Precision::F32)).expect("runs");
        for y in [&y, &composed] {
            let values = host(y);
            assert!(
                values[..2].iter().all(|y| y.is_finite()),
                "{function:?}: {values:?}"
            );
            assert!(values[5].is_nan(), "{function:?}: {values:?}");
        }
        for y in [&y, &composed] {
            let gradient = gradient_of(y, &[1.0; 6], &x);
            assert!(
                gradient[..5].iter().all(|gradient| gradient.is_finite()),
                "{function:?}: {gradient:?}"
            );
        }
    }
}

#[test]
fn composition_agrees_and_threads_do_not_matter() {
    let x = random_var(&[40, 33, 31], 1);
    let weights = host(&random(&[40, 33, 31], 2));
    for function in ALL {
        for precision in [Precision::F32, Precision::F16] {
            let run = || {
                let y = activate(&x, function, precision).expect("runs");
                (host(&y), gradient_of(&y, &weights, &x))
            };
            let (y, gradient) = same_for_any_number_of_threads(run);
            let wide = |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
            let composed = composing(|| activate(&x, function, precision)).expect("runs");
            let tolerance = if precision == Precision::F32 { 1e-6 } else { 1e-3 };
            assert_close(&y, &wide(host(&composed)), tolerance);
            assert_close(&gradient, &wide(gradient_of(&composed, &weights, &x)), tolerance);
        }
    }
    let y = relu(&x).expect("runs");
    let composed = composing(|| relu(&x)).expect("runs");
    assert_eq!(host(&y), host(&composed));
    assert_eq!(
        gradient_of(&y, &weights, &x),
        gradient_of(&composed, &weights, &x)
    );
}
