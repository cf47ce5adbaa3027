//! Convolutions and fully connected layers of a graph, with the norms behind them in their weights.

use candle_core::{Device, Tensor};

use crate::ops::{
    Attribute, Attributes, ByteWeight, ConvOptions, Graph, GraphValue, OperationNode, conv2d, linear,
};
use crate::spec::Precision;

use super::error::QuantizationError;

/// A convolution or a fully connected layer that can be quantized.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerShape {
    /// What it is called, such as `layer1.0.conv1`.
    pub name: String,
    /// The names of its weight and of what else is known of it, but for their ends: `layer1.0.conv1.`.
    pub prefix: String,
    /// `[O, I / groups, K, K]` or `[O, I]`.
    pub dims: Vec<usize>,
    /// How a convolution moves.
    pub convolution: ConvOptions,
    /// What is added to the product.
    pub added: Option<GraphValue>,
    /// Whether negative numbers become 0 at the end.
    pub relu: bool,
}

/// A layer's weight and bias with the norm behind it.
#[derive(Clone, Debug)]
pub(super) struct FoldedLayer {
    /// `[O, I / groups, K, K]` or `[O, I]`.
    pub weight: Tensor,
    pub bias: Tensor,
}

impl LayerShape {
    /// Of the node `node`; nothing where it is no such layer, or sums up more products than 32 bits hold.
    pub fn of(graph: &Graph, node: &OperationNode) -> Option<Self> {
        let name = node.operation.name();
        let attributes = node.operation.attributes();
        let is_linear = name == "linear";
        if !(is_linear || name == "conv2d" || name == "conv2d_norm") {
            return None;
        }
        if matches!(node.operands[0], GraphValue::Weight(_) | GraphValue::Constant(_)) {
            return None;
        }
        let (weight_name, weight) = &graph.weights[node.weight(1)?];
        let mut dims = weight.dims().to_vec();
        if attributes.get("transposed") == Some(&Attribute::Flag(true)) {
            dims.reverse();
        }
        if is_too_large(&dims) {
            return None;
        }
        let prefix = weight_name.strip_suffix("weight")?;
        let whole = |name: &str| match attributes.get(name) {
            Some(Attribute::Integers(values)) => values.first().copied(),
            Some(Attribute::Integer(value)) => Some(*value),
            _ => None,
        };
        let number = |name: &str, usual: usize| whole(name).map_or(usual, |value| value as usize);
        Some(Self {
            name: prefix.trim_end_matches(['.', '_']).to_owned(),
            prefix: prefix.to_owned(),
            dims,
            convolution: ConvOptions {
                stride: number("strides", 1),
                padding: number("pads", 0),
                groups: number("group", 1),
            },
            added: is_set(&attributes, "add").then(|| node.operands[node.operands.len() - 1]),
            relu: is_set(&attributes, "relu"),
        })
    }

    /// The name of the weight of the node `node`, where it is a layer but for its size.
    pub fn too_large<'a>(graph: &'a Graph, node: &OperationNode) -> Option<&'a str> {
        let is_layer = matches!(node.operation.name(), "linear" | "conv2d" | "conv2d_norm");
        let (name, weight) = &graph.weights[node.weight(1).filter(|_| is_layer)?];
        let mut dims = weight.dims().to_vec();
        if is_set(&node.operation.attributes(), "transposed") {
            dims.reverse();
        }
        is_too_large(&dims).then_some(name)
    }

    /// Values of its weight.
    pub fn weights(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether it is a convolution.
    pub fn is_convolution(&self) -> bool {
        self.dims.len() == 4
    }
}

fn is_too_large(dims: &[usize]) -> bool {
    dims[1..].iter().product::<usize>() > ByteWeight::MOST_PRODUCTS
}

fn is_set(attributes: &Attributes, name: &str) -> bool {
    attributes.get(name) == Some(&Attribute::Flag(true))
}

impl FoldedLayer {
    /// Of the layer `shape`, which is `node`.
    pub fn of(graph: &Graph, node: &OperationNode, shape: &LayerShape) -> candle_core::Result<Self> {
        let values = |index: usize| -> candle_core::Result<Vec<f32>> {
            let Some(weight) = node.weight(index) else {
                candle_core::bail!("`{}` has a computed operand {index}", shape.name)
            };
            graph.weights[weight].1.flatten_all()?.to_vec1()
        };
        let attributes = node.operation.attributes();
        let outputs = shape.dims[0];
        let mut weight = values(1)?;
        if is_set(&attributes, "transposed") {
            let (_, tensor) = &graph.weights[node.weight(1).unwrap_or_default()];
            weight = tensor.t()?.flatten_all()?.to_vec1()?;
        }
        if node.operation.name() != "conv2d_norm" {
            let bias = match node.operands.len() > 2 {
                true => values(2)?,
                false => vec![0.0; outputs],
            };
            return Self::of_values(weight, bias, shape);
        }
        let has_bias = is_set(&attributes, "bias");
        let bias = match has_bias {
            true => values(2)?,
            false => vec![0.0; outputs],
        };
        let first = 2 + usize::from(has_bias);
        let [scale, shift, mean, variance] = [0, 1, 2, 3].map(|part| values(first + part));
        let (scale, shift, mean, variance) = (scale?, shift?, mean?, variance?);
        let epsilon = match attributes.get("epsilon") {
            Some(Attribute::Float(epsilon)) => *epsilon,
            _ => 0.0,
        };
        let len = (weight.len() / outputs.max(1)).max(1);
        let mut folded = Vec::with_capacity(outputs);
        for (output, weight) in weight.chunks_exact_mut(len).enumerate() {
            let factor = f64::from(scale[output]) / (f64::from(variance[output]) + epsilon).sqrt();
            weight
                .iter_mut()
                .for_each(|value| *value = (f64::from(*value) * factor) as f32);
            let distance = f64::from(bias[output]) - f64::from(mean[output]);
            folded.push((f64::from(shift[output]) + distance * factor) as f32);
        }
        Self::of_values(weight, folded, shape)
    }

    fn of_values(weight: Vec<f32>, bias: Vec<f32>, shape: &LayerShape) -> candle_core::Result<Self> {
        Ok(Self {
            weight: Tensor::from_vec(weight, shape.dims.as_slice(), &Device::Cpu)?,
            bias: Tensor::from_vec(bias, shape.dims[0], &Device::Cpu)?,
        })
    }

    /// What the layer gives in f32, before something is added.
    pub fn product(&self, shape: &LayerShape, x: &Tensor) -> Result<Tensor, QuantizationError> {
        Ok(match shape.is_convolution() {
            true => conv2d(
                x,
                &self.weight,
                Some(&self.bias),
                shape.convolution,
                Precision::F32,
            )?,
            false => linear(x, &self.weight, Some(&self.bias), Precision::F32)?,
        })
    }
}

/// Names in backticks, as a list.
pub(super) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
