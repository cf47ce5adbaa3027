//! The gradients of one optimizer step, and how they are limited.
//!
//! Values are limited first, then the norm of what that leaves.

use candle_core::{CpuStorage, DType, Storage, Tensor};
use rayon::prelude::*;

use crate::models::Parameter;
use crate::ops::VariableGradients;
use crate::spec;

/// Elements that one thread looks at in one go.
const CHUNK: usize = 1 << 16;
/// Sums that run beside each other, so that they become vector instructions.
const LANES: usize = 8;

/// The gradients of an optimizer step under way.
///
/// The sum over a step's micro-batches has a fixed shape: that of the binary tree over their places in
/// the step. A node is summed as soon as both its halves are there, so few sums are held at a time, and
/// whoever computes which micro-batch, in whatever order, comes to the same bits. That is pairwise
/// summation, whose error grows with the logarithm of the number of terms (Higham, 1993).
#[derive(Debug, Default)]
pub struct Gradients {
    /// The nodes that have no sibling yet, by their place in the step.
    nodes: Vec<PartialSum>,
}

/// The sum over the micro-batches `index << level` up to `(index + 1) << level`.
#[derive(Debug)]
struct PartialSum {
    level: u32,
    index: u32,
    sums: Vec<Option<Tensor>>,
}

impl Gradients {
    /// Adds what a backward pass of the micro-batch at `place` of the step found.
    ///
    /// # Errors
    /// The addition fails.
    pub fn add(
        &mut self,
        place: u32,
        parameters: &[Parameter],
        mut found: VariableGradients,
    ) -> candle_core::Result<()> {
        let sums = parameters.iter().map(|parameter| found.remove(&parameter.var));
        self.insert(PartialSum {
            level: 0,
            index: place,
            sums: sums.collect(),
        })
    }

    /// Adds what another worker has summed of the same step: other micro-batches than these.
    ///
    /// # Errors
    /// The addition fails.
    pub fn merge(&mut self, other: Self) -> candle_core::Result<()> {
        other.nodes.into_iter().try_for_each(|node| self.insert(node))
    }

    fn insert(&mut self, mut node: PartialSum) -> candle_core::Result<()> {
        let sibling = |nodes: &[PartialSum], node: &PartialSum| {
            let is_sibling = |other: &PartialSum| other.level == node.level && other.index == node.index ^ 1;
            nodes.iter().position(is_sibling)
        };
        while let Some(at) = sibling(&self.nodes, &node) {
            let other = self.nodes.remove(at);
            let (left, right) = if other.index < node.index {
                (other, node)
            } else {
                (node, other)
            };
            node = PartialSum {
                level: left.level + 1,
                index: left.index / 2,
                sums: added(left.sums, right.sums)?,
            };
        }
        let start = |node: &PartialSum| u64::from(node.index) << node.level;
        let at = self.nodes.partition_point(|other| start(other) < start(&node));
        self.nodes.insert(at, node);
        Ok(())
    }

    /// The sums over all micro-batches. Where those of a step are no power of two, what is left over is
    /// added from the last on.
    ///
    /// # Errors
    /// The addition fails.
    pub fn total(self) -> candle_core::Result<StepGradients> {
        let mut nodes = self.nodes.into_iter().rev();
        let mut sums = nodes.next().map(|node| node.sums).unwrap_or_default();
        for node in nodes {
            sums = added(node.sums, sums)?;
        }
        Ok(StepGradients { sums })
    }
}

/// The sums of gradients, parameter by parameter.
fn added(left: Vec<Option<Tensor>>, right: Vec<Option<Tensor>>) -> candle_core::Result<Vec<Option<Tensor>>> {
    let pairs = left.into_iter().zip(right);
    let sums = pairs.map(|pair| match pair {
        (Some(left), Some(right)) => (left + right).map(Some),
        (left, right) => Ok(left.or(right)),
    });
    sums.collect()
}

/// The gradients of an optimizer step: one for each parameter that has one, in the parameters' order,
/// summed over the step's micro-batches.
#[derive(Debug)]
pub struct StepGradients {
    sums: Vec<Option<Tensor>>,
}

#[cfg(test)]
impl From<Vec<Option<Tensor>>> for StepGradients {
    fn from(sums: Vec<Option<Tensor>>) -> Self {
        Self { sums }
    }
}

impl StepGradients {
    /// The sums, in the parameters' order.
    pub fn sums(&self) -> &[Option<Tensor>] {
        &self.sums
    }

