//! What an optimizer keeps for one parameter.

use candle_core::{Device, Result, Tensor, Var, bail};

use super::kernel::update_in_place;
use super::{StepSettings, UpdateRule};
use crate::models::Parameter;
use crate::train::groups::ParameterSettings;
use crate::train::tensor_file::HostTensor;

/// The state that an optimizer keeps for one parameter.
pub(super) struct Slot {
    pub name: String,
    pub shape: Vec<usize>,
    pub settings: ParameterSettings,
    pub steps: u64,
    device: Device,
    buffers: Buffers,
}

/// One buffer for each of the rule's names; none before the first step.
pub(super) enum Buffers {
    /// Updated in place, on the CPU.
    Numbers(Vec<Vec<f32>>),
    /// Replaced at each step, on the parameter's device.
    Tensors(Vec<Tensor>),
}

impl Slot {
    pub fn new(parameter: &Parameter, settings: ParameterSettings, in_place: bool) -> Self {
        Self {
            name: parameter.name.clone(),
            shape: parameter.var.dims().to_vec(),
            settings,
            steps: 0,
            device: parameter.var.device().clone(),
            buffers: if in_place {
                Buffers::Numbers(Vec::new())
            } else {
                Buffers::Tensors(Vec::new())
            },
        }
    }

    /// Takes one step.
    pub fn step(
        &mut self,
        rule: &dyn UpdateRule,
        settings: &StepSettings,
        parameter: &Var,
        gradient: &Tensor,
    ) -> Result<()> {
        if gradient.dims() != self.shape {
            bail!(
                "the gradient of `{}` has shape {:?}, but the parameter {:?}",
                self.name,
                gradient.dims(),
                self.shape
            );
        }
        let count = rule.buffers().len();
        match &mut self.buffers {
            Buffers::Numbers(buffers) => {
                if buffers.is_empty() {
                    let elements = self.shape.iter().product();
                    *buffers = vec![vec![0.0; elements]; count];
                }
                update_in_place(rule, settings, parameter, gradient, buffers)?;
            }
            Buffers::Tensors(buffers) => {
                if buffers.is_empty() {
                    let zeros = || parameter.as_detached_tensor().zeros_like();
                    *buffers = (0..count).map(|_| zeros()).collect::<Result<_>>()?;
                }
                let weight = parameter.as_detached_tensor();
                let next = rule.update_tensors(settings, &weight, &gradient.detach(), buffers)?;
                parameter.set(&next)?;
            }
        }
        self.steps = settings.step;
        Ok(())
    }

    /// A copy of the buffers.
    pub fn buffers(&self) -> Result<Vec<HostTensor>> {
        match &self.buffers {
            Buffers::Numbers(buffers) => Ok(buffers
                .iter()
                .map(|values| HostTensor::from_f32(self.shape.clone(), values))
                .collect()),
            Buffers::Tensors(buffers) => buffers.iter().map(HostTensor::from_tensor).collect(),
        }
    }

    /// The buffers that `saved` holds, to be put back.
    pub fn restored(&self, saved: &[&HostTensor]) -> std::result::Result<Buffers, String> {
        Ok(match &self.buffers {
            Buffers::Numbers(_) => {
                let values = saved.iter().map(|buffer| buffer.to_f32());
                Buffers::Numbers(values.collect::<std::result::Result<_, _>>()?)
            }
            Buffers::Tensors(_) => {
                let tensors = saved.iter().map(|buffer| buffer.to_tensor(&self.device));
                Buffers::Tensors(tensors.collect::<std::result::Result<_, _>>()?)
            }
        })
    }

    pub fn put_back(&mut self, steps: u64, buffers: Buffers) {
        (self.steps, self.buffers) = (steps, buffers);
    }
}
