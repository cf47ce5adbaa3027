//! Models as ONNX files, for the runtimes that other programs are built on.
//!
//! In goes a network, out come the bytes of a model: the graph of its one forward pass ([`Network::graph`]), each
//! operation as the operators of ONNX's own domain that runtimes have had for long. Batch norms are part of the weights
//! before them; quantized ones have `QuantizeLinear` and `DequantizeLinear` where bytes are rounded to. The batch, and the length of texts, are free; weights have PyTorch's names. The bytes are a function of
//! the network and the options.

mod builder;
mod lower;
mod proto;
#[cfg(test)]
mod tests;

use prost::Message;
use thiserror::Error;

use crate::data::Normalization;
use crate::models::{ModelError, Network};
use crate::ops::{Graph, GraphValue};
use crate::quantization::QuantizedNetwork;
use crate::schema::InputShape;
use builder::GraphBuilder;
use lower::{Lowering, TextInputs};
use proto::{
    DimensionProto, EXTERNAL, ElementFormat, GraphProto, ModelProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// Why a network cannot be written.
#[derive(Debug, Error)]
pub enum OnnxError {
    /// An operation that is not known here.
    #[error(
        "ONNX: {operation} has no counterpart that is known here; `format: safetensors` holds the weights alone"
    )]
    Operation {
        /// Its name.
        operation: String,
    },
    /// Raw pixels for what takes none.
    #[error("ONNX: `input: pixels` is for models of images, and this one takes {what}: leave `input` out")]
    NoImage {
        /// What it takes.
        what: &'static str,
    },
    /// What the network reports.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// What the tensor engine reports.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// How a model is written.
#[derive(Clone, Debug)]
pub struct OnnxOptions<'a> {
    /// The version of the operators, from 17 to 27.
    pub opset: u8,
    /// Whether numbers are of 16 bits. Inputs and outputs stay f32.
    pub half: bool,
    /// Where images come as pixels, how these are normalised.
    pub pixels: Option<&'a Normalization>,
    /// What the output is called.
    pub output: &'a str,
    /// The most tokens of a text.
    pub context: usize,
    /// Whether samples are pairs of texts.
    pub pairs: bool,
    /// Texts by name that belong to the model.
    pub metadata: Vec<(String, String)>,
}

/// A model's files.
#[derive(Clone, Debug)]
pub struct OnnxFiles {
    /// [`OnnxFiles::MODEL`].
    pub model: Vec<u8>,
    /// [`OnnxFiles::DATA`], where the weights are too many for one file.
    pub data: Option<Vec<u8>>,
}

impl OnnxFiles {
    /// What the model is called.
    pub const MODEL: &'static str = "model.onnx";
    /// What the file of weights is called, within the model too.
    pub const DATA: &'static str = "model.onnx.data";
}

/// Bytes of weights that a protobuf message, which has less than 2 GiB, is trusted with.
const ONE_FILE: usize = (1 << 31) - (1 << 24);
/// Weights in a file of their own begin at multiples of this, so that they can be mapped.
const ALIGNMENT: usize = 4096;

/// `network` as a model.
///
/// # Errors
/// An operation without counterpart, or memory that a device does not give.
pub fn onnx_model(network: &Network, options: &OnnxOptions<'_>) -> Result<OnnxFiles, OnnxError> {
    let form = NetworkForm {
        input: network.input(),
        gives_image: network.judges_pixels(),
    };
    let graph = graph_of(&network.graph()?, None, form, options)?;
    Ok(files_of(graph, options, ONE_FILE))
}

/// A quantized network, for samples of `input`, as a model.
///
/// # Errors
/// An operation without counterpart.
pub fn quantized_onnx_model(
    network: &QuantizedNetwork,
    input: InputShape,
    options: &OnnxOptions<'_>,
) -> Result<OnnxFiles, OnnxError> {
    let form = NetworkForm {
        input,
        gives_image: false,
    };
    let graph = graph_of(network.graph(), Some(network), form, options)?;
    Ok(files_of(graph, options, ONE_FILE))
}

