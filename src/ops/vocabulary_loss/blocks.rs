//! The loss and its gradients on the CPU, some rows at a time: their logits become the logits' gradients in
//! place, and are gone when the next rows' turn comes.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::ops::activation::functions::exp_f32;
use crate::ops::conv::{ConvPlan, ConvWeight, PackedOnce};
use crate::ops::microkernel::{ColumnProducts, Kernels};
use crate::ops::operation::ArrayView;
use crate::ops::round::rounded_copy;
use crate::ops::vectors::{largest_of, with_wide_vectors};
use crate::spec::Precision;

/// Rows whose logits are made together.
const ROWS: usize = 256;

/// Operands and targets, without the rows that do not count.
pub(super) struct VocabularyBlocks<'a> {
    hidden: Cow<'a, [f32]>,
    width: usize,
    weight: &'a [f32],
    vocabulary: usize,
    bias: Option<&'a [f32]>,
    /// The rows that count, and the class of each.
    targets: Vec<(usize, u32)>,
    /// All rows.
    rows: usize,
    precision: Precision,
}

/// What is found of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowVerdict {
    /// The cross-entropy, in nats.
    pub loss: f64,
    /// Whether the target has the largest logit, the first of equals.
    pub is_likeliest: bool,
}

/// Gradients of hidden states, weight and bias, where they are wanted.
#[derive(Default)]
pub(super) struct BlockGradients([Option<Vec<f32>>; 3]);

impl BlockGradients {
    /// Whether all that is wanted is there.
    pub fn has(&self, wanted: &[bool]) -> bool {
        let mut pairs = self.0.iter().zip(wanted);
        pairs.all(|(gradient, wanted)| gradient.is_some() || !wanted)
    }

    /// All of them times `factor`.
    pub fn scaled(self, factor: f32) -> [Option<Vec<f32>>; 3] {
        self.0.map(|gradient| {
            let mut gradient = gradient?;
            if factor != 1.0 {
                gradient.par_iter_mut().for_each(|value| *value *= factor);
            }
            Some(gradient)
        })
    }
}

