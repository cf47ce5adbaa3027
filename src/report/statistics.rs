//! What several values come to.

use super::student;
use crate::spec::Show;

/// What several values come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many there are; at least one.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The sample standard deviation (n - 1), where there are several.
    pub std: Option<f64>,
    /// The smallest; not a number where one of them is none, as the largest and the middle one.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The middle one, or the mean of the middle two.
    pub median: f64,
}

impl Summary {
    /// What `values` come to; nothing where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len();
        let mean = mean(values);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        // What is not a number would stand at an end, and be left out without a word.
        if values.iter().any(|value| value.is_nan()) {
            sorted.fill(f64::NAN);
        }
        let median = if count % 2 == 1 {
            sorted[count / 2]
        } else {
            f64::midpoint(sorted[count / 2 - 1], sorted[count / 2])
        };
        Some(Self {
            count,
            mean,
            std: (count > 1).then(|| (squares / (count - 1) as f64).sqrt()),
            min: sorted[0],
            max: sorted[count - 1],
            median,
        })
    }

    /// Half the width of the mean's 95 % interval by Student's t, where there are several values.
    pub fn half_interval(&self) -> Option<f64> {
        let count = self.count as f64;
        let std = self.std?;
        Some(student::quantile(0.975, count - 1.0) * std / count.sqrt())
    }

    /// The figure that `show` asks for.
    pub fn figure(&self, show: Show) -> Option<f64> {
        match show {
            Show::MeanStd | Show::Mean | Show::Interval => Some(self.mean),
            Show::Std => self.std,
            Show::Min => Some(self.min),
            Show::Max => Some(self.max),
            Show::Median => Some(self.median),
            Show::Count => Some(self.count as f64),
        }
    }
}

/// The mean; `values` must not be empty. That of equal values is their value, to the last bit.
pub fn mean(values: &[f64]) -> f64 {
    if values.iter().all(|value| *value == values[0]) {
        return values[0];
    }
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{fixture, numbers};

    #[test]
    fn summaries_are_numpys() {
        let fixture = fixture();
        let samples = fixture["samples"].as_array().unwrap();
        assert!(samples.len() >= 5);
        for sample in samples {
            let summary = Summary::of(&numbers(&sample["values"])).unwrap();
            let close = |name: &str, found: f64, tolerance: f64| {
                let expected = sample[name].as_f64().unwrap();
                assert!(
                    (found - expected).abs() <= tolerance * expected.abs(),
                    "{name}: {found}, {expected} expected"
                );
            };
            close("mean", summary.mean, 1e-11);
            close("min", summary.min, 1e-11);
            close("max", summary.max, 1e-11);
            close("median", summary.median, 1e-11);
            close("std", summary.std.unwrap(), 1e-11);
            let half = summary.half_interval().unwrap();
            // Quantiles are rounded to nine digits.
            close("low", summary.mean - half, 1e-8);
            close("high", summary.mean + half, 1e-8);
        }
    }

    #[test]
    fn what_is_not_a_number_is_left_out_of_nothing() {
        for values in [
            [0.85, f64::NAN, 0.85],
            [f64::NAN, 0.3, 0.5],
            [0.3, 0.5, -f64::NAN],
        ] {
            let summary = Summary::of(&values).unwrap();
            let figures = [summary.mean, summary.min, summary.max, summary.median];
            assert!(figures.iter().all(|figure| figure.is_nan()), "{summary:?}");
            assert_eq!(summary.count, 3);
        }
    }

    #[test]
    fn one_value_has_no_deviation() {
        let summary = Summary::of(&[0.5]).unwrap();
        assert_eq!((summary.mean, summary.median, summary.std), (0.5, 0.5, None));
        assert_eq!(summary.half_interval(), None);
        assert_eq!(Summary::of(&[]), None);
    }
}
