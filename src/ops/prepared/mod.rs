//! A recorded forward pass made ready to be run again and again: what is the same in every pass is worked out once, what
//! is done to each result by itself is done where it is stored, and nothing in between becomes a tensor.

mod drafts;

use std::ops::Deref;
use std::sync::Arc;

use candle_core::{Layout, Storage, Tensor};
use rayon::prelude::*;

use super::PackedWeights;
use super::activation::ElementwiseFunction;
use super::error::OpError;
use super::graph::{Graph, GraphValue, OperationNode};
use super::operation::{ArrayView, CpuKernel, Operation};
use super::tensor;

/// The operations of a [`Graph`] of one input and one output in the order in which the CPU runs them. Its results are
/// the bytes that the operations give one after another.
///
/// It is made of a graph that was recorded where weights are kept, see [`PackedWeights`](super::PackedWeights), and no
/// longer true when these change.
pub struct PreparedGraph {
    steps: Vec<PreparedStep>,
    /// Weights and other tensors that are the same in every pass.
    constants: Vec<Tensor>,
    /// How many samples go through at a time, and what they are made of.
    load: SampleLoad,
}

/// What a sample brings into memory on its way through a graph.
#[derive(Clone, Copy)]
struct SampleLoad {
    /// Values of the largest result, and of all of them together.
    largest: usize,
    all: usize,
    /// Values of the constants, which are read anew for each part of a batch.
    constants: usize,
}

impl SampleLoad {
    fn of(graph: &Graph, constants: &[Tensor]) -> Self {
        let sizes = || {
            graph
                .nodes
                .iter()
                .map(|node| node.shape.iter().product::<usize>())
        };
        Self {
            largest: sizes().max().unwrap_or(0),
            all: sizes().sum(),
            constants: constants.iter().map(Tensor::elem_count).sum(),
        }
    }

    /// So many samples go through together that what an operation leaves is still near when the next one takes it, unless
    /// the constants would then be read too often.
    fn at_once(&self, threads: usize) -> usize {
        /// Values that the caches near one core hold, with a part of the constants beside them.
        const NEAR: usize = 200_000;
        let near = NEAR * threads / self.largest.max(1);
        let worthwhile = (4 * self.constants).div_ceil(self.all.max(1));
        near.max(worthwhile).max(1)
    }
}

/// What an operation does to each result of the one before, which can do it where it stores that.
#[derive(Clone, Copy, Debug)]
pub(super) enum ResultTail {
    /// A function of the result alone.
    Function(ElementwiseFunction),
    /// The sum with the value at the same place of another operand.
    Sum,
}

/// An operation that is run again and again: what does not depend on the batch is worked out.
pub(super) trait ReadyKernel: Send + Sync {
    /// The result and its dimensions, of the operands that [`ReadyOperation`] names and, behind a sum, of the other one.
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Vec<usize>);

    /// The same and then `tail`, where it can be done at once and changes no byte.
    fn with_tail(&self, tail: ResultTail) -> Option<Arc<dyn ReadyKernel>>;
}

/// What an operation is run by, and which of its operands are still needed.
pub(super) struct ReadyOperation {
    pub kernel: Arc<dyn ReadyKernel>,
    pub operands: Vec<usize>,
}

struct PreparedStep {
    work: StepWork,
    operands: Vec<StepOperand>,
    /// Steps whose results nobody needs any more after this one.
    over: Vec<usize>,
}

enum StepWork {
    Ready(Arc<dyn ReadyKernel>),
    Kernel(Arc<dyn CpuKernel>),
    /// In the memory of the first operand, which nobody else needs.
    Change(Arc<dyn CpuKernel>),
    /// Other dimensions of the same values.
    Reshape(Arc<dyn Operation>),
    /// Whatever it was recorded with.
    Recorded(OperationNode),
}

#[derive(Clone, Copy)]
enum StepOperand {
    Input,
    /// A tensor of [`PreparedGraph::constants`], and whether it may have been left without values.
    Constant(usize, bool),
    /// The result of a step.
    Step(usize),
}

impl StepOperand {
    fn is_step(&self, step: usize) -> bool {
        matches!(self, Self::Step(own) if *own == step)
    }
}

