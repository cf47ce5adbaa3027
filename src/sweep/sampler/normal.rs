//! The normal distribution.

use std::f64::consts::SQRT_2;

/// The probability that a standard normal number is below `x`, to about seven digits.
pub(super) fn below(x: f64) -> f64 {
    0.5 * complementary_error(-x / SQRT_2)
}

/// `erfc`, with a relative error under 1.2e-7 (Press et al., "Numerical Recipes", chapter 6.2).
fn complementary_error(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let exponent = COEFFICIENTS.iter().fold(0.0, |sum, next| sum * t + next);
    let tail = t * (exponent - x * x).exp();
    if x >= 0.0 { tail } else { 2.0 - tail }
}

/// The number that a standard normal one is below with probability `p`, to about nine digits
/// (Acklam, "An algorithm for computing the inverse normal cumulative distribution function").
pub(super) fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL: f64 = 0.02425;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, next| sum * x + next);
    let p = p.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON);
    if p < TAIL {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    } else if p > 1.0 - TAIL {
        let q = (-2.0 * (1.0 - p).ln()).sqrt();
        -polynomial(&C, q) / polynomial(&D, q)
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / polynomial(&B, r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `scipy.stats.norm.cdf`.
    #[test]
    fn probabilities_are_right() {
        for (x, p) in [
            (-6.0, 9.865_876_450_376_98e-10),
            (-1.5, 0.066_807_201_268_858_07),
            (0.0, 0.5),
            (0.3, 0.617_911_422_188_952_7),
            (2.5, 0.993_790_334_674_223_8),
        ] {
            assert!((below(x) / p - 1.0).abs() < 2e-7, "{x}: {}", below(x));
            assert!((quantile(p) - x).abs() < 1e-7, "{p}: {}", quantile(p));
        }
    }
}