fn files_of(mut graph: GraphProto, options: &OnnxOptions<'_>, one_file: usize) -> OnnxFiles {
    let weights = graph
        .initializer
        .iter()
        .filter_map(|tensor| tensor.raw_data.as_ref());
    let is_large = weights.map(Vec::len).sum::<usize>() > one_file;
    let data = is_large.then(|| move_out(&mut graph.initializer));
    let entry = |key: &str, value: &str| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
    };
    let model = ModelProto {
        ir_version: Some(ir_version(options.opset)),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(options.opset.into()),
        }],
        producer_name: Some("erlen".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(graph),
        metadata_props: options
            .metadata
            .iter()
            .map(|(key, value)| entry(key, value))
            .collect(),
    };
    OnnxFiles {
        model: model.encode_to_vec(),
        data,
    }
}

/// The lowest version of the file format that the operators of `opset` may stand in.
fn ir_version(opset: u8) -> i64 {
    match opset {
        ..=18 => 8,
        19 | 20 => 9,
        21 | 22 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    }
}

/// What goes into a network and comes out of it.
#[derive(Clone, Copy)]
struct NetworkForm {
    input: InputShape,
    /// Whether its output is an image.
    gives_image: bool,
}

fn graph_of(
    recorded: &Graph,
    quantized: Option<&QuantizedNetwork>,
    form: NetworkForm,
    options: &OnnxOptions<'_>,
) -> Result<GraphProto, OnnxError> {
    let float = if options.half {
        ElementFormat::F16
    } else {
        ElementFormat::F32
    };
    let mut builder = GraphBuilder::new(options.opset.into(), float);
    let (given, texts) = inputs(form.input, options)?;
    for name in given
        .iter()
        .filter_map(|input| input.name.as_deref())
        .chain([options.output])
    {
        builder.take(name);
    }
    let first = given[0].name.clone().unwrap_or_default();
    let input = match (options.pixels, texts.is_some()) {
        (Some(normalization), _) => normalized(&mut builder, &first, normalization),
        (None, false) if options.half => builder.cast("input", &first, float),
        _ => first,
    };
    let is_text = texts.is_some();
    let mut lowering = Lowering::new(recorded, quantized, builder, input, texts);
    let result = lowering.run(form.gives_image)?;
    let is_used = [true, lowering.uses_mask, lowering.uses_segments];
    let mut builder = lowering.builder;
    let result = match options.half {
        true => builder.cast("output", &result, ElementFormat::F32),
        false => result,
    };
    builder.rename(&result, options.output);
    let given = given
        .into_iter()
        .zip(is_used)
        .filter_map(|(input, used)| used.then_some(input));
    Ok(GraphProto {
        node: builder.nodes,
        name: Some("model".to_owned()),
        initializer: builder.initializers,
        input: given.collect(),
        output: vec![value_info(
            options.output,
            ElementFormat::F32,
            &output_dims(recorded, is_text, form.gives_image),
        )],
    })
}

