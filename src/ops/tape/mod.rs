//! The way back through a forward pass.
//!
//! candle's own `backward` zeroes a tensor for every gradient and adds to it on one thread, and keeps
//! every activation until it is done. While a [`Tape`] records, the operations of this crate stay out of
//! candle's graph on the CPU: their results are variables to candle, and the tape remembers where they
//! came from. What candle's own operations make of such variables in between is a *segment*: a small
//! graph of candle's, whose leaves are variables.
//!
//! What an operation rounds to bf16 is stored so (`stored`), and so is each gradient as the tensor that it is of; where
//! several gradients of such a tensor meet, their sum is rounded too, as PyTorch does.

mod checkpoint;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp1, DType, Device, Error, InplaceOp2, Layout, Result, Shape, Tensor, TensorId, Var,
};

use super::operation::{DifferentiableKernel, OperandGradient};
use super::stored::{Stored, ValueFormat, Values, add_to};
use super::tensor;
use checkpoint::SleepingBlock;

pub use checkpoint::block;

/// Operations in the order in which they ran.
#[derive(Default)]
pub struct Tape {
    entries: Vec<TapeEntry>,
}

enum TapeEntry {
    /// An operation, with what it was given and what it made.
    Ran(TapeNode),
    /// The operations of a block, of which most of that is not there.
    Asleep(SleepingBlock),
}

struct TapeNode {
    kernel: Arc<dyn DifferentiableKernel>,
    operands: Vec<Tensor>,
    output: Tensor,
    /// Results of segments that no earlier node took.
    segments: Vec<Tensor>,
}

#[derive(Default)]
struct Recording {
    tape: Tape,
    /// The results of segments that some node took.
    seen: HashSet<TensorId>,
    /// Whether the insides of blocks are let go.
    is_sparing: bool,
    /// Whether such a block is being run.
    is_within_block: bool,
}

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Ends a recording however it is left.
struct EndOfTape;

impl Drop for EndOfTape {
    fn drop(&mut self) {
        RECORDING.take();
    }
}

impl Tape {
    /// Runs `forward` and records the operations that it runs on this thread.
    ///
    /// # Panics
    /// Within another recording: what it records would be missing from the outer one.
    pub fn record<T>(forward: impl FnOnce() -> T) -> (T, Self) {
        Self::record_as(false, forward)
    }

    /// The same, where the insides of blocks ([`block`]) are let go if `is_sparing`, and made again on the way back: it
    /// takes longer and less memory, and gives the same bits.
    ///
    /// # Panics
    /// As there.
    pub fn record_as<T>(is_sparing: bool, forward: impl FnOnce() -> T) -> (T, Self) {
        assert!(!is_recording(), "one recording at a time");
        let _guard = EndOfTape;
        RECORDING.set(Some(Recording {
            is_sparing,
            ..Recording::default()
        }));
        let result = forward();
        let recording = RECORDING.take().unwrap_or_default();
        (result, recording.tape)
    }

    /// How many values it holds, those of variables too.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        let tensors = self
            .entries
            .iter()
            .flat_map(|entry| -> Box<dyn Iterator<Item = &Tensor> + '_> {
                match entry {
                    TapeEntry::Ran(node) => {
                        Box::new(node.operands.iter().chain([&node.output]).chain(&node.segments))
                    }
                    TapeEntry::Asleep(block) => Box::new(block.tensors()),
                }
            });
        let sizes: HashMap<TensorId, usize> =
            tensors.map(|tensor| (tensor.id(), tensor.elem_count())).collect();
        sizes.values().sum()
    }

    /// The gradients of `loss`, a single value, with respect to all variables that it depends on.
    ///
    /// Operations are gone through from the last to the first, and what they kept of the forward pass is
    /// let go at once. A segment is gone through after the first operation that took its result: by then
    /// all that took it are done, and its leaves, which are older than it, are still to come. What it is
    /// built upon belongs to it, so a chain of segments is gone through once for each of its results.
    ///
    /// # Errors
    /// A gradient cannot be computed.
    pub fn backward(mut self, loss: &Tensor) -> Result<VariableGradients> {
        let mut gradients = VariableGradients::default();
        gradients.add_segment(loss)?;
        while let Some(entry) = self.entries.pop() {
            let TapeNode {
                kernel,
                operands,
                output,
                segments,
            } = match entry {
                TapeEntry::Ran(node) => node,
                TapeEntry::Asleep(block) => {
                    self.entries.extend(block.wake()?.into_iter().map(TapeEntry::Ran));
                    continue;
                }
            };
            if let Some(gradient) = gradients.remove(&output) {
                let wanted: Vec<bool> = operands.iter().map(Tensor::track_op).collect();
                let all = operands.iter().chain([&output, &gradient]);
                let found = tensor::with_arrays(all, |arrays| {
                    let (operands, rest) = arrays.split_at(wanted.len());
                    kernel.backward_stored(operands, rest[0].stored(), rest[1].stored(), &wanted)
                })?;
                drop((kernel, output));
                for (operand, found) in operands.iter().zip(found) {
                    match found {
                        None => {}
                        Some(OperandGradient::OfOutput) => {
                            let (gradient, own) = in_format_of(operand, &gradient)?;
                            gradients.add(operand.id(), gradient, own)?;
                        }
                        Some(OperandGradient::Values(values)) => {
                            let gradient = tensor::from_stored(values, operand.shape())?;
                            gradients.add(operand.id(), gradient, true)?;
                        }
                    }
                }
            }
            drop(operands);
            for segment in segments {
                if let Some(gradient) = gradients.remove(&segment) {
                    gradients.add_segment(&segment.apply_op1(Seed { gradient })?)?;
                }
            }
        }
        Ok(gradients)
    }
}

