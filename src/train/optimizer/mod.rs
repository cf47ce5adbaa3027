//! Optimizers: how gradients change the weights.
//!
//! A [`UpdateRule`] is the arithmetic of one optimizer with the buffers it keeps beside a parameter
//! (momentum, moments): once over chunks of numbers on the CPU, once as tensor operations for other
//! devices. [`Optimizer`] owns those buffers and walks over the parameters in their fixed order. On
//! the CPU it hands out chunks to all threads: every element is updated by itself, so the result is
//! the same for any number of threads. Its whole state can be read and restored exactly, by
//! parameter name.

mod adam;
mod kernel;
mod lion;
mod list;
mod sgd;
mod slot;

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

pub use self::kernel::Chunk;
pub use self::list::{OptimizerRule, Optimizers};
use self::slot::Slot;
use super::gradients::{limited, limited_tensor};
pub use super::groups::{ParameterSettings, parameter_settings};
use super::tensor_file::HostTensor;
use crate::models::Parameter;

/// What one step means for one parameter.
#[derive(Clone, Copy, Debug)]
pub struct StepSettings {
    /// The learning rate.
    pub lr: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// The gradient is multiplied by it first.
    pub gradient_factor: f32,
    /// Then it is limited to this absolute value, which may be infinite.
    pub limit: f32,
    /// This parameter's steps, this one included: from 1.
    pub step: u64,
}

impl StepSettings {
    /// One element of the gradient that the rule takes. NaN stays NaN.
    pub fn limited(&self, gradient: f32) -> f32 {
        limited(gradient, self.gradient_factor, self.limit)
    }

    /// The gradient that the rule takes.
    ///
    /// # Errors
    /// The device fails.
    pub fn limited_tensor(&self, gradient: &Tensor) -> Result<Tensor> {
        limited_tensor(gradient, self.gradient_factor, self.limit)
    }

    /// What a decoupled decay leaves of a weight.
    pub fn kept(&self) -> f64 {
        1.0 - self.lr * self.weight_decay
    }
}

/// The arithmetic of one optimizer.
pub trait UpdateRule: Send + Sync {
    /// The names of the buffers that it keeps for each parameter, as PyTorch names them. They are
    /// zeros before the first step.
    fn buffers(&self) -> &'static [&'static str];

    /// Updates the weights and the buffers.
    fn update(&self, settings: &StepSettings, chunk: &mut Chunk<'_>);

    /// The same as tensor operations: gives the next weights and changes the buffers.
    ///
    /// # Errors
    /// The device fails.
    fn update_tensors(
        &self,
        settings: &StepSettings,
        weight: &Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
    ) -> Result<Tensor>;
}

/// An optimizer with its state.
pub struct Optimizer {
    rule: Box<dyn UpdateRule>,
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
    /// An optimizer that follows `rule`, with an empty state for each of `parameters`, whose `settings`
    /// are in the same order.
    ///
    /// On the CPU weights are updated in place, on other devices by tensor operations.
    pub fn new(rule: Box<dyn UpdateRule>, parameters: &[Parameter], settings: &[ParameterSettings]) -> Self {
        let in_place = parameters.iter().all(|parameter| parameter.var.device().is_cpu());
        Self::with_kernels(rule, parameters, settings, in_place)
    }

    fn with_kernels(
        rule: Box<dyn UpdateRule>,
        parameters: &[Parameter],
        settings: &[ParameterSettings],
        in_place: bool,
    ) -> Self {
        let slots = parameters
            .iter()
            .zip(settings)
            .map(|(parameter, settings)| Slot::new(parameter, *settings, in_place));
        Self {
            slots: slots.collect(),
            rule,
        }
    }

    /// Takes one step at the learning rate `lr`, times each parameter's factor. `gradients` are in
    /// the order of `parameters`, which is that of [`Optimizer::new`]; a parameter that is frozen or
    /// has no gradient stays as it is, like its state.
    ///
    /// Each gradient is multiplied by `gradient_factor` (one over the loss scale, times what the
    /// norm is clipped by) and then limited to `clip_value` in absolute value. Where both value and
    /// norm are clipped, `ClipLimits` gives the two numbers that belong
    /// together.
    ///
    /// # Errors
    /// A gradient's shape is not its parameter's, or a tensor on the CPU is not contiguous f32.
    pub fn step(
        &mut self,
        parameters: &[Parameter],
        gradients: &[Option<Tensor>],
        lr: f64,
        gradient_factor: f32,
        clip_value: Option<f32>,
    ) -> Result<()> {
        for ((slot, parameter), gradient) in self.slots.iter_mut().zip(parameters).zip(gradients) {
            if let (Some(gradient), false) = (gradient, slot.settings.frozen) {
                let settings = StepSettings {
                    lr: lr * slot.settings.lr_factor,
                    weight_decay: slot.settings.weight_decay,
                    gradient_factor,
                    limit: clip_value.unwrap_or(f32::INFINITY),
                    step: slot.steps + 1,
                };
                slot.step(self.rule.as_ref(), &settings, &parameter.var, gradient)?;
            }
        }
        Ok(())
    }

    /// A copy of the whole state.
    ///
    /// # Errors
    /// A device's memory cannot be read.
    pub fn state(&self) -> Result<OptimizerState> {
        let names = self.rule.buffers();
        let mut state = OptimizerState::default();
        for slot in self.slots.iter().filter(|slot| slot.steps > 0) {
            state.steps.insert(slot.name.clone(), slot.steps);
            for (name, buffer) in names.iter().zip(slot.buffers()?) {
                state.buffers.insert(format!("{}.{name}", slot.name), buffer);
            }
        }
        Ok(state)
    }

    /// Takes over a state that [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn load_state(&mut self, state: &OptimizerState) -> std::result::Result<(), String> {
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
                buffers.push(buffer);
                used += 1;
            }
            restored.push((steps, slot.restored(&buffers)?));
        }
        if used != state.buffers.len() {
            return Err(format!(
                "the optimizer's state has {} buffers, but {used} are expected",
                state.buffers.len()
            ));
        }
        for (slot, (steps, buffers)) in self.slots.iter_mut().zip(restored) {
            slot.put_back(steps, buffers);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
