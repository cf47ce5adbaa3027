use std::collections::BTreeMap;
use std::num::NonZeroU32;

use candle_core::DType;

use super::*;
use crate::models::{Models, build};
use crate::ops::testing::{assert_close, host, random, same_for_any_number_of_threads};
use crate::ops::{LossFunction, LossTargets};
use crate::spec::{self, Model};

mod checkpointing;
mod draws;
pub(crate) mod graph;
mod low_rank;
mod sequential;
mod text;
mod torchvision;
mod transfer;
mod unet;
mod vit;

const TRAIN: Pass<'static> = Pass {
    train: true,
    precision: Precision::F32,
    seed: 5,
    epoch: 0,
    samples: &[],
    sequences: None,
};

fn widths(widths: &[u32]) -> Vec<NonZeroU32> {
    widths
        .iter()
        .filter_map(|&width| NonZeroU32::new(width))
        .collect()
}

fn mlp(hidden: &[u32], dropout: f64) -> Model {
    let dropout = spec::BelowOne::new(dropout).expect("in range");
    Model::from(spec::MlpOptions {
        hidden: widths(hidden),
        dropout,
    })
}

fn conv_net(channels: &[u32], dropout: f64) -> Model {
    let dropout = spec::BelowOne::new(dropout).expect("in range");
    Model::from(spec::ConvNetOptions {
        channels: widths(channels),
        dropout,
    })
}

fn resnet18(stem: spec::Stem) -> Model {
    Model::from(spec::ResNet18Options(spec::ResNetOptions { stem }))
}

fn efficientnet(dropout: f64, stochastic_depth: f64) -> Model {
    let probability = |value| spec::BelowOne::new(value).expect("in range");
    Model::from(spec::EfficientNetOptions {
        dropout: probability(dropout),
        stochastic_depth: probability(stochastic_depth),
    })
}

fn mobilenet(dropout: f64) -> Model {
    let dropout = spec::BelowOne::new(dropout).expect("in range");
    Model::from(spec::MobileNetOptions { dropout })
}

fn wide_resnet(factor: u32) -> Model {
    Model::from(spec::WideResNetOptions {
        depth: spec::WideDepth::D50,
        factor: NonZeroU32::new(factor).expect("positive"),
        stem: spec::Stem::Cifar,
    })
}

fn image(channels: usize, height: usize, width: usize) -> InputShape {
    InputShape::Image {
        channels,
        height,
        width,
    }
}

fn check(model: &Model, input: InputShape, outputs: usize) -> Result<(), ModelError> {
    Models::built_in().check(model, input, outputs)
}

fn cpu(model: &Model, input: InputShape, outputs: usize) -> Network {
    build(model, input, outputs, 11, &Device::Cpu).expect("fits")
}

fn loss(network: &Network, input: &Tensor, labels: &[u32], pass: &Pass) -> Tensor {
    mean_cross_entropy(&learn(network, input, pass), labels, 0.1)
}

/// The outputs in training of samples that `pass` names, or the split's first where it names none.
fn learn(network: &Network, input: &Tensor, pass: &Pass) -> Tensor {
    let first: Vec<u32> = (0..input.dims()[0] as u32).collect();
    let samples = if pass.samples.is_empty() {
        &first
    } else {
        pass.samples
    };
    network.forward(input, &Pass { samples, ..*pass }).expect("fits")
}

fn mean_cross_entropy(logits: &Tensor, labels: &[u32], label_smoothing: f64) -> Tensor {
    let options = LossFunction::CrossEntropy {
        label_smoothing,
        class_weights: None,
        ignore_index: None,
    };
    let targets = LossTargets::Classes(labels);
    crate::ops::loss(logits, targets, &options, labels.len() as f64).expect("valid labels")
}

/// Gradients by parameter, in definition order.
fn gradients(network: &Network, loss: &Tensor) -> Vec<Vec<f32>> {
    let gradients = loss.backward().expect("differentiable");
    let of = |parameter: &Parameter| {
        let gradient = gradients
            .get(&parameter.var)
            .unwrap_or_else(|| panic!("{} has none", parameter.name));
        assert_eq!(gradient.dims(), parameter.var.dims(), "{}", parameter.name);
        host(gradient)
    };
    network.parameters().iter().map(of).collect()
}

