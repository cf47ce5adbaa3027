//! Attention's forward pass on the CPU: some queries of a head of keys and values are a task, a few of them at
//! a time meet a few keys, and the softmax is summed up from block to block.

use std::ops::Range;

use rayon::prelude::*;

use super::sizes::common;
use super::tiles::{Crosswise, HeadRows, Lengthwise, queries_at_once};
use super::{Attention, AttentionInputs};
use crate::ops::activation::functions::exp_f32;
use crate::ops::microkernel::{Kernels, SharedValues};
use crate::ops::round::round_in_place;
use crate::ops::scratch::with_scratch;
use crate::ops::sequences::SequenceSpan;
use crate::ops::vectors::{NARROW_LANES, largest_of, sum_f32, with_wide_vectors};
use crate::spec::Precision;

/// Queries of a task.
const QUERIES: usize = 512;
/// Keys of a block: a multiple of any panel.
const KEYS: usize = 512;
/// Values of a line of the caches.
const LINE: usize = 16;

/// Writes the result, `[rows, H * D]`, and of each head's rows the largest product and one over the sum of the
/// weights, `[H, rows, 2]`; both hold zeros.
pub(super) fn run(
    attention: &Attention,
    inputs: &AttentionInputs,
    y: &SharedValues,
    statistics: &SharedValues,
) {
    let mut tasks = Vec::new();
    for (sequence, span) in inputs.sequences.spans().iter().enumerate() {
        for head in 0..attention.sizes.key_value_heads {
            for start in (0..span.queries.len()).step_by(QUERIES) {
                let queries = start..(start + QUERIES).min(span.queries.len());
                tasks.push(((sequence, span), head, queries));
            }
        }
    }
    tasks.into_par_iter().for_each(|(sequence, head, queries)| {
        QueryTask {
            attention,
            inputs,
            sequence,
            head,
            y,
            statistics,
        }
        .run(queries);
    });
}

/// The queries of a sequence that one head of keys and values serves.
struct QueryTask<'a> {
    attention: &'a Attention,
    inputs: &'a AttentionInputs<'a>,
    sequence: (usize, &'a SequenceSpan),
    /// Of keys and values.
    head: usize,
    y: &'a SharedValues<'a>,
    statistics: &'a SharedValues<'a>,
}

/// What queries see, in panels: keys from the sequence's key `first` on.
struct SeenKeys<'a> {
    first: usize,
    keys: Crosswise<'a>,
    values: Lengthwise<'a>,
}

