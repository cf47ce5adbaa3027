//! Products of the columns of two matrices, such as the gradient of a linear layer's weight.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::outer::{PackedTile, add_packed};
use super::pack::{pair_rows, words_of, words_of_mut};
use super::{Kernels, SharedValues, WordFormat};
use crate::ops::fill::{in_blocks, in_zeroed_blocks};
use crate::ops::scratch::with_scratch;
use crate::ops::stored::Stored;
use crate::ops::vectors::with_wide_vectors;
use crate::spec::Precision;

/// Steps whose products are summed in registers before they are added to the result. A step is a word of
/// each column: a row, or a pair of them.
const STEPS: usize = 256;
/// Tasks that there should be, and columns that one has at most.
const TASKS: usize = 16;
const LEFT_COLUMNS: usize = 192;
const RIGHT_COLUMNS: usize = 256;

/// `left^T right` for two matrices of as many rows, whose columns are packed as the tiles read them. Each
/// product is summed by one thread, in the order of the rows.
pub(in crate::ops) struct ColumnProducts {
    kernels: &'static Kernels,
    left: PackedColumns,
    right: PackedColumns,
}

impl ColumnProducts {
    /// Of matrices that are given with their numbers of columns, narrowed if that is the kernels' format, and
    /// otherwise rounded to `precision`.
    pub fn new<'a>(
        kernels: &'static Kernels,
        (left, left_columns): (impl Into<Stored<'a>>, usize),
        (right, right_columns): (impl Into<Stored<'a>>, usize),
        precision: Precision,
    ) -> Self {
        let (left, right) = (left.into(), right.into());
        assert_eq!(
            left.len() / left_columns.max(1),
            right.len() / right_columns.max(1),
            "as many rows on the right as on the left"
        );
        let (most, panel) = kernels.outer_tile_for(right_columns);
        // As many in each group, so that the last is no rest of a few.
        let lanes = left_columns.div_ceil(left_columns.div_ceil(most).max(1));
        let of_left = (lanes, lanes.next_multiple_of(PIECE));
        let of_right = (panel, panel);
        Self {
            kernels,
            left: PackedColumns::pack(kernels.format, left, left_columns, of_left, precision),
            right: PackedColumns::pack(kernels.format, right, right_columns, of_right, precision),
        }
    }

    /// The products, `[left columns, right columns]`.
    pub fn products(&self) -> Vec<f32> {
        let mut products = in_zeroed_blocks(self.left.columns * self.right.columns, 1 << 14, |_, _| {});
        self.add_to(&mut products);
        products
    }

    /// Adds the products to `target`.
    pub fn add_to(&self, target: &mut [f32]) {
        assert_eq!(
            target.len(),
            self.left.columns * self.right.columns,
            "the target's size"
        );
        let target = SharedValues::new(target);
        let (lefts, rights) = self.task_groups();
        let across = self.right.groups().div_ceil(rights);
        let tasks = self.left.groups().div_ceil(lefts) * across;
        (0..tasks).into_par_iter().for_each(|task| {
            let (left, right) = (task / across * lefts, task % across * rights);
            let lefts = left..(left + lefts).min(self.left.groups());
            let rights = right..(right + rights).min(self.right.groups());
            // SAFETY: tasks differ in their groups of columns.
            unsafe { self.run(lefts, rights, &target) };
        });
    }

    /// Groups of left and of right columns that a task has: such that there are enough tasks, and that what they read
    /// is used often, and the results that they add to stay in a near cache.
    fn task_groups(&self) -> (usize, usize) {
        let rights = (RIGHT_COLUMNS / self.right.lanes).clamp(1, self.right.groups().max(1));
        let across = self.right.groups().div_ceil(rights).max(1);
        let most = (LEFT_COLUMNS / self.left.lanes.max(1)).max(1);
        let lefts = self.left.groups().div_ceil(TASKS.div_ceil(across));
        (lefts.clamp(1, most), rights)
    }

    /// Adds the products of some groups.
    ///
    /// # Safety
    /// Nobody else reads or writes them at the same time.
    unsafe fn run(&self, lefts: Range<usize>, rights: Range<usize>, target: &SharedValues) {
        let columns = self.right.columns;
        let width = |group: usize, of: &PackedColumns| of.lanes.min(of.columns - group * of.lanes);
        for block in 0..self.left.steps.div_ceil(STEPS) {
            for right in rights.clone() {
                for left in lefts.clone() {
                    let tile = PackedTile {
                        left: self.left.group(block, left),
                        left_stride: self.left.stride,
                        right: self.right.group(block, right),
                        right_stride: self.right.stride,
                        rows: width(left, &self.left),
                        width: width(right, &self.right),
                    };
                    let start = left * self.left.lanes * columns + right * self.right.lanes;
                    // SAFETY: the caller's.
                    unsafe { add_packed(self.kernels, &tile, target, (start, columns)) };
                }
            }
        }
    }
}

/// Values that are copied at once.
const PIECE: usize = 8;
/// Steps that are packed together: their words are read while they are in the nearest cache.
const TOGETHER: usize = 16;

/// The columns of a matrix: for each block of [`STEPS`] steps, `[group of columns][step][lane]`.
struct PackedColumns {
    /// Words, held as f32 of the same bits.
    words: Vec<f32>,
    columns: usize,
    /// Columns of a group.
    lanes: usize,
    /// Words from one step of a group to the next; those behind its columns are of no meaning.
    stride: usize,
    steps: usize,
}

impl PackedColumns {
    fn pack(
        format: WordFormat,
        values: Stored,
        columns: usize,
        (lanes, stride): (usize, usize),
        precision: Precision,
    ) -> Self {
        let rows = values.len() / columns.max(1);
        let mut packed = Self {
            words: Vec::new(),
            columns,
            lanes,
            stride,
            steps: format.words(rows),
        };
        let of_step = packed.groups() * stride;
        let write = |block: usize, target: &mut [MaybeUninit<f32>]| {
            let steps = target.len() / of_step;
            for start in (0..steps).step_by(TOGETHER) {
                let own = start..(start + TOGETHER).min(steps);
                let first = (block * STEPS + own.start) * format.elements();
                let last = (first + own.len() * format.elements()).min(rows);
                let values = values.part(first * columns, (last - first) * columns);
                with_words(format, values, columns, precision, |words| {
                    packed.distribute(words, own.start, steps, target);
                });
            }
        };
        // SAFETY: each step of each group is written, all of its stride.
        let words = unsafe { in_blocks(packed.steps * of_step, STEPS * of_step, write) };
        packed.words = words;
        packed
    }

