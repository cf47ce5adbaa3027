//! What of a network is computed with bytes.

use crate::models::Network;
use crate::ops::{Graph, GraphValue};
use crate::schema::InputShape;
use crate::spec::fits_pattern;

use super::error::QuantizationError;
use super::layers::{LayerShape, list};
use super::model::TensorSpot;

/// Which nodes of a graph are computed with bytes, and which tensors stand as such.
///
/// A tensor stands as bytes where a quantized layer reads it, and where what reads it can be computed with bytes to give
/// one that does. Of a network of texts, which may have any length, nothing but layers is computed with bytes, and the one
/// over a vocabulary stays as it is.
#[derive(Debug)]
pub(super) struct BytePlan {
    /// The layers that are quantized, by node.
    pub layers: Vec<Option<LayerShape>>,
    /// Whether the result of each node stands as bytes.
    pub results: Vec<bool>,
    /// Whether the product of each node does, before something is added to it.
    pub products: Vec<bool>,
    /// Whether what the network is given does.
    pub input: bool,
    /// What each node's result has the steps of, where those are not its own.
    pub same_as: Vec<Option<GraphValue>>,
    /// What nodes besides the layers compute with bytes: their operands and results stand as such.
    pub operations: Vec<Option<ByteOperation>>,
    /// What each node is called.
    pub names: Vec<String>,
}

/// What can be computed with bytes besides the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOperation {
    /// The same bytes with other dimensions.
    Reshape,
    /// The largest byte, which is that of the largest value.
    MaxPool,
    /// A function of each value: a table of 256 results.
    Table,
    AveragePool,
    GlobalAverage,
    Add,
    ScaleChannels,
}

impl ByteOperation {
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "flatten" | "squeeze" | "unsqueeze" => Self::Reshape,
            "max_pool2d" => Self::MaxPool,
            "relu" | "relu6" | "leaky_relu" | "gelu" | "silu" | "hardswish" | "hardsigmoid" | "sigmoid"
            | "tanh" => Self::Table,
            "avg_pool2d" => Self::AveragePool,
            "global_average_pool" => Self::GlobalAverage,
            "add" => Self::Add,
            "scale_channels" => Self::ScaleChannels,
            _ => return None,
        })
    }

    /// Whether the result has the steps of what it is made of.
    pub fn keeps_steps(self) -> bool {
        matches!(self, Self::Reshape | Self::MaxPool)
    }
}

impl BytePlan {
    /// Of `graph`, which is that of `network`, without the layers that `keep` names.
    ///
    /// # Errors
    /// A pattern that fits no layer, or no layer that is left.
    pub fn new(network: &Network, graph: &Graph, keep: &[String]) -> Result<Self, QuantizationError> {
        let count = graph.nodes.len();
        let mut layers = Self::layers_of(network, graph);
        let known: Vec<&str> = layers.iter().flatten().map(|layer| layer.name.as_str()).collect();
        if known.is_empty() {
            let problem = "the network has no convolution and no fully connected layer".to_owned();
            return Err(QuantizationError::NoLayers { problem });
        }
        for pattern in keep {
            if !known.iter().any(|name| fits_pattern(pattern, name)) {
                return Err(QuantizationError::UnknownLayer {
                    pattern: pattern.clone(),
                    layers: list(&known),
                });
            }
        }
        for layer in &mut layers {
            let is_kept = |shape: &LayerShape| keep.iter().any(|pattern| fits_pattern(pattern, &shape.name));
            *layer = layer.take().filter(|shape| !is_kept(shape));
        }
        if layers.iter().all(Option::is_none) {
            let problem = "`keep` names all of them; take one of its patterns out".to_owned();
            return Err(QuantizationError::NoLayers { problem });
        }
        let mut plan = Self {
            layers,
            results: vec![false; count],
            products: vec![false; count],
            input: false,
            same_as: vec![None; count],
            operations: vec![None; count],
            names: names(graph),
        };
        match is_of_texts(network) {
            true => plan.demand_inputs(graph),
            false => plan.demand(graph),
        }
        Ok(plan)
    }

    /// The layers of `graph` that can be quantized, by node.
    pub fn layers_of(network: &Network, graph: &Graph) -> Vec<Option<LayerShape>> {
        let vocabulary = network.gives_vocabulary().then(|| graph.outputs[0]);
        // A weight of several layers would have several steps.
        let mut seen: Vec<String> = Vec::new();
        let layer = |(index, node)| {
            let shape =
                LayerShape::of(graph, node).filter(|_| vocabulary != Some(GraphValue::Node(index)))?;
            let is_new = !seen.contains(&shape.prefix);
            seen.push(shape.prefix.clone());
            is_new.then_some(shape)
        };
        graph.nodes.iter().enumerate().map(layer).collect()
    }

