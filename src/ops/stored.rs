//! Values as tensors hold them: in f32, or in bf16 where an operation of that precision made them on the tape. Arithmetic
//! is f32 in either case, so a value that is rounded to bf16 anyway has the same bits whichever of the two holds it.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use half::bf16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::HAS_GRADIENTS;
use super::fill::{changed, in_blocks, in_zeroed_blocks};
use super::round::{bf16_bits, round_in_place};
use super::scratch::with_scratch;
use super::vectors::with_wide_vectors;
use crate::spec::Precision;

/// What holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueFormat {
    F32,
    Bf16,
}

impl ValueFormat {
    /// Of a value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::Bf16 => size_of::<bf16>(),
        }
    }

    /// That of results that are rounded to `precision`, where as few bytes as possible hold them.
    pub fn smallest(precision: Precision) -> Self {
        match precision {
            Precision::Bf16 => Self::Bf16,
            Precision::F32 | Precision::F16 => Self::F32,
        }
    }
}

/// A number that kernels read and write.
pub(super) trait StoredNumber: Copy + Default + Send + Sync + 'static {
    const FORMAT: ValueFormat;

    fn widen(self) -> f32;

    /// The nearest one, ties to even.
    fn nearest(value: f32) -> Self;

    /// The bits of the nearest bf16 value, ties to even.
    fn nearest_bits(self) -> u16;

    fn own(values: Vec<Self>) -> Values;
}

impl StoredNumber for f32 {
    const FORMAT: ValueFormat = ValueFormat::F32;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn nearest(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn nearest_bits(self) -> u16 {
        bf16_bits(self)
    }

    fn own(values: Vec<Self>) -> Values {
        Values::F32(values)
    }
}

impl StoredNumber for bf16 {
    const FORMAT: ValueFormat = ValueFormat::Bf16;

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn nearest(value: f32) -> Self {
        Self::from_bits(bf16_bits(value))
    }

    #[inline(always)]
    fn nearest_bits(self) -> u16 {
        self.to_bits()
    }

    fn own(values: Vec<Self>) -> Values {
        Values::Bf16(values)
    }
}

/// Values that are held somewhere.
#[derive(Clone, Copy)]
pub(super) enum Stored<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// New values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a [f32]> for Stored<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a [bf16]> for Stored<'a> {
    fn from(values: &'a [bf16]) -> Self {
        Self::Bf16(values)
    }
}

/// Values that are converted by one thread at a time.
const BLOCK: usize = 1 << 14;

impl<'a> Stored<'a> {
    pub fn format(self) -> ValueFormat {
        match self {
            Self::F32(_) => ValueFormat::F32,
            Self::Bf16(_) => ValueFormat::Bf16,
        }
    }

    pub fn len(self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// The address of the first one.
    pub fn start(self) -> *const u8 {
        match self {
            Self::F32(values) => values.as_ptr().cast(),
            Self::Bf16(values) => values.as_ptr().cast(),
        }
    }

    /// Those from `start` on, `len` of them.
    pub fn part(self, start: usize, len: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[start..start + len]),
            Self::Bf16(values) => Self::Bf16(&values[start..start + len]),
        }
    }

    /// In f32, by all threads.
    pub fn widened(self) -> Cow<'a, [f32]> {
        match self {
            Self::F32(values) => values.into(),
            Self::Bf16(values) => {
                let block = |index: usize, target: &mut [MaybeUninit<f32>]| {
                    let source = &values[index * BLOCK..][..target.len()];
                    with_wide_vectors(
                        #[inline(always)]
                        || {
                            for (target, value) in target.iter_mut().zip(source) {
                                target.write(value.widen());
                            }
                        },
                    );
                };
                // SAFETY: each block is written.
                unsafe { in_blocks(values.len(), BLOCK, block) }.into()
            }
        }
    }

    /// In f32 and rounded to `precision`, by all threads.
    pub fn rounded(self, precision: Precision) -> Cow<'a, [f32]> {
        match self {
            Self::F32(values) if precision != Precision::F32 => {
                changed(values, BLOCK, |_, values| round_in_place(values, precision)).into()
            }
            // What bf16 holds is rounded for its own precision, and no other operation takes it.
            _ => self.widened(),
        }
    }

    /// Calls `body` with the values in f32; by this thread.
    pub fn with_wide<T>(self, body: impl FnOnce(&[f32]) -> T) -> T {
        self.with_rounded(Precision::F32, body)
    }

    /// Calls `body` with the values in f32, rounded to `precision`; by this thread.
    pub fn with_rounded<T>(self, precision: Precision, body: impl FnOnce(&[f32]) -> T) -> T {
        match self {
            Self::F32(values) => super::round::with_rounded(values, precision, body),
            Self::Bf16(values) => with_scratch(values.len(), |wide| {
                widen_to(values, wide);
                body(wide)
            }),
        }
    }
}

/// A pixel of zeros, of either format.
pub(super) struct ZeroPixel {
    wide: Vec<f32>,
    narrow: Vec<bf16>,
}

impl ZeroPixel {
    pub fn new(channels: usize) -> Self {
        Self {
            wide: vec![0.0; channels],
            narrow: vec![bf16::ZERO; channels],
        }
    }

