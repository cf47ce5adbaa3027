//! Convolutions and fully connected layers of a graph, with the norms behind them in their weights.

use candle_core::{Device, Tensor};

use crate::ops::{
    Attribute, Attributes, ByteWeight, ConvOptions, Graph, GraphValue, NormValues, OperationNode, conv2d,
    fold_norm, linear,
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
        let (weight_name, dims) = weight_of(graph, node)?;
        let attributes = node.operation.attributes();
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
                dilation: number("dilations", 1),
                groups: number("group", 1),
            },
            added: is_set(&attributes, "add").then(|| node.operands[node.operands.len() - 1]),
            relu: is_set(&attributes, "relu"),
        })
    }

    /// The name of the weight of the node `node`, where it is a layer but for its size.
    pub fn too_large<'a>(graph: &'a Graph, node: &OperationNode) -> Option<&'a str> {
        let (name, dims) = weight_of(graph, node)?;
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

/// The name of the weight of a convolution or a fully connected layer that is computed of something, and its dimensions,
/// outputs first.
fn weight_of<'a>(graph: &'a Graph, node: &OperationNode) -> Option<(&'a str, Vec<usize>)> {
    let is_layer = matches!(node.operation.name(), "linear" | "conv2d" | "conv2d_norm");
    let is_computed = matches!(
        node.operands.first(),
        Some(GraphValue::Node(_) | GraphValue::Input(_))
    );
    let (name, weight) = &graph.weights[node.weight(1).filter(|_| is_layer && is_computed)?];
    let mut dims = weight.dims().to_vec();
    if is_set(&node.operation.attributes(), "transposed") {
        dims.reverse();
    }
    Some((name, dims))
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
        let mut weight = values(1)?;
        if is_set(&attributes, "transposed") {
            let (_, tensor) = &graph.weights[node.weight(1).unwrap_or_default()];
            weight = tensor.t()?.flatten_all()?.to_vec1()?;
        }
        let with_norm = node.operation.name() == "conv2d_norm";
        let has_bias = match with_norm {
            true => is_set(&attributes, "bias"),
            false => node.operands.len() > 2,
        };
        let bias = if has_bias { Some(values(2)?) } else { None };
        if !with_norm {
            let bias = bias.unwrap_or_else(|| vec![0.0; shape.dims[0]]);
            return Self::of_values(weight, bias, shape);
        }
        let first = 2 + usize::from(has_bias);
        let norm = NormValues {
            scale: values(first)?,
            shift: values(first + 1)?,
            mean: values(first + 2)?,
            variance: values(first + 3)?,
            epsilon: match attributes.get("epsilon") {
                Some(Attribute::Float(epsilon)) => *epsilon,
                _ => 0.0,
            },
        };
        let (weight, bias) = fold_norm(weight, bias.as_deref(), &norm);
        Self::of_values(weight, bias, shape)
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