impl QueryTask<'_> {
    fn run(&self, queries: Range<usize>) {
        let kernels = Kernels::best(Precision::F32);
        let (sizes, (_, span)) = (&self.attention.sizes, self.sequence);
        let seen = sizes.seen_by_any(span, &queries);
        if seen.is_empty() {
            return;
        }
        let first = seen.start / kernels.panel * kernels.panel;
        let rows = |part| HeadRows {
            part,
            head: self.head,
            width: sizes.width,
            first: span.keys.start + first,
            count: seen.end - first,
        };
        let (keys, values) = (rows(self.inputs.keys), rows(self.inputs.values));
        let (len, values_len) = (keys.crosswise_len(kernels), values.lengthwise_len(kernels));
        with_scratch(len + values_len, |packed| {
            let (for_keys, for_values) = packed.split_at_mut(len);
            let seen = SeenKeys {
                first,
                keys: keys.crosswise(kernels, for_keys),
                values: values.lengthwise(kernels, for_values),
            };
            for head in 0..sizes.group() {
                let head = self.head * sizes.group() + head;
                let step = queries_at_once(kernels);
                for start in queries.clone().step_by(step) {
                    self.block(kernels, &seen, head, start..(start + step).min(queries.end));
                }
            }
        });
    }

    /// A few queries of one head of them.
    fn block(&self, kernels: &Kernels, seen: &SeenKeys, head: usize, queries: Range<usize>) {
        let (sizes, (_, span)) = (&self.attention.sizes, self.sequence);
        let (count, width) = (queries.len(), sizes.width);
        let of_row = |row: usize| {
            let keys = sizes.seen(span, queries.start + row);
            keys.start - seen.first.min(keys.start)..keys.end - seen.first
        };
        let rows: Vec<&[f32]> = queries
            .clone()
            .map(|query| self.inputs.queries.head(span.queries.start + query, head, width))
            .collect();
        let mut running = vec![Running::default(); count];
        let seen_by_any = of_row(0).start..of_row(count - 1).end;
        // Rows a line more than so many panels apart: were their distance a power of two, they would throw each other out of
        // the nearest cache.
        let panels =
            (seen_by_any.end - seen_by_any.start / kernels.panel * kernels.panel).div_ceil(kernels.panel);
        let stride = KEYS.min(panels * kernels.panel) + LINE;
        with_scratch(count * (stride + 2 * width), |scratch| {
            let (weights, scratch) = scratch.split_at_mut(count * stride);
            let (sums, more) = scratch.split_at_mut(count * width);
            for (index, block) in (seen_by_any.start / KEYS * KEYS..seen_by_any.end)
                .step_by(KEYS)
                .enumerate()
            {
                let keys = common(&(block..block + KEYS), &seen_by_any);
                let keys = keys.start / kernels.panel * kernels.panel..keys.end;
                seen.keys
                    .multiply(&rows, keys.clone(), weights, (keys.start, stride));
                for (row, (weights, running)) in
                    weights.chunks_exact_mut(stride).zip(&mut running).enumerate()
                {
                    let own = common(&of_row(row), &keys);
                    let own = own.start - keys.start..own.end - keys.start;
                    running.take(weights, keys.len(), own, sizes.scale());
                    let weights = &mut weights[..keys.len()];
                    self.drop_some(head, queries.start + row, seen.first + keys.start, weights);
                    round_in_place(weights, self.attention.precision);
                }
                let target = if index == 0 { &mut *sums } else { &mut *more };
                let left = |row: usize| &weights[row * stride..][..keys.len()];
                let target = SharedValues::new(target);
                // SAFETY: the target is borrowed mutably, and this thread alone writes to it.
                unsafe {
                    seen.values
                        .multiply(count, left, keys.clone(), &target, |row| row * width);
                };
                if index > 0 {
                    let rows = sums.chunks_exact_mut(width).zip(more.chunks_exact(width));
                    for ((sums, more), running) in rows.zip(&running) {
                        let earlier = running.correction;
                        sums.iter_mut()
                            .zip(more)
                            .for_each(|(sum, more)| *sum = *sum * earlier + more);
                    }
                }
            }
            for (query, (sums, running)) in queries.clone().zip(sums.chunks_exact_mut(width).zip(&running)) {
                // What sees nothing is 0.
                let inverse = if running.sum == 0.0 {
                    0.0
                } else {
                    1.0 / running.sum
                };
                sums.iter_mut().for_each(|sum| *sum *= inverse);
                round_in_place(sums, self.attention.precision);
                let row = span.queries.start + query;
                // SAFETY: the row and the head are this task's alone.
                unsafe {
                    self.y.write(row * sizes.columns() + head * width, sums);
                    let place = 2 * (head * sizes.query_rows + row);
                    self.statistics.write(place, &[running.largest, inverse]);
                }
            }
        });
    }

    /// Drops some of the weights of a query, which are those of keys from `first` on.
    fn drop_some(&self, head: usize, query: usize, first: usize, weights: &mut [f32]) {
        let Some(dropout) = &self.attention.dropout else {
            return;
        };
        with_scratch(weights.len(), |factors| {
            let keys = first..first + weights.len();
            dropout.factors(self.sequence, head, query, keys, factors);
            for (weight, &factor) in weights.iter_mut().zip(&*factors) {
                // What is dropped is 0, were it infinite.
                *weight = if factor == 0.0 { 0.0 } else { *weight * factor };
            }
        });
    }
}

/// A row's softmax so far.
#[derive(Clone, Copy)]
struct Running {
    largest: f32,
    sum: f32,
    /// What the sums of earlier blocks are to be multiplied by.
    correction: f32,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            largest: f32::NEG_INFINITY,
            sum: 0.0,
            correction: 1.0,
        }
    }
}

impl Running {
    /// Turns a query's products with `keys` keys, of which it sees `seen`, into weights that are yet to be
    /// divided by the sum of all. Behind them there is room for a vector, which is written to.
    fn take(&mut self, products: &mut [f32], keys: usize, seen: Range<usize>, scale: f32) {
        self.correction = 1.0;
        if seen.is_empty() {
            products[..keys].fill(0.0);
            return;
        }
        let (unseen, products) = products.split_at_mut(seen.start);
        unseen.fill(0.0);
        let (count, keys) = (seen.len(), keys - seen.start);
        let whole = count.next_multiple_of(NARROW_LANES);
        with_wide_vectors(
            #[inline(always)]
            || {
                let largest = largest_of(&products[..count]).max(self.largest);
                if self.largest > f32::NEG_INFINITY {
                    self.correction = exp_f32((self.largest - largest) * scale);
                }
                let (chunks, _) = products[..whole].as_chunks_mut::<NARROW_LANES>();
                let mut left = count;
                for chunk in chunks.iter_mut() {
                    for (lane, product) in chunk.iter_mut().enumerate() {
                        let weight = exp_f32((*product - largest) * scale);
                        *product = if lane < left { weight } else { 0.0 };
                    }
                    left = left.saturating_sub(NARROW_LANES);
                }
                self.sum = self.sum * self.correction + sum_f32(chunks);
                self.largest = largest;
            },
        );
        if whole < keys {
            products[whole..keys].fill(0.0);
        }
    }
}