    /// What layers read stands as bytes, and nothing else.
    fn demand_inputs(&mut self, graph: &Graph) {
        for (index, node) in graph.nodes.iter().enumerate() {
            if self.layers[index].is_some() {
                self.want(node.operands[0]);
            }
        }
    }

    /// From the last node to the first: who reads a tensor is known before the tensor is looked at.
    fn demand(&mut self, graph: &Graph) {
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            let is_wanted = self.results[index];
            if let Some(layer) = &self.layers[index] {
                let added = layer.added;
                self.want(node.operands[0]);
                if let (Some(added), true) = (added, is_wanted) {
                    self.products[index] = true;
                    self.want(added);
                }
                continue;
            }
            let Some(operation) = ByteOperation::of(node.operation.name()).filter(|_| is_wanted) else {
                continue;
            };
            let operands: &[GraphValue] = match operation {
                ByteOperation::Add | ByteOperation::ScaleChannels => &node.operands[..2],
                _ => &node.operands[..1],
            };
            // What a network is given is rounded behind whatever brings it into shape, and weights are never.
            let of_node = |operand: &GraphValue| match operand {
                GraphValue::Node(node) => Some(&graph.nodes[*node].shape),
                _ => None,
            };
            let Some(shapes) = operands.iter().map(of_node).collect::<Option<Vec<_>>>() else {
                continue;
            };
            let fits = match operation {
                ByteOperation::Add => shapes.iter().all(|shape| **shape == node.shape),
                // Dimensions are changed behind the batch's.
                ByteOperation::Reshape => node.shape.first() == Some(&1) && shapes[0].first() == Some(&1),
                _ => true,
            };
            if !fits {
                continue;
            }
            self.operations[index] = Some(operation);
            if operation.keeps_steps() {
                self.same_as[index] = Some(node.operands[0]);
            }
            for operand in operands {
                self.want(*operand);
            }
        }
    }

    fn want(&mut self, value: GraphValue) {
        match value {
            GraphValue::Input(_) => self.input = true,
            GraphValue::Node(node) => self.results[node] = true,
            GraphValue::Weight(_) | GraphValue::Constant(_) => {}
        }
    }

    /// Whether a value stands as bytes.
    pub fn is_bytes(&self, value: GraphValue) -> bool {
        match value {
            GraphValue::Input(_) => self.input,
            GraphValue::Node(node) => self.results[node],
            GraphValue::Weight(_) | GraphValue::Constant(_) => false,
        }
    }

    /// Where the steps of a value are kept.
    pub fn spot(&self, value: GraphValue) -> Option<TensorSpot> {
        match value {
            GraphValue::Input(_) => Some(TensorSpot::Input),
            GraphValue::Node(node) => match self.same_as[node] {
                Some(other) => self.spot(other),
                None => Some(TensorSpot::Result(node)),
            },
            GraphValue::Weight(_) | GraphValue::Constant(_) => None,
        }
    }

    /// All tensors with steps of their own, in order.
    pub fn spots(&self) -> Vec<TensorSpot> {
        let mut spots: Vec<TensorSpot> = self.input.then_some(TensorSpot::Input).into_iter().collect();
        for node in 0..self.results.len() {
            if self.products[node] {
                spots.push(TensorSpot::Product(node));
            }
            if self.results[node] && self.same_as[node].is_none() {
                spots.push(TensorSpot::Result(node));
            }
        }
        spots
    }

    /// What a tensor is called.
    pub fn name(&self, spot: TensorSpot) -> String {
        match spot {
            TensorSpot::Input => "input".to_owned(),
            TensorSpot::Result(node) => self.names[node].clone(),
            TensorSpot::Product(node) => format!("{}/product", self.names[node]),
        }
    }
}

/// Whether `network` is one of texts.
pub(super) fn is_of_texts(network: &Network) -> bool {
    matches!(network.input(), InputShape::Tokens { .. })
}

/// What each node is called: by its module, and with its number where several belong to one.
fn names(graph: &Graph) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let name = match LayerShape::of(graph, node) {
            Some(shape) => shape.name,
            None => graph.scope(index),
        };
        let is_taken = name == "input" || names.contains(&name);
        names.push(if is_taken { format!("{name}_{index}") } else { name });
    }
    names
}
