//! ResNet-18 against the values of `tests/fixtures/resnet18.json`.

use serde_json::Value;

use super::*;

/// Numbers in `[-0.5, 0.5)`, as `tests/fixtures/resnet18.py` makes them.
fn noise(stream: u32, count: usize) -> Vec<f64> {
    (0..count as u32)
        .map(|index| {
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
        .collect()
}

fn fill(name: &str, stream: u32, shape: &[usize]) -> Tensor {
    let fan_in: usize = shape[1..].iter().product();
    let value = |noise: f64| {
        if shape.len() > 1 {
            2.0 * noise * (6.0 / fan_in as f64).sqrt()
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            1.0 + 0.4 * noise
        } else {
            0.4 * noise
        }
    };
    let values: Vec<f32> = noise(stream, shape.iter().product())
        .into_iter()
        .map(|noise| value(noise) as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("valid")
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(|value| value.as_f64().expect("a number"))
        .collect()
}

/// Names, logits, loss, every gradient and the running statistics, against torchvision in f64.
#[test]
fn resnet18_agrees_with_torchvision() {
    let cases: Value =
        serde_json::from_str(include_str!("../../../../tests/fixtures/resnet18.json")).expect("valid JSON");
    for case in cases.as_array().expect("a list") {
        let stem: spec::Stem = serde_json::from_value(case["stem"].clone()).expect("a stem");
        let size = |name: &str| case[name].as_u64().expect("a number") as usize;
        let (side, batch) = (size("side"), size("batch"));
        let network = cpu(&resnet18(stem), image(3, side, side), 10);

        let mut state = network.state().expect("readable");
        let names: Vec<&str> = case["names"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(state.keys().collect::<Vec<_>>(), names);
        assert_eq!(names.len(), 122);
        for (stream, (name, tensor)) in (0..).zip(&mut state) {
            if !name.ends_with("num_batches_tracked") {
                *tensor = fill(name, stream, tensor.dims());
            }
        }
        network.load_state(&state).expect("the same shapes");

        let pixels: Vec<f32> = noise(size("images") as u32, batch * 3 * side * side)
            .into_iter()
            .map(|noise| (2.0 * noise) as f32)
            .collect();
        let input = Tensor::from_vec(pixels, (batch, 3, side, side), &Device::Cpu).expect("valid");
        let labels: Vec<u32> = (0..batch as u32).map(|index| index * 3 % 10).collect();
        let evaluated = network
            .forward(&input, &Pass::evaluate(Precision::F32))
            .expect("fits");
        assert_close(&host(&evaluated), &numbers(&case["evaluated"]), 1e-5);

        let logits = network.forward(&input, &TRAIN).expect("fits");
        assert_close(&host(&logits), &numbers(&case["logits"]), 1e-4);
        let label_smoothing = case["label_smoothing"].as_f64().expect("a number");
        let options = Loss::CrossEntropy {
            label_smoothing,
            class_weights: None,
            ignore_index: None,
        };
        let targets = Targets::Classes(&labels);
        let loss = crate::ops::loss(&logits, targets, &options, batch as f64).expect("valid");
        assert_close(&host(&loss), &[case["loss"].as_f64().expect("a number")], 1e-5);

        let mut parameters: Vec<(&str, Vec<f32>)> = network
            .parameters()
            .iter()
            .map(|parameter| parameter.name.as_str())
            .zip(gradients(&network, &loss))
            .collect();
        parameters.sort_by_key(|(name, _)| *name);
        assert_eq!(
            parameters.len(),
            case["gradients"].as_object().expect("a map").len()
        );
        for (stream, (name, gradient)) in (2000..).zip(&parameters) {
            let expected = |what: &str| case["gradients"][*name][what].as_f64().expect("a number");
            let norm = gradient
                .iter()
                .map(|value| f64::from(*value).powi(2))
                .sum::<f64>()
                .sqrt();
            let projection: f64 = noise(stream, gradient.len())
                .iter()
                .zip(gradient)
                .map(|(noise, &value)| noise * f64::from(value))
                .sum();
            assert!(
                (norm - expected("norm")).abs() < 3e-5 * expected("norm"),
                "{name}: {norm}"
            );
            let error = (projection - expected("projection")).abs();
            assert!(
                error < 3e-5 * expected("norm"),
                "{name}: {projection}, off by {error}"
            );
        }
        let after = network.state().expect("readable");
        for (name, expected) in case["statistics"].as_object().expect("a map") {
            let actual = host(&after[name]);
            let expected = numbers(expected);
            assert_close(&actual[..expected.len()], &expected, 1e-4);
        }
    }
}
