//! Quantiles of Student's t, for intervals of means.

/// The quantile `probability` (over one half) of Student's t with `freedom` degrees of freedom.
///
/// Bisects the distribution, which is written with the regularised incomplete beta function
/// (Abramowitz and Stegun, 26.7.1), and rounds to nine digits: further ones would depend on the
/// system's logarithm, and the bytes of a table must not. Checked against SciPy.
pub fn quantile(probability: f64, freedom: f64) -> f64 {
    let tail = 2.0 * (1.0 - probability);
    let beyond = |t: f64| incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5);
    let (mut low, mut high) = (0.0, 1.0);
    while beyond(high) > tail && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if beyond(middle) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    let value = f64::midpoint(low, high);
    format!("{value:.8e}").parse().unwrap_or(value)
}

/// The regularised incomplete beta function, by its continued fraction (Abramowitz and Stegun,
/// 26.5.8) on the side where that converges fast.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

/// The continued fraction by Lentz's method.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for step in 1..=500 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for numerator in [even, odd] {
            d = 1.0 / away(1.0 + numerator * d);
            c = away(1.0 + numerator / c);
            change = c * d;
            result *= change;
        }
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    result
}

/// The logarithm of the gamma function for positive arguments: Stirling's series from 15 on, and
/// its recurrence below.
fn ln_gamma(x: f64) -> f64 {
    if x < 15.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::fixture;

    #[test]
    fn quantiles_are_scipys() {
        let fixture = fixture();
        let quantiles = fixture["t_quantiles"].as_array().unwrap();
        assert!(quantiles.len() > 10);
        for quantile_of in quantiles {
            let [probability, freedom, expected] =
                [0, 1, 2].map(|index| quantile_of[index].as_f64().unwrap());
            let found = quantile(probability, freedom);
            assert!(
                (found / expected - 1.0).abs() < 6e-9,
                "t({probability}, {freedom}) = {found}, {expected} expected"
            );
        }
    }
}
