//! SGD with momentum 0.9 and weight decay 5e-4, in place and on all threads, as `erlen::train` has it.
//! Its own `Optimizer` cannot be made from outside the crate.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use erlen::models::Parameter;
use erlen::ops::VariableGradients;
use rayon::prelude::*;

/// Elements that one thread updates at a time.
const CHUNK: usize = 1 << 14;
const LEARNING_RATE: f32 = 0.01;
const MOMENTUM: f32 = 0.9;
const WEIGHT_DECAY: f32 = 5e-4;

/// The optimizer, with a buffer for each parameter.
pub struct Momentum {
    buffers: Vec<Vec<f32>>,
}

impl Momentum {
    /// With buffers of zeros, in the order of `parameters`.
    pub fn new(parameters: &[Parameter]) -> Self {
        let zeros = |parameter: &Parameter| vec![0.0; parameter.var.elem_count()];
        Self {
            buffers: parameters.iter().map(zeros).collect(),
        }
    }

    /// Takes one step.
    pub fn step(&mut self, parameters: &[Parameter], mut gradients: VariableGradients) -> Result<()> {
        for (parameter, buffer) in parameters.iter().zip(&mut self.buffers) {
            if let Some(gradient) = gradients.remove(&parameter.var) {
                update(&parameter.var, &gradient, buffer)?;
            }
        }
        Ok(())
    }
}

/// One step of one parameter.
pub fn update(parameter: &Var, gradient: &Tensor, buffer: &mut [f32]) -> Result<()> {
    let step = Step {
        buffer: RefCell::new(buffer),
    };
    parameter.inplace_op2(&gradient.contiguous()?, &step)
}

struct Step<'a> {
    buffer: RefCell<&'a mut [f32]>,
}

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        "sgd-step"
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(gradient)) = (parameter, gradient) else {
            bail!("parameters and their gradients must be f32")
        };
        let places = (layout.contiguous_offsets(), gradient_layout.contiguous_offsets());
        let (Some((from, to)), Some((gradient_from, gradient_to))) = places else {
            bail!("parameters and their gradients must be contiguous")
        };
        let mut buffer = self.buffer.borrow_mut();
        let chunks = weights[from..to]
            .par_chunks_mut(CHUNK)
            .zip(gradient[gradient_from..gradient_to].par_chunks(CHUNK))
            .zip(buffer.par_chunks_mut(CHUNK));
        chunks.for_each(|((weights, gradient), buffer)| {
            for ((weight, &gradient), velocity) in weights.iter_mut().zip(gradient).zip(buffer) {
                *velocity = MOMENTUM * *velocity + gradient + WEIGHT_DECAY * *weight;
                *weight -= LEARNING_RATE * *velocity;
            }
        });
        Ok(())
    }
}
