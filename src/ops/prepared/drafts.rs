//! From a graph to the steps that it is run in.

use candle_core::Tensor;

use super::{LentValues, PreparedStep, ReadyOperation, StepOperand, StepWork, lend};
use crate::ops::error::OpError;
use crate::ops::graph::{Graph, GraphValue, OperationNode};
use crate::ops::operation::CpuKernel;

/// The steps that the node `output` of `graph` is made by.
///
/// # Errors
/// What the tensor engine reports.
pub(super) fn steps_of(
    graph: &Graph,
    constants: &[Tensor],
    output: usize,
) -> Result<Vec<PreparedStep>, OpError> {
    let mut drafts = Drafts {
        graph,
        constants,
        uses: graph.uses(),
        drafts: Vec::new(),
    };
    for node in &graph.nodes {
        let draft = match drafts.merged(node) {
            Some(draft) => draft,
            None => drafts.alone(node)?,
        };
        drafts.drafts.push(Some(draft));
    }
    Ok(in_order(drafts.drafts, output))
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
