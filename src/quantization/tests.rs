//! Every architecture of images and tables, quantized: beside itself in f32, and beside a second way to compute the same.

use std::sync::Arc;

use candle_core::Tensor;

use super::layers::{FoldedLayer, LayerShape};
use super::*;
use crate::models::graph_testing::{batch, networks};
use crate::models::{InputShape, KeyValueCache, Network, NetworkInput, Pass, TextOutput, TokenBatch};
use crate::ops::testing::{host, same_for_any_number_of_threads};
use crate::ops::{Affine, ByteWeight, GraphValue, add, conv2d, linear, relu};
use crate::spec::{Precision, RangeRule};

const PASS: Pass<'_> = Pass {
    train: false,
    precision: Precision::F32,
    seed: 0,
    epoch: 0,
    samples: &[],
    sequences: None,
};

fn of_images_and_tables() -> impl Iterator<Item = (&'static str, Network)> {
    networks()
        .into_iter()
        .filter(|(_, network)| !matches!(network.input(), InputShape::Tokens { .. }))
}

fn of_texts() -> impl Iterator<Item = (&'static str, Network)> {
    networks()
        .into_iter()
        .filter(|(_, network)| matches!(network.input(), InputShape::Tokens { .. }))
}

/// Samples to calibrate with; texts have several lengths.
fn shown(network: &Network) -> NetworkInput {
    let samples = batch(network.input(), 16, 3);
    match network.input() {
        InputShape::Tokens { .. } => NetworkInput::Tokens(of_lengths(&samples, &[6, 1, 4, 6])),
        _ => NetworkInput::Values(samples),
    }
}

/// The beginnings of the samples `[N, T]`, whose lengths are these, one after another.
fn of_lengths(samples: &Tensor, lengths: &[usize]) -> TokenBatch {
    let rows = samples.to_vec2::<u32>().expect("tokens");
    let lengths: Vec<usize> = (0..rows.len()).map(|row| lengths[row % lengths.len()]).collect();
    TokenBatch::padded(&rows.concat(), &lengths, input_device()).expect("fits")
}

/// `network`, quantized by the limits of some samples.
fn quantized(network: &Network, keep: &[String]) -> Arc<QuantizedNetwork> {
    let mut calibration = Calibrator::new(network, keep).expect("has layers");
    calibration.limit(&shown(network)).expect("finite");
    let model = calibration.model(&RangeRule::MinMax).expect("samples were seen");
    Arc::new(QuantizedNetwork::new(network, model, keep).expect("its own layers"))
}

/// A tensor as bytes give it.
fn rounded(x: &Tensor, affine: Option<Affine>) -> Tensor {
    let Some(affine) = affine else {
        return x.clone();
    };
    let values: Vec<f32> = host(x)
        .into_iter()
        .map(|value| affine.dequantize(affine.quantize(value)))
        .collect();
    Tensor::from_vec(values, x.dims(), x.device()).expect("the same shape")
}

/// The weight of a layer in f32, as its whole numbers give it.
fn dequantized(weight: &ByteWeight) -> Tensor {
    let len = weight.values.len() / weight.dims[0];
    let values: Vec<f32> = weight
        .values
        .iter()
        .enumerate()
        .map(|(index, &value)| f32::from(value) * weight.scales[index / len])
        .collect();
    Tensor::from_vec(values, weight.dims.as_slice(), input_device()).expect("of its shape")
}

/// What each node of a quantized network gives and should give: by operations of f32 alone, between which tensors are
/// rounded, of what the network made of the nodes before.
fn beside_numbers(network: &QuantizedNetwork, input: &Tensor, mut see: impl FnMut(usize, &[f32], &[f32])) {
    let graph = network.graph();
    let mut results: Vec<Tensor> = Vec::new();
    let given = rounded(input, network.affine(GraphValue::Input(0)));
    let value = |value: GraphValue, results: &[Tensor]| match value {
        GraphValue::Input(_) => given.clone(),
        GraphValue::Weight(index) => graph.weights[index].1.clone(),
        GraphValue::Constant(index) => graph.constants[index].clone(),
        GraphValue::Node(index) => results[index].clone(),
    };
    let seen = network.walk(input, |index, actual| {
        let node = &graph.nodes[index];
        let operands: Vec<Tensor> = node
            .operands
            .iter()
            .map(|operand| value(*operand, &results))
            .collect();
        let expected = expected_result(network, index, &operands);
        let actual = actual.numbers()?;
        see(index, &host(&actual), &host(&expected));
        results.push(actual);
        Ok(())
    });
    seen.expect("answers");
}

