//! What an operation is: once for every user of it.
//!
//! An [`Operation`] says what it is called and with which attributes, and how candle's own operations
//! make it up. That is all that a graph needs, and all that runs on a device without kernels of ours.
//! A [`CpuKernel`] adds the forward and backward pass over slices. [`run`] takes the one way or the
//! other, and is where every result passes: those who record what happens, the tape and the graph,
//! listen there.

use std::sync::Arc;

use candle_core::{DType, Shape, Tensor};
use half::bf16;

use super::attributes::Attributes;
use super::error::OpError;
use super::prepared::{ReadyOperation, ResultTail};
use super::stored::{Stored, Values};
use super::{HAS_GRADIENTS, adapter, graph, tape, tensor};

/// A step of a forward pass with any number of operands and one result.
pub trait Operation: Send + Sync {
    /// What it is called, such as `conv2d`.
    fn name(&self) -> &'static str;

    /// What it depends on besides its operands. Sizes of operands are not among it: the same operation
    /// takes batches of any size.
    fn attributes(&self) -> Attributes {
        Attributes::default()
    }

    /// The result as a composition of candle's operations whose gradients were verified: no pooling, no
    /// ReLU, no maximum of candle's.
    ///
    /// # Errors
    /// What candle reports.
    fn composed(&self, operands: &[Tensor]) -> candle_core::Result<Tensor>
    where
        // What is in a table of functions is linked, called or not: [`OperationNode::run`](super::OperationNode::run) is
        // for those who know no more of an operation.
        Self: Sized;

    /// The dimensions that an operand of `dims` gets, where nothing but them is changed.
    fn reshaped(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let _ = dims;
        None
    }
}

/// An operation with kernels for the CPU. Operands are contiguous.
pub(super) trait CpuKernel: Operation {
    /// The result and its shape.
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape);

    /// Which operand is a weight whose packed form is kept, if one is: it may have no values of its own.
    fn packed_operand(&self) -> Option<usize> {
        None
    }

    /// The same operation for `operands`, which may be of another batch.
    ///
    /// # Errors
    /// Operands that it does not take.
    fn refitted(self: &Arc<Self>, operands: &[&Tensor]) -> Result<Arc<Self>, OpError>
    where
        Self: Sized,
    {
        let _ = operands;
        Ok(Arc::clone(self))
    }

    /// What runs it where it is run again and again with those operands that are known, a value each.
    fn ready(&self, operands: &[Option<ArrayView>]) -> Option<ReadyOperation> {
        let _ = operands;
        None
    }

    /// What it is to an operation whose results it takes, where that could do it as well.
    fn tail(&self) -> Option<ResultTail> {
        None
    }

    /// The same as a change of its first operand, whose shape the result has, where that is how it works.
    fn as_change(&self) -> Option<&dyn ChangeInPlace> {
        None
    }

    /// The gradients of those operands that they are wanted of, given that of the result: one entry an
    /// operand. `output` is what [`forward`](Self::forward) gave.
    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>>
    where
        // See [`DifferentiableKernel`].
        Self: Sized;

    /// Its passes over values that are stored in as few bytes as their precision allows, if it has them.
    fn stored_passes(&self) -> Option<&dyn StoredPasses>
    where
        // See [`DifferentiableKernel`].
        Self: Sized,
    {
        None
    }
}

/// The passes of an operation over operands that may be stored in bf16. They give what [`CpuKernel::forward`] and
/// [`CpuKernel::backward`] do of the same values; a gradient whose operand is stored in bf16 is the nearest of those.
pub(super) trait StoredPasses {
    /// The result and its shape, stored in bf16 if it is rounded to it.
    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape);

    /// The gradients of those operands that they are wanted of. `gradient` is stored as `output` is, which
    /// [`forward_stored`](Self::forward_stored) gave.
    fn backward_stored(
        &self,
        operands: &[ArrayView],
        output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>>;
}

