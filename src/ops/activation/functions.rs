//! Transcendental functions without branches or calls, so that loops over them become vector code.
//! Computed in f64, their relative error lies far below f32's rounding; those in f32 are for what
//! takes a good part of a network's time, and fuse their operations where the processor does.

use std::f64::consts::LOG2_E;

/// `exp(x) - 1` without cancellation around 0.
#[inline(always)]
fn exp_m1(x: f64) -> f64 {
    let (power, rest) = exp_parts(x);
    power * rest + (power - 1.0)
}

/// A power of 2 and `r`, under a half, such that `exp(x)` is `power * (1 + r)`.
#[inline(always)]
fn exp_parts(x: f64) -> (f64, f64) {
    /// 1.5 * 2^52: what is added to it loses its fraction.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    /// ln 2 in two parts, of which the first has few enough digits to be multiplied exactly.
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = x.clamp(-708.0, 708.0);
    let shifted = x * LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    // The low bits of the sum are the integer; they become the exponent of a power of 2.
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    // The series of exp up to the tenth power: the rest is under ln(2) / 2, the error under 3e-13.
    let series = [
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
    ];
    let mut sum = 1.0 / 3_628_800.0;
    for coefficient in series {
        sum = sum * rest + coefficient;
    }
    (power, sum * rest)
}

/// `1 / (1 + exp(-x))` and what it lacks to 1, with relative errors of a few roundings; beyond -87 and
/// 87, where the smaller one loses digits, those of -87 and 87.
#[inline(always)]
pub(in crate::ops) fn sigmoid(x: f32) -> (f32, f32) {
    let exp = exp_f32(-x);
    let sigmoid = 1.0 / (1.0 + exp);
    (sigmoid, exp * sigmoid)
}

/// `exp(x)` between -87 and 87; beyond them that of the nearer one.
#[inline(always)]
pub(in crate::ops) fn exp_f32(x: f32) -> f32 {
    use std::f32::consts::LOG2_E;
    /// 1.5 * 2^23.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, as above.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x.mul_add(LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = whole.mul_add(-LN_2_LOW, whole.mul_add(-LN_2_HIGH, x));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    // The series up to the seventh power: the error is under 6e-9.
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];
    let mut sum = 1.0 / 5_040.0;
    for coefficient in series {
        sum = f32::mul_add(sum, rest, coefficient);
    }
    power.mul_add(sum * rest, power)
}

#[inline(always)]
pub(super) fn tanh(x: f64) -> f64 {
    let m1 = exp_m1(-2.0 * x.abs());
    (-m1 / (2.0 + m1)).copysign(x)
}

/// The standard normal distribution function, and its density without the factor `1/sqrt(2 pi)`, with relative errors of a
/// few roundings as far as f32 goes down to.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    let density = exp_f32(-0.5 * x * x);
    let tail = 0.5 * density * scaled_erfc(x.abs() * std::f32::consts::FRAC_1_SQRT_2);
    (if x < 0.0 { tail } else { 1.0 - tail }, density)
}

/// `exp(z^2) erfc(z)` for `z` of 0 or more, with a relative error under 1.4e-7 beside that of its roundings.
///
/// Over `t = 3 / (3 + z)` this is a polynomial in `u = 2 t - 1`: the least-squares fit of degree 9 at 400 Chebyshev nodes to
/// scipy's `erfcx`.
#[inline(always)]
fn scaled_erfc(z: f32) -> f32 {
    let t = 3.0 / (3.0 + z);
    let u = t.mul_add(2.0, -1.0);
    let coefficients = [
        -1.154_144_8e-4,
        -9.695_62e-4,
        -4.550_263_3e-4,
        8.918_266e-3,
        3.985_857_6e-2,
        1.034_947_2e-1,
        1.967_410_7e-1,
        2.944_644_6e-1,
        3.580_023_3e-1,
    ];
    let mut sum = 6.048_609e-5;
    for coefficient in coefficients {
        sum = f32::mul_add(sum, u, coefficient);
    }
    t * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(actual: f64, expected: f64, tolerance: f64) {
        assert!(
            (actual - expected).abs() <= tolerance * expected.abs(),
            "{actual} instead of {expected}"
        );
    }

    #[test]
    fn relative_errors_are_far_below_those_of_f32() {
        for step in -40_000..=40_000 {
            let x = f64::from(step) * 0.002;
            near(exp_m1(x), x.exp_m1(), 1e-12);
            near(tanh(x), x.tanh(), 1e-12);
        }
        for x in [1e-30, -1e-12, 1e-5] {
            near(tanh(x), x.tanh(), 1e-12);
            near(exp_m1(x), x.exp_m1(), 1e-12);
        }
    }

    #[test]
    fn errors_in_f32_are_a_few_roundings() {
        for step in -43_000..=43_000 {
            let x = step as f32 * 0.002;
            near(f64::from(exp_f32(x)), f64::from(x).exp(), 2e-7);
            let (below, above) = sigmoid(x);
            near(f64::from(below), 1.0 / (1.0 + f64::from(-x).exp()), 3e-7);
            near(f64::from(above), 1.0 / (1.0 + f64::from(x).exp()), 3e-7);
        }
        for step in 0..1_200 {
            let x = step as f32 * 0.01;
            let wide = f64::from(x);
            let (above, density) = normal(x);
            let (below, _) = normal(-x);
            let expected = 0.5 * candle_core::cpu::erf::erfc_f64(wide * std::f64::consts::FRAC_1_SQRT_2);
            // The square of the argument is rounded too.
            near(f64::from(below), expected, 8e-7 + 6e-8 * wide * wide);
            near(f64::from(above), 1.0 - expected, 5e-7);
            near(
                f64::from(density),
                (-0.5 * wide * wide).exp(),
                2e-7 + 6e-8 * wide * wide,
            );
        }
        assert_eq!(normal(f32::INFINITY).0, 1.0);
        assert_eq!(normal(f32::NEG_INFINITY).0, 0.0);
        assert!(normal(f32::NAN).0.is_nan());
        assert_eq!(sigmoid(f32::INFINITY).0, 1.0);
        assert_eq!(sigmoid(f32::NEG_INFINITY).1, 1.0);
        assert!(sigmoid(f32::NEG_INFINITY).0 < 2e-38);
        assert!(sigmoid(f32::NAN).0.is_nan() && sigmoid(f32::NAN).1.is_nan());
    }

    #[test]
    fn edges() {
        assert_eq!(tanh(f64::INFINITY), 1.0);
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f64).to_bits());
        for function in [exp_m1, tanh] {
            assert!(function(f64::NAN).is_nan());
        }
    }
}