/// The result of a node by operations of f32 alone, rounded where it is to be.
fn expected_result(network: &QuantizedNetwork, index: usize, operands: &[Tensor]) -> Tensor {
    let result = unrounded_result(network, index, operands);
    rounded(&result, network.affine(GraphValue::Node(index)))
}

fn unrounded_result(network: &QuantizedNetwork, index: usize, operands: &[Tensor]) -> Tensor {
    let (graph, node) = (network.graph(), &network.graph().nodes[index]);
    match (network.layer(index), LayerShape::of(graph, node)) {
        (Some(layer), Some(shape)) => {
            let weight = dequantized(&layer.weight);
            let input = network.affine(node.operands[0]).expect("bytes");
            let steps = layer.weight.bias_steps(&layer.bias, input);
            let bias = steps.iter().zip(&layer.weight.scales);
            let bias: Vec<f32> = bias
                .map(|(&steps, scale)| steps as f32 * (input.scale * scale))
                .collect();
            let bias = Tensor::new(bias, input_device()).expect("a row");
            let product = match shape.is_convolution() {
                true => conv2d(
                    &operands[0],
                    &weight,
                    Some(&bias),
                    shape.convolution,
                    Precision::F32,
                ),
                false => linear(&operands[0], &weight, Some(&bias), Precision::F32),
            };
            let mut y = rounded(&product.expect("fits"), network.product(index));
            if shape.added.is_some() {
                y = add(&y, &operands[operands.len() - 1]).expect("fits");
            }
            if shape.relu {
                y = relu(&y).expect("fits");
            }
            y
        }
        _ => node.run(&operands.iter().collect::<Vec<_>>()).expect("fits"),
    }
}

fn input_device() -> &'static candle_core::Device {
    &candle_core::Device::Cpu
}

/// The root of the mean squared difference, in units of the root of the mean square of what is expected.
fn distance(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let mut differences = actual
        .iter()
        .zip(expected)
        .map(|(one, other)| f64::from(*one - *other));
    let mut values = expected.iter().map(|&value| f64::from(value));
    (square(&mut differences) / square(&mut values).max(1e-30)).sqrt()
}

#[test]
fn bytes_give_what_numbers_give_that_are_rounded_in_the_same_places() {
    for (name, network) in of_images_and_tables() {
        let quantized = quantized(&network, &[]);
        let input = batch(network.input(), 6, 8);
        beside_numbers(&quantized, &input, |index, actual, expected| {
            let node = &quantized.graph().nodes[index];
            let told = format!("{name}, {index} {}", node.operation.name());
            let largest = expected
                .iter()
                .fold(0.0f32, |largest, value| largest.max(value.abs()));
            let Some(affine) = quantized.affine(GraphValue::Node(index)) else {
                let apart = actual
                    .iter()
                    .zip(expected)
                    .map(|(one, other)| (one - other).abs());
                assert!(apart.fold(0.0, f32::max) <= 1e-4 * largest, "{told}");
                return;
            };
            // A value between two bytes may go to either, which is rare; where a product is rounded before something is
            // added, it is one step of the product.
            let step = affine.scale + quantized.product(index).map_or(0.0, |product| product.scale);
            let mut apart = 0;
            for (one, other) in actual.iter().zip(expected) {
                assert!(
                    (one - other).abs() <= step * 1.01,
                    "{told}: {one}, expected {other}"
                );
                apart += usize::from((one - other).abs() > affine.scale / 2.0);
            }
            assert!(
                apart <= 1 + actual.len() / 1000,
                "{told}: {apart} of {}",
                actual.len()
            );
        });
        let answering = Arc::clone(&quantized)
            .into_network(&network, false)
            .expect("has steps");
        let exact = host(&network.forward(&input, &PASS).expect("fits"));
        let actual = host(&answering.forward(&input, &PASS).expect("fits"));
        let lost = distance(&actual, &exact);
        assert!(lost > 0.0 && lost < 0.25, "{name}: {lost}");
    }
}