/// The result of a step, as long as somebody needs it.
enum HeldResult {
    Values(Vec<f32>, Vec<usize>),
    Tensor(Tensor),
}

/// Values while a kernel reads them.
enum LentValues<'a, S> {
    Plain(ArrayView<'a>),
    OfTensor(S, &'a Layout, bool),
}

/// Those of a tensor, which may have been left without them where it `is_packed`.
fn lend(tensor: &Tensor, is_packed: bool) -> LentValues<'_, impl Deref<Target = Storage>> {
    let (storage, layout) = tensor.storage_and_layout();
    LentValues::OfTensor(storage, layout, is_packed)
}

impl<S: Deref<Target = Storage>> LentValues<'_, S> {
    fn view(&self) -> candle_core::Result<ArrayView<'_>> {
        match self {
            Self::Plain(view) => Ok(*view),
            Self::OfTensor(storage, layout, is_packed) => tensor::view_of(storage, layout, *is_packed),
        }
    }
}

impl PreparedGraph {
    /// Of what `graph` holds; nothing where it has several inputs or outputs, or gives what it is given.
    ///
    /// # Errors
    /// What the tensor engine reports.
    pub fn new(graph: &Graph) -> Result<Option<Self>, OpError> {
        let (1, &[GraphValue::Node(output)]) = (graph.inputs, graph.outputs.as_slice()) else {
            return Ok(None);
        };
        let weights = graph.weights.iter().map(|(_, weight)| weight);
        let constants = weights.chain(&graph.constants).map(Tensor::contiguous);
        let constants = constants.collect::<candle_core::Result<Vec<_>>>()?;
        let steps = drafts::steps_of(graph, &constants, output)?;
        let load = SampleLoad::of(graph, &constants);
        Ok(Some(Self {
            steps,
            constants,
            load,
        }))
    }

    /// The output's values for a batch of any size.
    ///
    /// # Errors
    /// An input that the operations do not take.
    pub fn run(&self, input: &Tensor) -> Result<Vec<f32>, OpError> {
        let samples = input.dims().first().copied().unwrap_or(0);
        let most = self.load.at_once(rayon::current_num_threads());
        if samples <= most {
            return self.run_part(input);
        }
        let parts = samples.div_ceil(most);
        let from = |part: usize| samples * part / parts;
        let run_part = |part: usize| {
            let first = from(part);
            self.run_part(&input.narrow(0, first, from(part + 1) - first)?)
        };
        // Each thread takes parts of its own, with the weights that are kept for all of them.
        let kept = PackedWeights::in_use();
        let values: Result<Vec<_>, OpError> = (0..parts)
            .into_par_iter()
            .map(|part| match &kept {
                Some(kept) => kept.share(|| run_part(part)),
                None => run_part(part),
            })
            .collect();
        Ok(values?.concat())
    }

