//! Blocks whose insides are let go after the forward pass and made again on the way back.
//!
//! A block's operations run once more from what they were given then, in their order, so every value has the same bits:
//! what is drawn follows from keys, and kernels add up in one order. Nothing of the architecture is asked again.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Result, Tensor, TensorId};

use super::{DifferentiableKernel, RECORDING, TapeEntry, TapeNode, ran};

/// The operations of a block, without what they made.
pub(super) struct SleepingBlock(Vec<SleepingNode>);

struct SleepingNode {
    kernel: Arc<dyn DifferentiableKernel>,
    operands: Vec<SleepingOperand>,
    /// What it made, where others hold it anyway.
    output: Option<Tensor>,
    segments: Vec<Tensor>,
}

enum SleepingOperand {
    /// What came from outside.
    Kept(Tensor),
    /// What the node of that number makes.
    Inside(usize),
}

/// Runs a block of layers, whose result is all that others take from it. On a tape that is to spare memory the rest of
/// what it makes is let go, and made again in the backward pass; blocks within it are part of it.
///
/// # Errors
/// Those of `run`.
pub fn block<E>(run: impl FnOnce() -> std::result::Result<Tensor, E>) -> std::result::Result<Tensor, E> {
    let Some(first) = begin() else {
        return run();
    };
    let result = run();
    end(first, result.as_ref().ok());
    result
}

/// How many entries the tape has where a block begins that can be let go.
fn begin() -> Option<usize> {
    RECORDING.with_borrow_mut(|recording| {
        let recording = recording.as_mut()?;
        let begins = recording.is_sparing && !recording.is_within_block;
        recording.is_within_block |= begins;
        begins.then_some(recording.tape.entries.len())
    })
}

fn end(first: usize, result: Option<&Tensor>) {
    RECORDING.with_borrow_mut(|recording| {
        let Some(recording) = recording else { return };
        recording.is_within_block = false;
        let Some(result) = result else { return };
        let entries = recording.tape.entries.drain(first..);
        let nodes: Vec<TapeNode> = entries
            .filter_map(|entry| match entry {
                TapeEntry::Ran(node) => Some(node),
                // No block ends within another one.
                TapeEntry::Asleep(_) => None,
            })
            .collect();
        match SleepingBlock::of(nodes, result) {
            Ok(block) => recording.tape.entries.push(TapeEntry::Asleep(block)),
            Err(nodes) => recording
                .tape
                .entries
                .extend(nodes.into_iter().map(TapeEntry::Ran)),
        }
    });
}

impl SleepingBlock {
    /// The block of `nodes` with that result. Gives them back where candle's own operations made something of what is
    /// inside: that is no operation that could run again.
    fn of(nodes: Vec<TapeNode>, result: &Tensor) -> std::result::Result<Self, Vec<TapeNode>> {
        let places: HashMap<TensorId, usize> = nodes
            .iter()
            .enumerate()
            .map(|(place, node)| (node.output.id(), place))
            .collect();
        let is_inside = |tensor: &Tensor| places.contains_key(&tensor.id());
        let is_foreign = |operand: &Tensor| {
            let leaves = || operand.sorted_nodes().into_iter().any(is_inside);
            operand.track_op() && !operand.is_variable() && leaves()
        };
        let mut operands = nodes.iter().flat_map(|node| &node.operands);
        if !is_inside(result) || operands.any(is_foreign) {
            return Err(nodes);
        }
        let asleep = nodes.into_iter().map(|node| SleepingNode {
            operands: node
                .operands
                .into_iter()
                .map(|operand| match places.get(&operand.id()) {
                    Some(place) => SleepingOperand::Inside(*place),
                    None => SleepingOperand::Kept(operand),
                })
                .collect(),
            output: (node.output.id() == result.id()).then_some(node.output),
            kernel: node.kernel,
            segments: node.segments,
        });
        Ok(Self(asleep.collect()))
    }

    /// The operations with what they made, made again.
    pub fn wake(self) -> Result<Vec<TapeNode>> {
        let mut nodes: Vec<TapeNode> = Vec::with_capacity(self.0.len());
        for SleepingNode {
            kernel,
            operands,
            output,
            segments,
        } in self.0
        {
            let operands: Vec<Tensor> = operands
                .into_iter()
                .map(|operand| match operand {
                    SleepingOperand::Kept(operand) => operand,
                    SleepingOperand::Inside(place) => nodes[place].output.clone(),
                })
                .collect();
            let output = match output {
                Some(output) => output,
                None => ran(&*kernel, &operands)?,
            };
            nodes.push(TapeNode {
                kernel,
                operands,
                output,
                segments,
            });
        }
        Ok(nodes)
    }

    /// What it holds.
    #[cfg(test)]
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.0.iter().flat_map(|node| {
            let kept = node.operands.iter().filter_map(|operand| match operand {
                SleepingOperand::Kept(operand) => Some(operand),
                SleepingOperand::Inside(_) => None,
            });
            kept.chain(&node.output).chain(&node.segments)
        })
    }
}