    pub fn of(&self, format: ValueFormat) -> Stored<'_> {
        match format {
            ValueFormat::F32 => Stored::F32(&self.wide),
            ValueFormat::Bf16 => Stored::Bf16(&self.narrow),
        }
    }
}

/// The bits of bf16 values.
pub(super) fn bits_of(values: &[bf16]) -> &[u16] {
    values.reinterpret_cast()
}

/// Writes `values` to `target`, of as many.
pub(super) fn widen_to(values: &[bf16], target: &mut [f32]) {
    with_wide_vectors(
        #[inline(always)]
        || {
            for (target, value) in target.iter_mut().zip(values) {
                *target = value.widen();
            }
        },
    );
}

/// Writes the nearest of `values` to `target`, of as many.
pub(super) fn narrow_to(values: &[f32], target: &mut [MaybeUninit<bf16>]) {
    with_wide_vectors(
        #[inline(always)]
        || {
            for (target, &value) in target.iter_mut().zip(values) {
                target.write(bf16::nearest(value));
            }
        },
    );
}

impl Values {
    pub fn as_stored(&self) -> Stored<'_> {
        match self {
            Self::F32(values) => Stored::F32(values),
            Self::Bf16(values) => Stored::Bf16(values),
        }
    }

    /// In f32.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            Self::Bf16(values) => Stored::Bf16(&values).widened().into_owned(),
        }
    }

    /// The nearest ones of a format.
    pub fn in_format(self, format: ValueFormat) -> Self {
        match (self, format) {
            (Self::F32(values), ValueFormat::Bf16) => Self::Bf16(nearest_bf16(&values)),
            (narrow @ Self::Bf16(_), ValueFormat::F32) => Self::F32(narrow.into_f32()),
            (values, _) => values,
        }
    }
}

/// What `change` makes of each block of `block` values in f32, given its index, in a format; in parallel.
pub(super) fn changed_in(
    format: ValueFormat,
    values: Stored,
    block: usize,
    change: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> Values {
    let copy = |index: usize, target: &mut [f32]| {
        match values.part(index * block, target.len()) {
            Stored::F32(values) => target.copy_from_slice(values),
            Stored::Bf16(values) => widen_to(values, target),
        }
        change(index, target);
    };
    match format {
        ValueFormat::Bf16 if HAS_GRADIENTS => {
            let narrow = |index: usize, target: &mut [MaybeUninit<bf16>]| {
                with_scratch(target.len(), |wide| {
                    copy(index, wide);
                    narrow_to(wide, target);
                });
            };
            // SAFETY: each block is written.
            Values::Bf16(unsafe { in_blocks(values.len(), block, narrow) })
        }
        _ => match values {
            Stored::F32(values) => Values::F32(changed(values, block, change)),
            Stored::Bf16(_) => Values::F32(in_zeroed_blocks(values.len(), block, copy)),
        },
    }
}

fn nearest_bf16(values: &[f32]) -> Vec<bf16> {
    let block = |index: usize, target: &mut [MaybeUninit<bf16>]| {
        narrow_to(&values[index * BLOCK..][..target.len()], target);
    };
    // SAFETY: each block is written.
    unsafe { in_blocks(values.len(), BLOCK, block) }
}

/// Sets `target` to the nearest of its sums with `summands`, of as many, by all threads.
pub(super) fn add_to<E: StoredNumber>(target: &mut [E], summands: &[E]) {
    target
        .par_chunks_mut(BLOCK)
        .zip(summands.par_chunks(BLOCK))
        .for_each(|(target, summands)| {
            with_wide_vectors(
                #[inline(always)]
                || {
                    for (target, summand) in target.iter_mut().zip(summands) {
                        *target = E::nearest(target.widen() + summand.widen());
                    }
                },
            );
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_hold_the_same_values() {
        let values: Vec<f32> = (0..40_000).map(|index| (index as f32 - 9e3) * 0.37).collect();
        let narrow = Values::F32(values.clone()).in_format(ValueFormat::Bf16);
        let expected: Vec<bf16> = values.iter().map(|&value| bf16::from_f32(value)).collect();
        assert_eq!(narrow, Values::Bf16(expected.clone()));
        let wide: Vec<f32> = expected.iter().map(|value| value.to_f32()).collect();
        assert_eq!(narrow.as_stored().widened(), wide);
        assert_eq!(Stored::F32(&values).rounded(Precision::Bf16), wide);
        narrow
            .as_stored()
            .with_rounded(Precision::Bf16, |values| assert_eq!(values, wide));
        assert_eq!(narrow.in_format(ValueFormat::F32), Values::F32(wide));
    }

    #[test]
    fn sums_are_rounded_once() {
        let narrow = |values: &[f32]| {
            values
                .iter()
                .map(|&value| bf16::from_f32(value))
                .collect::<Vec<_>>()
        };
        // 256 + 1 lies halfway between two values: the even one is 256.
        let mut sums = narrow(&[256.0, 256.0, -3.5]);
        add_to(&mut sums, &narrow(&[1.0, 3.0, 3.5]));
        assert_eq!(sums, narrow(&[256.0, 260.0, 0.0]));
    }
}