/// Any kernel, for those who go back through a forward pass. As a type of its own, since what is in a table of functions is
/// linked, called or not: a program that only asks models has no such tables, and no backward pass.
pub(super) trait DifferentiableKernel: Send + Sync {
    /// [`Operation::name`].
    fn name(&self) -> &'static str;

    /// [`CpuKernel::forward`].
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape);

    /// [`CpuKernel::backward`].
    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>>;

    /// [`StoredPasses::forward_stored`]. An operation without such passes is given f32, and its result is.
    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape);

    /// [`StoredPasses::backward_stored`], with gradients in the format of their operands.
    fn backward_stored(
        &self,
        operands: &[ArrayView],
        output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>>;
}

impl<K: CpuKernel> DifferentiableKernel for K {
    fn name(&self) -> &'static str {
        Operation::name(self)
    }

    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        CpuKernel::forward(self, operands)
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        CpuKernel::backward(self, operands, output, gradient, wanted)
    }

    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape) {
        match self.stored_passes() {
            Some(passes) => passes.forward_stored(operands),
            None => with_wide_operands(operands, |operands| {
                let (values, shape) = CpuKernel::forward(self, operands);
                (Values::F32(values), shape)
            }),
        }
    }

    fn backward_stored(
        &self,
        operands: &[ArrayView],
        output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let found = match self.stored_passes() {
            Some(passes) => passes.backward_stored(operands, output, gradient, wanted),
            None => with_wide_operands(operands, |operands| {
                CpuKernel::backward(self, operands, &output.widened(), &gradient.widened(), wanted)
            }),
        };
        let in_format = |(found, operand): (Option<OperandGradient>, &ArrayView)| match found? {
            OperandGradient::Values(values) => Some(OperandGradient::Values(
                values.in_format(operand.stored().format()),
            )),
            OperandGradient::OfOutput => Some(OperandGradient::OfOutput),
        };
        found.into_iter().zip(operands).map(in_format).collect()
    }
}

/// Calls `body` with operands of which none is stored in bf16.
pub(super) fn with_wide_operands<T>(operands: &[ArrayView], body: impl FnOnce(&[ArrayView]) -> T) -> T {
    let wide: Vec<_> = operands
        .iter()
        .map(|operand| operand.stored().widened())
        .collect();
    let operands: Vec<ArrayView> = operands
        .iter()
        .zip(&wide)
        .map(|(operand, values)| ArrayView {
            values,
            narrow: &[],
            ..*operand
        })
        .collect();
    body(&operands)
}

/// Changes the values of an operand to those of the result.
pub(super) trait ChangeInPlace {
    /// `operands` are those of the operation, the first one without values: they are `values`.
    fn change(&self, values: &mut [f32], operands: &[ArrayView]);
}

/// The values of a tensor, in order, and its dimensions.
#[derive(Clone, Copy)]
pub(super) struct ArrayView<'a> {
    /// Those of a tensor of f32.
    pub values: &'a [f32],
    /// Those of a tensor of bf16, which the tape alone has.
    pub narrow: &'a [bf16],
    /// Those of a tensor of u32: tokens, and rows of another tensor.
    pub indices: &'a [u32],
    pub dims: &'a [usize],
}

impl<'a> ArrayView<'a> {
    /// Of f32.
    pub fn of_values(values: &'a [f32], dims: &'a [usize]) -> Self {
        Self {
            values,
            narrow: &[],
            indices: &[],
            dims,
        }
    }

    /// The numbers, however they are stored.
    pub fn stored(&self) -> Stored<'a> {
        match self.narrow.is_empty() {
            true => Stored::F32(self.values),
            false => Stored::Bf16(self.narrow),
        }
    }
}

/// The gradient of an operand.
pub(super) enum OperandGradient {
    /// As many values as the operand has.
    Values(Values),
    /// That of the result, whose shape the operand has.
    OfOutput,
}

impl OperandGradient {
    /// What `values` computes, if it is wanted.
    pub fn if_wanted<V: Into<Values>>(wanted: bool, values: impl FnOnce() -> V) -> Option<Self> {
        wanted.then(|| Self::Values(values().into()))
    }
}