#[test]
fn a_sample_gets_the_same_bytes_in_every_batch_and_with_any_number_of_threads() {
    for (name, network) in of_images_and_tables() {
        let answering = quantized(&network, &[])
            .into_network(&network, false)
            .expect("has steps");
        let input = batch(network.input(), 5, 8);
        let forward = |input: &Tensor| host(&answering.forward(input, &PASS).expect("fits"));
        let all = same_for_any_number_of_threads(|| forward(&input));
        let width = all.len() / 5;
        for sample in 0..5 {
            let alone = forward(&input.narrow(0, sample, 1).expect("there"));
            assert_eq!(alone, all[sample * width..][..width], "{name}, sample {sample}");
        }
    }
}

#[test]
fn a_sample_that_is_not_finite_has_no_outputs_and_leaves_the_others_alone() {
    let (_, network) = of_images_and_tables().next().expect("there");
    let answering = quantized(&network, &[])
        .into_network(&network, false)
        .expect("has steps");
    let input = batch(network.input(), 3, 8);
    let expected = host(&answering.forward(&input, &PASS).expect("fits"));
    for odd in [f32::NAN, f32::INFINITY] {
        let mut values = host(&input);
        let len = values.len() / 3;
        values[len] = odd;
        let damaged = Tensor::from_vec(values, input.dims(), input.device()).expect("the same shape");
        let outputs = host(&answering.forward(&damaged, &PASS).expect("fits"));
        let width = outputs.len() / 3;
        assert!(outputs[width..2 * width].iter().all(|output| output.is_nan()));
        assert_eq!(outputs[..width], expected[..width]);
        assert_eq!(outputs[2 * width..], expected[2 * width..]);
    }
}

fn resnet() -> Network {
    let found = of_images_and_tables().find(|(name, _)| *name == "resnet18, cifar");
    found.expect("there").1
}