#[test]
fn names_and_shapes_are_those_of_pytorch() {
    let names = |model: &Model, input| -> Vec<(String, Vec<usize>)> {
        let network = cpu(model, input, 3);
        let shape = |parameter: &Parameter| (parameter.name.clone(), parameter.var.dims().to_vec());
        network.parameters().iter().map(shape).collect()
    };
    let expected = |list: &[(&str, &[usize])]| -> Vec<(String, Vec<usize>)> {
        list.iter()
            .map(|(name, shape)| (name.to_string(), shape.to_vec()))
            .collect()
    };
    assert_eq!(
        names(&mlp(&[7, 5], 0.0), image(2, 3, 2)),
        expected(&[
            ("0.weight", &[7, 12]),
            ("0.bias", &[7]),
            ("3.weight", &[5, 7]),
            ("3.bias", &[5]),
            ("6.weight", &[3, 5]),
            ("6.bias", &[3]),
        ])
    );
    assert_eq!(
        names(&conv_net(&[4, 6], 0.0), image(2, 8, 8)),
        expected(&[
            ("blocks.0.conv.weight", &[4, 2, 3, 3]),
            ("blocks.0.norm.weight", &[4]),
            ("blocks.0.norm.bias", &[4]),
            ("blocks.1.conv.weight", &[6, 4, 3, 3]),
            ("blocks.1.norm.weight", &[6]),
            ("blocks.1.norm.bias", &[6]),
            ("head.weight", &[3, 6]),
            ("head.bias", &[3]),
        ])
    );
}

#[test]
fn only_weights_of_more_than_one_dimension_decay() {
    let network = cpu(&conv_net(&[4], 0.0), image(1, 4, 4), 2);
    let decays: Vec<bool> = network
        .parameters()
        .iter()
        .map(|parameter| parameter.decays)
        .collect();
    assert_eq!(decays, [true, false, false, true, false]);
}

#[test]
fn gradients_of_whole_networks_are_the_differences_of_the_loss() {
    let networks = [
        (mlp(&[6, 5], 0.3), InputShape::Features { columns: 4 }, vec![6, 4]),
        (conv_net(&[3, 4], 0.2), image(2, 6, 5), vec![6, 2, 6, 5]),
    ];
    for (model, shape, dims) in networks {
        gradients_are_differences(&cpu(&model, shape, 3), &random(&dims, 1), &[0, 1, 2, 0, 1, 2]);
    }
}

/// Compares the gradient of each parameter with differences of the loss along it.
fn gradients_are_differences(network: &Network, input: &Tensor, labels: &[u32]) {
    let value = || f64::from(host(&loss(network, input, labels, &TRAIN))[0]);
    let gradients = gradients(network, &loss(network, input, labels, &TRAIN));
    // In f32 a single difference is too noisy; along the gradient, all parts add up.
    for (parameter, gradient) in network.parameters().iter().zip(gradients) {
        let norm = gradient
            .iter()
            .map(|value| f64::from(*value).powi(2))
            .sum::<f64>()
            .sqrt();
        assert!(norm > 1e-3, "{}: {norm}", parameter.name);
        let centre = parameter.var.as_tensor().copy().expect("readable");
        let direction = Tensor::new(gradient.as_slice(), &Device::Cpu)
            .and_then(|direction| direction.reshape(centre.shape()))
            .expect("the parameter's shape");
        let at = |step: f64| {
            let moved = direction
                .affine(step / norm, 0.0)
                .and_then(|change| &centre + change);
            parameter
                .var
                .set(&moved.expect("equal shapes"))
                .expect("settable");
            value()
        };
        let step = 2e-3;
        let slope = (at(step) - at(-step)) / (2.0 * step);
        parameter.var.set(&centre).expect("settable");
        assert!(
            (slope - norm).abs() < 0.02 * norm + 2e-4,
            "{}: {slope} {norm}",
            parameter.name
        );
    }
}

