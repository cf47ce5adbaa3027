//! A recorded forward pass made ready to be run again and again: what is the same in every pass is worked out once, what
//! is done to each result by itself is done where it is stored, and nothing in between becomes a tensor.

use std::ops::Deref;
use std::sync::Arc;

use candle_core::{Layout, Storage, Tensor};

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
        let mut drafts = Drafts {
            graph,
            constants: &constants,
            uses: uses_of(graph),
            drafts: Vec::new(),
        };
        for node in &graph.nodes {
            let draft = match drafts.merged(node) {
                Some(draft) => draft,
                None => drafts.alone(node)?,
            };
            drafts.drafts.push(Some(draft));
        }
        let steps = in_order(drafts.drafts, output);
        Ok(Some(Self { steps, constants }))
    }

    /// The output's values for a batch of any size.
    ///
    /// # Errors
    /// An input that the operations do not take.
    pub fn run(&self, input: &Tensor) -> Result<Vec<f32>, OpError> {
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
                Some(HeldResult::Values(values, dims)) => LentValues::Plain(ArrayView {
                    values,
                    indices: &[],
                    dims,
                }),
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

/// How often each node's result is needed.
fn uses_of(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.nodes.len()];
    let operands = graph.nodes.iter().flat_map(|node| &node.operands);
    for value in operands.chain(&graph.outputs) {
        if let GraphValue::Node(node) = value {
            uses[*node] += 1;
        }
    }
    uses
}

/// A step whose operands are still those of the graph: nodes instead of steps.
struct DraftStep {
    work: StepWork,
    operands: Vec<StepOperand>,
}

/// Steps in the making: one a node, none where it became a part of a later one.
struct Drafts<'a> {
    graph: &'a Graph,
    constants: &'a [Tensor],
    uses: Vec<usize>,
    drafts: Vec<Option<DraftStep>>,
}

impl Drafts<'_> {
    /// The step before `node` that does what `node` does as well, where there is one.
    fn merged(&mut self, node: &OperationNode) -> Option<DraftStep> {
        let tail = node.kernel.as_ref()?.tail()?;
        for (place, operand) in node.operands.iter().enumerate() {
            let &GraphValue::Node(before) = operand else {
                continue;
            };
            let draft = self.drafts[before].as_ref().filter(|_| self.uses[before] == 1);
            let Some(DraftStep {
                work: StepWork::Ready(kernel),
                operands,
            }) = draft
            else {
                continue;
            };
            let Some(kernel) = kernel.with_tail(tail) else {
                continue;
            };
            let others = node.operands.iter().enumerate();
            let others = others.filter(|(other, _)| *other != place);
            let operands = operands.iter().copied();
            let operands = operands
                .chain(others.map(|(_, value)| self.operand(*value, false)))
                .collect();
            self.drafts[before] = None;
            return Some(DraftStep {
                work: StepWork::Ready(kernel),
                operands,
            });
        }
        None
    }

    /// The step that is `node` alone.
    fn alone(&self, node: &OperationNode) -> Result<DraftStep, OpError> {
        let packed = node.kernel.as_ref().and_then(|kernel| kernel.packed_operand());
        let operands = node.operands.iter().enumerate();
        let mut operands: Vec<StepOperand> = operands
            .map(|(place, value)| self.operand(*value, Some(place) == packed))
            .collect();
        let work = match &node.kernel {
            Some(kernel) => match self.ready(&**kernel, &operands)? {
                Some(ready) => {
                    operands = ready.operands.iter().map(|place| operands[*place]).collect();
                    StepWork::Ready(ready.kernel)
                }
                None => StepWork::Kernel(kernel.clone()),
            },
            None => match node.operands.as_slice() {
                &[GraphValue::Node(from)]
                    if node.operation.reshaped(&self.graph.nodes[from].shape).is_some() =>
                {
                    StepWork::Reshape(node.operation.clone())
                }
                _ => StepWork::Recorded(node.clone()),
            },
        };
        Ok(DraftStep { work, operands })
    }

    /// What runs an operation from now on, if it has something to be worked out.
    fn ready(
        &self,
        kernel: &dyn CpuKernel,
        operands: &[StepOperand],
    ) -> Result<Option<ReadyOperation>, OpError> {
        let lent: Vec<Option<_>> = operands
            .iter()
            .map(|operand| match *operand {
                StepOperand::Constant(constant, is_packed) => {
                    Some(lend(&self.constants[constant], is_packed))
                }
                _ => None,
            })
            .collect();
        let known = lent
            .iter()
            .map(|lent| lent.as_ref().map(LentValues::view).transpose())
            .collect::<candle_core::Result<Vec<_>>>()?;
        Ok(kernel.ready(&known))
    }

    fn operand(&self, value: GraphValue, is_packed: bool) -> StepOperand {
        match value {
            GraphValue::Input(_) => StepOperand::Input,
            GraphValue::Weight(weight) => StepOperand::Constant(weight, is_packed),
            GraphValue::Constant(constant) => {
                StepOperand::Constant(self.graph.weights.len() + constant, is_packed)
            }
            GraphValue::Node(node) => StepOperand::Step(node),
        }
    }
}

