//! Numbers as bytes.

use serde::{Deserialize, Serialize};

/// How the values of a tensor stand as bytes: a byte `b` is `(b - zero_point) * scale`. 0 is always a byte's value, so
/// that padding is exact.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// What one step is.
    pub scale: f32,
    /// The byte of 0.
    pub zero_point: u8,
}

/// A number whose last bit is worth 1, and far from those whose last bit is not.
pub(super) const ROUNDING: f32 = 1.5 * (1 << 23) as f32;

impl Affine {
    /// The steps that reach from `low` to `high`, and to 0 where that lies outside. Values beyond are cut off.
    pub fn of_range(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((f64::from(high) - f64::from(low)) / 255.0) as f32;
        // Where all values are 0, or too small for their steps to be numbers of full precision.
        if !(scale >= f32::MIN_POSITIVE && scale.is_finite()) {
            return Self {
                scale: 1.0,
                zero_point: 0,
            };
        }
        let zero_point = (f64::from(-low) / f64::from(scale)).round_ties_even();
        Self {
            scale,
            zero_point: zero_point.clamp(0.0, 255.0) as u8,
        }
    }

    /// The byte of `value`: `QuantizeLinear` of ONNX. That of NaN is 0.
    #[inline(always)]
    pub fn quantize(self, value: f32) -> u8 {
        self.byte_of_steps(value / self.scale)
    }

    /// The byte that is so many steps away from 0, rounded to the nearest, of two to the even one.
    #[inline(always)]
    pub(super) fn byte_of_steps(self, steps: f32) -> u8 {
        let zero_point = f32::from(self.zero_point);
        let (least, most) = (-zero_point, 255.0 - zero_point);
        // Comparisons that vectors have as they are; NaN is the least.
        let steps = if steps > least { steps } else { least };
        let steps = if steps < most { steps } else { most };
        // The sum has no digits behind the point, and its last bits are those of the whole number.
        let whole = (steps + ROUNDING).to_bits() as u8;
        whole.wrapping_add(self.zero_point)
    }

    /// The value of `byte`: `DequantizeLinear` of ONNX.
    #[inline(always)]
    pub fn dequantize(self, byte: u8) -> f32 {
        (i32::from(byte) - i32::from(self.zero_point)) as f32 * self.scale
    }
}
