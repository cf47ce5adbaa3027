//! What happens to results before they are stored.

use super::shared::ResultPlace;
use super::vector::Vector;
use crate::ops::HAS_GRADIENTS;
use crate::ops::activation::ElementwiseFunction;
use crate::ops::stored::ValueFormat;

/// `result * scale + shift`, plus the residual, then ReLU, then rounding, and of what is stored then a function: each
/// where it is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::ops) struct Finish<'a> {
    /// For each column.
    pub scale: Option<&'a [f32]>,
    /// For each column.
    pub shift: Option<&'a [f32]>,
    /// Of the size of the target.
    pub residual: Option<&'a [f32]>,
    pub relu: bool,
    /// To bf16.
    pub round: bool,
    /// Of each result that is stored.
    pub function: Option<ElementwiseFunction>,
}

impl<'a> Finish<'a> {
    /// The same for the columns from `column` on. Where a residual lies is counted in all columns.
    pub fn columns_from(&self, column: usize) -> Self {
        Self {
            scale: self.scale.map(|scale| &scale[column..]),
            shift: self.shift.map(|shift| &shift[column..]),
            ..*self
        }
    }

    /// The same for the columns from `column` on of results in a format, as a tile takes it.
    pub(super) fn from(&self, column: usize, format: ValueFormat) -> TileFinish {
        let start =
            |values: Option<&[f32]>| values.map_or(std::ptr::null(), |values| values[column..].as_ptr());
        TileFinish {
            scale: start(self.scale),
            shift: start(self.shift),
            relu: self.relu,
            // What is stored in bf16 is rounded as it is.
            round: self.round && format == ValueFormat::F32,
            format,
        }
    }

    /// Holds `width` columns from `column` on within the target's `all`, and scale and shift to them.
    ///
    /// # Panics
    /// They are not within them.
    pub(super) fn check(&self, column: usize, width: usize, all: usize) {
        assert!(
            column + width <= all && self.is_for(column + width),
            "scale and shift of each column"
        );
    }

    /// Whether scale and shift have at least `columns` values.
    pub(super) fn is_for(&self, columns: usize) -> bool {
        let enough = |values: Option<&[f32]>| values.is_none_or(|values| values.len() >= columns);
        enough(self.scale) && enough(self.shift)
    }

    /// Where the residual of `width` results from `start` of the target lies; null without one.
    pub(super) fn residual(&self, start: usize, width: usize) -> *const f32 {
        self.residual.map_or(std::ptr::null(), |residual| {
            residual[start..start + width].as_ptr()
        })
    }
}

/// For some columns; null where there is none.
#[derive(Clone, Copy)]
pub(super) struct TileFinish {
    pub scale: *const f32,
    pub shift: *const f32,
    pub relu: bool,
    pub round: bool,
    /// Of what is stored.
    pub format: ValueFormat,
}

impl TileFinish {
    /// Whether nothing is done to results, apart from a residual and from how they are stored.
    pub fn is_nothing(&self) -> bool {
        self.scale.is_null() && self.shift.is_null() && !self.relu && !self.round
    }

    /// Whether results are stored in bf16.
    #[inline(always)]
    pub fn narrows(&self) -> bool {
        HAS_GRADIENTS && self.format == ValueFormat::Bf16
    }

    /// Stores the first `len` lanes of finished results, `start` behind `target`.
    ///
    /// # Safety
    /// That of [`Vector`]: so many results of the format are there.
    #[inline(always)]
    pub unsafe fn store<V: Vector>(&self, target: ResultPlace, start: usize, results: V::Sums, len: usize) {
        // SAFETY: the caller's.
        unsafe {
            if self.narrows() {
                V::store_bf16(target.narrow().add(start), results, len);
            } else if len == V::LANES {
                V::store(target.wide().add(start), results);
            } else {
                V::store_some(target.wide().add(start), results, len);
            }
        }
    }

    /// # Safety
    /// That of [`Vector`]: scale, shift and residual are null or have `len` values, from `lane` on in
    /// the case of the first two.
    #[inline(always)]
    pub unsafe fn apply<V: Vector>(
        &self,
        sums: V::Sums,
        lane: usize,
        len: usize,
        residual: *const f32,
    ) -> V::Sums {
        // SAFETY: the caller's.
        unsafe {
            let load = |source: *const f32| {
                if len == V::LANES {
                    V::load(source)
                } else {
                    V::load_some(source, len)
                }
            };
            let mut sums = sums;
            if !self.scale.is_null() {
                sums = V::multiply_add(sums, load(self.scale.add(lane)), V::zero());
            }
            if !self.shift.is_null() {
                sums = V::add(sums, load(self.shift.add(lane)));
            }
            if !residual.is_null() {
                sums = V::add(sums, load(residual));
            }
            if self.relu {
                sums = V::relu(sums);
            }
            if self.round {
                sums = V::round_bf16(sums);
            }
            sums
        }
    }
}