/// A dimension of an input or output.
enum Extent {
    Free(&'static str),
    Fixed(usize),
}

const BATCH: Extent = Extent::Free("batch");
const LENGTH: Extent = Extent::Free("length");

fn inputs(
    shape: InputShape,
    options: &OnnxOptions<'_>,
) -> Result<(Vec<ValueInfoProto>, Option<TextInputs>), OnnxError> {
    if options.pixels.is_some() {
        let InputShape::Image {
            channels,
            height,
            width,
        } = shape
        else {
            let what = match shape {
                InputShape::Tokens { .. } => "texts",
                _ => "rows of numbers",
            };
            return Err(OnnxError::NoImage { what });
        };
        let dims = [
            BATCH,
            Extent::Fixed(height),
            Extent::Fixed(width),
            Extent::Fixed(channels),
        ];
        return Ok((vec![value_info("pixels", ElementFormat::U8, &dims)], None));
    }
    let numbers = |dims: &[Extent]| Ok((vec![value_info("input", ElementFormat::F32, dims)], None));
    match shape {
        InputShape::Image {
            channels,
            height,
            width,
        } => numbers(&[
            BATCH,
            Extent::Fixed(channels),
            Extent::Fixed(height),
            Extent::Fixed(width),
        ]),
        InputShape::Features { columns } => numbers(&[BATCH, Extent::Fixed(columns)]),
        InputShape::Tokens { .. } => {
            let names = ["input_ids", "attention_mask", "token_type_ids"];
            let texts = TextInputs {
                ids: names[0].to_owned(),
                mask: names[1].to_owned(),
                segments: options.pairs.then(|| names[2].to_owned()),
                context: options.context,
            };
            let given = names.map(|name| value_info(name, ElementFormat::I64, &[BATCH, LENGTH]));
            Ok((given.into(), Some(texts)))
        }
    }
}

/// Pixels, `[N, H, W, C]`, as the network takes them, by the arithmetic of training.
fn normalized(builder: &mut GraphBuilder, pixels: &str, normalization: &Normalization) -> String {
    let float = std::mem::replace(&mut builder.float, ElementFormat::F32);
    let channels = normalization.mean.len();
    let scope = "normalize";
    let x = builder.cast(scope, pixels, ElementFormat::F32);
    let x = builder.transpose(scope, &x, &[0, 3, 1, 2]);
    let largest = builder.number(255.0);
    let x = builder.node(scope, "Div", &[&x, &largest], &[]);
    let mean = builder.numbers(&[channels, 1, 1], &normalization.mean);
    let x = builder.node(scope, "Sub", &[&x, &mean], &[]);
    let std = builder.numbers(&[channels, 1, 1], &normalization.std);
    let x = builder.node(scope, "Div", &[&x, &std], &[]);
    builder.float = float;
    match float {
        ElementFormat::F32 => x,
        narrow => builder.cast(scope, &x, narrow),
    }
}

fn output_dims(recorded: &Graph, is_text: bool, gives_image: bool) -> Vec<Extent> {
    let Some(GraphValue::Node(index)) = recorded.outputs.first() else {
        return vec![BATCH];
    };
    let shape = &recorded.nodes[*index].shape;
    if let (true, [_, height, width, channels]) = (gives_image, shape.as_slice()) {
        let sides = [*channels, *height, *width].map(Extent::Fixed);
        return std::iter::once(BATCH).chain(sides).collect();
    }
    let fixed = |(place, &extent): (usize, &usize)| match place {
        0 => BATCH,
        1 if is_text && shape.len() == 3 => LENGTH,
        _ => Extent::Fixed(extent),
    };
    shape.iter().enumerate().map(fixed).collect()
}

fn value_info(name: &str, element: ElementFormat, dims: &[Extent]) -> ValueInfoProto {
    let dim = |extent: &Extent| match *extent {
        Extent::Free(name) => DimensionProto {
            value: None,
            param: Some(name.to_owned()),
        },
        Extent::Fixed(extent) => DimensionProto {
            value: Some(extent as i64),
            param: None,
        },
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        kind: Some(TypeProto {
            tensor: Some(TensorTypeProto {
                elem_type: Some(element as i32),
                shape: Some(TensorShapeProto {
                    dim: dims.iter().map(dim).collect(),
                }),
            }),
        }),
    }
}

/// Moves the values of weights into a file of their own, and says there where they lie. What shapes hang on stays.
fn move_out(tensors: &mut [TensorProto]) -> Vec<u8> {
    const SMALL: usize = 1024;
    let mut data = Vec::new();
    for tensor in tensors {
        let Some(values) = tensor.raw_data.take_if(|values| values.len() >= SMALL) else {
            continue;
        };
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        tensor.external_data = vec![
            entry("location", OnnxFiles::DATA.to_owned()),
            entry("offset", data.len().to_string()),
            entry("length", values.len().to_string()),
        ];
        tensor.data_location = Some(EXTERNAL);
        data.extend(values);
    }
    data
}
