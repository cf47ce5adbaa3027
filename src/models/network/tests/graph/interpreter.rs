//! An evaluator that knows of a graph what a file of it would hold: the names and attributes of its
//! operations, and its tensors. It gives the network's output to the bit, so these say all there is.

use super::*;
use crate::ops::{
    self, Attributes, BatchNormOptions, ConvOptions, ConvolutionOperands, Epilogue, NormOperands, OpError,
    Statistics, Window,
};

#[test]
fn names_and_attributes_say_all() {
    for (name, network) in networks() {
        let graph = network.graph().expect("all is recorded");
        let input = batch(network.input(), 3, 8);
        let expected = network
            .forward(&input, &Pass::evaluate(Precision::F32))
            .expect("fits");
        let actual = evaluate_with(&graph, &input, |operation, operands| {
            let operands: Vec<&Tensor> = operands.iter().collect();
            interpret(operation.name(), &operation.attributes(), &operands).expect("fits")
        });
        assert_eq!(host(&actual), host(&expected), "{name}");
    }
}

fn interpret(name: &str, attributes: &Attributes, x: &[&Tensor]) -> Result<Tensor, OpError> {
    const F32: Precision = Precision::F32;
    let operands = x;
    let x = x[0];
    match name {
        "add" => ops::add(x, operands[1]),
        "relu" => ops::relu(x),
        "leaky_relu" => ops::leaky_relu(x, float(attributes, "alpha"), F32),
        "gelu" => ops::gelu(x, F32),
        "silu" => ops::silu(x, F32),
        "hardswish" => ops::hardswish(x, F32),
        "hardsigmoid" => ops::hardsigmoid(x, F32),
        "sigmoid" => ops::sigmoid(x, F32),
        "tanh" => ops::tanh(x, F32),
        "conv2d" => {
            let options = conv_options(attributes);
            ops::conv2d(x, operands[1], operands.get(2).copied(), options, F32)
        }
        "conv2d_norm" => {
            let first = if flag(attributes, "bias") { 3 } else { 2 };
            let convolution = ConvolutionOperands {
                weight: operands[1],
                bias: operands[2..first].first().copied(),
                options: conv_options(attributes),
            };
            let norm = NormOperands {
                weight: operands[first],
                bias: operands[first + 1],
                mean: operands[first + 2],
                variance: operands[first + 3],
                options: norm_options(attributes),
            };
            ops::conv2d_norm(x, convolution, norm, epilogue(attributes, operands), F32)
        }
        "batch_norm" => {
            assert!(!flag(attributes, "training_mode"));
            let statistics = Statistics::Running {
                mean: operands[3],
                variance: operands[4],
            };
            let (options, epilogue) = (norm_options(attributes), epilogue(attributes, operands));
            ops::batch_norm(x, operands[1], operands[2], statistics, options, epilogue, F32)
        }
        "layer_norm" => {
            assert_eq!(attributes.get("axis"), Some(&Attribute::Integer(-1)));
            ops::layer_norm(x, operands[1], operands[2], float(attributes, "epsilon"))
        }
        "linear" => ops::linear(x, operands[1], operands.get(2).copied(), F32),
        "max_pool2d" => ops::max_pool2d(x, window(attributes)),
        "avg_pool2d" => {
            let count_include_pad = flag(attributes, "count_include_pad");
            ops::avg_pool2d(x, window(attributes), count_include_pad, F32)
        }
        "global_average_pool" => ops::global_average_pool(x, F32),
        "scale_channels" => ops::scale_channels(x, operands[1], F32),
        "attention" => ops::attention(x, integer(attributes, "num_heads"), None, F32),
        "embed_tokens" => ops::embed_tokens(x, operands[1], operands[2]),
        "transpose" => Ok(x.permute(integers(attributes, "perm"))?.contiguous()?),
        "flatten" => {
            let [first, last] = ["first_axis", "last_axis"].map(|name| integer(attributes, name));
            ops::flatten(x, first, last)
        }
        "unsqueeze" => ops::unsqueeze(x, &integers(attributes, "axes")),
        "squeeze" => ops::squeeze(x, &integers(attributes, "axes")),
        "select" => ops::select(x, integer(attributes, "axis"), integer(attributes, "index")),
        other => panic!("{other} is not known"),
    }
}

fn conv_options(attributes: &Attributes) -> ConvOptions {
    assert_eq!(integers(attributes, "dilations"), [1, 1]);
    ConvOptions {
        stride: equal(&integers(attributes, "strides")),
        padding: equal(&integers(attributes, "pads")),
        groups: integer(attributes, "group"),
    }
}

fn window(attributes: &Attributes) -> Window {
    Window {
        size: equal(&integers(attributes, "kernel_shape")),
        stride: equal(&integers(attributes, "strides")),
        padding: equal(&integers(attributes, "pads")),
    }
}

fn norm_options(attributes: &Attributes) -> BatchNormOptions {
    BatchNormOptions {
        epsilon: float(attributes, "epsilon"),
        ..BatchNormOptions::default()
    }
}

fn epilogue<'a>(attributes: &Attributes, operands: &[&'a Tensor]) -> Epilogue<'a> {
    let residual = operands[operands.len() - 1];
    match (flag(attributes, "add"), flag(attributes, "relu")) {
        (false, false) => Epilogue::None,
        (false, true) => Epilogue::Relu,
        (true, false) => Epilogue::Add(residual),
        (true, true) => Epilogue::AddRelu(residual),
    }
}

fn flag(attributes: &Attributes, name: &str) -> bool {
    match attributes.get(name) {
        Some(Attribute::Flag(value)) => *value,
        other => panic!("{name} is {other:?}"),
    }
}

fn float(attributes: &Attributes, name: &str) -> f64 {
    match attributes.get(name) {
        Some(Attribute::Float(value)) => *value,
        other => panic!("{name} is {other:?}"),
    }
}

fn integer(attributes: &Attributes, name: &str) -> usize {
    match attributes.get(name) {
        Some(Attribute::Integer(value)) => usize::try_from(*value).expect("not negative"),
        other => panic!("{name} is {other:?}"),
    }
}

fn integers(attributes: &Attributes, name: &str) -> Vec<usize> {
    match attributes.get(name) {
        Some(Attribute::Integers(values)) => {
            let values = values.iter().map(|&value| usize::try_from(value));
            values.collect::<Result<_, _>>().expect("not negative")
        }
        other => panic!("{name} is {other:?}"),
    }
}

/// The one value that all are.
fn equal(values: &[usize]) -> usize {
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    values[0]
}
