//! The ways of weights, beside PyTorch's.

use super::*;
use crate::train::loss_scale::LossScale;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../../tests/fixtures/optimizers.json")).unwrap()
}

/// The three parameters of the fixture.
fn parameters() -> Vec<Parameter> {
    let start = start(14);
    vec![
        parameter("body.weight", start[..7].to_vec()),
        Parameter {
            decays: false,
            ..parameter("body.bias", start[7..10].to_vec())
        },
        parameter("head.weight", start[10..].to_vec()),
    ]
}

fn flat(parameters: &[Parameter]) -> Vec<f32> {
    parameters.iter().flat_map(values).collect()
}

#[track_caller]
fn assert_close(actual: &[f32], expected: &Value, what: &str) {
    let expected = expected.as_array().unwrap();
    assert_eq!(actual.len(), expected.len());
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(*actual) - expected.as_f64().unwrap()).abs();
        assert!(error < 1e-5, "{what}, weight {index}: {actual} is not {expected}");
    }
}

/// Made by `tests/fixtures/optimizers.py`, the gradients once as they are and once times a loss
/// scale, which is taken out again.
#[test]
fn trajectories_are_those_of_pytorch() {
    let fixture = fixture();
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 22);
    for case in cases {
        for in_place in [true, false] {
            for scale in [1.0, 1024.0] {
                follow(case, in_place, scale);
            }
        }
    }
}

fn follow(case: &Value, in_place: bool, scale: f64) {
    let recipe = testing::recipe(case["recipe"].clone());
    let parameters = parameters();
    let settings = parameter_settings(&recipe, &parameters).unwrap();
    let mut optimizer = Optimizer::with_kernels(rule(&recipe.optimizer), &parameters, &settings, in_place);
    let mut ema = recipe.ema.as_ref().map(|ema| Ema::new(ema, &parameters));
    let mut compared = 0;
    for step in 0..STEPS {
        let mut sums = gradients_of(&parameters, step, scale);
        for (sum, settings) in sums.iter_mut().zip(&settings) {
            if settings.frozen {
                *sum = None;
            }
        }
        let gradients = StepGradients::from(sums);
        let unscale = (1.0 / scale) as f32;
        let norm = gradients.norm(unscale, None).unwrap();
        let limits = ClipLimits::new(&recipe.clip, &gradients, unscale, norm).unwrap();
        let (factor, value) = (limits.gradient_factor, limits.clip_value);
        optimizer
            .step(&parameters, gradients.sums(), falling(step), factor, value)
            .unwrap();
        if let Some(ema) = &mut ema {
            ema.update(&parameters).unwrap();
        }
        let shown = &case["shown"][(step + 1).to_string()];
        if shown.is_null() {
            continue;
        }
        compared += 1;
        let what = format!("{}, step {step}", case["recipe"]);
        assert_close(&flat(&parameters), &shown["weights"], &what);
        if let Some(ema) = &mut ema {
            ema.swap(&parameters).unwrap();
            assert_close(&flat(&parameters), &shown["averages"], &what);
            ema.swap(&parameters).unwrap();
        }
    }
    assert_eq!(compared, 5);
}

#[test]
fn loss_scales_are_those_of_pytorch() {
    let mut scale = LossScale::default();
    let fixture = fixture();
    let runs = fixture["scales"].as_array().unwrap();
    assert_eq!(runs.len(), 10);
    for run in runs {
        for _ in 0..run["steps"].as_u64().unwrap() {
            scale.update(run["finite"].as_bool().unwrap()).unwrap();
        }
        assert_eq!(Some(scale.get()), run["scale"].as_f64(), "{run}");
    }
}