#[test]
fn a_small_network_learns_in_every_precision() {
    // Two classes: bright in the upper or in the lower half.
    let noise = host(&random(&[32, 1, 8, 8], 3));
    let labels: Vec<u32> = (0..32).map(|index| index % 2).collect();
    let pixel = |(index, noise): (usize, &f32)| {
        let (sample, row) = (index / 64, index / 8 % 8);
        0.5 * noise + if (row < 4) == (sample % 2 == 0) { 1.0 } else { 0.0 }
    };
    let pixels: Vec<f32> = noise.iter().enumerate().map(pixel).collect();
    let input = Tensor::from_vec(pixels, (32, 1, 8, 8), &Device::Cpu).expect("valid");
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let network = cpu(&conv_net(&[8, 8], 0.1), image(1, 8, 8), 2);
        let mut losses = Vec::new();
        for step in 0..15 {
            let loss = loss(
                &network,
                &input,
                &labels,
                &Pass {
                    precision,
                    epoch: step,
                    ..TRAIN
                },
            );
            losses.push(host(&loss)[0]);
            let gradients = loss.backward().expect("differentiable");
            for Parameter { var, .. } in network.parameters() {
                let gradient = gradients.get(var).expect("every parameter is reached");
                let next = (var.as_tensor() - (gradient * 0.2).expect("valid")).expect("equal shapes");
                var.set(&next).expect("settable");
            }
        }
        // Label smoothing of 0.1 over two classes leaves a loss of 0.2.
        assert!(
            losses[14] < 0.4 && losses[14] < 0.7 * losses[0],
            "{precision:?}: {losses:?}"
        );
        let evaluated = network.forward(&input, &Pass::evaluate(precision)).expect("fits");
        let right = host(&evaluated)
            .chunks_exact(2)
            .zip(&labels)
            .filter(|(logits, label)| (logits[1] > logits[0]) == (**label == 1))
            .count();
        assert!(right >= 28, "{precision:?}: {right} of 32");
    }
}

#[test]
fn threads_do_not_matter() {
    let input = random(&[9, 3, 10, 10], 1);
    let labels: Vec<u32> = (0..9).map(|index| index % 4).collect();
    let start = cpu(&conv_net(&[8, 16], 0.5), image(3, 10, 10), 4)
        .state()
        .expect("readable");
    same_for_any_number_of_threads(|| {
        let network = cpu(&conv_net(&[8, 16], 0.5), image(3, 10, 10), 4);
        network.load_state(&start).expect("fits");
        let loss = loss(&network, &input, &labels, &TRAIN);
        let state = network.state().expect("readable");
        let running = host(&state["blocks.1.norm.running_var"]);
        (host(&loss), gradients(&network, &loss), running)
    });
}

#[test]
fn evaluation_keeps_no_graph_and_changes_nothing() {
    let network = cpu(&conv_net(&[4], 0.5), image(1, 4, 4), 2);
    let input = random(&[3, 1, 4, 4], 1);
    let evaluate = || {
        network
            .forward(&input, &Pass::evaluate(Precision::F32))
            .expect("fits")
    };
    let logits = evaluate();
    assert!(!logits.track_op());
    assert_eq!(host(&logits), host(&evaluate()));
    assert_eq!(
        host(&network.state().expect("readable")["blocks.0.norm.running_mean"]),
        [0.0; 4]
    );

    let logits = learn(&network, &input, &TRAIN);
    assert!(logits.track_op());
    let state = network.state().expect("readable");
    assert_ne!(host(&state["blocks.0.norm.running_mean"]), [0.0; 4]);
    assert_eq!(
        state["blocks.0.norm.num_batches_tracked"]
            .to_scalar::<i64>()
            .expect("a scalar"),
        1
    );
    assert_ne!(host(&evaluate()), host(&logits));
}

#[test]
fn state_is_a_copy_that_another_network_takes_over() {
    let model = conv_net(&[4, 4], 0.0);
    let network = cpu(&model, image(1, 4, 4), 2);
    let input = random(&[3, 1, 4, 4], 1);
    learn(&network, &input, &TRAIN);
    let state = network.state().expect("readable");
    let other = build(&model, image(1, 4, 4), 2, 99, &Device::Cpu).expect("fits");
    let evaluate = |network: &Network| {
        host(
            &network
                .forward(&input, &Pass::evaluate(Precision::F32))
                .expect("fits"),
        )
    };
    assert_ne!(evaluate(&network), evaluate(&other));
    other.load_state(&state).expect("fits");
    assert_eq!(evaluate(&network), evaluate(&other));
    // What was handed out does not change with the network.
    let before = host(&state["head.weight"]);
    let weight = &network.parameters().last().expect("some").var;
    weight
        .set(&weight.zeros_like().expect("valid"))
        .expect("settable");
    learn(&network, &input, &TRAIN);
    assert_eq!(host(&state["head.weight"]), before);
    assert_eq!(evaluate(&other).len(), 6);
}

