//! What files hold, and what rten, a runtime of others, makes of them.

#![allow(clippy::print_stdout, reason = "what is asked about, and what is skipped")]

mod operations;

use candle_core::{Device, Tensor};
use rten::{Model, ModelOptions, ValueOrView};
use rten_tensor::prelude::*;

use super::*;
use crate::models::graph_testing::{batch, networks};
use crate::models::{NetworkInput, Pass, TextOutput, TokenBatch};
use crate::ops::testing::{assert_close, host};
use crate::spec::Precision;

fn options(opset: u8) -> OnnxOptions<'static> {
    OnnxOptions {
        opset,
        half: false,
        pixels: None,
        output: "logits",
        context: 9,
        pairs: false,
        metadata: vec![("classes".to_owned(), r#"["cat","dog"]"#.to_owned())],
    }
}

/// The network of that name.
fn named(name: &str) -> Network {
    let mut networks = networks().into_iter();
    networks.find(|(other, _)| *other == name).expect("there").1
}

/// What rten makes of `model` for an input, with all tokens of texts where none is said to fill up.
fn run(model: &Model, input: &Tensor, mask: Option<&[i32]>) -> Vec<f32> {
    let dims = input.dims();
    let given: ValueOrView = if input.dtype() == candle_core::DType::F32 {
        rten_tensor::Tensor::from_data(dims, host(input)).into()
    } else {
        let ids: Vec<u32> = input.flatten_all().and_then(|ids| ids.to_vec1()).expect("ids");
        let ids: Vec<i32> = ids.into_iter().map(|id| id as i32).collect();
        rten_tensor::Tensor::from_data(dims, ids).into()
    };
    let names = model.input_ids();
    let mut inputs = vec![(names[0], given)];
    if let Some(&name) = names.get(1) {
        let all = vec![1; dims.iter().product()];
        let mask = mask.map_or(all, <[i32]>::to_vec);
        inputs.push((name, rten_tensor::Tensor::from_data(dims, mask).into()));
    }
    let output = model.node_id("logits").expect("the output has its name");
    let [value] = model.run_n(inputs, [output], None).expect("runs");
    value.into_tensor::<f32>().expect("numbers").to_vec()
}

fn forward(network: &Network, input: &Tensor) -> Vec<f32> {
    let output = network
        .forward(input, &Pass::evaluate(Precision::F32))
        .expect("fits");
    // Files have images channels-first.
    host(&match network.judges_pixels() {
        true => output
            .permute((0, 3, 1, 2))
            .and_then(|output| output.contiguous())
            .expect("images"),
        false => output,
    })
}

/// Fails unless `actual` lies near what is expected: rten adds in f32, in an order of its own.
#[track_caller]
fn assert_same(actual: &[f32], expected: &[f32]) {
    let expected: Vec<f64> = expected.iter().map(|&value| f64::from(value)).collect();
    assert_close(actual, &expected, 2e-5);
}

#[test]
fn a_runtime_gives_what_the_network_gives() {
    for (name, network) in networks() {
        for opset in [17, 20, 27] {
            let files =
                onnx_model(&network, &options(opset)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(files.data.is_none());
            let again = onnx_model(&network, &options(opset)).expect("known");
            assert!(files.model == again.model, "{name}");
            let model =
                Model::load(files.model).unwrap_or_else(|error| panic!("{name}, opset {opset}: {error}"));
            for samples in [1, 5] {
                let input = batch(network.input(), samples, 8);
                println!("{name}, opset {opset}, {samples} samples");
                assert_same(&run(&model, &input, None), &forward(&network, &input));
            }
        }
    }
}

#[test]
fn texts_may_be_filled_up() {
    let texts = networks()
        .into_iter()
        .filter(|(_, network)| matches!(network.input(), InputShape::Tokens { .. }));
    for (name, network) in texts {
        let model = Model::load(onnx_model(&network, &options(20)).expect("known").model).expect("valid");
        let InputShape::Tokens { vocabulary, .. } = network.input() else {
            unreachable!("texts alone are left")
        };
        let of_length = |length: usize, seed: u64| batch(InputShape::Tokens { vocabulary, length }, 1, seed);
        let (short, long) = (of_length(3, 1), of_length(7, 2));
        let filling = Tensor::zeros((1, 4), short.dtype(), &Device::Cpu).expect("valid");
        let filled = Tensor::cat(&[&short, &filling], 1).expect("one row");
        let both = Tensor::cat(&[&filled, &long], 0).expect("one length");
        let mask = [1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1];
        let outputs = run(&model, &both, Some(&mask));
        let (first, second) = outputs.split_at(outputs.len() / 2);
        println!("{name}");
        let expected = forward(&network, &short);
        assert_same(&first[..expected.len()], &expected);
        assert_same(second, &forward(&network, &long));
    }
}

#[test]
fn texts_of_a_pair_are_told_apart() {
    let network = named("bert, classes");
    let wanted = OnnxOptions {
        pairs: true,
        ..options(20)
    };
    let model = Model::load(onnx_model(&network, &wanted).expect("known").model).expect("valid");
    let names = ["input_ids", "attention_mask", "token_type_ids"];
    let places = names.map(|name| model.node_id(name).expect("an input of this name"));
    assert_eq!(model.input_ids(), places);
    let ids = [2u32, 4, 3, 1, 4, 3];
    let of_segments = |segments: [u32; 6]| {
        let given = [ids, [1; 6], segments].map(|values| {
            let values = values.map(|value| value as i32).to_vec();
            rten_tensor::Tensor::from_data(&[1, 6], values).into()
        });
        let output = model.node_id("logits").expect("there");
        let [value] = model
            .run_n(places.into_iter().zip(given).collect(), [output], None)
            .expect("runs");
        let tokens = TokenBatch::equal(&ids, 1, &Device::Cpu).expect("valid");
        let tokens = tokens.with_types(&segments).expect("as many");
        let expected = network.answer(&NetworkInput::Tokens(tokens), &Pass::evaluate(Precision::F32));
        let TextOutput::Rows(expected) = expected.expect("fits") else {
            panic!("classes are numbers")
        };
        let actual = value.into_tensor::<f32>().expect("numbers").to_vec();
        assert_same(&actual, &host(&expected));
        actual
    };
    assert_ne!(of_segments([0; 6]), of_segments([0, 0, 0, 1, 1, 1]));
}

#[test]
fn pixels_are_normalised_by_the_model() {
    let network = named("resnet18, imagenet");
    let InputShape::Image {
        channels,
        height,
        width,
    } = network.input()
    else {
        panic!("it takes images")
    };
    let normalization = Normalization {
        mean: vec![0.5, 0.25, 0.1],
        std: vec![0.5, 2.0, 0.3],
    };
    let files = onnx_model(
        &network,
        &OnnxOptions {
            pixels: Some(&normalization),
            ..options(20)
        },
    );
    let model = Model::load(files.expect("known").model).expect("valid");
    let pixels: Vec<u8> = (0..2 * height * width * channels)
        .map(|index| (index * 37 % 256) as u8)
        .collect();
    let mut planes = Vec::new();
    for image in pixels.chunks_exact(height * width * channels) {
        for channel in 0..channels {
            let of_channel = image.iter().skip(channel).step_by(channels);
            let (mean, std) = (normalization.mean[channel], normalization.std[channel]);
            planes.extend(of_channel.map(|&pixel| (f32::from(pixel) / 255.0 - mean) / std));
        }
    }
    let input = Tensor::from_vec(planes, (2, channels, height, width), &Device::Cpu).expect("as many");
    let given = rten_tensor::Tensor::from_data(&[2, height, width, channels], pixels);
    let output = model.node_id("logits").expect("there");
    let [value] = model
        .run_n(vec![(model.input_ids()[0], given.into())], [output], None)
        .expect("runs");
    let actual = value.into_tensor::<f32>().expect("numbers").to_vec();
    assert_same(&actual, &forward(&network, &input));
}

#[test]
fn what_takes_no_images_takes_no_pixels() {
    let network = named("mlp");
    let normalization = Normalization {
        mean: Vec::new(),
        std: Vec::new(),
    };
    let wanted = OnnxOptions {
        pixels: Some(&normalization),
        ..options(20)
    };
    let error = onnx_model(&network, &wanted).expect_err("a row of numbers");
    assert_eq!(
        error.to_string(),
        "ONNX: `input: pixels` is for models of images, and this one takes rows of numbers: leave `input` out"
    );
}

#[test]
fn many_weights_lie_in_a_file_of_their_own() {
    let network = named("resnet18, imagenet");
    let graph = graph_of(
        &network.graph().expect("recorded"),
        None,
        NetworkForm {
            input: network.input(),
            gives_image: false,
        },
        &options(20),
    );
    let files = files_of(graph.expect("known"), &options(20), 1000);
    let data = files.data.expect("more than 1,000 bytes");
    let whole = onnx_model(&network, &options(20)).expect("known").model;
    assert!(files.model.len() + data.len() > whole.len() && files.model.len() < whole.len() / 4);
    let model = ModelOptions::with_all_ops()
        .external_data(OnnxFiles::DATA, data)
        .load(files.model)
        .expect("valid");
    let input = batch(network.input(), 2, 8);
    assert_same(&run(&model, &input, None), &forward(&network, &input));
}

#[test]
fn a_file_says_what_it_is() {
    let network = named("resnet18, imagenet");
    for (opset, ir_version) in [(17, 8), (20, 9), (22, 10), (23, 11), (27, 13)] {
        let files = onnx_model(&network, &options(opset)).expect("known");
        let model = ModelProto::decode(files.model.as_slice()).expect("valid");
        assert_eq!(model.ir_version, Some(ir_version));
        let [operators] = model.opset_import.as_slice() else {
            panic!("one set of operators")
        };
        assert_eq!(
            (operators.domain.as_deref(), operators.version),
            (Some(""), Some(opset.into()))
        );
        assert_eq!(model.metadata_props[0].value.as_deref(), Some(r#"["cat","dog"]"#));
        let graph = model.graph.expect("there");
        assert_eq!(graph.input[0].name.as_deref(), Some("input"));
        assert!(
            graph
                .node
                .iter()
                .all(|node| node.op_type.as_deref() != Some("BatchNormalization"))
        );
        let weights: Vec<&str> = graph
            .initializer
            .iter()
            .filter_map(|tensor| tensor.name.as_deref())
            .collect();
        assert!(
            weights.starts_with(&["conv1.weight", "conv1.bias"]),
            "{weights:?}"
        );
    }
}

#[test]
fn numbers_of_sixteen_bits_take_half_the_room() {
    let network = named("resnet18, imagenet");
    let [whole, half] = [false, true].map(|half| {
        onnx_model(&network, &OnnxOptions { half, ..options(20) })
            .expect("known")
            .model
    });
    assert!(
        half.len() < whole.len() * 11 / 20,
        "{} of {}",
        half.len(),
        whole.len()
    );
    let graph = ModelProto::decode(half.as_slice())
        .expect("valid")
        .graph
        .expect("there");
    let element = |info: &ValueInfoProto| {
        info.kind
            .as_ref()
            .and_then(|kind| kind.tensor.as_ref()?.elem_type)
    };
    assert_eq!(element(&graph.input[0]), Some(ElementFormat::F32 as i32));
    assert_eq!(element(&graph.output[0]), Some(ElementFormat::F32 as i32));
    assert!(
        graph
            .initializer
            .iter()
            .all(|tensor| tensor.data_type != Some(ElementFormat::F32 as i32))
    );
}

/// Asks ONNX's checker, ONNX Runtime and OpenVINO, as far as the Python of `ERLEN_TEST_ONNX_PYTHON` has them.
#[test]
fn runtimes_of_others_agree() {
    let Some(python) = std::env::var_os("ERLEN_TEST_ONNX_PYTHON") else {
        println!("skipped: ERLEN_TEST_ONNX_PYTHON names no Python with onnx, onnxruntime or openvino");
        return;
    };
    let folder = tempfile::tempdir().expect("writable");
    for (name, network) in networks() {
        let input = batch(network.input(), 3, 8);
        let expected = forward(&network, &input);
        let is_text = matches!(network.input(), InputShape::Tokens { .. });
        let dims = input.dims();
        let given = |dtype: &str, values: serde_json::Value| serde_json::json!({"dtype": dtype, "dims": dims, "values": values});
        let inputs = if is_text {
            let ids: Vec<u32> = input.flatten_all().and_then(|ids| ids.to_vec1()).expect("ids");
            let mask = vec![1; ids.len()];
            serde_json::json!({"input_ids": given("int64", ids.into()), "attention_mask": given("int64", mask.into())})
        } else {
            serde_json::json!({"input": given("float32", host(&input).into())})
        };
        for (opset, half) in [(17, false), (20, false), (23, false), (27, false), (20, true)] {
            let files = onnx_model(
                &network,
                &OnnxOptions {
                    half,
                    ..options(opset)
                },
            )
            .expect("known");
            let graph = ModelProto::decode(files.model.as_slice())
                .expect("valid")
                .graph
                .expect("there");
            let mut inputs = inputs.clone();
            if graph.input.len() == 1 && is_text {
                inputs
                    .as_object_mut()
                    .expect("an object")
                    .remove("attention_mask");
            }
            let case = serde_json::json!({
                "inputs": inputs, "expected": expected, "tolerance": if half { 2e-2 } else { 1e-5 },
            });
            let kind = if half { "-f16" } else { "" };
            let path = folder
                .path()
                .join(format!("{}-{opset}{kind}", name.replace([' ', ','], "_")));
            std::fs::write(path.with_extension("onnx"), &files.model).expect("writable");
            std::fs::write(path.with_extension("json"), case.to_string()).expect("writable");
        }
        let quantized = quantized(&network);
        let answering = std::sync::Arc::clone(&quantized)
            .into_network(&network, false)
            .expect("has steps");
        for opset in [17, 27] {
            let files = quantized_onnx_model(&quantized, network.input(), &options(opset)).expect("known");
            // Values between two bytes may go to either, in one of many layers.
            let mut inputs = inputs.clone();
            let graph = ModelProto::decode(files.model.as_slice()).expect("valid").graph;
            if graph.expect("there").input.len() == 1 && is_text {
                inputs
                    .as_object_mut()
                    .expect("an object")
                    .remove("attention_mask");
            }
            let case = serde_json::json!({
                "inputs": inputs, "expected": forward(&answering, &input), "tolerance": 1e-1,
            });
            let path = folder
                .path()
                .join(format!("{}-{opset}-int8", name.replace([' ', ','], "_")));
            std::fs::write(path.with_extension("onnx"), &files.model).expect("writable");
            std::fs::write(path.with_extension("json"), case.to_string()).expect("writable");
        }
    }
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_exchange.py");
    let ended = std::process::Command::new(python)
        .args([script.as_path(), folder.path()])
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&ended.stdout);
    println!("{told}");
    assert!(
        ended.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

/// A network, quantized by the limits of some samples.
fn quantized(network: &Network) -> std::sync::Arc<QuantizedNetwork> {
    let mut calibration = crate::quantization::Calibrator::new(network, &[]).expect("has layers");
    let samples = batch(network.input(), 16, 3);
    let samples = match network.input() {
        InputShape::Tokens { .. } => {
            let ids: Vec<u32> = samples.flatten_all().and_then(|ids| ids.to_vec1()).expect("ids");
            NetworkInput::Tokens(TokenBatch::equal(&ids, 16, samples.device()).expect("fits"))
        }
        _ => NetworkInput::Values(samples),
    };
    calibration.limit(&samples).expect("finite");
    let model = calibration.model(&crate::spec::RangeRule::MinMax).expect("seen");
    std::sync::Arc::new(QuantizedNetwork::new(network, model, &[]).expect("its own layers"))
}

#[test]
fn a_runtime_gives_what_a_quantized_network_gives() {
    for (name, network) in networks() {
        let quantized = quantized(&network);
        let answering = std::sync::Arc::clone(&quantized)
            .into_network(&network, false)
            .expect("has steps");
        for opset in [17, 27] {
            let write = || quantized_onnx_model(&quantized, network.input(), &options(opset)).expect("known");
            let files = write();
            assert!(files.model == write().model, "{name}");
            let plain = onnx_model(&network, &options(opset)).expect("known").model.len();
            assert!(
                name != "resnet50" || files.model.len() * 3 < plain,
                "{name}: {plain}"
            );
            let model =
                Model::load(files.model).unwrap_or_else(|error| panic!("{name}, opset {opset}: {error}"));
            let input = batch(network.input(), 5, 8);
            let (actual, expected) = (run(&model, &input, None), forward(&answering, &input));
            // A value between two bytes may go to either, in one of many layers, and what is behind it follows: as far as
            // rounding goes at most.
            let exact = forward(&network, &input);
            let distance = |values: &[f32]| {
                let apart = values
                    .iter()
                    .zip(&expected)
                    .map(|(one, other)| (one - other).powi(2));
                apart.sum::<f32>().sqrt()
            };
            println!(
                "{name}, opset {opset}: {} of {}",
                distance(&actual),
                distance(&exact)
            );
            assert!(distance(&actual) <= distance(&exact), "{name}, opset {opset}");
        }
    }
}