/// The steps that `output` is made by, in their order; each knows which results are over after it.
fn in_order(drafts: Vec<Option<DraftStep>>, output: usize) -> Vec<PreparedStep> {
    let mut step_of = vec![0; drafts.len()];
    let mut steps: Vec<PreparedStep> = Vec::new();
    for (node, draft) in drafts.into_iter().enumerate().take(output + 1) {
        let Some(DraftStep { work, mut operands }) = draft else {
            continue;
        };
        for operand in &mut operands {
            if let StepOperand::Step(from) = operand {
                *from = step_of[*from];
            }
        }
        step_of[node] = steps.len();
        steps.push(PreparedStep {
            work,
            operands,
            over: Vec::new(),
        });
    }
    let mut last_use: Vec<Option<usize>> = vec![None; steps.len()];
    for (index, step) in steps.iter().enumerate() {
        for operand in &step.operands {
            if let StepOperand::Step(from) = operand {
                last_use[*from] = Some(index);
            }
        }
    }
    for (from, user) in last_use.into_iter().enumerate() {
        if let Some(user) = user {
            steps[user].over.push(from);
        }
    }
    for step in &mut steps {
        let reads = |from: usize| step.operands.iter().filter(move |operand| operand.is_step(from));
        if let (StepWork::Kernel(kernel), Some(&StepOperand::Step(first))) =
            (&step.work, step.operands.first())
            && kernel.as_change().is_some()
            && step.over.contains(&first)
            && reads(first).count() == 1
        {
            step.work = StepWork::Change(kernel.clone());
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{host, random};
    use crate::ops::{
        ConvOptions, PackedWeights, add, conv2d, hardswish, linear, name_weight, relu, scale_channels,
        select, silu, unsqueeze,
    };
    use crate::spec::Precision;

    fn recorded(x: &Tensor, forward: impl Fn(&Tensor) -> Result<Tensor, OpError>) -> Graph {
        Arc::<PackedWeights>::default()
            .reuse(|| Graph::record(&[x], || Ok::<_, OpError>(vec![forward(x)?])))
            .expect("all is known")
    }

    /// The number of steps of `forward`, once it was found to give the same bytes for several batches.
    fn steps_of(dims: &[usize], forward: impl Fn(&Tensor) -> Result<Tensor, OpError>) -> usize {
        let of = |batch: usize| random(&[&[batch], dims].concat(), batch as u64);
        let prepared = PreparedGraph::new(&recorded(&of(1), &forward));
        let prepared = prepared.expect("runs").expect("one result");
        for batch in [1, 70, 2] {
            let x = of(batch);
            assert_eq!(prepared.run(&x).expect("runs"), host(&forward(&x).expect("runs")));
        }
        prepared.steps.len()
    }

    #[test]
    fn functions_and_sums_are_done_where_results_are_stored() {
        let weights = [[36, 6, 3], [36, 36, 3], [36, 1, 3], [36, 2, 3], [6, 36, 1]];
        let [direct, winograd, depthwise, groups, pointwise] =
            weights.map(|[outputs, inputs, size]| random(&[outputs, inputs, size, size], outputs as u64));
        let bias = random(&[36], 3);
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            let convolve = |x: &Tensor, weight: &Tensor, groups| {
                name_weight(&format!("{:?}", weight.id()), weight);
                name_weight("bias", &bias);
                let options = ConvOptions {
                    padding: weight.dims()[2] / 2,
                    groups,
                    ..ConvOptions::default()
                };
                let bias = Some(&bias).filter(|bias| bias.dims()[0] == weight.dims()[0]);
                conv2d(x, weight, bias, options, precision)
            };
            let steps = steps_of(&[7, 6, 6], |x| {
                let y = silu(&convolve(x, &direct, 1)?, precision)?;
                let y = hardswish(&convolve(&y, &winograd, 1)?, precision)?;
                let y = relu(&convolve(&y, &depthwise, 36)?)?;
                let y = silu(&convolve(&y, &groups, 18)?, precision)?;
                add(x, &convolve(&y, &pointwise, 1)?)
            });
            // In a narrow format the sum is not rounded, and stays a step.
            assert_eq!(steps, if precision == Precision::F32 { 5 } else { 6 });
        }
    }

    #[test]
    fn what_is_needed_twice_stays_a_step() {
        let (first, second) = (random(&[5, 8], 1), random(&[8, 8], 2));
        let steps = steps_of(&[4, 8], |x| {
            name_weight("first", &first);
            name_weight("second", &second);
            let once = linear(x, &second, None, Precision::F32)?;
            let twice = silu(&once, Precision::F32)?;
            // Both operands of the sum are products, of which one takes in the other.
            let sum = add(
                &linear(&twice, &second, None, Precision::F32)?,
                &add(&once, &twice)?,
            )?;
            linear(&sum, &first, None, Precision::F32)
        });
        assert_eq!(steps, 5);
    }

    #[test]
    fn steps_between_tensors_and_values_are_taken_both_ways() {
        let weight = random(&[4, 4, 1, 1], 1);
        let steps = steps_of(&[2, 3, 4], |x| {
            name_weight("weight", &weight);
            let row = select(&select(x, 1, 1)?, 1, 0)?;
            let pixel = unsqueeze(&row, &[1, 2])?;
            let factors = conv2d(&pixel, &weight, None, ConvOptions::default(), Precision::F32)?;
            let factors = select(&select(&factors, 1, 0)?, 1, 0)?;
            scale_channels(x, &factors, Precision::F32)
        });
        assert_eq!(steps, 7);
    }

    #[test]
    fn what_other_work_does_meanwhile_is_not_recorded() {
        let x = random(&[2, 3], 1);
        let graph = recorded(&x, |x| {
            let y = relu(x)?;
            let other =
                crate::ops::graph::unrecorded(|| recorded(&random(&[1, 3], 2), |other| relu(&relu(other)?)));
            assert_eq!(other.nodes.len(), 2);
            relu(&y)
        });
        assert_eq!(graph.nodes.len(), 2);
    }
}
