//! Architectures against the values of `tests/fixtures/{architectures,vit,sequential}.json`.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::ops::testing::without_winograd;

/// Numbers in `[-0.5, 0.5)`, as `tests/fixtures/architectures.py` makes them.
pub(super) fn noise(stream: u32, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u32).map(move |index| {
        let mut hash = index
            .wrapping_mul(0x9E37_79B1)
            .wrapping_add(stream.wrapping_mul(0x85EB_CA77));
        for (shift, factor) in [(15, 0x2C1B_3C6D), (12, 0x297A_2D39)] {
            hash ^= hash >> shift;
            hash = hash.wrapping_mul(factor);
        }
        hash ^= hash >> 15;
        f64::from(hash) / 2f64.powi(32) - 0.5
    })
}

pub(super) fn fill(name: &str, stream: u32, shape: &[usize]) -> Tensor {
    let fan_in: usize = shape[1..].iter().product();
    let bound = 2.0 * (6.0 / fan_in as f64).sqrt();
    let near_one = name.ends_with("running_var") || name.ends_with("weight");
    let values: Vec<f32> = noise(stream, shape.iter().product())
        .map(|noise| match (shape.len() > 1, near_one) {
            (true, _) => (bound * noise) as f32,
            (false, true) if name.ends_with("bn3.weight") => (0.1 * (1.0 + 0.4 * noise)) as f32,
            (false, true) => (1.0 + 0.4 * noise) as f32,
            (false, false) => (0.4 * noise) as f32,
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("valid")
}

pub(super) fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|value| value.as_f64().expect("a number"))
        .collect()
}

pub(super) fn norm_and_projection(values: &[f32], stream: u32) -> (f64, f64) {
    let norm = values
        .iter()
        .map(|value| f64::from(*value).powi(2))
        .sum::<f64>()
        .sqrt();
    let projection = noise(stream, values.len())
        .zip(values)
        .map(|(noise, &value)| noise * f64::from(value))
        .sum();
    (norm, projection)
}