impl<'a> VocabularyBlocks<'a> {
    /// For operands that fit each other.
    pub fn new(operands: &[ArrayView<'a>], targets: &[Option<u32>], precision: Precision) -> Self {
        let (hidden, weight) = (operands[0], operands[1]);
        let width = weight.dims[1];
        let counting = targets.iter().enumerate();
        let counting: Vec<(usize, u32)> = counting
            .filter_map(|(row, target)| Some((row, (*target)?)))
            .collect();
        let all = counting.len() == targets.len();
        let hidden = match all {
            true => Cow::Borrowed(hidden.values),
            false => {
                let rows = counting.iter();
                rows.flat_map(|(row, _)| &hidden.values[row * width..(row + 1) * width])
                    .copied()
                    .collect()
            }
        };
        Self {
            hidden,
            width,
            weight: weight.values,
            vocabulary: weight.dims[0],
            bias: operands.get(2).map(|bias| bias.values),
            targets: counting,
            rows: targets.len(),
            precision,
        }
    }

    /// The verdict on each row that counts.
    pub fn verdicts(&self) -> Vec<RowVerdict> {
        let packed = PackedOnce::default();
        let mut verdicts = Vec::with_capacity(self.targets.len());
        for first in (0..self.targets.len()).step_by(ROWS) {
            let targets = &self.targets[first..(first + ROWS).min(self.targets.len())];
            let mut logits = self.logits(first, targets.len(), &packed);
            verdicts.extend(self.judge(&mut logits, targets, None));
        }
        verdicts
    }

    /// The loss times `scale`, how many targets were the likeliest, and the loss's gradients with respect to those
    /// operands that they are wanted of.
    pub fn run(&self, scale: f64, wanted: &[bool]) -> (f64, u64, BlockGradients) {
        let wanted = |operand: usize| wanted.get(operand).copied().unwrap_or(false);
        let is_wanted = wanted(0) || wanted(1) || wanted(2);
        let zeros = |operand: usize, len: usize| wanted(operand).then(|| vec![0.0f32; len]);
        let mut for_hidden = zeros(0, self.rows * self.width);
        let mut for_weight = zeros(1, self.weight.len());
        let mut for_bias = wanted(2).then(|| vec![0.0f64; self.vocabulary]);
        let packed = PackedOnce::default();
        let (mut loss, mut likeliest) = (0.0, 0);
        for first in (0..self.targets.len()).step_by(ROWS) {
            let targets = &self.targets[first..(first + ROWS).min(self.targets.len())];
            let mut logits = self.logits(first, targets.len(), &packed);
            let verdicts = self.judge(&mut logits, targets, is_wanted.then_some(scale as f32));
            loss += verdicts.iter().map(|verdict| verdict.loss).sum::<f64>();
            likeliest += verdicts.iter().filter(|verdict| verdict.is_likeliest).count() as u64;
            // From here on they are gradients.
            let gradients = logits;
            if let Some(sums) = &mut for_bias {
                self.add_bias(&gradients, sums);
            }
            if let Some(target) = &mut for_hidden {
                let plan = self.plan(targets.len());
                let found = plan.backward_with_bias(&gradients, packed.weight(self.weight), None);
                for ((row, _), found) in targets.iter().zip(found.chunks_exact(self.width)) {
                    target[row * self.width..(row + 1) * self.width].copy_from_slice(found);
                }
            }
            if let Some(sums) = &mut for_weight {
                let hidden = &self.hidden[first * self.width..][..targets.len() * self.width];
                self.add_weight(&gradients, hidden, sums);
            }
        }
        let for_bias = for_bias.map(|sums| sums.into_iter().map(|sum| sum as f32).collect());
        let loss = if scale > 0.0 { loss * scale } else { 0.0 };
        (
            loss,
            likeliest,
            BlockGradients([for_hidden, for_weight, for_bias]),
        )
    }

    fn plan(&self, rows: usize) -> ConvPlan {
        ConvPlan::pointwise(rows, self.width, self.vocabulary, self.precision)
    }

    /// The logits `[count, V]` of the counting rows from `first` on.
    fn logits(&self, first: usize, count: usize, packed: &PackedOnce) -> Vec<f32> {
        let hidden = &self.hidden[first * self.width..][..count * self.width];
        let weight: ConvWeight = packed.weight(self.weight);
        self.plan(count).forward_with_bias(hidden, weight, self.bias)
    }

    /// The verdict on each row of logits. With a scale, the logits become the loss's gradients.
    fn judge(&self, logits: &mut [f32], targets: &[(usize, u32)], scale: Option<f32>) -> Vec<RowVerdict> {
        logits
            .par_chunks_exact_mut(self.vocabulary)
            .zip(targets)
            .map(|(logits, &(_, target))| RowVerdict {
                // Before they become gradients.
                is_likeliest: is_likeliest(logits, target as usize),
                loss: judge(logits, target as usize, scale),
            })
            .collect()
    }

    fn add_bias(&self, gradients: &[f32], sums: &mut [f64]) {
        let rounded = rounded_copy(gradients, self.precision);
        let gradients = &*rounded;
        const COLUMNS: usize = 256;
        sums.par_chunks_mut(COLUMNS)
            .enumerate()
            .for_each(|(block, sums)| {
                for row in gradients.chunks_exact(self.vocabulary) {
                    let row = &row[block * COLUMNS..];
                    sums.iter_mut()
                        .zip(row)
                        .for_each(|(sum, &value)| *sum += f64::from(value));
                }
            });
    }

    /// Adds the products of the logits' gradients, `[count, V]`, and the hidden states, `[count, D]`, summed
    /// over the rows: `[V, D]`.
    fn add_weight(&self, gradients: &[f32], hidden: &[f32], sums: &mut [f32]) {
        let kernels = Kernels::best(self.precision);
        let (left, right) = ((gradients, self.vocabulary), (hidden, self.width));
        ColumnProducts::new(kernels, left, right, self.precision).add_to(sums);
    }
}

/// Whether `target` is the place of the largest value, the first of equals.
fn is_likeliest(logits: &[f32], target: usize) -> bool {
    let own = logits[target];
    let before = logits[..target].iter().all(|logit| *logit < own);
    before && logits[target + 1..].iter().all(|logit| *logit <= own)
}

/// The cross-entropy of a row of logits. With a scale, they become its gradient times that.
fn judge(logits: &mut [f32], target: usize, scale: Option<f32>) -> f64 {
    with_wide_vectors(
        #[inline(always)]
        || {
            let largest = largest_of(logits);
            let own = logits[target];
            let mut lanes = [0.0f64; 8];
            let (whole, rest) = logits.as_chunks_mut::<64>();
            for chunk in whole {
                let mut sums = [0.0f32; 16];
                for part in chunk.as_chunks_mut::<16>().0 {
                    for (sum, logit) in sums.iter_mut().zip(part) {
                        let power = exp_f32(*logit - largest);
                        *sum += power;
                        *logit = if scale.is_some() { power } else { *logit };
                    }
                }
                for (index, sum) in sums.into_iter().enumerate() {
                    lanes[index % 8] += f64::from(sum);
                }
            }
            for logit in rest {
                let power = exp_f32(*logit - largest);
                lanes[0] += f64::from(power);
                *logit = if scale.is_some() { power } else { *logit };
            }
            let sum: f64 = lanes.iter().sum();
            if let Some(scale) = scale {
                let factor = (f64::from(scale) / sum) as f32;
                for logit in logits.iter_mut() {
                    *logit *= factor;
                }
                // A scale of 0 takes no part in anything, were the logits infinite.
                if scale == 0.0 {
                    logits.fill(0.0);
                }
                logits[target] -= scale;
            }
            f64::from(largest) - f64::from(own) + sum.ln()
        },
    )
}
