//! Whether two means differ by more than chance, told by resampling.

use super::statistics::mean;
use crate::random::{Purpose, Stream};

/// How often is resampled.
pub const RESAMPLES: u32 = 10_000;

/// What a comparison of two means came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The two-sided p-value of the means being equal.
    pub p: f64,
    /// Whether values of the same seeds were compared with each other.
    pub paired: bool,
    /// How many values each side has; the smaller number, where they differ.
    pub count: usize,
}

/// Compares the means of `left` and `right`, each a seed and a value. Where both have the same
/// seeds, values of one seed belong together; else the sides are resampled independently. Nothing
/// where a side has fewer than two values.
///
/// The test is the bootstrap of Efron and Tibshirani ("An Introduction to the Bootstrap", 1993,
/// sections 16.2 and 16.4): the values are shifted so that the means are equal, [`RESAMPLES`]
/// samples are drawn with replacement, and p is the share of them, the observed one included,
/// whose difference is at least as large as the observed one in size. The draws are always the
/// same, so the same values give the same p. A bootstrap of few values is optimistic: with three
/// seeds, a small p says little more than that all of them agree.
pub fn compare(left: &[(u64, f64)], right: &[(u64, f64)]) -> Option<Comparison> {
    let count = left.len().min(right.len());
    if count < 2 {
        return None;
    }
    let sorted = |side: &[(u64, f64)]| {
        let mut side = side.to_vec();
        side.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        side
    };
    let (left, right) = (sorted(left), sorted(right));
    let seeds = |side: &[(u64, f64)]| side.iter().map(|(seed, _)| *seed).collect::<Vec<_>>();
    let unique = left.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let paired = unique && seeds(&left) == seeds(&right);
    let p = if paired {
        let differences: Vec<f64> = left.iter().zip(&right).map(|(l, r)| l.1 - r.1).collect();
        p_value(&[&differences])
    } else {
        let values = |side: &[(u64, f64)]| side.iter().map(|(_, value)| *value).collect::<Vec<_>>();
        p_value(&[&values(&left), &values(&right)])
    };
    Some(Comparison { p, paired, count })
}

/// The p-value of the mean of one sample being 0, or of the means of two being equal.
fn p_value(samples: &[&[f64]]) -> f64 {
    let means: Vec<f64> = samples.iter().map(|sample| mean(sample)).collect();
    let statistic = |means: &[f64]| match means {
        [one] => one.abs(),
        [one, other, ..] => (one - other).abs(),
        [] => 0.0,
    };
    let observed = statistic(&means);
    let centred: Vec<Vec<f64>> = samples
        .iter()
        .zip(&means)
        .map(|(sample, mean)| sample.iter().map(|value| value - mean).collect())
        .collect();
    // What rounding alone tells apart counts as equal.
    let largest = samples
        .iter()
        .flat_map(|sample| sample.iter())
        .fold(0.0f64, |size, value| size.max(value.abs()));
    let threshold = observed - 1e-12 * largest;
    let mut stream = Stream::new(0, Purpose::Bootstrap, 0, 0);
    let mut as_large = 0;
    for _ in 0..RESAMPLES {
        let means: Vec<f64> = centred
            .iter()
            .map(|values| {
                let bound = u32::try_from(values.len()).unwrap_or(u32::MAX);
                let sum: f64 = (0..values.len())
                    .map(|_| values[stream.below(bound) as usize])
                    .sum();
                sum / values.len() as f64
            })
            .collect();
        as_large += u32::from(statistic(&means) >= threshold);
    }
    f64::from(as_large + 1) / f64::from(RESAMPLES + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{fixture, numbers};

    fn seeded(values: &[f64], first: u64) -> Vec<(u64, f64)> {
        (first..).zip(values.iter().copied()).collect()
    }

    /// Four standard errors of a share, and the one resample that is always counted.
    fn tolerance(p: f64) -> f64 {
        4.0 * (p * (1.0 - p) / f64::from(RESAMPLES)).sqrt() + 2.0 / f64::from(RESAMPLES)
    }

    #[test]
    fn p_values_are_those_of_another_generator() {
        let fixture = fixture();
        for case in fixture["bootstrap"].as_array().unwrap() {
            let (left, right) = (numbers(&case["left"]), numbers(&case["right"]));
            let paired = case["paired"].as_bool().unwrap();
            let right = seeded(&right, if paired { 0 } else { 100 });
            let found = compare(&seeded(&left, 0), &right).unwrap();
            let expected = case["p"].as_f64().unwrap();
            assert_eq!(found.paired, paired);
            assert!(
                (found.p - expected).abs() < tolerance(expected),
                "{}, {expected} expected",
                found.p
            );
        }
    }

    /// With four differences there are 256 equally likely resamples: p by counting all of them.
    #[test]
    fn p_is_the_share_of_all_resamples() {
        let differences = [0.02, 0.01, -0.005, 0.015];
        let mean = mean(&differences);
        let mut as_large = 0;
        for code in 0..256usize {
            let sum: f64 = (0..4)
                .map(|place| differences[code >> (2 * place) & 3] - mean)
                .sum();
            as_large += usize::from((sum / 4.0).abs() >= mean.abs() - 1e-15);
        }
        let exact = as_large as f64 / 256.0;
        let found = compare(&seeded(&differences, 0), &seeded(&[0.0; 4], 0))
            .unwrap()
            .p;
        assert!(
            (found - exact).abs() < tolerance(exact),
            "{found}, {exact} expected"
        );
    }

    #[test]
    fn the_order_of_values_and_of_sides_does_not_matter() {
        let left = seeded(&[0.5, 0.7, 0.6, 0.9], 0);
        let right = seeded(&[0.4, 0.6, 0.7, 0.5], 0);
        let mut turned = left.clone();
        turned.reverse();
        assert_eq!(compare(&left, &right), compare(&turned, &right));
        assert_eq!(compare(&left, &left).unwrap().p, 1.0);
        assert_eq!(compare(&left[..1], &right), None);
    }
}
