//! Attention on the CPU: heads run in parallel, each a few queries at a time, so that the weights
//! of one block stay in the cache and no matrix of all tokens by all tokens is ever kept.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::SizedAttention;
use super::heads::HeadPart;
use crate::ops::activation::functions::exp;
use crate::ops::matmul::{MatrixView, multiply};
use crate::ops::round::{copy_rounded, round_in_place};
use crate::ops::scratch::with_scratch;
use crate::ops::vectors::{sum, with_wide_vectors};
use crate::spec::Precision;

/// Queries of a block.
const QUERIES: usize = 128;

impl SizedAttention {
    /// `[N, T, 3 * W]` to `[N, T, W]`.
    pub fn forward(&self, qkv: &[f32]) -> Vec<f32> {
        let qkv = &*self.rounded(qkv);
        let heads = self.heads;
        let mut apart = vec![0.0; heads.count() * heads.head_len()];
        apart
            .par_chunks_mut(heads.head_len())
            .enumerate()
            .for_each(|(head, y)| {
                let values = heads.rows(qkv, HeadPart::Value, head, 0..heads.tokens);
                for rows in self.blocks() {
                    let y = &mut y[rows.start * heads.width..rows.end * heads.width];
                    with_scratch(rows.len() * heads.tokens, |weights| {
                        self.weights(qkv, head, rows.clone(), weights);
                        if let Some(dropout) = &self.dropout {
                            with_scratch(weights.len(), |factors| {
                                self.factors(dropout, head, rows.clone(), factors);
                                drop_values(weights, factors);
                            });
                        }
                        round_in_place(weights, self.precision);
                        let weights = MatrixView::row_major(weights, rows.len(), heads.tokens);
                        multiply(y, weights, values, false);
                    });
                }
                round_in_place(y, self.precision);
            });
        heads.side_by_side(&apart, 1)
    }

    /// The gradient `[N, T, 3 * W]` of `qkv`, given that of the result, `[N, T, W]`.
    pub fn backward(&self, qkv: &[f32], gradient: &[f32]) -> Vec<f32> {
        let (qkv, gradient) = (&*self.rounded(qkv), &*self.rounded(gradient));
        let heads = self.heads;
        let mut apart = vec![0.0; 3 * heads.count() * heads.head_len()];
        apart
            .par_chunks_mut(3 * heads.head_len())
            .enumerate()
            .for_each(|(head, target)| {
                self.backward_head(qkv, gradient, head, target);
                round_in_place(target, self.precision);
            });
        heads.side_by_side(&apart, 3)
    }

    /// Gradients `[3, T, D]` of one head.
    fn backward_head(&self, qkv: &[f32], gradient: &[f32], head: usize, target: &mut [f32]) {
        let heads = self.heads;
        let tokens = heads.tokens;
        let all = |part| heads.rows(qkv, part, head, 0..tokens);
        let (for_queries, rest) = target.split_at_mut(heads.head_len());
        let (for_keys, for_values) = rest.split_at_mut(heads.head_len());
        for rows in self.blocks() {
            let gradient = heads.output_rows(gradient, head, rows.clone());
            let first = rows.start == 0;
            let len = rows.len() * tokens;
            with_scratch(3 * len, |scratch| {
                let (weights, scratch) = scratch.split_at_mut(len);
                let (slopes, used) = scratch.split_at_mut(len);
                self.weights(qkv, head, rows.clone(), weights);
                multiply(slopes, gradient, all(HeadPart::Value).transposed(), false);

                // The weights that were multiplied with the values, and the slopes of those before.
                used.copy_from_slice(weights);
                if let Some(dropout) = &self.dropout {
                    with_scratch(len, |factors| {
                        self.factors(dropout, head, rows.clone(), factors);
                        drop_values(used, factors);
                        drop_values(slopes, factors);
                    });
                }
                round_in_place(used, self.precision);
                let used = MatrixView::row_major(used, rows.len(), tokens);
                multiply(for_values, used.transposed(), gradient, !first);

                self.softmax_backward(weights, slopes);
                round_in_place(slopes, self.precision);
                let slopes = MatrixView::row_major(slopes, rows.len(), tokens);
                let for_queries = &mut for_queries[rows.start * heads.width..rows.end * heads.width];
                multiply(for_queries, slopes, all(HeadPart::Key), false);
                let queries = heads.rows(qkv, HeadPart::Query, head, rows.clone());
                multiply(for_keys, slopes.transposed(), queries, !first);
            });
        }
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let tokens = self.heads.tokens;
        (0..tokens)
            .step_by(QUERIES)
            .map(move |start| start..(start + QUERIES).min(tokens))
    }

    /// `1 / sqrt(D)`.
    fn scale(&self) -> f64 {
        1.0 / (self.heads.width as f64).sqrt()
    }

    /// The attention weights `[rows, T]` of some queries of a head, before dropout.
    fn weights(&self, qkv: &[f32], head: usize, rows: Range<usize>, weights: &mut [f32]) {
        let tokens = self.heads.tokens;
        let queries = self.heads.rows(qkv, HeadPart::Query, head, rows);
        let keys = self.heads.rows(qkv, HeadPart::Key, head, 0..tokens);
        multiply(weights, queries, keys.transposed(), false);
        let scale = self.scale();
        with_wide_vectors(
            #[inline(always)]
            || {
                for row in weights.chunks_exact_mut(tokens) {
                    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    for value in row.iter_mut() {
                        *value = exp((f64::from(*value) - f64::from(largest)) * scale) as f32;
                    }
                    let inverse = 1.0 / sum(tokens, |index| f64::from(row[index]));
                    for value in row {
                        *value = (f64::from(*value) * inverse) as f32;
                    }
                }
            },
        );
    }

    /// Turns the slopes of the loss along the attention weights into those along the products of
    /// queries and keys.
    fn softmax_backward(&self, weights: &[f32], slopes: &mut [f32]) {
        let tokens = self.heads.tokens;
        let scale = self.scale();
        with_wide_vectors(
            #[inline(always)]
            || {
                for (weights, slopes) in weights.chunks_exact(tokens).zip(slopes.chunks_exact_mut(tokens)) {
                    let mean = sum(tokens, |index| {
                        f64::from(weights[index]) * f64::from(slopes[index])
                    });
                    for (slope, &weight) in slopes.iter_mut().zip(weights) {
                        *slope = (f64::from(weight) * (f64::from(*slope) - mean) * scale) as f32;
                    }
                }
            },
        );
    }

    /// Dropout's factors `[rows, T]` for some queries of a head.
    fn factors(&self, dropout: &super::WeightDropout, head: usize, rows: Range<usize>, factors: &mut [f32]) {
        let tokens = self.heads.tokens;
        for (row, factors) in rows.zip(factors.chunks_exact_mut(tokens)) {
            dropout.factors(head * tokens + row, factors);
        }
    }

    fn rounded<'a>(&self, values: &'a [f32]) -> Cow<'a, [f32]> {
        const BLOCK: usize = 1 << 14;
        if self.precision == Precision::F32 {
            return values.into();
        }
        let mut rounded = vec![0.0; values.len()];
        rounded
            .par_chunks_mut(BLOCK)
            .zip(values.par_chunks(BLOCK))
            .for_each(|(rounded, values)| copy_rounded(values, rounded, self.precision));
        rounded.into()
    }
}

/// Multiplies by dropout's factors; what is dropped is 0, were it infinite.
fn drop_values(values: &mut [f32], factors: &[f32]) {
    for (value, &factor) in values.iter_mut().zip(factors) {
        *value = if factor == 0.0 { 0.0 } else { *value * factor };
    }
}
