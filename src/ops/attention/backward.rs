//! Attention's way back on the CPU: some keys of a head are a task, which computes the weights of all queries
//! that see them anew.

use std::ops::Range;

use rayon::prelude::*;

use super::sizes::{HeadPart, common};
use super::tiles::{Crosswise, HeadRows, Lengthwise, queries_of_a_block};
use super::{Attention, AttentionInputs};
use crate::ops::activation::functions::exp_f32;
use crate::ops::microkernel::{Kernels, Outer, OuterSteps, SharedValues, words_of};
use crate::ops::round::round_in_place;
use crate::ops::scratch::with_scratch;
use crate::ops::sequences::SequenceSpan;
use crate::ops::vectors::{sum_over, with_wide_vectors};
use crate::spec::Precision;

/// Keys of a task, where a sequence has no more than a few tasks of them.
const KEYS: usize = 1024;
/// Tasks of a sequence's head, each of which adds a share to the gradient of the queries.
const SHARES: usize = 4;

/// The gradients of the operands, given the result and its gradient, `[rows, H * D]`, and what the forward
/// pass has left, `[H, rows, 2]`.
pub(super) fn run(
    attention: &Attention,
    inputs: &AttentionInputs,
    y: &[f32],
    gradient: &[f32],
    statistics: &[f32],
) -> Vec<Vec<f32>> {
    let sizes = &attention.sizes;
    let mut tasks = Vec::new();
    let mut shares = 1;
    for (sequence, span) in inputs.sequences.spans().iter().enumerate() {
        let keys = span.keys.len();
        let step = KEYS.max(keys.div_ceil(SHARES).next_multiple_of(KEYS));
        for head in 0..sizes.key_value_heads {
            for (share, start) in (0..keys).step_by(step).enumerate() {
                tasks.push(((sequence, span), head, share, start..(start + step).min(keys)));
                shares = shares.max(share + 1);
            }
        }
    }
    let rows = |part: usize| {
        if part == 0 {
            sizes.query_rows
        } else {
            sizes.key_rows
        }
    };
    let mut targets: Vec<Vec<f32>> = match sizes.side_by_side {
        true => vec![vec![
            0.0;
            sizes.query_rows
                * (0..3)
                    .map(|part| sizes.part_columns(part))
                    .sum::<usize>()
        ]],
        false => (0..3)
            .map(|part| vec![0.0; rows(part) * sizes.part_columns(part)])
            .collect(),
    };
    // Shares of the queries' gradient after the first.
    let mut more: Vec<Vec<f32>> = (1..shares)
        .map(|_| vec![0.0; sizes.query_rows * sizes.columns()])
        .collect();
    {
        let shared: Vec<SharedValues> = targets
            .iter_mut()
            .map(|target| SharedValues::new(target))
            .collect();
        let more: Vec<SharedValues> = more.iter_mut().map(|share| SharedValues::new(share)).collect();
        let target = |part: usize| {
            let (operand, stride, column) = sizes.place(part);
            Target {
                values: &shared[operand],
                stride,
                column,
            }
        };
        tasks.into_par_iter().for_each(|(sequence, head, share, keys)| {
            let for_queries = match share {
                0 => target(0),
                share => Target {
                    values: &more[share - 1],
                    stride: sizes.columns(),
                    column: 0,
                },
            };
            KeyTask {
                attention,
                inputs,
                sequence,
                head,
                keys,
                y,
                gradient: HeadPart {
                    values: gradient,
                    stride: sizes.columns(),
                    column: 0,
                },
                statistics,
                targets: [for_queries, target(1), target(2)],
            }
            .run();
        });
    }
    add_shares(attention, &mut targets[0], &more);
    for target in &mut targets {
        target
            .par_chunks_mut(1 << 14)
            .for_each(|values| round_in_place(values, attention.precision));
    }
    targets
}

/// Adds the later shares of the queries' gradient to the first.
fn add_shares(attention: &Attention, target: &mut [f32], more: &[Vec<f32>]) {
    if more.is_empty() {
        return;
    }
    let (columns, (_, stride, _)) = (attention.sizes.columns(), attention.sizes.place(0));
    target
        .par_chunks_mut(stride)
        .enumerate()
        .for_each(|(row, target)| {
            for share in more {
                let share = &share[row * columns..][..columns];
                target
                    .iter_mut()
                    .zip(share)
                    .for_each(|(sum, share)| *sum += share);
            }
        });
}

