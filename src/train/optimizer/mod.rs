//! Optimizers: how gradients change the weights.
//!
//! A [`Rule`] is the arithmetic of one optimizer on a chunk of one parameter, with the buffers it
//! keeps beside it (momentum, moments). [`Optimizer`] owns those buffers, walks over the
//! parameters in their fixed order and hands out the chunks to all threads: every element is
//! updated by itself, so the result is the same for any number of threads. Its whole state can be
//! read and restored exactly, by parameter name.

mod adamw;
mod sgd;

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, Var, bail};
use rayon::prelude::*;

use self::adamw::AdamW;
use self::sgd::Sgd;
use super::tensor_file::HostTensor;
use crate::models::Parameter;
use crate::spec;

/// Elements that one thread updates at a time.
const CHUNK: usize = 1 << 14;

/// What one step means for one parameter.
#[derive(Clone, Copy, Debug)]
struct Settings {
    /// The learning rate.
    lr: f64,
    /// The weight decay.
    weight_decay: f64,
    /// The gradient is multiplied by it first: one over the loss scale.
    gradient_factor: f32,
    /// This parameter's steps, this one included: from 1.
    step: u64,
}

/// A piece of one parameter with what belongs to it: slices of equal length.
struct Chunk<'a> {
    weights: &'a mut [f32],
    gradient: &'a [f32],
    buffers: Vec<&'a mut [f32]>,
}

/// The arithmetic of one optimizer.
trait Rule: Send + Sync {
    /// The names of the buffers that it keeps for each parameter, as PyTorch names them. They are
    /// zeros before the first step.
    fn buffers(&self) -> &'static [&'static str];

    /// Updates the weights and the buffers.
    fn update(&self, settings: &Settings, chunk: &mut Chunk<'_>);
}

/// The state that an optimizer keeps for one parameter.
struct Slot {
    name: String,
    shape: Vec<usize>,
    weight_decay: f64,
    steps: u64,
    /// One for each of the rule's names; empty before the first step.
    buffers: Vec<Vec<f32>>,
}

/// An optimizer with its state.
pub struct Optimizer {
    rule: Box<dyn Rule>,
    slots: Vec<Slot>,
}

/// An optimizer's state, to be kept and restored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// Steps taken, by parameter.
    pub steps: BTreeMap<String, u64>,
    /// The buffers, as `PARAMETER.BUFFER`.
    pub buffers: BTreeMap<String, HostTensor>,
}

impl Optimizer {
    /// The optimizer that `recipe` asks for, with an empty state for each of `parameters`.
    ///
    /// As in PyTorch with a single parameter group, weight decay applies to every parameter.
    pub fn new(recipe: &spec::Optimizer, parameters: &[Parameter]) -> Self {
        let (rule, weight_decay): (Box<dyn Rule>, _) = match recipe {
            spec::Optimizer::Sgd(sgd) => (Box::new(Sgd::new(sgd)), sgd.weight_decay),
            spec::Optimizer::AdamW(adamw) => (Box::new(AdamW::new(adamw)), adamw.weight_decay),
            other => panic!("{other:?}"),
        };
        let slots = parameters.iter().map(|parameter| Slot {
            name: parameter.name.clone(),
            shape: parameter.var.dims().to_vec(),
            weight_decay: weight_decay.get(),
            steps: 0,
            buffers: Vec::new(),
        });
        Self {
            slots: slots.collect(),
            rule,
        }
    }

    /// Takes one step. `gradients` are in the order of `parameters`, which is that of
    /// [`Optimizer::new`]; a parameter without a gradient stays as it is, like its state. Each
    /// gradient is multiplied by `gradient_factor` first.
    ///
    /// # Errors
    /// A tensor is not contiguous f32 on the CPU, or a gradient's shape is not its parameter's.
    pub fn step(
        &mut self,
        parameters: &[Parameter],
        gradients: &[Option<Tensor>],
        lr: f64,
        gradient_factor: f32,
    ) -> candle_core::Result<()> {
        for ((slot, parameter), gradient) in self.slots.iter_mut().zip(parameters).zip(gradients) {
            if let Some(gradient) = gradient {
                slot.step(self.rule.as_ref(), &parameter.var, gradient, lr, gradient_factor)?;
            }
        }
        Ok(())
    }