/// What `kernel` makes of contiguous `operands` on the CPU: a variable to candle.
fn ran(kernel: &dyn DifferentiableKernel, operands: &[Tensor]) -> Result<Tensor> {
    let (values, shape) = tensor::with_arrays(operands, |operands| kernel.forward_stored(operands))?;
    // No copy: the variable owns the very values.
    let variable = match values {
        Values::F32(values) => Var::from_vec(values, shape, &Device::Cpu)?,
        Values::Bf16(values) => Var::from_vec(values, shape, &Device::Cpu)?,
    };
    Ok(variable.into_inner())
}

/// A gradient that `operand` shares with a result, stored as `operand` is, and whether nothing else holds its values.
fn in_format_of(operand: &Tensor, gradient: &Tensor) -> Result<(Tensor, bool)> {
    if operand.dtype() == gradient.dtype() {
        return Ok((gradient.clone(), false));
    }
    let format = match operand.dtype() {
        DType::BF16 => ValueFormat::Bf16,
        _ => ValueFormat::F32,
    };
    let values = tensor::with_arrays([gradient], |arrays| match arrays[0].stored() {
        Stored::F32(values) => Values::F32(values.to_vec()).in_format(format),
        Stored::Bf16(values) => Values::Bf16(values.to_vec()).in_format(format),
    })?;
    Ok((tensor::from_stored(values, operand.shape())?, true))
}

pub(super) fn is_recording() -> bool {
    RECORDING.with_borrow(Option::is_some)
}

/// The result of `kernel` for contiguous `operands` on the CPU, on the tape.
pub(super) fn run(kernel: Arc<dyn DifferentiableKernel>, operands: Vec<Tensor>) -> Result<Tensor> {
    let output = ran(&*kernel, &operands)?;
    RECORDING.with_borrow_mut(|recording| {
        if let Some(Recording { tape, seen, .. }) = recording {
            let is_segment = |operand: &&Tensor| operand.track_op() && !operand.is_variable();
            let segments = operands.iter().filter(is_segment);
            tape.entries.push(TapeEntry::Ran(TapeNode {
                segments: segments
                    .filter(|segment| seen.insert(segment.id()))
                    .cloned()
                    .collect(),
                kernel,
                operands,
                output: output.clone(),
            }));
        }
    });
    Ok(output)
}

/// Where candle's walk through a segment begins: a value whose gradient with respect to the segment's
/// result is what the tape has found.
struct Seed {
    gradient: Tensor,
}

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.gradient.clone()))
    }
}

/// The gradients of a loss, by variable.
#[derive(Default)]
pub struct VariableGradients {
    sums: HashMap<TensorId, Sum>,
}

struct Sum {
    gradient: Tensor,
    /// Whether nothing else holds its values.
    own: bool,
}

impl VariableGradients {
    /// Takes out the gradient of `variable`; `None` where the loss does not depend on it.
    pub fn remove(&mut self, variable: &Tensor) -> Option<Tensor> {
        self.sums.remove(&variable.id()).map(|sum| sum.gradient)
    }

    fn add(&mut self, id: TensorId, gradient: Tensor, own: bool) -> Result<()> {
        let sum = match self.sums.remove(&id) {
            None => Sum { gradient, own },
            Some(sum) if sum.own => {
                sum.gradient.inplace_op2(&gradient.contiguous()?, &AddAssign)?;
                sum
            }
            Some(sum) if own => {
                // Sums of two: the order does not matter.
                gradient.inplace_op2(&sum.gradient.contiguous()?, &AddAssign)?;
                Sum { gradient, own }
            }
            Some(sum) => Sum {
                gradient: (sum.gradient + gradient)?,
                own: true,
            },
        };
        self.sums.insert(id, sum);
        Ok(())
    }

    /// Adds what candle finds in the segment behind `result`. It finds something for constants too,
    /// which is let go, and its sums may share their values with each other.
    fn add_segment(&mut self, result: &Tensor) -> Result<()> {
        let mut found = result.backward()?;
        let leaves = result
            .sorted_nodes()
            .into_iter()
            .filter(|node| node.is_variable());
        for leaf in leaves {
            if let Some(gradient) = found.remove(leaf) {
                self.add(leaf.id(), gradient, false)?;
            }
        }
        Ok(())
    }
}

/// Adds a tensor's values to those of another, in place.
struct AddAssign;

impl InplaceOp2 for AddAssign {
    fn name(&self) -> &'static str {
        "add-assign"
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        target_layout: &Layout,
        source: &CpuStorage,
        source_layout: &Layout,
    ) -> Result<()> {
        let source = tensor::view(source, source_layout)?.stored();
        let range = target_layout.contiguous_offsets();
        match (target, source, range) {
            (CpuStorage::F32(target), Stored::F32(source), Some((start, end))) => {
                add_to(&mut target[start..end], source);
            }
            (CpuStorage::BF16(target), Stored::Bf16(source), Some((start, end))) => {
                add_to(&mut target[start..end], source);
            }
            _ => {
                let problem = "gradients are contiguous, and those of one tensor in one format";
                return Err(Error::Msg(problem.to_string()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
