//! Sums of outer products.

use super::tiles::{OuterTile, Segment};
use super::{Kernels, SharedValues};

/// A sum of outer products over steps.
pub(in crate::ops) struct Outer<'a> {
    pub kernels: &'static Kernels,
    /// Words of the left operand that a step's words lie in, and from one step to the next.
    pub left: &'a [u32],
    pub left_stride: usize,
    pub right: &'a [u32],
    pub right_stride: usize,
}

/// Which steps: indices of the first left and right word, and how many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct OuterSteps {
    pub left: usize,
    pub right: usize,
    pub len: usize,
}

impl Outer<'_> {
    /// Whether `next` goes on where `last` ends.
    pub fn continues(&self, last: &OuterSteps, next: &OuterSteps) -> bool {
        let left = last.left + last.len * self.left_stride;
        let right = last.right + last.len * self.right_stride;
        (left, right) == (next.left, next.right)
    }

    /// Adds to `target`, `[rows][columns]`, the outer products of `rows` left words with `columns`
    /// right words of all steps. `steps` are the places of the first of them.
    pub fn add(&self, steps: &[OuterSteps], rows: usize, columns: usize, target: &mut [f32]) {
        assert_eq!(target.len(), rows * columns, "the target's size");
        let segments: Vec<Segment> = steps
            .iter()
            .filter(|steps| steps.len > 0)
            .map(|steps| {
                let last = steps.len - 1;
                assert!(
                    steps.left + last * self.left_stride + rows <= self.left.len(),
                    "left words"
                );
                assert!(
                    steps.right + last * self.right_stride + columns <= self.right.len(),
                    "right words"
                );
                Segment {
                    left: self.left[steps.left..].as_ptr(),
                    right: self.right[steps.right..].as_ptr(),
                    len: steps.len,
                }
            })
            .collect();
        let mut column = 0;
        while column < columns {
            let (block, lanes) = self.kernels.outer_tile_for(columns - column);
            for row in (0..rows).step_by(block) {
                let tile = OuterTile {
                    segments: segments.as_ptr(),
                    segment_count: segments.len(),
                    left_stride: self.left_stride,
                    right_stride: self.right_stride,
                    left_offset: row,
                    right_offset: column,
                    target: target[row * columns + column..].as_mut_ptr(),
                    target_stride: columns,
                    width: lanes.min(columns - column),
                };
                // SAFETY: `available` only gives kernels that the processor can run, and the
                // assertions above hold all that they touch within the slices.
                unsafe { (self.kernels.outer_tile)(block.min(rows - row), &tile) };
            }
            column += lanes;
        }
    }
}

/// One tile of outer products of operands that are packed for it.
pub(super) struct PackedTile<'a> {
    /// `[steps][left_stride]` words, of which each step has `rows`.
    pub left: &'a [u32],
    pub left_stride: usize,
    /// `[steps][right_stride]`, of which each step has `width`.
    pub right: &'a [u32],
    pub right_stride: usize,
    pub rows: usize,
    pub width: usize,
}

/// Adds the tile's products, summed over all steps, to `target`, from `start` on in rows that are `target_stride` apart.
///
/// # Safety
/// Nobody else reads or writes these places at the same time.
pub(super) unsafe fn add_packed(
    kernels: &Kernels,
    tile: &PackedTile,
    target: &SharedValues,
    (start, target_stride): (usize, usize),
) {
    let steps = tile.left.len() / tile.left_stride;
    if steps == 0 || tile.rows == 0 || tile.width == 0 {
        return;
    }
    let (rows, lanes) = kernels.outer_tile_for(tile.width);
    assert!(tile.rows <= tile.left_stride.min(rows), "left words");
    assert!(tile.width <= tile.right_stride.min(lanes), "right words");
    assert_eq!(tile.right.len(), steps * tile.right_stride, "as many steps");
    let len = (tile.rows - 1) * target_stride + tile.width;
    let segment = Segment {
        left: tile.left.as_ptr(),
        right: tile.right.as_ptr(),
        len: steps,
    };
    let outer = OuterTile {
        segments: &raw const segment,
        segment_count: 1,
        left_stride: tile.left_stride,
        right_stride: tile.right_stride,
        left_offset: 0,
        right_offset: 0,
        target: target.address(start, len),
        target_stride,
        width: tile.width,
    };
    // SAFETY: `available` only gives kernels that the processor can run, and the assertions above hold all
    // that they touch within the slices; that nobody else uses the target is the caller's.
    unsafe { (kernels.outer_tile)(tile.rows, &outer) };
}