#[test]
fn layers_are_kept_by_name() {
    let network = resnet();
    let names = layer_names(&network).expect("recorded");
    assert_eq!(names.len(), 21);
    assert_eq!(names[..3], ["conv1", "layer1.0.conv1", "layer1.0.conv2"]);
    let keep = ["fc".to_owned(), "layer4.*".to_owned()];
    let quantized = quantized(&network, &keep);
    let kept: Vec<&String> = names
        .iter()
        .filter(|name| !quantized.model().layers.contains_key(*name))
        .collect();
    assert_eq!(kept.len(), 6, "{kept:?}");
    // What is kept has its weights in f32, with their norms, and what is not has none.
    let own: Vec<&String> = quantized.own_weights().map(|(name, _)| name).collect();
    assert_eq!(own.len(), 2 + 5 * 5, "{own:?}");
    assert!(
        own.iter()
            .all(|name| name.starts_with("fc.") || name.starts_with("layer4."))
    );
    let told = |keep: &str| {
        let error = Calibrator::new(&network, &[keep.to_owned()]).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(
        told("head")
            .contains("`keep` names `head`, and no layer is called so; there are `conv1`, `layer1.0.conv1`")
    );
    assert_eq!(
        told("*"),
        "no layer is left to quantize: `keep` names all of them; take one of its patterns out"
    );
}

#[test]
fn a_layer_that_loses_much_is_known_by_its_noise() {
    let network = resnet();
    // A channel that is far larger than all others, and of which the next layer makes nothing.
    let change = |name: &str, change: &dyn Fn(usize, &mut f32)| {
        let mut parameters = network.parameters().iter();
        let parameter = parameters
            .find(|parameter| parameter.name == name)
            .expect("there");
        let mut values = host(parameter.var.as_tensor());
        values
            .iter_mut()
            .enumerate()
            .for_each(|(index, value)| change(index, value));
        let values = Tensor::from_vec(values, parameter.var.dims(), parameter.var.device());
        parameter
            .var
            .set(&values.expect("of its shape"))
            .expect("of its shape");
    };
    change("layer2.0.bn1.bias", &|index, value| {
        *value += if index == 0 { 800.0 } else { 0.0 }
    });
    change("layer2.0.conv2.weight", &|index, value| {
        *value *= if index / 9 % 128 == 0 { 0.0 } else { 1.0 };
    });
    let samples = shown(&network);
    let mut calibration = Calibrator::new(&network, &[]).expect("has layers");
    calibration.limit(&samples).expect("finite");
    let model = calibration.model(&RangeRule::MinMax).expect("seen");
    let noise = calibration.noise(&model, &[samples]).expect("fits");
    assert_eq!(noise.len(), 21);
    let worst = noise.iter().min_by(|one, other| {
        let decibels = |noise: &LayerNoise| noise.decibels.unwrap_or(f64::INFINITY);
        decibels(one).total_cmp(&decibels(other))
    });
    assert_eq!(worst.expect("there").layer, "layer2.0.conv2");
}

#[test]
fn norms_are_part_of_the_weights_before_them() {
    let network = resnet();
    let graph = network.graph().expect("recorded");
    let (index, node) = graph
        .nodes
        .iter()
        .enumerate()
        .find(|(_, node)| node.operation.name() == "conv2d_norm")
        .expect("there");
    let shape = LayerShape::of(&graph, node).expect("a layer");
    let folded = FoldedLayer::of(&graph, node, &shape).expect("weights");
    let input = batch(network.input(), 2, 8);
    let mut results = vec![input];
    for node in &graph.nodes[..index] {
        let operands = [results.last().expect("there")];
        results.push(node.run(&operands).expect("fits"));
    }
    let x = results.last().expect("there");
    let weights: Vec<&Tensor> = (1..node.operands.len())
        .map(|operand| &graph.weights[node.weight(operand).expect("a weight")].1)
        .collect();
    let operands: Vec<&Tensor> = [x].into_iter().chain(weights).collect();
    let expected = host(&node.run(&operands).expect("fits"));
    let actual = host(&relu(&folded.product(&shape, x).expect("fits")).expect("fits"));
    assert!(distance(&actual, &expected) < 1e-5);
}

#[test]
fn steps_that_are_not_the_networks_are_refused() {
    let network = resnet();
    let good = quantized(&network, &[]).model().clone();
    let told = |change: &dyn Fn(&mut QuantizedModel)| {
        let mut model = good.clone();
        change(&mut model);
        let error = QuantizedNetwork::new(&network, model, &[]).err();
        error.expect("refused").to_string()
    };
    assert_eq!(
        told(&|model| drop(model.layers.shift_remove("fc"))),
        "the layer `fc` is missing"
    );
    assert_eq!(
        told(&|model| model.tensors.values_mut().for_each(|affine| affine.scale = 0.0)),
        format!(
            "the steps of `{}` are no number over 0",
            good.tensors.keys().next().expect("one")
        )
    );
    assert!(told(&|model| model.layers[0].bias.push(0.0)).contains("`conv1` are damaged"));
    assert!(told(&|model| model.layers[20].bias[1] = f32::NAN).contains("`fc` are damaged"));
    assert!(told(&|model| model.layers[0].weight.dims[0] = 3).contains("the weight of `conv1` is [3"));
    let other = Affine::of_range(0.0, 1.0);
    let told = told(&|model| {
        model.tensors.insert("more".to_owned(), other);
    });
    assert!(told.contains("does not have"), "{told}");
}

#[test]
fn weights_that_are_no_numbers_are_not_rounded_to_some() {
    let network = resnet();
    let mut parameters = network.parameters().iter();
    let bias = parameters
        .find(|parameter| parameter.name == "fc.bias")
        .expect("there");
    let mut values = host(bias.var.as_tensor());
    values[1] = f32::INFINITY;
    let values = Tensor::from_vec(values, bias.var.dims(), bias.var.device()).expect("of its shape");
    bias.var.set(&values).expect("of its shape");
    let told = Calibrator::new(&network, &[]).err().expect("refused").to_string();
    assert!(told.starts_with("the model's `fc.bias` is not finite"), "{told}");
}

#[test]
fn texts_are_answered_as_numbers_are_that_are_rounded_before_each_layer() {
    for (name, network) in of_texts() {
        let quantized = quantized(&network, &[]);
        let input = batch(network.input(), 5, 8);
        let graph = quantized.graph();
        let mut results: Vec<Tensor> = Vec::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let operands: Vec<Tensor> = node
                .operands
                .iter()
                .map(|operand| match *operand {
                    GraphValue::Input(_) => input.clone(),
                    GraphValue::Weight(index) => graph.weights[index].1.clone(),
                    GraphValue::Constant(index) => graph.constants[index].clone(),
                    // What other operations than layers read is not rounded.
                    GraphValue::Node(operand) => results[operand].clone(),
                })
                .collect();
            let operands: Vec<Tensor> = match quantized.layer(index) {
                Some(_) => [rounded(&operands[0], quantized.affine(node.operands[0]))]
                    .into_iter()
                    .chain(operands[1..].iter().cloned())
                    .collect(),
                None => operands,
            };
            results.push(unrounded_result(&quantized, index, &operands));
        }
        let expected = host(results.last().expect("there"));
        let answering = Arc::clone(&quantized)
            .into_network(&network, false)
            .expect("has steps");
        let actual = host(&answering.forward(&input, &PASS).expect("fits"));
        let apart = distance(&actual, &expected);
        assert!(apart < 0.02, "{name}: {apart}");
        let exact = host(&network.forward(&input, &PASS).expect("fits"));
        let lost = distance(&actual, &exact);
        assert!(lost > 0.0 && lost < 0.25, "{name}: {lost}");
    }
}

