//! The recorded graph of every architecture, carried out by candle's operations alone, gives what the
//! network gives.

mod interpreter;

use serde_json::json;

use super::*;
use crate::ops::testing::composing;
use crate::ops::{Attribute, Graph, GraphValue, OperationNode};
use crate::random::{Purpose, Stream};
use crate::spec::Stem;

/// The output of `graph` for `input`, where `carry_out` carries out each operation.
fn evaluate_with(
    graph: &Graph,
    input: &Tensor,
    carry_out: impl Fn(&OperationNode, &[&Tensor]) -> Tensor,
) -> Tensor {
    let mut results: Vec<Tensor> = Vec::new();
    let value = |value: &GraphValue, results: &[Tensor]| match *value {
        GraphValue::Input(0) => input.clone(),
        GraphValue::Input(other) => panic!("there is no input {other}"),
        GraphValue::Weight(index) => graph.weights[index].1.clone(),
        GraphValue::Constant(index) => graph.constants[index].clone(),
        GraphValue::Node(index) => results[index].clone(),
    };
    for node in &graph.nodes {
        let operands: Vec<Tensor> = node
            .operands
            .iter()
            .map(|operand| value(operand, &results))
            .collect();
        let result = carry_out(node, &operands.iter().collect::<Vec<_>>());
        // All but the batch's dimension are those that were recorded.
        assert_eq!(result.dims()[1..], node.shape[1..], "{node:?}");
        results.push(result);
    }
    assert_eq!(graph.outputs.len(), 1);
    value(&graph.outputs[0], &results)
}

#[test]
fn nodes_run_again_on_batches_of_any_size() {
    for (name, network) in networks() {
        let graph = network.graph().expect("all is recorded");
        for samples in [1, 3] {
            let input = batch(network.input(), samples, 8);
            let mut results: Vec<Tensor> = Vec::new();
            let value = |value: GraphValue, results: &[Tensor]| match value {
                GraphValue::Input(_) => input.clone(),
                GraphValue::Weight(index) => graph.weights[index].1.clone(),
                GraphValue::Constant(index) => graph.constants[index].clone(),
                GraphValue::Node(index) => results[index].clone(),
            };
            for node in &graph.nodes {
                let operands: Vec<Tensor> = node
                    .operands
                    .iter()
                    .map(|operand| value(*operand, &results))
                    .collect();
                results.push(node.run(&operands.iter().collect::<Vec<_>>()).expect("fits"));
            }
            let expected = network
                .forward(&input, &Pass::evaluate(Precision::F32))
                .expect("fits");
            assert_eq!(
                host(&value(graph.outputs[0], &results)),
                host(&expected),
                "{name}"
            );
        }
    }
}

#[test]
fn a_prepared_pass_gives_the_same_bytes() {
    for (name, network) in networks() {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            let kept = Arc::<crate::ops::PackedWeights>::default();
            let prepared = kept.reuse(|| network.prepared(precision)).expect("recorded");
            let Some(prepared) = prepared else {
                assert!(matches!(network.input(), InputShape::Tokens { .. }), "{name}");
                continue;
            };
            for samples in [1, 3, 1] {
                let input = batch(network.input(), samples, 8);
                let values = network.forward_prepared(&prepared, &input).expect("fits");
                let expected = network.forward(&input, &Pass::evaluate(precision)).expect("fits");
                assert_eq!(values, host(&expected), "{name}, {precision:?}, {samples}");
            }
        }
        if !matches!(network.input(), InputShape::Tokens { .. }) {
            let prepared = network
                .prepared(Precision::F32)
                .expect("recorded")
                .expect("one output");
            let misfit = network.forward_prepared(&prepared, &random(&[2, 77], 1));
            assert!(matches!(misfit, Err(ModelError::BatchShape { .. })), "{name}");
        }
    }
}

