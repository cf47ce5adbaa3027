//! An evaluator that knows of a graph what a file of it would hold: the names and attributes of its
//! operations, and its tensors. It gives the network's output to the bit, so these say all there is.

use super::*;
use crate::ops::{
    self, AttentionOperands, AttentionOptions, Attributes, BatchNormOptions, ConvOptions,
    ConvolutionOperands, Epilogue, GroupNormOptions, NormOperands, OpError, ResizeMode, RotaryTable,
    Statistics, TableRows, Window,
};

#[test]
fn names_and_attributes_say_all() {
    for (name, network) in networks() {
        let graph = network.graph().expect("all is recorded");
        let input = batch(network.input(), 3, 8);
        let expected = network
            .forward(&input, &Pass::evaluate(Precision::F32))
            .expect("fits");
        let actual = evaluate_with(&graph, &input, |node, operands| {
            let operation = &node.operation;
            interpret(operation.name(), &operation.attributes(), operands).expect("fits")
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
        "relu6" => ops::relu6(x),
        "leaky_relu" => ops::leaky_relu(x, float(attributes, "alpha"), F32),
        "gelu" => match attributes.get("approximate") {
            Some(Attribute::Text("tanh")) => ops::gelu_tanh(x, F32),
            Some(Attribute::Text("none")) => ops::gelu(x, F32),
            other => panic!("approximate is {other:?}"),
        },
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
        "linear" if attributes.get("transposed").is_some() => {
            ops::linear_transposed(x, operands[1], operands.get(2).copied(), F32)
        }
        "linear" => ops::linear(x, operands[1], operands.get(2).copied(), F32),
        "max_pool2d" => ops::max_pool2d(x, window(attributes)),
        "avg_pool2d" => {
            let count_include_pad = flag(attributes, "count_include_pad");
            ops::avg_pool2d(x, window(attributes), count_include_pad, F32)
        }
        "global_average_pool" => ops::global_average_pool(x, F32),
        "resize" => {
            let [height, width] = [0, 1].map(|axis: usize| integers(attributes, "sizes")[axis]);
            let mode = match attributes.get("mode") {
                Some(Attribute::Text("nearest")) => ResizeMode::Nearest,
                Some(Attribute::Text("linear")) => ResizeMode::Bilinear,
                other => panic!("mode is {other:?}"),
            };
            ops::resize(x, (height, width), mode, F32)
        }
        "concat" => {
            assert_eq!(attributes.get("axis"), Some(&Attribute::Integer(-1)));
            ops::concat_channels(operands)
        }
        "group_norm" => {
            let options = GroupNormOptions {
                groups: integer(attributes, "num_groups"),
                epsilon: float(attributes, "epsilon"),
                relu: flag(attributes, "relu"),
            };
            ops::group_norm(x, operands[1], operands[2], options)
        }
        "scale_channels" => ops::scale_channels(x, operands[1], F32),
        "attention" => {
            let heads = integer(attributes, "num_heads");
            let options = AttentionOptions {
                key_value_heads: optional(attributes, "kv_num_heads").unwrap_or(heads),
                causal: attributes
                    .get("is_causal")
                    .is_some_and(|causal| *causal == Attribute::Flag(true)),
                window: optional(attributes, "window"),
                ..AttentionOptions::full(heads, F32)
            };
            let given = match *operands {
                [queries, keys, values] => AttentionOperands::Apart {
                    queries,
                    keys,
                    values,
                },
                _ => AttentionOperands::SideBySide(x),
            };
            ops::attention(given, &options)
        }
        "embedding" => {
            let padding = optional(attributes, "padding_idx").map(|row| row as u32);
            ops::embedding(x, operands[1], padding)
        }
        "rms_norm" => {
            assert_eq!(attributes.get("axis"), Some(&Attribute::Integer(-1)));
            ops::rms_norm(x, operands[1], float(attributes, "epsilon"))
        }
        "rotary_embedding" => {
            let (width, base) = (
                integer(attributes, "rotary_embedding_dim"),
                float(attributes, "base"),
            );
            ops::rotate(x, &RotaryTable::new(width, base, x.dims()[1]), None)
        }
        "add_rows" => {
            let rows = match (optional(attributes, "first"), optional(attributes, "row")) {
                (Some(first), None) => TableRows::Counted { first },
                (None, Some(row)) => TableRows::Same { row },
                other => panic!("rows {other:?}"),
            };
            ops::add_rows(x, operands[1], rows)
        }
        "sequence_mean" => ops::sequence_mean(x, None),
        "swiglu" => ops::swiglu(x, operands[1], F32),
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
    ConvOptions {
        stride: equal(&integers(attributes, "strides")),
        padding: equal(&integers(attributes, "pads")),
        dilation: equal(&integers(attributes, "dilations")),
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

fn optional(attributes: &Attributes, name: &str) -> Option<usize> {
    attributes.get(name).map(|_| integer(attributes, name))
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
