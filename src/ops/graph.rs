//! A forward pass written down: which operation took what.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use candle_core::{Tensor, TensorId};

use super::error::OpError;
use super::operation::{CpuKernel, Operation};

/// The operations of a forward pass in the order in which they ran, and all that goes into them.
///
/// Activations of images are channels-last, `[N, H, W, C]`; weights have PyTorch's names and layouts.
/// The first dimension of inputs and activations is the batch's; no attribute depends on it, so the
/// graph is that of a batch of any size.
#[derive(Debug, Default)]
pub struct Graph {
    /// The operations; operands of each come before it.
    pub nodes: Vec<OperationNode>,
    /// How many tensors are given.
    pub inputs: usize,
    /// Weights and buffers by their names, in the order of their first use.
    pub weights: Vec<(String, Tensor)>,
    /// Tensors that are the same in every pass and have no name.
    pub constants: Vec<Tensor>,
    /// What the pass gives.
    pub outputs: Vec<GraphValue>,
}

/// An operation of a graph.
#[derive(Clone)]
pub struct OperationNode {
    /// Its name, its attributes, and a way to carry it out.
    pub operation: Arc<dyn Operation>,
    /// What it takes.
    pub operands: Vec<GraphValue>,
    /// The dimensions of what it gave.
    pub shape: Vec<usize>,
    /// What carries it out on the CPU for a batch of any size, if that is known.
    pub(super) kernel: Option<Arc<dyn CpuKernel>>,
    again: RunAgain,
}

/// Carries an operation out on other operands.
type RunAgain = Arc<dyn Fn(&[&Tensor]) -> Result<Tensor, OpError> + Send + Sync>;

/// Where a tensor of a graph comes from: the place in the list of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphValue {
    /// One of those that are given.
    Input(usize),
    /// One of [`Graph::weights`].
    Weight(usize),
    /// One of [`Graph::constants`].
    Constant(usize),
    /// The result of one of [`Graph::nodes`].
    Node(usize),
}

impl Graph {
    /// How often the result of each node is read, an output of the pass once more.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        let operands = self.nodes.iter().flat_map(|node| &node.operands);
        for value in operands.chain(&self.outputs) {
            if let GraphValue::Node(node) = value {
                uses[*node] += 1;
            }
        }
        uses
    }

    /// Records the operations that `forward` runs on this thread, from `inputs` to the tensors that it
    /// gives.
    ///
    /// # Errors
    /// What `forward` reports, and a tensor of unknown origin: one that is no input, no weight that
    /// [`name_weight`] was told of, no constant that [`declare_constant`] was told of, and that no
    /// operation of this module has given.
    ///
    /// # Panics
    /// Within another recording: what it records would be missing from the outer one.
    pub fn record<E: From<OpError>>(
        inputs: &[&Tensor],
        forward: impl FnOnce() -> Result<Vec<Tensor>, E>,
    ) -> Result<Self, E> {
        assert!(!is_recording(), "one recording at a time");
        let _guard = EndOfRecording;
        let origins = inputs.iter().enumerate();
        RECORDER.set(Some(GraphRecorder {
            origins: origins
                .map(|(index, input)| (input.id(), GraphValue::Input(index)))
                .collect(),
            graph: Self {
                inputs: inputs.len(),
                ..Self::default()
            },
        }));
        let outputs = forward()?;
        let recorder = RECORDER.take().unwrap_or_default();
        let outputs = outputs
            .iter()
            .enumerate()
            .map(|(index, output)| recorder.origin("the forward pass's result", index, output))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            outputs,
            ..recorder.graph
        })
    }

    /// The module that a node belongs to, as PyTorch names it: that of its first weight, else the operation with the
    /// node's number.
    pub fn scope(&self, index: usize) -> String {
        let node = &self.nodes[index];
        let mut weights = (0..node.operands.len()).filter_map(|operand| node.weight(operand));
        match weights.find_map(|weight| self.weights[weight].0.rsplit_once('.')) {
            Some((module, _)) => module.to_owned(),
            None => format!("{}_{index}", node.operation.name()),
        }
    }
}