/// Names and shapes, logits, loss, every gradient and all running statistics, against f64.
fn agrees_with_pytorch(architecture: &str) {
    let files = [
        include_str!("../../../../tests/fixtures/architectures.json"),
        include_str!("../../../../tests/fixtures/vit.json"),
        include_str!("../../../../tests/fixtures/sequential.json"),
    ];
    let cases: Vec<Value> = files
        .iter()
        .flat_map(|file| serde_json::from_str::<Vec<Value>>(file).expect("a list"))
        .filter(|case| case["model"].get(architecture).is_some())
        .collect();
    assert!(!cases.is_empty(), "{architecture} has a case");
    for case in &cases {
        // The samples keep clear of kinks by what direct sums round; the transforms round more.
        let _direct = without_winograd();
        let number = |name: &str| case[name].as_f64().expect("a number");
        let model: Model = serde_json::from_value(case["model"].clone()).expect("a model");
        let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).expect("a shape");
        let input = match shape[1..] {
            [columns] => InputShape::Features { columns },
            [channels, height, width] => image(channels, height, width),
            _ => panic!("samples of shape {shape:?}"),
        };
        let network = cpu(&model, input, 10);

        // What `load_state_dict(strict=True)` would compare.
        let mut state = network.state().expect("readable");
        let mut digest = Sha256::new();
        for (name, tensor) in &state {
            digest.update(format!("{name} {:?}\n", tensor.dims()));
        }
        let digest: String = digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(state.len() as f64, number("tensors"));
        assert_eq!(
            Some(digest.as_str()),
            case["digest"].as_str(),
            "{:?}",
            state.keys()
        );
        for (stream, (name, tensor)) in (0..).zip(&mut state) {
            if !name.ends_with("num_batches_tracked") {
                *tensor = fill(name, stream, tensor.dims());
            }
        }
        network.load_state(&state).expect("the same shapes");

        let samples: Vec<f32> = noise(number("samples") as u32, shape.iter().product())
            .map(|noise| (2.0 * noise) as f32)
            .collect();
        let samples = Tensor::from_vec(samples, shape.as_slice(), &Device::Cpu).expect("valid");
        let labels: Vec<u32> = (0..shape[0] as u32).map(|index| index * 3 % 10).collect();
        let evaluated = network
            .forward(&samples, &Pass::evaluate(Precision::F32))
            .expect("fits");
        assert_close(&host(&evaluated), &numbers(&case["evaluated"]), 1e-4);
        let logits = learn(&network, &samples, &TRAIN);
        assert_close(&host(&logits), &numbers(&case["logits"]), 1e-4);
        let loss = mean_cross_entropy(&logits, &labels, number("label_smoothing"));
        assert_close(&host(&loss), &[number("loss")], 1e-5);

        // PyTorch's f32 may be off by less than sums in one long chain, as those of the register tiles.
        let tolerance = number("tolerance").max(5e-5);
        let mut parameters: Vec<(&str, Vec<f32>)> = network
            .parameters()
            .iter()
            .map(|parameter| parameter.name.as_str())
            .zip(gradients(&network, &loss))
            .collect();
        parameters.sort_by_key(|(name, _)| *name);
        let expected = case["gradients"].as_array().expect("a list");
        let expected: Vec<Vec<f64>> = expected.iter().map(numbers).collect();
        assert_eq!(parameters.len(), expected.len());
        let total = expected.iter().map(|of| of[0] * of[0]).sum::<f64>().sqrt();
        for (stream, ((name, gradient), expected)) in (2000..).zip(parameters.iter().zip(expected)) {
            let (norm, projection) = norm_and_projection(gradient, stream);
            // A shift that the next batch norm takes out again has no gradient, but for rounding.
            let scale = if expected[0] > 1e-9 * total {
                expected[0]
            } else {
                total
            };
            let errors = [norm - expected[0], projection - expected[1]].map(|error| error / scale);
            assert!(
                errors.iter().all(|error| error.abs() < tolerance),
                "{model:?}: {name}: norm {norm}, projection {projection}, off by {errors:?}"
            );
        }

        if let Some(expected) = case.get("bf16") {
            let pass = Pass {
                precision: Precision::Bf16,
                ..TRAIN
            };
            let logits = network.forward(&samples, &pass).expect("fits");
            assert_close(&host(&logits), &numbers(expected), 0.02);
        }

        let after = network.state().expect("readable");
        let statistics = after.iter().filter(|(name, _)| name.contains("running_"));
        let expected = numbers(&case["statistics"]);
        assert_eq!(statistics.clone().count(), expected.len());
        for (stream, ((name, actual), expected)) in (4000..).zip(statistics.zip(expected)) {
            let (norm, projection) = norm_and_projection(&host(actual), stream);
            let error = (projection - expected).abs();
            assert!(error < 1e-5 * norm, "{name}: {projection}, off by {error}");
        }
    }
}

#[test]
fn vit() {
    agrees_with_pytorch("vit");
}

#[test]
fn sequential() {
    agrees_with_pytorch("sequential");
}

#[test]
fn mlp() {
    agrees_with_pytorch("mlp");
}

#[test]
fn conv_net() {
    agrees_with_pytorch("conv_net");
}

#[test]
fn resnet18() {
    agrees_with_pytorch("resnet18");
}

#[test]
fn resnet34() {
    agrees_with_pytorch("resnet34");
}

#[test]
fn resnet50() {
    agrees_with_pytorch("resnet50");
}

#[test]
fn resnet101() {
    agrees_with_pytorch("resnet101");
}

#[test]
fn wide_resnet() {
    agrees_with_pytorch("wide_resnet");
}

#[test]
fn efficientnet_b0() {
    agrees_with_pytorch("efficientnet_b0");
}

#[test]
fn mobilenet_v3_small() {
    agrees_with_pytorch("mobilenet_v3_small");
}