    fn groups(&self) -> usize {
        self.columns.div_ceil(self.lanes)
    }

    /// Writes the words of some steps, `[step][column]`, into a block of `steps` steps, from its step `first` on.
    fn distribute(&self, words: &[f32], first: usize, steps: usize, target: &mut [MaybeUninit<f32>]) {
        let (lanes, stride) = (self.lanes, self.stride);
        with_wide_vectors(
            #[inline(always)]
            || {
                for (group, target) in target.chunks_exact_mut(steps * stride).enumerate() {
                    let start = group * lanes;
                    let target = target[first * stride..].chunks_exact_mut(stride);
                    for (row, target) in words.chunks_exact(self.columns).zip(target) {
                        match row.get(start..start + stride) {
                            Some(row) => {
                                let pieces = target.as_chunks_mut::<PIECE>().0;
                                for (target, piece) in pieces.iter_mut().zip(row.as_chunks::<PIECE>().0) {
                                    *target = piece.map(MaybeUninit::new);
                                }
                            }
                            None => {
                                let (own, rest) = target.split_at_mut(row.len() - start);
                                own.write_copy_of_slice(&row[start..]);
                                rest.fill(MaybeUninit::new(0.0));
                            }
                        }
                    }
                }
            },
        );
    }

    /// The words of a group in a block, `[step][lane]`.
    fn group(&self, block: usize, group: usize) -> &[u32] {
        let steps = STEPS.min(self.steps - block * STEPS);
        let start = block * STEPS * self.groups() * self.stride + group * steps * self.stride;
        &words_of(&self.words)[start..start + steps * self.stride]
    }
}

/// Calls `body` with the words of some rows, `[step][column]`. A row without a partner is paired with zeros.
fn with_words(
    format: WordFormat,
    rows: Stored,
    columns: usize,
    precision: Precision,
    body: impl FnOnce(&[f32]),
) {
    match format {
        WordFormat::F32 => rows.with_rounded(precision, body),
        WordFormat::Bf16Pair => with_scratch((rows.len() / columns).div_ceil(2) * columns, |words| {
            for (pair, words) in words_of_mut(words).chunks_exact_mut(columns).enumerate() {
                let start = 2 * pair * columns;
                pair_rows(words, rows.part(start, (2 * columns).min(rows.len() - start)));
            }
            body(words);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::round::copy_rounded;
    use crate::ops::testing::{host, random, same_for_any_number_of_threads};

    /// The definition, of rounded values, in f64.
    fn define(left: &[f32], right: &[f32], [m, n]: [usize; 2]) -> Vec<f64> {
        let mut products = vec![0.0; m * n];
        for (left, right) in left.chunks_exact(m).zip(right.chunks_exact(n)) {
            for (row, &left) in products.chunks_exact_mut(n).zip(left) {
                for (product, &right) in row.iter_mut().zip(right) {
                    *product += f64::from(left) * f64::from(right);
                }
            }
        }
        products
    }

    #[test]
    fn every_instruction_set_agrees_with_the_definition() {
        for kernels in Kernels::available() {
            for [rows, m, n] in [
                [1, 1, 1],
                [2, 3, 5],
                [33, 14, 32],
                [255, 15, 33],
                [515, 31, 70],
                [1030, 130, 16],
            ] {
                for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
                    if kernels.format == WordFormat::Bf16Pair && precision != Precision::Bf16 {
                        continue;
                    }
                    let (left, right) = (host(&random(&[rows, m], 1)), host(&random(&[rows, n], 2)));
                    let rounded = |values: &[f32]| {
                        let mut target = vec![0.0; values.len()];
                        copy_rounded(values, &mut target, precision);
                        target
                    };
                    let expected = define(&rounded(&left), &rounded(&right), [m, n]);
                    let columns = ColumnProducts::new(kernels, (&*left, m), (&*right, n), precision);
                    let products = columns.products();
                    for (actual, expected) in products.iter().zip(&expected) {
                        let limit = 2e-6 * (rows as f64).sqrt().max(1.0) * expected.abs().max(1.0);
                        assert!(
                            (f64::from(*actual) - expected).abs() <= limit,
                            "{} {rows}x{m}x{n}: {actual} instead of {expected}",
                            kernels.name
                        );
                    }
                    let mut sums = products.clone();
                    columns.add_to(&mut sums);
                    let pairs = sums.iter().zip(&products);
                    for (sum, product) in pairs {
                        assert!((sum - 2.0 * product).abs() <= 1e-4 * product.abs().max(1.0));
                    }
                }
            }
        }
    }

    #[test]
    fn threads_do_not_matter() {
        let (left, right) = (host(&random(&[700, 90], 1)), host(&random(&[700, 75], 2)));
        for precision in [Precision::F32, Precision::Bf16] {
            let kernels = Kernels::best(precision);
            same_for_any_number_of_threads(|| {
                ColumnProducts::new(kernels, (&*left, 90), (&*right, 75), precision).products()
            });
        }
    }
}