    /// The L2 norm over all gradients, each multiplied by `factor` and then limited to `clip_value`
    /// in absolute value. Sums are made in f64, in a fixed order.
    ///
    /// # Errors
    /// A gradient is not f32.
    pub fn norm(&self, factor: f32, clip_value: Option<f32>) -> candle_core::Result<f64> {
        let limit = clip_value.unwrap_or(f32::INFINITY);
        let sums: Vec<Squares> = self
            .sums
            .iter()
            .flatten()
            .map(|gradient| sum_of_squares(gradient, factor, limit))
            .collect::<candle_core::Result<_>>()?;
        // The sums of a device are read all at once.
        let on_device: Vec<&Tensor> = sums
            .iter()
            .filter_map(|sum| match sum {
                Squares::Device(sum) => Some(sum),
                Squares::Host(_) => None,
            })
            .collect();
        let mut read = match on_device.as_slice() {
            [] => Vec::new(),
            sums => Tensor::stack(sums, 0)?.to_vec1::<f64>()?,
        }
        .into_iter();
        let sum: f64 = sums
            .iter()
            .map(|sum| match sum {
                Squares::Host(sum) => *sum,
                Squares::Device(_) => read.next().unwrap_or(f64::NAN),
            })
            .fold(0.0, |sum, square| sum + square);
        Ok(sum.sqrt())
    }
}

/// What an optimizer is told so that a step's gradients keep to the limits of a recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipLimits {
    /// What each element is multiplied by.
    pub gradient_factor: f32,
    /// What it is limited to afterwards.
    pub clip_value: Option<f32>,
}

impl ClipLimits {
    /// The limits that `clip` asks for, of gradients that are first multiplied by `unscale`, one over
    /// the loss scale, and then have the norm `norm`.
    ///
    /// PyTorch's `clip_grad_value_` and then `clip_grad_norm_` give the same: `c clamp(u g, v)` is
    /// `clamp(c u g, c v)`.
    ///
    /// # Errors
    /// A gradient is not f32.
    pub fn new(
        clip: &spec::Clip,
        gradients: &StepGradients,
        unscale: f32,
        norm: f64,
    ) -> candle_core::Result<Self> {
        let clip_value = clip.value.map(|value| value.get() as f32);
        let Some(largest) = clip.norm else {
            return Ok(Self {
                gradient_factor: unscale,
                clip_value,
            });
        };
        let norm = match clip_value {
            Some(_) => gradients.norm(unscale, clip_value)?,
            None => norm,
        };
        let factor = clip_factor(norm, largest.get());
        Ok(Self {
            gradient_factor: unscale * factor,
            clip_value: clip_value.map(|value| value * factor),
        })
    }
}

/// What gradients of this norm are multiplied by so that it becomes at most `max`, as
/// `torch.nn.utils.clip_grad_norm_` has it. NaN where the norm is.
pub fn clip_factor(norm: f64, max: f64) -> f32 {
    let factor = max / (norm + 1e-6);
    if factor >= 1.0 { 1.0 } else { factor as f32 }
}

/// A gradient's element, multiplied by `factor` and then limited to `limit` in absolute value. NaN
/// stays NaN.
pub(super) fn limited(gradient: f32, factor: f32, limit: f32) -> f32 {
    let gradient = gradient * factor;
    if gradient > limit {
        limit
    } else if gradient < -limit {
        -limit
    } else {
        gradient
    }
}

/// The same for a whole tensor.
pub(super) fn limited_tensor(gradient: &Tensor, factor: f32, limit: f32) -> candle_core::Result<Tensor> {
    let gradient = (gradient * f64::from(factor))?;
    if limit == f32::INFINITY {
        return Ok(gradient);
    }
    // On some devices a minimum of NaN and a number is the number.
    let is_nan = gradient.ne(&gradient)?;
    is_nan.where_cond(&gradient, &gradient.clamp(-limit, limit)?)
}

/// A sum of squares, where it was computed.
enum Squares {
    Host(f64),
    /// An f64.
    Device(Tensor),
}

fn sum_of_squares(tensor: &Tensor, factor: f32, limit: f32) -> candle_core::Result<Squares> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) =
        (&*storage, layout.contiguous_offsets())
    {
        let sums: Vec<f64> = values[from..to]
            .par_chunks(CHUNK)
            .map(|chunk| chunk_of_squares(chunk, factor, limit))
            .collect();
        return Ok(Squares::Host(sums.iter().sum()));
    }
    drop(storage);
    let values = limited_tensor(&tensor, factor, limit)?.to_dtype(DType::F64)?;
    Ok(Squares::Device(values.sqr()?.sum_all()?))
}

fn chunk_of_squares(values: &[f32], factor: f32, limit: f32) -> f64 {
    let square = |value: f32| {
        let value = f64::from(limited(value, factor, limit));
        value * value
    };
    let (rows, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for row in rows {
        for (lane, &value) in lanes.iter_mut().zip(row) {
            *lane += square(value);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&value| square(value)).sum::<f64>()
}

/// Whether every element of an f32 tensor is finite.
///
/// # Errors
/// The tensor is not f32.
pub fn all_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) =
        (&*storage, layout.contiguous_offsets())
    {
        return Ok(values[from..to].par_chunks(CHUNK).all(chunk_is_finite));
    }
    drop(storage);
    Ok(chunk_is_finite(&tensor.flatten_all()?.to_vec1::<f32>()?))
}

/// Without an early exit, so that it becomes vector instructions.
fn chunk_is_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let all_set = |value: &f32| value.to_bits() & EXPONENT == EXPONENT;
    !values.iter().fold(false, |bad, value| bad | all_set(value))
}

#[cfg(test)]
mod tests;