/// Whether this program knows devices that have no kernels of ours. Where it does not, nothing that has kernels is composed.
const HAS_OTHER_DEVICES: bool = cfg!(any(feature = "full", feature = "cuda"));

/// The result of an operation that has kernels. Where an operand depends on a variable, it takes part in
/// autograd: on the tape where one records, otherwise in candle's graph.
pub(super) fn run(kernel: impl CpuKernel + 'static, operands: &[&Tensor]) -> Result<Tensor, OpError> {
    run_shared(&Arc::new(kernel), operands)
}

/// [`run`] of an operation of which something is looked at afterwards.
pub(super) fn run_shared<K: CpuKernel + 'static>(
    kernel: &Arc<K>,
    operands: &[&Tensor],
) -> Result<Tensor, OpError> {
    if !operands.iter().all(|operand| has_kernels(operand)) {
        return compose_shared(kernel, operands);
    }
    let contiguous = contiguous(operands)?;
    let result = if !HAS_GRADIENTS || !contiguous.iter().any(Tensor::track_op) {
        constant_result(&**kernel, &widened(contiguous)?)?
    } else if tape::is_recording() {
        tape::run(kernel.clone(), contiguous)?
    } else {
        adapter::apply(kernel.clone(), &widened(contiguous)?)?
    };
    let again = |kernel: &Arc<K>, operands: &[&Tensor]| run_shared(&kernel.refitted(operands)?, operands);
    let as_kernel = |kernel: &Arc<K>, operands: &[&Tensor]| {
        // One that has to be fitted to other operands is run as it was recorded.
        let own = kernel.refitted(operands).ok()?;
        Arc::ptr_eq(&own, kernel).then_some(own as Arc<dyn CpuKernel>)
    };
    graph::record(kernel, operands, &result, again, as_kernel)?;
    Ok(result)
}

fn contiguous(operands: &[&Tensor]) -> candle_core::Result<Vec<Tensor>> {
    operands.iter().map(|operand| operand.contiguous()).collect()
}

/// The same in f32, of those that are stored in bf16.
fn widened(operands: Vec<Tensor>) -> candle_core::Result<Vec<Tensor>> {
    if !HAS_GRADIENTS {
        return Ok(operands);
    }
    let wide = |operand: Tensor| match operand.dtype() {
        DType::BF16 => operand.to_dtype(DType::F32),
        _ => Ok(operand),
    };
    operands.into_iter().map(wide).collect()
}

/// The result of `kernel` for operands that depend on no variable.
fn constant_result(kernel: &dyn CpuKernel, operands: &[Tensor]) -> candle_core::Result<Tensor> {
    let packed = kernel.packed_operand();
    let forward = |operands: &[ArrayView]| kernel.forward(operands);
    let (values, shape) = graph::unrecorded(|| tensor::with_arrays_and_packed(operands, packed, forward))?;
    tensor::from_values(values, shape)
}

/// The result of an operation that is a composition of candle's on every device.
pub(super) fn compose(operation: impl Operation + 'static, operands: &[&Tensor]) -> Result<Tensor, OpError> {
    compose_shared(&Arc::new(operation), operands)
}

fn compose_shared<O: Operation + 'static>(
    operation: &Arc<O>,
    operands: &[&Tensor],
) -> Result<Tensor, OpError> {
    let owned: Vec<Tensor> = operands.iter().map(|&operand| operand.clone()).collect();
    let result = graph::unrecorded(|| operation.composed(&owned))?;
    graph::record(operation, operands, &result, compose_shared, |_, _| None)?;
    Ok(result)
}

#[cfg(not(test))]
fn has_kernels(operand: &Tensor) -> bool {
    !HAS_OTHER_DEVICES || operand.device().is_cpu()
}

#[cfg(test)]
fn has_kernels(operand: &Tensor) -> bool {
    !HAS_OTHER_DEVICES || operand.device().is_cpu() && !super::testing::is_composing()
}