#[test]
fn a_text_gets_the_same_bytes_among_others_of_other_lengths() {
    for (name, network) in of_texts() {
        let answering = quantized(&network, &[])
            .into_network(&network, false)
            .expect("has steps");
        let samples = batch(network.input(), 5, 8);
        let lengths = [3, 6, 1, 2, 6];
        let forward = |tokens: &TokenBatch| {
            let output = answering.forward_tokens(tokens, &PASS).expect("fits");
            host(&output.outputs(Precision::F32).expect("fits"))
        };
        let all = same_for_any_number_of_threads(|| forward(&of_lengths(&samples, &lengths)));
        let mut rest = all.as_slice();
        for (sample, length) in lengths.iter().enumerate() {
            let own = samples.narrow(0, sample, 1).expect("there");
            let alone = forward(&of_lengths(&own, &[*length]));
            let (first, others) = rest.split_at(alone.len());
            assert_eq!(alone, first, "{name}, sample {sample}");
            rest = others;
        }
        assert!(rest.is_empty(), "{name}");
    }
}

#[test]
fn a_text_goes_on_with_kept_keys_as_it_does_as_a_whole() {
    let (_, network) = of_texts().find(|(name, _)| *name == "gpt2").expect("there");
    let answering = quantized(&network, &[])
        .into_network(&network, false)
        .expect("has steps");
    let tokens: [u32; 5] = [1, 4, 0, 2, 2];
    let outputs = |output: TextOutput| host(&output.outputs(Precision::F32).expect("fits"));
    let whole = TokenBatch::ragged(&tokens, &[0, 5], input_device()).expect("fits");
    let whole = outputs(answering.forward_tokens(&whole, &PASS).expect("fits"));
    let mut cache = KeyValueCache::new(1, 9);
    let mut parts = Vec::new();
    for part in [&tokens[..3], &tokens[3..4], &tokens[4..]] {
        let batch = cache.batch(&[part], input_device()).expect("fits");
        parts.extend(outputs(
            answering.forward_cached(&batch, &mut cache, &PASS).expect("fits"),
        ));
    }
    assert!(distance(&parts, &whole) < 0.02);
}

#[test]
fn the_layer_over_a_vocabulary_and_the_embeddings_stay_as_they_are() {
    let (_, network) = of_texts()
        .find(|(name, _)| *name == "gpt2, untied")
        .expect("there");
    let names = layer_names(&network).expect("recorded");
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(!names.iter().any(|name| name.contains("lm_head")), "{names:?}");
    let quantized = quantized(&network, &[]);
    let own: Vec<&String> = quantized.own_weights().map(|(name, _)| name).collect();
    for name in [
        "transformer.wte.weight",
        "lm_head.weight",
        "transformer.ln_f.bias",
    ] {
        assert!(own.contains(&&name.to_owned()), "{own:?}");
    }
}
