//! Weights of eight bits: blocks of 32 values that share a scale, as GGUF's `Q8_0` has them.
//!
//! A value is a whole number from -127 to 127 times the scale of its block, a 16-bit float. The rows that such a weight
//! is multiplied with become blocks of the same kind, with f32 scales; products of blocks are sums of whole numbers,
//! and those are added, scaled, in the order of the blocks. So every processor gives the same bytes, and a row's do not
//! depend on those beside it.

mod kernels;
#[cfg(test)]
mod tests;

use half::f16;
use rayon::prelude::*;

use self::kernels::{Int8Kernels, PANEL, RowsOfBlocks};
use super::fill::in_places;
use super::microkernel::SharedValues;
use super::round::round_in_place;
use crate::spec::Precision;

/// Values of a block.
const BLOCK: usize = 32;
/// Bytes of a panel's block: its values, then the scales.
const PANEL_BLOCK: usize = PANEL * (BLOCK + size_of::<f16>());
/// Tasks that a product is cut into, and panels that are worth one.
const TASKS: usize = 8;
const TASK_PANELS: usize = 4;

/// A weight as the kernels read it.
pub(super) struct Int8Blocks {
    kernels: &'static Int8Kernels,
    inputs: usize,
    outputs: usize,
    /// `[outputs / 16][inputs / 32]` blocks of 16 outputs: `[input / 4][output][input % 4]`, each value with its highest
    /// bit turned (which makes it an unsigned number, larger by 128), and the 16 scales.
    panels: Vec<u8>,
}

impl std::fmt::Debug for Int8Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Int8Blocks([{}, {}], {})",
            self.outputs, self.inputs, self.kernels.name
        )
    }
}

impl Int8Blocks {
    /// Of `weight`, `[outputs, inputs]`, or `[inputs, outputs]` where it is `transposed`.
    pub fn pack(weight: &[f32], (outputs, inputs): (usize, usize), transposed: bool) -> Self {
        Self::pack_for(Int8Kernels::best(), weight, (outputs, inputs), transposed)
    }

    fn pack_for(
        kernels: &'static Int8Kernels,
        weight: &[f32],
        (outputs, inputs): (usize, usize),
        transposed: bool,
    ) -> Self {
        let blocks = inputs.div_ceil(BLOCK);
        let value = |output: usize, input: usize| match transposed {
            true => weight[input * outputs + output],
            false => weight[output * inputs + input],
        };
        // What is left over is 0 times 0.
        let mut panels = vec![0x80; outputs.div_ceil(PANEL) * blocks * PANEL_BLOCK];
        let pack = |(index, panel): (usize, &mut [u8])| {
            for (block, bytes) in panel.chunks_exact_mut(PANEL_BLOCK).enumerate() {
                let (values, scales) = bytes.split_at_mut(PANEL * BLOCK);
                scales.fill(0);
                let inputs = block * BLOCK..inputs.min((block + 1) * BLOCK);
                for lane in 0..PANEL.min(outputs - index * PANEL) {
                    let column: Vec<f32> = inputs
                        .clone()
                        .map(|input| value(index * PANEL + lane, input))
                        .collect();
                    let scale = weight_scale(&column);
                    scales[2 * lane..][..2].copy_from_slice(&scale.to_le_bytes());
                    for (place, &value) in column.iter().enumerate() {
                        let whole = whole_number(value, scale.to_f32());
                        values[(place / 4 * PANEL + lane) * 4 + place % 4] = whole as u8 ^ 0x80;
                    }
                }
            }
        };
        panels
            .par_chunks_mut((blocks * PANEL_BLOCK).max(1))
            .enumerate()
            .for_each(pack);
        Self {
            kernels,
            inputs,
            outputs,
            panels,
        }
    }

    /// `x * weight^T + bias` for rows of `inputs` values, rounded to `precision`.
    pub fn multiply(&self, x: &[f32], bias: Option<&[f32]>, precision: Precision) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let blocks = self.inputs.div_ceil(BLOCK);
        let left = RowsOfBlocks::of(x, self.inputs);
        let panels = self.outputs.div_ceil(PANEL);
        let chunk = panels.div_ceil(TASKS).max(TASK_PANELS);
        let product = |target: &SharedValues| {
            let part = |first: usize| {
                for panel in first..(first + chunk).min(panels) {
                    let bytes = &self.panels[panel * blocks * PANEL_BLOCK..][..blocks * PANEL_BLOCK];
                    let column = panel * PANEL;
                    let width = PANEL.min(self.outputs - column);
                    let bias = bias.map(|bias| &bias[column..column + width]);
                    for start in (0..rows).step_by(self.kernels.rows) {
                        let count = self.kernels.rows.min(rows - start);
                        let sums = self.kernels.multiply(&left, start..start + count, bytes);
                        for (row, sums) in sums[..count].iter().enumerate() {
                            let mut sums = *sums;
                            let sums = &mut sums[..width];
                            if let Some(bias) = bias {
                                sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
                            }
                            round_in_place(sums, precision);
                            // SAFETY: each panel's columns of a row are written once.
                            unsafe { target.write((start + row) * self.outputs + column, sums) };
                        }
                    }
                }
            };
            let starts: Vec<usize> = (0..panels).step_by(chunk).collect();
            starts.into_par_iter().for_each(part);
        };
        // SAFETY: every column of every row belongs to a panel.
        unsafe { in_places(rows * self.outputs, product) }
    }
}

/// The scale of a block of a weight: the largest becomes 127.
fn weight_scale(values: &[f32]) -> f16 {
    f16::from_f32(largest(values) / 127.0)
}

/// The largest distance from 0; not a number where one of them is none.
fn largest(values: &[f32]) -> f32 {
    match values.iter().all(|value| value.is_finite()) {
        true => values.iter().fold(0.0, |largest, value| value.abs().max(largest)),
        false => f32::NAN,
    }
}

/// `value` in units of `scale`.
fn whole_number(value: f32, scale: f32) -> i8 {
    match scale > 0.0 {
        true => (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8,
        false => 0,
    }
}
