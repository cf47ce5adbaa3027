//! U-Nets against the values of `tests/fixtures/unet.json`.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::torchvision::{fill, noise, norm_and_projection, numbers};
use super::*;
use crate::ops::testing::without_winograd;
use crate::ops::{flatten, loss as loss_of, loss_weight};

fn unet(options: Value) -> Model {
    serde_json::from_value(json!({"unet": options})).expect("valid")
}

/// The mean over the pixels that count, of outputs `[N, H, W, classes]`.
fn pixel_loss(outputs: &Tensor, labels: &[u32]) -> Tensor {
    let function = LossFunction::CrossEntropy {
        label_smoothing: 0.0,
        class_weights: None,
        ignore_index: Some(255),
    };
    let rows = flatten(outputs, 0, 2).expect("images");
    let targets = LossTargets::Classes(labels);
    let divisor = loss_weight(targets, &function, rows.dims()[1]);
    loss_of(&rows, targets, &function, divisor).expect("fits")
}

#[test]
fn names_logits_loss_gradients_and_statistics_are_pytorchs() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("../../../../tests/fixtures/unet.json")).expect("a list");
    for case in &cases {
        let _direct = without_winograd();
        let model: Model = serde_json::from_value(case["model"].clone()).expect("a model");
        let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).expect("a shape");
        let labels: Vec<u32> = serde_json::from_value(case["labels"].clone()).expect("labels");
        let number = |name: &str| case[name].as_f64().expect("a number");
        let network = cpu(
            &model,
            image(shape[1], shape[2], shape[3]),
            number("classes") as usize,
        );

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
        let evaluated = network
            .forward(&samples, &Pass::evaluate(Precision::F32))
            .expect("fits");
        assert_eq!(evaluated.dims()[..3], [shape[0], shape[2], shape[3]]);
        assert_close(&host(&evaluated), &numbers(&case["evaluated"]), 1e-4);
        let prepared = network
            .prepared(Precision::F32)
            .expect("recorded")
            .expect("on the CPU");
        let again = network.forward_prepared(&prepared, &samples).expect("fits");
        assert_eq!(again, host(&evaluated), "prepared");

        let logits = learn(&network, &samples, &TRAIN);
        assert_close(&host(&logits), &numbers(&case["logits"]), 1e-4);
        let loss = pixel_loss(&logits, &labels);
        assert_close(&host(&loss), &[number("loss")], 1e-5);
        let mut parameters: Vec<(&str, Vec<f32>)> = network
            .parameters()
            .iter()
            .map(|parameter| parameter.name.as_str())
            .zip(gradients(&network, &loss))
            .collect();
        parameters.sort_by_key(|(name, _)| *name);
        let expected = case["gradients"].as_array().expect("a list");
        assert_eq!(parameters.len(), expected.len());
        for (stream, ((name, gradient), expected)) in (2000..).zip(parameters.iter().zip(expected)) {
            let (norm, projection) = norm_and_projection(gradient, stream);
            let expected = numbers(expected);
            let errors = [norm - expected[0], projection - expected[1]].map(|error| error / expected[0]);
            assert!(
                errors.iter().all(|error| error.abs() < 1e-4),
                "{name}: norm {norm}, projection {projection}, off by {errors:?}"
            );
        }
        let after = network.state().expect("readable");
        let statistics = after.iter().filter(|(name, _)| name.contains("running_"));
        for (stream, ((name, actual), expected)) in (4000..).zip(statistics.zip(numbers(&case["statistics"])))
        {
            let (norm, projection) = norm_and_projection(&host(actual), stream);
            let error = (projection - expected).abs();
            assert!(error < 1e-5 * norm, "{name}: {projection}, off by {error}");
        }
    }
}

#[test]
fn the_usual_size_is_that_of_the_reference() {
    let network = cpu(&unet(json!({})), image(1, 32, 32), 11);
    let sizes = network.parameters().iter();
    let sizes = sizes.map(|parameter| parameter.var.elem_count());
    assert_eq!(sizes.sum::<usize>(), 487_883);
    // PyTorch's default: uniform within one over the root of the fan-in.
    let weight = host(&network.state().expect("readable")["down.1.conv2.weight"]);
    let bound = 1.0 / (9.0f32 * 32.0).sqrt();
    let largest = weight
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert!(largest <= bound && largest > 0.99 * bound, "{largest} {bound}");
}

#[test]
fn threads_do_not_matter() {
    let input = random(&[3, 1, 21, 18], 1);
    let labels: Vec<u32> = (0..3 * 21 * 18)
        .map(|pixel| if pixel % 7 == 0 { 255 } else { pixel % 4 })
        .collect();
    for precision in [Precision::F32, Precision::Bf16] {
        same_for_any_number_of_threads(|| {
            let network = cpu(&unet(json!({"width": 4, "depth": 2})), image(1, 21, 18), 4);
            let logits = learn(&network, &input, &Pass { precision, ..TRAIN });
            let loss = pixel_loss(&logits, &labels);
            (host(&loss), gradients(&network, &loss))
        });
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let told = |input| {
        check(&unet(json!({"depth": 4})), input, 3)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        told(image(1, 15, 64)),
        "unet needs images that are still there when they are halved `depth` times, but the dataset has samples of 1x15x64; use another \
         model"
    );
    assert!(told(InputShape::Features { columns: 64 }).starts_with("unet needs images"));
    check(&unet(json!({"depth": 4})), image(3, 16, 17), 3).expect("fits");
}
