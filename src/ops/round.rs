//! Rounding of f32 values to those that a narrower format can hold, to nearest, ties to even.

use std::borrow::Cow;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::fill::changed;
use super::scratch::with_scratch;
use super::vectors::with_wide_vectors;
use crate::spec::Precision;

/// Rounds `values` to the format.
pub(super) fn round_in_place(values: &mut [f32], precision: Precision) {
    match precision {
        Precision::F32 => {}
        Precision::Bf16 => with_wide_vectors(
            #[inline(always)]
            || values.iter_mut().for_each(|value| *value = round_bf16(*value)),
        ),
        Precision::F16 => {
            for block in values.chunks_mut(BLOCK) {
                let mut narrow = [f16::ZERO; BLOCK];
                let narrow = &mut narrow[..block.len()];
                narrow.convert_from_f32_slice(block);
                narrow.convert_to_f32_slice(block);
            }
        }
    }
}

/// Copies `source` to `target` of the same length, rounded to the format.
pub(super) fn copy_rounded(source: &[f32], target: &mut [f32], precision: Precision) {
    match precision {
        Precision::F32 => target.copy_from_slice(source),
        Precision::Bf16 => with_wide_vectors(
            #[inline(always)]
            || {
                for (target, &value) in target.iter_mut().zip(source) {
                    *target = round_bf16(value);
                }
            },
        ),
        Precision::F16 => {
            target.copy_from_slice(source);
            round_in_place(target, precision);
        }
    }
}

/// `values` rounded to the format, by all threads; as they are in f32.
pub(super) fn rounded_copy(values: &[f32], precision: Precision) -> Cow<'_, [f32]> {
    const BLOCK: usize = 1 << 14;
    if precision == Precision::F32 {
        return values.into();
    }
    changed(values, BLOCK, |_, values| round_in_place(values, precision)).into()
}

/// Calls `body` with `values` rounded to the format.
pub(super) fn with_rounded<T>(values: &[f32], precision: Precision, body: impl FnOnce(&[f32]) -> T) -> T {
    if precision == Precision::F32 {
        return body(values);
    }
    with_scratch(values.len(), |rounded| {
        copy_rounded(values, rounded, precision);
        body(rounded)
    })
}

const BLOCK: usize = 256;

/// The nearest value that bf16 can hold, ties to even. A NaN stays one.
#[inline(always)]
pub(super) fn round_bf16(value: f32) -> f32 {
    let bits = value.to_bits();
    let even = (bits >> 16) & 1;
    let rounded = f32::from_bits(bits.wrapping_add(0x7fff + even) & 0xffff_0000);
    // The carry of a NaN would run into its sign.
    if value.is_nan() { value } else { rounded }
}

/// The bits of the nearest bf16 value, ties to even. A NaN stays one.
#[inline(always)]
pub(super) fn bf16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let even = (bits >> 16) & 1;
    let rounded = (bits.wrapping_add(0x7fff + even) >> 16) as u16;
    // A NaN may have all that tells it from infinity in the lower half.
    let quiet = (bits >> 16) as u16 | 0x40;
    if value.is_nan() { quiet } else { rounded }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    fn rounded(value: f32, precision: Precision) -> f32 {
        let mut values = [value; 1];
        round_in_place(&mut values, precision);
        let mut copy = [0.0; 1];
        copy_rounded(&[value], &mut copy, precision);
        assert!(copy[0].to_bits() == values[0].to_bits() || value.is_nan());
        values[0]
    }

    proptest! {
        #[test]
        fn agrees_with_scalar_conversion(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(rounded(value, Precision::F32).to_bits(), bits);
            prop_assert_eq!(rounded(value, Precision::Bf16), bf16::from_f32(value).to_f32());
            prop_assert_eq!(rounded(value, Precision::F16), f16::from_f32(value).to_f32());
        }
    }

    #[test]
    fn edges() {
        assert_eq!(rounded(65_520.0, Precision::F16), f32::INFINITY);
        assert_eq!(rounded(65_519.0, Precision::F16), 65_504.0);
        assert_eq!(rounded(f32::MAX, Precision::Bf16), f32::INFINITY);
        assert_eq!(rounded(f32::NEG_INFINITY, Precision::Bf16), f32::NEG_INFINITY);
        // 1 + 2^-8 lies halfway between two bf16 values: the even one is 1.
        assert_eq!(rounded(1.0 + 1.0 / 256.0, Precision::Bf16), 1.0);
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            assert!(rounded(f32::NAN, precision).is_nan());
            assert!(rounded(f32::from_bits(0xffff_ffff), precision).is_nan());
        }
    }
}
