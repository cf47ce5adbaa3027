//! From the operations of a recorded forward pass to ONNX's.
//!
//! Images are channels-last here and channels-first there, so an image that lies channels-first in the file is known as
//! such ([`AxisOrder`]) and transposed only where an operation wants its values in our order.

mod attention;
mod images;
mod quantized;
mod tokens;
mod values;

use std::collections::HashMap;

use candle_core::Tensor;

use super::OnnxError;
use super::builder::{AttributeValue, GraphBuilder};
use super::proto::ElementFormat;
use crate::ops::{Attribute, Attributes, Graph, GraphValue, OperationNode};
use crate::quantization::QuantizedNetwork;

/// How a value of a graph lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AxisOrder {
    /// As its dimensions say.
    Given,
    /// An image `[N, H, W, C]` as `[N, C, H, W]`.
    ChannelsFirst,
}

/// A value that is there already.
#[derive(Clone, Debug)]
struct Lowered {
    name: String,
    layout: AxisOrder,
}

impl Lowered {
    fn given(name: String) -> Self {
        Self {
            name,
            layout: AxisOrder::Given,
        }
    }

    fn channels_first(name: String) -> Self {
        Self {
            name,
            layout: AxisOrder::ChannelsFirst,
        }
    }
}

/// What is known of texts beside their tokens.
pub(super) struct TextInputs {
    /// `[batch, length]`, whole numbers of 64 bits.
    pub ids: String,
    /// Of the same dimensions: 1 for tokens, 0 for what fills up. It becomes an input where something asks for it.
    pub mask: String,
    /// Of the same dimensions, where samples are pairs: of each token the text that it is of. It becomes an input where the
    /// network has types of tokens.
    pub segments: Option<String>,
    /// Positions that there are.
    pub context: usize,
}

/// A graph of ONNX's operations under way.
pub(super) struct Lowering<'a> {
    graph: &'a Graph,
    pub builder: GraphBuilder,
    texts: Option<TextInputs>,
    quantized: Option<&'a QuantizedNetwork>,
    /// Whether something asked for the mask of texts.
    pub uses_mask: bool,
    pub uses_segments: bool,
    input: Lowered,
    results: Vec<Lowered>,
    weights: HashMap<usize, String>,
    /// How often each weight is an operand.
    uses: HashMap<usize, usize>,
    /// What several operations share.
    shared: HashMap<String, String>,
}

/// A node on its way.
struct Step<'a> {
    node: &'a OperationNode,
    attributes: Attributes,
    /// The name of the module that it belongs to.
    scope: String,
    /// Its place in the graph.
    index: usize,
}

impl<'a> Lowering<'a> {
    /// Of `graph`, whose input is called `input`; of a quantized network, with what `quantized` says of it.
    pub fn new(
        graph: &'a Graph,
        quantized: Option<&'a QuantizedNetwork>,
        builder: GraphBuilder,
        input: String,
        texts: Option<TextInputs>,
    ) -> Self {
        let mut uses = HashMap::new();
        for operand in graph.nodes.iter().flat_map(|node| &node.operands) {
            if let GraphValue::Weight(index) = operand {
                *uses.entry(*index).or_insert(0) += 1;
            }
        }
        Self {
            graph,
            builder,
            texts,
            quantized,
            uses_mask: false,
            uses_segments: false,
            input: Lowered::given(input),
            results: Vec::new(),
            weights: HashMap::new(),
            uses,
            shared: HashMap::new(),
        }
    }

    /// Adds all operations; gives the output's name. Where the network `gives_image`, as of the classes of pixels, its output
    /// is in ONNX's order as its input is.
    ///
    /// # Errors
    /// An operation that has no counterpart.
    pub fn run(&mut self, gives_image: bool) -> Result<String, OnnxError> {
        let graph = self.graph;
        self.input = self.rounded_value(GraphValue::Input(0), "input", self.input.clone());
        for (index, node) in graph.nodes.iter().enumerate() {
            let step = Step {
                node,
                attributes: node.operation.attributes(),
                scope: graph.scope(index),
                index,
            };
            let result = self.lower(&step)?;
            let result = self.rounded_value(GraphValue::Node(index), &step.scope, result);
            self.results.push(result);
        }
        let output = self.value(graph.outputs[0], "output")?;
        Ok(match gives_image {
            true => self.in_layout(&output, AxisOrder::ChannelsFirst, "output"),
            false => self.given(&output, "output"),
        })
    }

    fn lower(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        match step.node.operation.name() {
            "conv2d" | "conv2d_norm" => self.convolution(step),
            "batch_norm" => self.batch_norm(step),
            "max_pool2d" | "avg_pool2d" => self.pool(step),
            "global_average_pool" => self.global_average_pool(step),
            "scale_channels" => self.scale_channels(step),
            "resize" => self.resize(step),
            "concat" => self.concat(step),
            "group_norm" => self.group_norm(step),
            "transpose" => self.transpose(step),
            "add" => self.add(step),
            "relu" | "relu6" | "leaky_relu" | "gelu" | "silu" | "hardswish" | "hardsigmoid" | "sigmoid"
            | "tanh" => self.activation(step),
            "linear" => self.linear(step),
            "layer_norm" => self.layer_norm(step),
            "rms_norm" => self.rms_norm(step),
            "swiglu" => self.swiglu(step),
            "flatten" | "unsqueeze" | "squeeze" => self.change_shape(step),
            "select" => self.select(step),
            "attention" => self.attention(step),
            "embed_tokens" => self.embed_tokens(step),
            "embedding" => self.embedding(step),
            "add_rows" => self.add_rows(step),
            "rotary_embedding" => self.rotary_embedding(step),
            "sequence_mean" => self.sequence_mean(step),
            other => Err(OnnxError::Operation {
                operation: other.to_owned(),
            }),
        }
    }

