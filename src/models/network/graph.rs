//! A network as a graph of operations.

use candle_core::{DType, Tensor};

use super::{InputShape, Network, Pass};
use crate::models::ModelError;
use crate::ops::{Graph, PreparedGraph};
use crate::spec::Precision;

/// Tokens of a text that a network is recorded with, at most.
const RECORDED_TOKENS: usize = 16;

impl Network {
    /// The operations of an evaluation in f32, with weights and buffers by their names in PyTorch. Its one
    /// input is a batch in the layout of [`Network::forward`], of any number of samples; its one output
    /// the network's.
    ///
    /// # Errors
    /// An architecture that computes something beside the operations of [`ops`](crate::ops), or memory
    /// that the device does not have.
    pub fn graph(&self) -> Result<Graph, ModelError> {
        self.recorded(Precision::F32)
    }

    /// What [`Network::forward_prepared`] runs, of an evaluation in `precision` on the CPU; nothing where there is no more
    /// to it than to [`Network::forward`]. It is true as long as the weights do not change.
    ///
    /// # Errors
    /// As [`Network::graph`].
    pub fn prepared(&self, precision: Precision) -> Result<Option<PreparedGraph>, ModelError> {
        match self.input {
            InputShape::Image { .. } | InputShape::Features { .. } => {
                Ok(PreparedGraph::new(&self.recorded(precision)?)?)
            }
            InputShape::Tokens { .. } => Ok(None),
        }
    }

    /// The values of what [`Network::forward`] gives for a batch, the same bytes.
    ///
    /// # Errors
    /// A batch of another shape than the network was built for.
    pub fn forward_prepared(&self, prepared: &PreparedGraph, input: &Tensor) -> Result<Vec<f32>, ModelError> {
        self.check_batch(input)?;
        Ok(prepared.run(input)?)
    }

    fn recorded(&self, precision: Precision) -> Result<Graph, ModelError> {
        let dims = match self.input {
            InputShape::Image {
                channels,
                height,
                width,
            } => vec![1, channels, height, width],
            InputShape::Features { columns } => vec![1, columns],
            // Texts may have any length; a longer one tells no more.
            InputShape::Tokens { length, .. } => vec![1, length.min(RECORDED_TOKENS)],
        };
        let is_text = matches!(self.input, InputShape::Tokens { .. });
        let element = if is_text { DType::U32 } else { DType::F32 };
        let input = Tensor::zeros(dims, element, &self.device())?;
        Graph::record(&[&input], || {
            Ok(vec![self.forward(&input, &Pass::evaluate(precision))?])
        })
    }
}