    /// The output's values for some samples.
    fn run_part(&self, input: &Tensor) -> Result<Vec<f32>, OpError> {
        let input = input.contiguous()?;
        let mut results: Vec<Option<HeldResult>> = self.steps.iter().map(|_| None).collect();
        for (index, step) in self.steps.iter().enumerate() {
            let result = match &step.work {
                StepWork::Ready(kernel) => {
                    let forward = |operands: &[ArrayView]| kernel.forward(operands);
                    let (values, dims) = self.with_views(step, &input, &results, forward)?;
                    HeldResult::Values(values, dims)
                }
                StepWork::Kernel(kernel) => {
                    let forward = |operands: &[ArrayView]| kernel.forward(operands);
                    let (values, shape) = self.with_views(step, &input, &results, forward)?;
                    HeldResult::Values(values, shape.into_dims())
                }
                StepWork::Change(kernel) => self.changed(&**kernel, step, &input, &mut results)?,
                StepWork::Reshape(operation) => {
                    let of_step = |dims: &[usize]| operation.reshaped(dims).unwrap_or_default();
                    match step.operands.first() {
                        Some(&StepOperand::Step(from)) if step.over.contains(&from) => {
                            match results[from].take() {
                                Some(HeldResult::Values(values, dims)) => {
                                    HeldResult::Values(values, of_step(&dims))
                                }
                                Some(HeldResult::Tensor(tensor)) => {
                                    HeldResult::Tensor(tensor.reshape(of_step(tensor.dims()))?)
                                }
                                None => unreachable!("results are held until they are over"),
                            }
                        }
                        _ => {
                            let copy =
                                |views: &[ArrayView]| (views[0].values.to_vec(), of_step(views[0].dims));
                            let (values, dims) = self.with_views(step, &input, &results, copy)?;
                            HeldResult::Values(values, dims)
                        }
                    }
                }
                StepWork::Recorded(node) => {
                    let operands = step.operands.iter();
                    let tensors = operands
                        .map(|operand| self.as_tensor(*operand, &input, &mut results))
                        .collect::<Result<Vec<_>, _>>()?;
                    HeldResult::Tensor(node.run(&tensors.iter().collect::<Vec<_>>())?.contiguous()?)
                }
            };
            for over in &step.over {
                results[*over] = None;
            }
            results[index] = Some(result);
        }
        match results.pop().flatten() {
            Some(HeldResult::Values(values, _)) => Ok(values),
            Some(HeldResult::Tensor(tensor)) => Ok(tensor.flatten_all()?.to_vec1()?),
            None => Ok(Vec::new()),
        }
    }

    /// The first operand of a step, changed to the result.
    fn changed(
        &self,
        kernel: &dyn CpuKernel,
        step: &PreparedStep,
        input: &Tensor,
        results: &mut [Option<HeldResult>],
    ) -> Result<HeldResult, OpError> {
        if let (Some(&StepOperand::Step(from)), Some(change)) = (step.operands.first(), kernel.as_change())
            && let Some(HeldResult::Values(values, dims)) = &mut results[from]
        {
            let (mut values, own) = (std::mem::take(values), dims.clone());
            self.with_views(step, input, results, |operands| {
                change.change(&mut values, operands);
            })?;
            return Ok(HeldResult::Values(values, own));
        }
        let (values, shape) = self.with_views(step, input, results, |operands| kernel.forward(operands))?;
        Ok(HeldResult::Values(values, shape.into_dims()))
    }

    /// Calls `body` with the operands of a step.
    fn with_views<T>(
        &self,
        step: &PreparedStep,
        input: &Tensor,
        results: &[Option<HeldResult>],
        body: impl FnOnce(&[ArrayView]) -> T,
    ) -> Result<T, OpError> {
        let lend_operand = |operand: &StepOperand| match *operand {
            StepOperand::Input => lend(input, false),
            StepOperand::Constant(constant, is_packed) => lend(&self.constants[constant], is_packed),
            StepOperand::Step(from) => match &results[from] {
                Some(HeldResult::Values(values, dims)) => {
                    LentValues::Plain(ArrayView::of_values(values, dims))
                }
                Some(HeldResult::Tensor(tensor)) => lend(tensor, false),
                None => unreachable!("results are held until they are over"),
            },
        };
        let lent: Vec<_> = step.operands.iter().map(lend_operand).collect();
        let views = lent
            .iter()
            .map(LentValues::view)
            .collect::<candle_core::Result<Vec<_>>>()?;
        Ok(body(&views))
    }

    /// An operand as a tensor, which it then stays.
    fn as_tensor(
        &self,
        operand: StepOperand,
        input: &Tensor,
        results: &mut [Option<HeldResult>],
    ) -> Result<Tensor, OpError> {
        Ok(match operand {
            StepOperand::Input => input.clone(),
            StepOperand::Constant(constant, _) => self.constants[constant].clone(),
            StepOperand::Step(from) => {
                let tensor = match results[from].take() {
                    Some(HeldResult::Values(values, dims)) => tensor::from_values(values, dims)?,
                    Some(HeldResult::Tensor(tensor)) => tensor,
                    None => unreachable!("results are held until they are over"),
                };
                results[from] = Some(HeldResult::Tensor(tensor.clone()));
                tensor
            }
        })
    }
}

#[cfg(test)]
mod tests;