#[test]
fn a_state_that_does_not_fit_is_told_and_changes_nothing() {
    let network = cpu(&mlp(&[3], 0.0), InputShape::Features { columns: 2 }, 2);
    let before = network.state().expect("readable");
    let mut state = cpu(&mlp(&[3], 0.0), InputShape::Features { columns: 2 }, 4)
        .state()
        .expect("readable");
    state.remove("0.bias");
    let (name, tensor) = state.pop_first().expect("not empty");
    state.insert("module.".to_string() + &name, tensor);
    let message = network.load_state(&state).expect_err("does not fit").to_string();
    assert_eq!(
        message,
        "the weights do not fit the network: missing 0.bias, 0.weight; unexpected module.0.weight; of \
         another shape or type 3.bias ([2] wanted, [4] of floats given), 3.weight ([2, 3] wanted, [4, 3] of \
         floats given)"
    );
    for (name, tensor) in network.state().expect("readable") {
        assert_eq!(host(&tensor), host(&before[&name]));
    }
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_built() {
    let told = |model: &Model, input, outputs| check(model, input, outputs).expect_err("refused").to_string();
    let columns = InputShape::Features { columns: 30 };
    assert!(told(&conv_net(&[4], 0.0), columns, 2).starts_with("conv_net needs images, but the dataset has"));
    assert!(told(&resnet18(spec::Stem::Cifar), columns, 2).starts_with("resnet18 needs images"));
    assert!(told(&efficientnet(0.0, 0.0), columns, 2).starts_with("efficientnet_b0 needs images"));
    assert!(told(&mobilenet(0.0), columns, 2).starts_with("mobilenet_v3_small needs images"));
    assert!(told(&wide_resnet(2), columns, 2).starts_with("wide_resnet needs images"));
    assert!(told(&wide_resnet(u32::MAX), image(3, 8, 8), 2).contains("too large"));
    assert_eq!(
        told(&conv_net(&[4, 4, 4, 4, 4], 0.0), image(1, 8, 28), 2),
        "images of 8x28 are too small for a conv_net of 5 blocks, which needs at least 16x16; give it \
         fewer channels entries"
    );
    assert!(told(&conv_net(&[], 0.0), image(1, 8, 8), 2).contains("number of blocks"));
    assert!(told(&conv_net(&[4; 200], 0.0), image(1, 8, 8), 2).contains("200 blocks"));
    assert!(told(&mlp(&[4], 0.0), columns, 0).contains("number of outputs"));
    assert!(told(&mlp(&[4], 0.0), image(1, 0, 8), 2).contains("dimension of the samples"));
    assert!(told(&mlp(&[u32::MAX, u32::MAX], 0.0), columns, 2).contains("too large"));
    check(&conv_net(&[4, 4, 4, 4], 0.0), image(1, 8, 8), 2).expect("just fits");
    check(&mlp(&[], 0.0), columns, 2).expect("a linear classifier");

    let network = cpu(&mlp(&[4], 0.0), image(1, 2, 2), 2);
    let error = network
        .forward(&random(&[3, 1, 2, 3], 1), &TRAIN)
        .expect_err("another width");
    assert_eq!(
        error.to_string(),
        "the network was built for images of shape [N, 1, 2, 2], but the batch has shape [3, 1, 2, 3]"
    );
}

#[test]
fn the_smallest_images_pass() {
    let models = [
        resnet18(spec::Stem::Imagenet),
        resnet18(spec::Stem::Cifar),
        wide_resnet(1),
        efficientnet(0.2, 0.2),
        mobilenet(0.2),
    ];
    for model in models {
        let network = cpu(&model, image(1, 1, 1), 2);
        let loss = loss(&network, &random(&[2, 1, 1, 1], 1), &[0, 1], &TRAIN);
        assert!(host(&loss)[0].is_finite());
    }
}

#[test]
fn a_batch_that_cannot_be_normalised_is_told() {
    let network = cpu(&mobilenet(0.0), image(3, 16, 16), 2);
    let input = random(&[1, 3, 16, 16], 1);
    let error = network.forward(&input, &TRAIN).expect_err("refused").to_string();
    assert!(
        error.starts_with("batch norm: in training it needs more than one value per channel"),
        "{error}"
    );
    network
        .forward(&input, &Pass::evaluate(Precision::F32))
        .expect("nothing is normalised over the batch");
}
