//! SGD with momentum 0.9 and weight decay 5e-4, in place and on all threads, as `erlen::train` has it,
//! whose own `Optimizer` cannot be made from outside the crate.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

/// Elements that one thread updates at a time.
const CHUNK: usize = 1 << 14;
const LEARNING_RATE: f32 = 0.01;
const MOMENTUM: f32 = 0.9;
const WEIGHT_DECAY: f32 = 5e-4;

/// What the optimizer keeps beside a parameter.
pub struct Momentum {
    buffer: Vec<f32>,
}

impl Momentum {
    /// Of a parameter that has taken no step yet.
    pub fn new(parameter: &Var) -> Self {
        Self {
            buffer: vec![0.0; parameter.elem_count()],
        }
    }

    /// Takes one step.
    pub fn step(&mut self, parameter: &Var, gradient: &Tensor) -> Result<()> {
        let step = Step {
            buffer: RefCell::new(&mut self.buffer),
        };
        parameter.inplace_op2(&gradient.contiguous()?, &step)
    }
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