/// Where a part of the gradients goes, as [`HeadPart`].
#[derive(Clone, Copy)]
struct Target<'a> {
    values: &'a SharedValues<'a>,
    stride: usize,
    column: usize,
}

impl Target<'_> {
    fn place(&self, row: usize, head: usize, width: usize) -> usize {
        row * self.stride + self.column + head * width
    }
}

/// Some keys of a sequence, of one head of keys and values.
struct KeyTask<'a> {
    attention: &'a Attention,
    inputs: &'a AttentionInputs<'a>,
    sequence: (usize, &'a SequenceSpan),
    head: usize,
    keys: Range<usize>,
    y: &'a [f32],
    gradient: HeadPart<'a>,
    statistics: &'a [f32],
    /// Of queries, keys and values.
    targets: [Target<'a>; 3],
}

/// The keys and values of a task in panels.
struct PackedKeys<'a> {
    keys: Crosswise<'a>,
    keys_in_rows: Lengthwise<'a>,
    values: Crosswise<'a>,
}

impl KeyTask<'_> {
    fn run(&self) {
        let kernels = Kernels::best(Precision::F32);
        let (sizes, (_, span)) = (&self.attention.sizes, self.sequence);
        let width = sizes.width;
        let rows = |part| HeadRows {
            part,
            head: self.head,
            width,
            first: span.keys.start + self.keys.start,
            count: self.keys.len(),
        };
        let (keys, values) = (rows(self.inputs.keys), rows(self.inputs.values));
        let (crosswise, lengthwise) = (keys.crosswise_len(kernels), keys.lengthwise_len(kernels));
        let len = self.keys.len() * width;
        with_scratch(2 * crosswise + lengthwise + 2 * len, |scratch| {
            let (first, scratch) = scratch.split_at_mut(crosswise);
            let (second, scratch) = scratch.split_at_mut(crosswise);
            let (third, sums) = scratch.split_at_mut(lengthwise);
            let packed = PackedKeys {
                keys: keys.crosswise(kernels, first),
                values: values.crosswise(kernels, second),
                keys_in_rows: keys.lengthwise(kernels, third),
            };
            sums.fill(0.0);
            let (for_keys, for_values) = sums.split_at_mut(len);
            let step = queries_of_a_block(kernels);
            for head in self.head * sizes.group()..(self.head + 1) * sizes.group() {
                for start in (0..span.queries.len()).step_by(step) {
                    let queries = start..(start + step).min(span.queries.len());
                    self.block(kernels, &packed, head, queries, (for_keys, for_values));
                }
            }
            for (target, sums) in self.targets[1..].iter().zip([for_keys, for_values]) {
                for (row, sums) in sums.chunks_exact(width).enumerate() {
                    let row = span.keys.start + self.keys.start + row;
                    // SAFETY: these keys of this head are this task's alone.
                    unsafe { target.values.write(target.place(row, self.head, width), sums) };
                }
            }
        });
    }

    /// Adds what a few queries of one head of them give, and writes their own gradient.
    fn block(
        &self,
        kernels: &'static Kernels,
        packed: &PackedKeys,
        head: usize,
        queries: Range<usize>,
        (for_keys, for_values): (&mut [f32], &mut [f32]),
    ) {
        let (sizes, (_, span)) = (&self.attention.sizes, self.sequence);
        let (count, width) = (queries.len(), sizes.width);
        let seen = common(&sizes.seen_by_any(span, &queries), &self.keys);
        if seen.is_empty() {
            return;
        }
        // Keys are counted from the task's first.
        let keys = (seen.start - self.keys.start) / kernels.panel * kernels.panel..seen.end - self.keys.start;
        let stride = keys.len().next_multiple_of(kernels.panel);
        let first = span.queries.start + queries.start;
        with_scratch(2 * count * stride, |scratch| {
            let (weights, slopes) = scratch.split_at_mut(count * stride);
            packed.keys.multiply(
                &rows_of(self.inputs.queries, first..first + count, head, width),
                keys.clone(),
                weights,
                (keys.start, stride),
            );
            packed.values.multiply(
                &rows_of(self.gradient, first..first + count, head, width),
                keys.clone(),
                slopes,
                (keys.start, stride),
            );
            let both = weights
                .chunks_exact_mut(stride)
                .zip(slopes.chunks_exact_mut(stride));
            for (row, (weights, slopes)) in both.enumerate() {
                let query = queries.start + row;
                let own = common(&sizes.seen(span, query), &self.keys);
                let (weights, slopes) = (&mut weights[..keys.len()], &mut slopes[..keys.len()]);
                let own = match own.is_empty() {
                    true => 0..0,
                    false => {
                        let origin = self.keys.start + keys.start;
                        own.start - origin..own.end - origin
                    }
                };
                self.row(head, query, keys.start, own, (weights, slopes));
                round_in_place(weights, self.attention.precision);
                round_in_place(slopes, self.attention.precision);
            }
            let part_of_keys = keys.start * width..keys.end * width;
            let add = |left: &[f32], right: HeadPart<'_>, target: &mut [f32]| {
                let outer = Outer {
                    kernels,
                    left: words_of(left),
                    left_stride: stride,
                    right: words_of(right.values),
                    right_stride: right.stride,
                };
                let steps = OuterSteps {
                    left: 0,
                    right: right.place(first, head, width),
                    len: count,
                };
                outer.add(&[steps], keys.len(), width, &mut target[part_of_keys.clone()]);
            };
            add(weights, self.gradient, for_values);
            add(slopes, self.inputs.queries, for_keys);
            let target = &self.targets[0];
            let left = |row: usize| &slopes[row * stride..][..keys.len()];
            let place = |row: usize| target.place(first + row, head, width);
            // SAFETY: in this share the queries of this head are this task's alone.
            unsafe {
                packed
                    .keys_in_rows
                    .multiply(count, left, keys.clone(), target.values, place);
            }
        });
    }

    /// Turns the products of a query with some keys, from the task's key `first` on, into the weights that
    /// the values were multiplied with, and the slopes along them into those along the products. Of the keys
    /// the query sees `seen`.
    fn row(
        &self,
        head: usize,
        query: usize,
        first: usize,
        seen: Range<usize>,
        (weights, slopes): (&mut [f32], &mut [f32]),
    ) {
        let (sizes, (_, span)) = (&self.attention.sizes, self.sequence);
        let row = span.queries.start + query;
        for values in [&mut *weights, &mut *slopes] {
            values[..seen.start].fill(0.0);
            values[seen.end..].fill(0.0);
        }
        if seen.is_empty() {
            return;
        }
        let [largest, inverse] =
            [0, 1].map(|index| self.statistics[2 * (head * sizes.query_rows + row) + index]);
        let scale = sizes.scale();
        let (y, gradient) = (
            &self.y[row * sizes.columns() + head * sizes.width..][..sizes.width],
            self.gradient.head(row, head, sizes.width),
        );
        let mut apply = |factors: Option<&[f32]>| {
            with_wide_vectors(
                #[inline(always)]
                || {
                    // The mean of the slopes along the row's weights.
                    let mean = sum_over([y, gradient], |[y, gradient]| y * gradient) as f32;
                    let pairs = weights[seen.clone()].iter_mut().zip(&mut slopes[seen.clone()]);
                    match factors {
                        None => {
                            for (weight, slope) in pairs {
                                let own = exp_f32((*weight - largest) * scale) * inverse;
                                (*weight, *slope) = (own, own * (*slope - mean) * scale);
                            }
                        }
                        Some(factors) => {
                            for ((weight, slope), &factor) in pairs.zip(&factors[seen.clone()]) {
                                let own = exp_f32((*weight - largest) * scale) * inverse;
                                let kept = if factor == 0.0 { 0.0 } else { *slope * factor };
                                (*weight, *slope) = (own * factor, own * (kept - mean) * scale);
                            }
                        }
                    }
                },
            );
        };
        match &self.attention.dropout {
            None => apply(None),
            Some(dropout) => with_scratch(seen.end, |factors| {
                let start = self.keys.start + first;
                dropout.factors(self.sequence, head, query, start..start + seen.end, factors);
                apply(Some(factors));
            }),
        }
    }
}

/// What a head has in each of some rows.
fn rows_of(part: HeadPart<'_>, rows: Range<usize>, head: usize, width: usize) -> Vec<&[f32]> {
    rows.map(|row| part.head(row, head, width)).collect()
}