/// Networks of every architecture, whose weights and running statistics have seen a training step's
/// batch.
pub(crate) fn networks() -> Vec<(&'static str, Network)> {
    let model = |value| -> Model { serde_json::from_value(value).expect("valid") };
    let vit = model(json!({ "vit": {
        "patch": 4, "width": 24, "depth": 2, "heads": 3, "mlp_width": 40, "dropout": 0.2,
    }}));
    let layers = model(json!({ "sequential": { "layers": [
        {"conv": {"channels": 8}}, {"batch_norm": {}}, {"relu": {}},
        {"conv": {"channels": 8, "groups": 8, "bias": false}}, {"leaky_relu": {}}, {"max_pool": {}},
        {"gelu": {}}, {"avg_pool": {"padding": 1}}, {"silu": {}}, {"flatten": {}}, {"layer_norm": {}},
        {"linear": {"width": 12, "bias": false}}, {"batch_norm": {}}, {"tanh": {}}, {"hardswish": {}},
        {"sigmoid": {}}, {"dropout": {}}, {"linear": {}},
    ]}}));
    let pooled = model(json!({ "sequential": { "layers": [
        {"conv": {"channels": 6}}, {"global_avg_pool": {}}, {"linear": {}},
    ]}}));
    let small = image(3, 16, 12);
    let models = [
        ("mlp", mlp(&[9, 7], 0.1), InputShape::Features { columns: 5 }),
        ("mlp of images", mlp(&[9], 0.1), image(2, 4, 3)),
        ("conv_net", conv_net(&[4, 6], 0.1), small),
        ("resnet18, imagenet", resnet18(Stem::Imagenet), image(3, 33, 32)),
        ("resnet18, cifar", resnet18(Stem::Cifar), small),
        (
            "resnet50",
            Model::from(spec::ResNet50Options(spec::ResNetOptions {
                stem: Stem::Imagenet,
            })),
            image(3, 32, 32),
        ),
        ("wide_resnet", wide_resnet(1), small),
        ("efficientnet_b0", efficientnet(0.1, 0.1), image(3, 32, 32)),
        ("mobilenet_v3_small", mobilenet(0.1), image(3, 32, 32)),
        ("vit", vit, small),
        (
            "unet",
            model(json!({"unet": {"width": 4, "depth": 2}})),
            image(3, 15, 12),
        ),
        ("sequential", layers, small),
        ("sequential, pooled", pooled, small),
    ];
    let texts = text_models().into_iter().map(|(name, value)| {
        let tokens = InputShape::Tokens {
            vocabulary: 5,
            length: 6,
        };
        (name, model(value), tokens)
    });
    models
        .into_iter()
        .chain(texts)
        .map(|(name, model, input)| {
            let network = cpu(&model, input, 5);
            if model.name() == "vit" {
                // The initial head is 0, and so would be all that it gives.
                for (seed, Parameter { var, .. }) in (0..).zip(network.parameters()) {
                    let values = (random(var.dims(), seed) * 0.3).expect("valid");
                    var.set(&values).expect("the same shape");
                }
            }
            // Running statistics follow.
            learn(&network, &batch(input, 4, 7), &TRAIN);
            (name, network)
        })
        .collect()
}

/// Samples of a kind.
pub(crate) fn batch(input: InputShape, samples: usize, seed: u64) -> Tensor {
    match input {
        InputShape::Image {
            channels,
            height,
            width,
        } => random(&[samples, channels, height, width], seed),
        InputShape::Features { columns } => random(&[samples, columns], seed),
        InputShape::Tokens { vocabulary, length } => {
            let mut stream = Stream::new(seed, Purpose::Init, 0, 0);
            let ids: Vec<u32> = (0..samples * length)
                .map(|_| stream.below(vocabulary as u32))
                .collect();
            Tensor::from_vec(ids, (samples, length), &Device::Cpu).expect("as many as it holds")
        }
    }
}

/// Networks of text with every head and variant, for a vocabulary of 5, and so a width of 5 outputs.
fn text_models() -> Vec<(&'static str, serde_json::Value)> {
    let sizes = |other: serde_json::Value| {
        let mut options = json!({"layers": 2, "heads": 2, "width": 8, "ffn": 12, "context": 9});
        for (key, value) in other.as_object().expect("a mapping") {
            options[key] = value.clone();
        }
        options
    };
    vec![
        ("gpt2", json!({"gpt2": sizes(json!({"dropout": 0.1}))})),
        ("gpt2, untied", json!({"gpt2": sizes(json!({"tied": false}))})),
        (
            "gpt2, classes",
            json!({"gpt2": sizes(json!({"head": "classification"}))}),
        ),
        ("gpt2, tokens", json!({"gpt2": sizes(json!({"head": "tokens"}))})),
        ("bert", json!({"bert": sizes(json!({}))})),
        (
            "bert, classes",
            json!({"bert": sizes(json!({"head": "classification"}))}),
        ),
        (
            "distilbert",
            json!({"bert": sizes(json!({"variant": "distilbert"}))}),
        ),
        (
            "roberta, classes",
            json!({"bert": sizes(json!({"variant": "roberta", "head": "classification"}))}),
        ),
        (
            "roberta, tokens",
            json!({"bert": sizes(json!({"variant": "roberta", "head": "tokens"}))}),
        ),
        (
            "llama",
            json!({"llama": sizes(json!({"kv_heads": 1, "tied": true}))}),
        ),
        ("qwen2", json!({"llama": sizes(json!({"variant": "qwen2"}))})),
        (
            "qwen3",
            json!({"llama": sizes(json!({"variant": "qwen3", "head_width": 6}))}),
        ),
        (
            "mistral",
            json!({"llama": sizes(json!({"variant": "mistral", "window": 3, "kv_heads": 1}))}),
        ),
        (
            "llama, similarity",
            json!({"llama": sizes(json!({"head": "similarity", "width": 5, "head_width": 4}))}),
        ),
    ]
}

