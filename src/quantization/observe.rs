//! A network's tensors, looked at on their way.

use candle_core::Tensor;

use crate::ops::{Graph, GraphValue};

use super::error::QuantizationError;
use super::layers::FoldedLayer;
use super::model::TensorSpot;
use super::plan::BytePlan;

/// A graph, what of it is to stand as bytes, and the layers' weights.
pub(super) struct Observed<'a> {
    pub graph: &'a Graph,
    pub plan: &'a BytePlan,
    /// By node.
    pub layers: &'a [Option<FoldedLayer>],
}

impl Observed<'_> {
    /// The outputs of the network, in f32, for a batch as it is given. `see` is shown each tensor that is to stand as
    /// bytes, and `layer` the inputs of each layer that is to be quantized, by node.
    ///
    /// # Errors
    /// What operations report, and what `see` and `layer` do.
    pub fn run(
        &self,
        input: &Tensor,
        mut see: impl FnMut(TensorSpot, &Tensor) -> Result<(), QuantizationError>,
        mut layer: impl FnMut(usize, &Tensor) -> Result<(), QuantizationError>,
    ) -> Result<Tensor, QuantizationError> {
        let graph = self.graph;
        let mut left = graph.uses();
        let mut results: Vec<Option<Tensor>> = vec![None; graph.nodes.len()];
        if self.plan.input {
            see(TensorSpot::Input, input)?;
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            let operands: Vec<Tensor> = node
                .operands
                .iter()
                .map(|operand| value(graph, input, &results, *operand))
                .collect::<Result<_, _>>()?;
            if let (Some(shape), Some(folded)) = (&self.plan.layers[index], &self.layers[index]) {
                layer(index, &operands[0])?;
                if self.plan.products[index] {
                    see(TensorSpot::Product(index), &folded.product(shape, &operands[0])?)?;
                }
            }
            let result = node.run(&operands.iter().collect::<Vec<_>>())?;
            if self.plan.results[index] && self.plan.same_as[index].is_none() {
                see(TensorSpot::Result(index), &result)?;
            }
            results[index] = Some(result);
            for operand in &node.operands {
                if let GraphValue::Node(operand) = operand {
                    left[*operand] -= 1;
                    if left[*operand] == 0 {
                        results[*operand] = None;
                    }
                }
            }
        }
        value(graph, input, &results, graph.outputs[0])
    }
}

fn value(
    graph: &Graph,
    input: &Tensor,
    results: &[Option<Tensor>],
    value: GraphValue,
) -> Result<Tensor, QuantizationError> {
    match value {
        GraphValue::Input(_) => Ok(input.clone()),
        GraphValue::Weight(index) => Ok(graph.weights[index].1.clone()),
        GraphValue::Constant(index) => Ok(graph.constants[index].clone()),
        GraphValue::Node(index) => results[index].clone().ok_or_else(|| QuantizationError::Mismatch {
            problem: format!("the graph reads the result {index} before it is there"),
        }),
    }
}
