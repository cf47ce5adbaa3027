//! How heads lie in memory.

use rayon::prelude::*;

use crate::ops::matmul::MatrixView;

/// The sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Heads {
    /// Samples.
    pub batch: usize,
    /// Tokens of a sample.
    pub tokens: usize,
    /// Heads.
    pub heads: usize,
    /// Columns of a head.
    pub width: usize,
}

/// What each head has of each token, in the order in which they lie side by side.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) enum HeadPart {
    Query,
    Key,
    Value,
}

impl Heads {
    /// Columns of all heads together.
    pub fn columns(&self) -> usize {
        self.heads * self.width
    }

    /// Values that one head has of one sample, in one part.
    pub fn head_len(&self) -> usize {
        self.tokens * self.width
    }

    /// Heads of all samples.
    pub fn count(&self) -> usize {
        self.batch * self.heads
    }

    /// Some rows of a part of a head (counted over samples) within `[N, T, 3 * W]`.
    pub fn rows<'a>(
        &self,
        qkv: &'a [f32],
        part: HeadPart,
        head: usize,
        rows: std::ops::Range<usize>,
    ) -> MatrixView<'a> {
        let column = part as usize * self.columns() + head % self.heads * self.width;
        self.block(qkv, 3 * self.columns(), column, head / self.heads, rows)
    }

    /// Some rows of a head (counted over samples) within `[N, T, W]`.
    pub fn output_rows<'a>(&self, y: &'a [f32], head: usize, rows: std::ops::Range<usize>) -> MatrixView<'a> {
        let column = head % self.heads * self.width;
        self.block(y, self.columns(), column, head / self.heads, rows)
    }

    fn block<'a>(
        &self,
        values: &'a [f32],
        stride: usize,
        column: usize,
        sample: usize,
        rows: std::ops::Range<usize>,
    ) -> MatrixView<'a> {
        let start = (sample * self.tokens + rows.start) * stride + column;
        MatrixView::strided(&values[start..], rows.len(), self.width, stride)
    }

    /// Moves `[N, heads, parts, T, D]` to `[N, T, parts * heads * D]`.
    pub fn side_by_side(&self, apart: &[f32], parts: usize) -> Vec<f32> {
        let row = parts * self.columns();
        let mut target = vec![0.0; apart.len()];
        target
            .par_chunks_mut((self.tokens * row).max(1))
            .zip(apart.par_chunks((self.tokens * row).max(1)))
            .for_each(|(target, apart)| {
                for (token, target) in target.chunks_exact_mut(row).enumerate() {
                    for (place, target) in target.chunks_exact_mut(self.width).enumerate() {
                        let (part, head) = (place / self.heads, place % self.heads);
                        let start = ((head * parts + part) * self.tokens + token) * self.width;
                        target.copy_from_slice(&apart[start..start + self.width]);
                    }
                }
            });
        target
    }
}