impl OperationNode {
    /// The operation's result for other operands: those of a batch of any size.
    ///
    /// # Errors
    /// Operands that it does not take.
    pub fn run(&self, operands: &[&Tensor]) -> Result<Tensor, OpError> {
        (self.again)(operands)
    }

    /// The operand `index`, where it is a weight: its place among [`Graph::weights`].
    pub fn weight(&self, index: usize) -> Option<usize> {
        match self.operands.get(index) {
            Some(GraphValue::Weight(weight)) => Some(*weight),
            _ => None,
        }
    }
}

impl Debug for OperationNode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationNode")
            .field("operation", &self.operation.name())
            .field("attributes", &self.operation.attributes())
            .field("operands", &self.operands)
            .field("shape", &self.shape)
            .finish()
    }
}

/// Says that `tensor` is the weight or buffer `name`, as PyTorch names it. Of use while a graph is
/// recorded.
pub fn name_weight(name: &str, tensor: &Tensor) {
    declare(tensor, |graph| {
        let known = graph.weights.iter().position(|(other, _)| other == name);
        GraphValue::Weight(known.unwrap_or_else(|| {
            graph.weights.push((name.to_string(), tensor.clone()));
            graph.weights.len() - 1
        }))
    });
}

/// Says that `tensor` is the same in every pass. Of use while a graph is recorded.
pub fn declare_constant(tensor: &Tensor) {
    declare(tensor, |graph| {
        graph.constants.push(tensor.clone());
        GraphValue::Constant(graph.constants.len() - 1)
    });
}

fn declare(tensor: &Tensor, value: impl FnOnce(&mut Graph) -> GraphValue) {
    RECORDER.with_borrow_mut(|recorder| {
        if let Some(GraphRecorder { graph, origins }) = recorder {
            origins.entry(tensor.id()).or_insert_with(|| value(graph));
        }
    });
}

/// Takes note that `operation` made `result` of `operands`, as `again` does of others and `as_kernel` of other batches on
/// the CPU, if a graph is recorded.
pub(super) fn record<O: Operation + 'static>(
    operation: &Arc<O>,
    operands: &[&Tensor],
    result: &Tensor,
    again: fn(&Arc<O>, &[&Tensor]) -> Result<Tensor, OpError>,
    as_kernel: impl FnOnce(&Arc<O>, &[&Tensor]) -> Option<Arc<dyn CpuKernel>>,
) -> Result<(), OpError> {
    if !is_recording() {
        return Ok(());
    }
    let known = operation.clone();
    let again = Arc::new(move |operands: &[&Tensor]| again(&known, operands));
    record_node(
        operation.clone(),
        operands,
        result,
        again,
        as_kernel(operation, operands),
    )
}

fn record_node(
    operation: Arc<dyn Operation>,
    operands: &[&Tensor],
    result: &Tensor,
    again: RunAgain,
    kernel: Option<Arc<dyn CpuKernel>>,
) -> Result<(), OpError> {
    RECORDER.with_borrow_mut(|recorder| {
        let Some(recorder) = recorder else {
            return Ok(());
        };
        let origins = operands
            .iter()
            .enumerate()
            .map(|(index, operand)| recorder.origin(operation.name(), index, operand))
            .collect::<Result<_, _>>()?;
        let nodes = &mut recorder.graph.nodes;
        nodes.push(OperationNode {
            operation,
            operands: origins,
            shape: result.dims().to_vec(),
            kernel,
            again,
        });
        let value = GraphValue::Node(nodes.len() - 1);
        recorder.origins.insert(result.id(), value);
        Ok(())
    })
}

/// A graph of which more is to come.
#[derive(Default)]
struct GraphRecorder {
    graph: Graph,
    origins: HashMap<TensorId, GraphValue>,
}

impl GraphRecorder {
    fn origin(&self, user: &'static str, index: usize, tensor: &Tensor) -> Result<GraphValue, OpError> {
        self.origins
            .get(&tensor.id())
            .copied()
            .ok_or_else(|| OpError::UnknownOrigin {
                user,
                index,
                shape: tensor.dims().to_vec(),
            })
    }
}

