//! A network as a graph of operations.

use candle_core::{DType, Tensor};

use super::{InputShape, Network, Pass};
use crate::models::ModelError;
use crate::ops::Graph;
use crate::spec::Precision;

impl Network {
    /// The operations of an evaluation in f32, with weights and buffers by their names in PyTorch. Its one
    /// input is a batch in the layout of [`Network::forward`], of any number of samples; its one output
    /// the network's.
    ///
    /// # Errors
    /// An architecture that computes something beside the operations of [`ops`](crate::ops), or memory
    /// that the device does not have.
    pub fn graph(&self) -> Result<Graph, ModelError> {
        let dims = match self.input {
            InputShape::Image {
                channels,
                height,
                width,
            } => vec![1, channels, height, width],
            InputShape::Features { columns } => vec![1, columns],
            InputShape::Tokens { length, .. } => vec![1, length],
        };
        let is_text = matches!(self.input, InputShape::Tokens { .. });
        let element = if is_text { DType::U32 } else { DType::F32 };
        let input = Tensor::zeros(dims, element, &self.device())?;
        Graph::record(&[&input], || {
            Ok(vec![self.forward(&input, &Pass::evaluate(Precision::F32))?])
        })
    }
}