#[test]
fn compositions_of_the_graph_give_what_the_network_gives() {
    for (name, network) in networks() {
        let graph = network.graph().expect("all is recorded");
        // Another batch than the one that was recorded, of another size.
        let input = batch(network.input(), 3, 8);
        let expected = network
            .forward(&input, &Pass::evaluate(Precision::F32))
            .expect("fits");
        let actual = evaluate_with(&graph, &input, |node, operands| {
            composing(|| node.run(operands)).expect("runs")
        });
        assert_eq!(actual.dims(), expected.dims(), "{name}");
        let scale = host(&expected)
            .iter()
            .fold(0f32, |scale, value| scale.max(value.abs()));
        assert!(scale > 0.0, "{name}");
        let expected: Vec<f64> = host(&expected).into_iter().map(f64::from).collect();
        assert_close(&host(&actual), &expected, 2e-5);
    }
}

#[test]
fn the_weights_are_those_of_the_state() {
    for (name, network) in networks() {
        let graph = network.graph().expect("all is recorded");
        assert!(graph.constants.is_empty(), "{name}");
        let state = network.state().expect("readable");
        let mut missing: Vec<&str> = state.keys().map(String::as_str).collect();
        for (weight, tensor) in &graph.weights {
            let stored = state
                .get(weight)
                .unwrap_or_else(|| panic!("{name} has no {weight}"));
            assert_eq!(host(tensor), host(stored), "{name}: {weight}");
            missing.retain(|other| other != weight);
        }
        // All of the state is used but the counts of batches.
        missing.retain(|other| !other.ends_with(".num_batches_tracked"));
        assert_eq!(missing, Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn attributes_say_what_an_exporter_asks() {
    let network = cpu(&resnet18(Stem::Imagenet), image(3, 33, 32), 5);
    let graph = network.graph().expect("all is recorded");
    let names: Vec<&str> = graph.nodes.iter().map(|node| node.operation.name()).collect();
    assert_eq!(
        names[..4],
        ["transpose", "conv2d_norm", "max_pool2d", "conv2d_norm"]
    );
    assert_eq!(names[names.len() - 2..], ["global_average_pool", "linear"]);
    let integers = |values: &[i64]| Some(Attribute::Integers(values.to_vec()));
    let of = |node: usize, name| graph.nodes[node].operation.attributes().get(name).cloned();
    assert_eq!(of(0, "perm"), integers(&[0, 2, 3, 1]));
    assert_eq!(of(1, "strides"), integers(&[2, 2]));
    assert_eq!(of(1, "pads"), integers(&[3, 3, 3, 3]));
    assert_eq!(of(1, "dilations"), integers(&[1, 1]));
    assert_eq!(of(1, "group"), Some(Attribute::Integer(1)));
    assert_eq!(of(1, "epsilon"), Some(Attribute::Float(1e-5)));
    assert_eq!(of(1, "relu"), Some(Attribute::Flag(true)));
    assert_eq!(of(1, "add"), Some(Attribute::Flag(false)));
    assert_eq!(of(2, "kernel_shape"), integers(&[3, 3]));
    assert_eq!(of(2, "pads"), integers(&[1, 1, 1, 1]));
    // The second convolution of the first block adds what went into the block.
    assert_eq!(of(4, "add"), Some(Attribute::Flag(true)));
    assert_eq!(graph.nodes[4].operands.last(), Some(&GraphValue::Node(2)));
    let weights: Vec<&str> = graph.nodes[1]
        .operands
        .iter()
        .filter_map(|operand| match operand {
            GraphValue::Weight(index) => Some(graph.weights[*index].0.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        weights,
        [
            "conv1.weight",
            "bn1.weight",
            "bn1.bias",
            "bn1.running_mean",
            "bn1.running_var"
        ]
    );
}
