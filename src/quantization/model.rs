//! What is kept of a quantized network.

use indexmap::IndexMap;

use crate::ops::{Affine, ByteWeight};

/// The weights of the layers that are quantized, and the steps of the tensors that stand as bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedModel {
    /// By the name of the layer, in the order of the network.
    pub layers: IndexMap<String, QuantizedLayer>,
    /// By the name of the tensor, in the order of the network.
    pub tensors: IndexMap<String, Affine>,
}

/// A layer with whole numbers for weights.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLayer {
    /// What the names of its tensors begin with, such as `layer1.0.conv1.`.
    pub prefix: String,
    /// The weight, with the norm behind it.
    pub weight: ByteWeight,
    /// The bias, with the norm behind it.
    pub bias: Vec<f32>,
}

/// A tensor of a network that may stand as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorSpot {
    /// What the network is given.
    Input,
    /// The result of a node of its graph.
    Result(usize),
    /// The product of a layer, before something is added to it.
    Product(usize),
}
