//! The products that attention is made of, by the processor's tiles.
//!
//! Keys and values are brought into panels once for all queries that see them: [`Crosswise`] for products
//! with rows of a head's width (queries by keys), [`Lengthwise`] for sums over keys (weights by values).

use std::ops::Range;

use super::sizes::HeadPart;
use crate::ops::microkernel::{Finish, Kernels, PanelGroup, RowProduct, SharedValues, words_of};

/// Rows of a tile's multiple that make a block of queries on the way back: gradients of keys and values are summed block by
/// block, so it is a part of what a training gives.
pub(super) fn queries_of_a_block(kernels: &Kernels) -> usize {
    const QUERIES: usize = 64;
    QUERIES / kernels.rows * kernels.rows
}

/// The same on the way there, where queries have nothing to do with each other.
pub(super) fn queries_at_once(kernels: &Kernels) -> usize {
    const QUERIES: usize = 72;
    let tile = match kernels.pair_rows {
        0 => kernels.rows,
        pairs => pairs,
    };
    QUERIES / tile * tile
}

/// One head of some keys or values.
#[derive(Clone, Copy)]
pub(super) struct HeadRows<'a> {
    pub part: HeadPart<'a>,
    pub head: usize,
    /// Columns of a head.
    pub width: usize,
    /// The first row.
    pub first: usize,
    pub count: usize,
}

impl<'a> HeadRows<'a> {
    fn row(&self, row: usize) -> &'a [f32] {
        self.part.head(self.first + row, self.head, self.width)
    }

    /// Values of [`Crosswise`] panels.
    pub fn crosswise_len(&self, kernels: &Kernels) -> usize {
        self.count.next_multiple_of(kernels.panel) * self.width
    }

    /// Values of [`Lengthwise`] panels.
    pub fn lengthwise_len(&self, kernels: &Kernels) -> usize {
        self.width.next_multiple_of(kernels.panel) * self.count
    }

    /// Packs the rows as columns of a right factor: `[panel of rows][width][lane]`.
    pub fn crosswise<'b>(&self, kernels: &'static Kernels, packed: &'b mut [f32]) -> Crosswise<'b> {
        let lanes = kernels.panel;
        for (panel, packed) in packed.chunks_exact_mut(self.width * lanes).enumerate() {
            let first = panel * lanes;
            let filled = lanes.min(self.count - first);
            if filled < lanes {
                packed.fill(0.0);
            }
            // Four rows at a time, so that what is read of a line is used at once.
            for lane in (0..filled).step_by(4) {
                let rows = [0, 1, 2, 3].map(|next| self.row(first + (lane + next).min(filled - 1)));
                let own = 4.min(filled - lane);
                for (column, target) in packed.chunks_exact_mut(lanes).enumerate() {
                    for (target, row) in target[lane..lane + own].iter_mut().zip(rows) {
                        *target = row[column];
                    }
                }
            }
        }
        Crosswise {
            kernels,
            packed,
            width: self.width,
        }
    }

    /// Packs the rows as rows of a right factor: `[panel of columns][row][lane]`.
    pub fn lengthwise<'b>(&self, kernels: &'static Kernels, packed: &'b mut [f32]) -> Lengthwise<'b> {
        let lanes = kernels.panel;
        for (panel, packed) in packed.chunks_exact_mut((self.count * lanes).max(1)).enumerate() {
            let first = panel * lanes;
            let filled = lanes.min(self.width - first);
            for (row, target) in packed.chunks_exact_mut(lanes).enumerate() {
                target[..filled].copy_from_slice(&self.row(row)[first..first + filled]);
                target[filled..].fill(0.0);
            }
        }
        Lengthwise {
            kernels,
            packed,
            width: self.width,
            count: self.count,
        }
    }
}

/// A right factor whose columns are rows of a head.
pub(super) struct Crosswise<'a> {
    kernels: &'static Kernels,
    packed: &'a [f32],
    width: usize,
}

impl Crosswise<'_> {
    /// The products of `rows` with `columns`, into `target`, rows of `stride` values for the columns from
    /// `origin` on. `columns` begin with a panel; what lies between their end and the next half of a panel, a vector, is
    /// written too.
    pub fn multiply(
        &self,
        rows: &[&[f32]],
        columns: Range<usize>,
        target: &mut [f32],
        (origin, stride): (usize, usize),
    ) {
        let lanes = self.kernels.panel;
        let shared = SharedValues::new(target);
        let panels = columns.len().div_ceil(lanes);
        let mut product = RowProduct::new(self.kernels, (1, self.width), panels);
        product.collect(
            rows.len(),
            stride,
            &shared,
            |row| row * stride,
            |row, _| crate::ops::microkernel::Elements::F32(rows[row]).from(0),
        );
        let part = self.width * lanes;
        let first = columns.start / lanes;
        for panel in (0..panels).step_by(product.panels_at_once()) {
            let count = product.panels_at_once().min(panels - panel);
            let words = &words_of(self.packed)[(first + panel) * part..][..count * part];
            let group = PanelGroup::side_by_side(words, count);
            let column = (first + panel) * lanes - origin;
            let left = (columns.len() - panel * lanes).next_multiple_of(lanes / 2);
            let width = left.min(count * lanes);
            // SAFETY: the target is borrowed mutably, and this thread alone writes to it.
            unsafe { product.multiply(&group, column, width, &Finish::default()) };
        }
    }
}

/// A right factor whose rows are rows of a head.
pub(super) struct Lengthwise<'a> {
    kernels: &'static Kernels,
    packed: &'a [f32],
    width: usize,
    count: usize,
}

impl Lengthwise<'_> {
    /// The sums over `rows` of what `left(i)` has for each, times the row: from `place(i)` of `target`.
    ///
    /// # Safety
    /// Nobody else reads or writes these places at the same time.
    pub unsafe fn multiply<'b>(
        &self,
        count: usize,
        left: impl Fn(usize) -> &'b [f32],
        rows: Range<usize>,
        target: &'b SharedValues<'b>,
        place: impl Fn(usize) -> usize,
    ) {
        let lanes = self.kernels.panel;
        let panels = self.width.div_ceil(lanes);
        let mut product = RowProduct::new(self.kernels, (1, rows.len()), panels);
        product.collect(count, self.width, target, place, |row, _| {
            crate::ops::microkernel::Elements::F32(left(row)).from(0)
        });
        let gap = self.count * lanes;
        for panel in (0..panels).step_by(product.panels_at_once()) {
            let count = product.panels_at_once().min(panels - panel);
            let words = &words_of(self.packed)[panel * gap..(panel + count) * gap];
            let group = PanelGroup {
                parts: vec![&words[rows.start * lanes..(count - 1) * gap + rows.end * lanes]],
                gap,
                count,
            };
            let width = (count * lanes).min(self.width - panel * lanes);
            // SAFETY: the caller's.
            unsafe { product.multiply(&group, panel * lanes, width, &Finish::default()) };
        }
    }
}