    /// The operand `index` of a step.
    fn operand(&mut self, step: &Step, index: usize) -> Result<Lowered, OnnxError> {
        self.value(step.node.operands[index], &step.scope)
    }

    fn value(&mut self, value: GraphValue, scope: &str) -> Result<Lowered, OnnxError> {
        Ok(match value {
            GraphValue::Input(_) => self.input.clone(),
            GraphValue::Node(index) => self.results[index].clone(),
            GraphValue::Weight(index) => {
                if let Some(name) = self.weights.get(&index) {
                    return Ok(Lowered::given(name.clone()));
                }
                let (name, tensor) = &self.graph.weights[index];
                let name = self.builder.weight(name, tensor.dims(), &host(tensor)?);
                self.weights.insert(index, name.clone());
                Lowered::given(name)
            }
            GraphValue::Constant(index) => {
                let tensor = &self.graph.constants[index];
                let name = format!("{scope}/constant");
                Lowered::given(self.builder.weight(&name, tensor.dims(), &host(tensor)?))
            }
        })
    }

    /// The operand `index`, in our order.
    fn given_operand(&mut self, step: &Step, index: usize) -> Result<String, OnnxError> {
        let operand = self.operand(step, index)?;
        Ok(self.given(&operand, &step.scope))
    }

    fn given(&mut self, value: &Lowered, scope: &str) -> String {
        match value.layout {
            AxisOrder::Given => value.name.clone(),
            AxisOrder::ChannelsFirst => self.builder.transpose(scope, &value.name, &[0, 2, 3, 1]),
        }
    }

    /// The operand `index`, an image, channels-first.
    fn image_operand(&mut self, step: &Step, index: usize) -> Result<String, OnnxError> {
        let operand = self.operand(step, index)?;
        Ok(self.in_layout(&operand, AxisOrder::ChannelsFirst, &step.scope))
    }

    fn in_layout(&mut self, value: &Lowered, layout: AxisOrder, scope: &str) -> String {
        match (value.layout, layout) {
            (AxisOrder::Given, AxisOrder::ChannelsFirst) => {
                self.builder.transpose(scope, &value.name, &[0, 3, 1, 2])
            }
            (AxisOrder::ChannelsFirst, AxisOrder::Given) => self.given(value, scope),
            _ => value.name.clone(),
        }
    }

    /// The values of the operand `index`, a weight.
    fn weight_values(&self, step: &Step, index: usize) -> Result<Vec<f32>, OnnxError> {
        host(self.weight_tensor(step, index)?.1)
    }

    /// The operand `index`, a weight, and its name.
    fn weight_tensor(&self, step: &Step, index: usize) -> Result<(&'a str, &'a Tensor), OnnxError> {
        match step.node.operands.get(index) {
            Some(GraphValue::Weight(index)) => {
                let (name, tensor) = &self.graph.weights[*index];
                Ok((name, tensor))
            }
            _ => Err(OnnxError::Operation {
                operation: format!("{} with a computed weight", step.node.operation.name()),
            }),
        }
    }

    /// Dimensions of the operand `index`; those of the batch are 1.
    fn operand_dims(&self, step: &Step, index: usize) -> Vec<usize> {
        match step.node.operands[index] {
            GraphValue::Node(index) => self.graph.nodes[index].shape.clone(),
            GraphValue::Weight(index) => self.graph.weights[index].1.dims().to_vec(),
            GraphValue::Constant(index) => self.graph.constants[index].dims().to_vec(),
            GraphValue::Input(_) => Vec::new(),
        }
    }

    /// What `make` adds the first time it is asked for.
    fn shared(&mut self, key: &str, make: impl FnOnce(&mut Self) -> String) -> String {
        if let Some(name) = self.shared.get(key) {
            return name.clone();
        }
        let name = make(self);
        self.shared.insert(key.to_owned(), name.clone());
        name
    }
}

impl Step<'_> {
    fn float(&self, name: &str) -> f64 {
        match self.attributes.get(name) {
            Some(Attribute::Float(value)) => *value,
            _ => 0.0,
        }
    }

    fn flag(&self, name: &str) -> bool {
        self.attributes.get(name) == Some(&Attribute::Flag(true))
    }

    fn integer(&self, name: &str) -> Option<usize> {
        match self.attributes.get(name) {
            Some(Attribute::Integer(value)) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    fn integers(&self, name: &str) -> Vec<i64> {
        match self.attributes.get(name) {
            Some(Attribute::Integers(values)) => values.clone(),
            _ => Vec::new(),
        }
    }

    fn text(&self, name: &str) -> Option<&'static str> {
        match self.attributes.get(name) {
            Some(Attribute::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// All values in order.
fn host(tensor: &Tensor) -> Result<Vec<f32>, OnnxError> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}
