//! One step of one parameter as an in-place operation on its numbers.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use super::{StepSettings, UpdateRule};

/// Elements that one thread updates at a time.
pub(super) const CHUNK: usize = 1 << 14;

/// A piece of one parameter with what belongs to it: slices of equal length.
pub struct Chunk<'a> {
    /// The weights.
    pub weights: &'a mut [f32],
    /// Their gradient, neither multiplied nor limited yet.
    pub gradient: &'a [f32],
    /// The rule's buffers.
    pub buffers: Vec<&'a mut [f32]>,
}

/// Lets `rule` update the parameter and its buffers, chunk by chunk.
pub(super) fn update_in_place(
    rule: &dyn UpdateRule,
    settings: &StepSettings,
    parameter: &Var,
    gradient: &Tensor,
    buffers: &mut [Vec<f32>],
) -> Result<()> {
    let update = Update {
        rule,
        settings: *settings,
        buffers: RefCell::new(buffers),
    };
    parameter.inplace_op2(&gradient.contiguous()?, &update)
}

struct Update<'a> {
    rule: &'a dyn UpdateRule,
    settings: StepSettings,
    buffers: RefCell<&'a mut [Vec<f32>]>,
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
    ) -> Result<()> {
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