thread_local! {
    static RECORDER: RefCell<Option<GraphRecorder>> = const { RefCell::new(None) };
}

fn is_recording() -> bool {
    RECORDER.with_borrow(Option::is_some)
}

/// Runs `work`, which the recording on this thread is not to see: where threads share it, this one may do other work for a
/// while, whose operations are not of the graph.
pub(super) fn unrecorded<T>(work: impl FnOnce() -> T) -> T {
    struct GoesOn(Option<GraphRecorder>);
    impl Drop for GoesOn {
        fn drop(&mut self) {
            if let Some(recorder) = self.0.take() {
                RECORDER.set(Some(recorder));
            }
        }
    }
    let _recording = GoesOn(RECORDER.take());
    work()
}

/// Ends a recording however it is left.
struct EndOfRecording;

impl Drop for EndOfRecording {
    fn drop(&mut self) {
        RECORDER.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{host, random};
    use crate::ops::{add, relu};

    fn record(x: &Tensor, forward: impl FnOnce() -> Result<Tensor, OpError>) -> Result<Graph, OpError> {
        Graph::record(&[x], || Ok(vec![forward()?]))
    }

    #[test]
    fn operations_are_written_down_with_what_they_take() {
        let (x, weight, constant) = (random(&[2, 3], 1), random(&[2, 3], 2), random(&[2, 3], 3));
        let graph = record(&x, || {
            name_weight("a.weight", &weight);
            declare_constant(&constant);
            let y = relu(&add(&x, &weight)?)?;
            add(&y, &constant)
        })
        .expect("all is known");
        let names: Vec<&str> = graph.nodes.iter().map(|node| node.operation.name()).collect();
        assert_eq!(names, ["add", "relu", "add"]);
        let operands: Vec<&[GraphValue]> = graph.nodes.iter().map(|node| &*node.operands).collect();
        assert_eq!(
            operands,
            [
                &[GraphValue::Input(0), GraphValue::Weight(0)][..],
                &[GraphValue::Node(0)],
                &[GraphValue::Node(1), GraphValue::Constant(0)],
            ]
        );
        assert_eq!(graph.outputs, [GraphValue::Node(2)]);
        assert_eq!(graph.nodes[2].shape, [2, 3]);
        // Again, of other operands.
        let other = random(&[5, 3], 4);
        let sum = graph.nodes[0].run(&[&other, &other]).expect("equal shapes");
        assert_eq!(host(&sum), host(&add(&other, &other).expect("equal shapes")));
        assert_eq!(
            (graph.scope(0), graph.scope(1)),
            ("a".to_owned(), "relu_1".to_owned())
        );
        assert_eq!(graph.weights[0].0, "a.weight");
        assert_eq!(host(&graph.weights[0].1), host(&weight));
    }

    #[test]
    fn a_tensor_of_unknown_origin_is_an_error() {
        let x = random(&[2, 3], 1);
        let told = |forward: fn(&Tensor) -> Result<Tensor, OpError>| {
            record(&x, || forward(&x)).expect_err("refused").to_string()
        };
        let told_of_operand = told(|x| add(x, &(x * 2.0)?));
        assert!(
            told_of_operand.starts_with("graph: operand 1 of add, of shape [2, 3], is"),
            "{told_of_operand}"
        );
        assert!(told(|x| Ok((relu(x)? * 2.0)?)).contains("operand 0 of the forward pass's result"));
        // A recording that failed is over.
        assert!(!is_recording());
        add(&x, &(&x * 2.0).expect("valid")).expect("nobody listens");
    }

    #[test]
    fn a_weight_that_is_used_twice_is_one_weight() {
        let x = random(&[2], 1);
        let graph = record(&x, || {
            // As two layers that share a weight hand it out: equal values, another identity.
            let [first, second] = [random(&[2], 2), random(&[2], 2)];
            name_weight("shared", &first);
            name_weight("shared", &second);
            add(&add(&x, &first)?, &second)
        })
        .expect("all is known");
        assert_eq!(graph.weights.len(), 1);
        assert_eq!(
            graph.nodes[1].operands,
            [GraphValue::Node(0), GraphValue::Weight(0)]
        );
    }
}