    /// A copy of the whole state.
    pub fn state(&self) -> OptimizerState {
        let names = self.rule.buffers();
        let mut state = OptimizerState::default();
        for slot in self.slots.iter().filter(|slot| slot.steps > 0) {
            state.steps.insert(slot.name.clone(), slot.steps);
            for (name, values) in names.iter().zip(&slot.buffers) {
                let buffer = HostTensor::from_f32(slot.shape.clone(), values);
                state.buffers.insert(format!("{}.{name}", slot.name), buffer);
            }
        }
        state
    }

    /// Takes over a state that [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn load_state(&mut self, state: &OptimizerState) -> Result<(), String> {
        let names = self.rule.buffers();
        let mut used = 0;
        let mut restored = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let steps = state.steps.get(&slot.name).copied().unwrap_or(0);
            let mut buffers = Vec::new();
            for name in names.iter().take(if steps > 0 { names.len() } else { 0 }) {
                let key = format!("{}.{name}", slot.name);
                let buffer = state.buffers.get(&key);
                let buffer = buffer.ok_or_else(|| format!("the optimizer's `{key}` is missing"))?;
                if buffer.shape() != slot.shape {
                    return Err(format!(
                        "the optimizer's `{key}` has shape {:?}, but {:?} is expected",
                        buffer.shape(),
                        slot.shape
                    ));
                }
                buffers.push(buffer.to_f32()?);
                used += 1;
            }
            restored.push((steps, buffers));
        }
        if used != state.buffers.len() {
            return Err(format!(
                "the optimizer's state has {} buffers, but {used} are expected",
                state.buffers.len()
            ));
        }
        for (slot, (steps, buffers)) in self.slots.iter_mut().zip(restored) {
            (slot.steps, slot.buffers) = (steps, buffers);
        }
        Ok(())
    }
}

impl Slot {
    fn step(
        &mut self,
        rule: &dyn Rule,
        parameter: &Var,
        gradient: &Tensor,
        lr: f64,
        gradient_factor: f32,
    ) -> candle_core::Result<()> {
        if gradient.dims() != self.shape {
            bail!(
                "the gradient of `{}` has shape {:?}, but the parameter {:?}",
                self.name,
                gradient.dims(),
                self.shape
            );
        }
        if self.buffers.is_empty() {
            let elements = self.shape.iter().product();
            self.buffers = vec![vec![0.0; elements]; rule.buffers().len()];
        }
        self.steps += 1;
        let update = Update {
            rule,
            settings: Settings {
                lr,
                weight_decay: self.weight_decay,
                gradient_factor,
                step: self.steps,
            },
            buffers: RefCell::new(&mut self.buffers),
        };
        parameter.inplace_op2(&gradient.contiguous()?, &update)
    }
}

/// One step of one parameter as an in-place operation on its storage.
struct Update<'a> {
    rule: &'a dyn Rule,
    settings: Settings,
    buffers: RefCell<&'a mut Vec<Vec<f32>>>,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        parameter_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(gradient)) = (parameter, gradient) else {
            bail!("parameters and their gradients must be f32")
        };
        let places = (
            parameter_layout.contiguous_offsets(),
            gradient_layout.contiguous_offsets(),
        );
        let (Some((from, to)), Some((gradient_from, gradient_to))) = places else {
            bail!("parameters and their gradients must be contiguous")
        };
        let mut buffers = self.buffers.borrow_mut();
        let mut pieces: Vec<_> = buffers
            .iter_mut()
            .map(|buffer| buffer.chunks_mut(CHUNK))
            .collect();
        let mut chunks: Vec<Chunk<'_>> = weights[from..to]
            .chunks_mut(CHUNK)
            .zip(gradient[gradient_from..gradient_to].chunks(CHUNK))
            .map(|(weights, gradient)| Chunk {
                weights,
                gradient,
                buffers: pieces.iter_mut().filter_map(Iterator::next).collect(),
            })
            .collect();
        // The `RefCell` keeps `self` from being shared between threads; its parts can be.
        let (rule, settings) = (self.rule, self.settings);
        match chunks.as_mut_slice() {
            [only] => rule.update(&settings, only),
            many => many
                .par_iter_mut()
                .for_each(|chunk| rule.update(&settings, chunk)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
