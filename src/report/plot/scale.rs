//! From values to places along an axis, and the round numbers that stand beside it.

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AxisScale {
    /// Evenly.
    Linear {
        /// The value at its beginning.
        low: f64,
        /// The value at its end.
        high: f64,
    },
    /// Evenly in the logarithm; both ends are over 0.
    Log {
        /// The value at its beginning.
        low: f64,
        /// The value at its end.
        high: f64,
    },
}

/// A number beside an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Its value.
    pub value: f64,
    /// Its text.
    pub label: String,
}

/// The share of its length by which an axis goes beyond its values.
const PADDING: f64 = 0.04;

impl AxisScale {
    /// A linear scale with all of `values` inside; what is no number is passed over.
    pub fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = match ends(values, f64::NEG_INFINITY) {
            None => (0.0, 1.0),
            Some((low, high)) if high - low > 1e-12 * low.abs().max(high.abs()) => (low, high),
            // One value, or values that are all the same.
            Some((0.0, _)) => (-0.5, 0.5),
            Some((value, _)) => (value - value.abs() * 0.1, value + value.abs() * 0.1),
        };
        let padding = (high - low) * PADDING;
        Self::Linear {
            low: low - padding,
            high: high + padding,
        }
    }

    /// A logarithmic scale with all of `values` that are over 0 inside.
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = match ends(values, 0.0) {
            None => (1.0, 10.0),
            Some((low, high)) if high / low > 1.0 + 1e-9 => (low, high),
            Some((value, _)) => (value / 2.0, value * 2.0),
        };
        let padding = ((high.ln() - low.ln()) * PADDING).exp();
        Self::Log {
            low: (low / padding).max(f64::MIN_POSITIVE),
            high: (high * padding).min(f64::MAX),
        }
    }

    /// Logarithmic where all values are over 0 and the largest is at least `ratio` times the
    /// smallest, else linear.
    pub fn fitting(values: &[f64], ratio: f64) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        match ends(finite(), f64::NEG_INFINITY) {
            Some((low, high)) if low > 0.0 && high / low >= ratio => Self::log(finite()),
            _ => Self::linear(finite()),
        }
    }

    /// The same, with 0 as its beginning.
    pub fn and_zero(self) -> Self {
        match self {
            Self::Linear { high, .. } => Self::Linear {
                low: 0.0,
                high: if high > 0.0 { high } else { 1.0 },
            },
            log @ Self::Log { .. } => log,
        }
    }

    /// Where `value` lies: 0 at the beginning, 1 at the end; no number where it has no place.
    pub fn place(&self, value: f64) -> f64 {
        match *self {
            Self::Linear { low, high } => (value - low) / (high - low),
            Self::Log { .. } if value <= 0.0 => f64::NAN,
            Self::Log { low, high } => (value.ln() - low.ln()) / (high.ln() - low.ln()),
        }
    }

    /// At most about `most` round numbers, in ascending order.
    pub fn ticks(&self, most: usize) -> Vec<Tick> {
        let most = most.max(2);
        match *self {
            Self::Linear { low, high } => linear_ticks(low, high, most, 0.0),
            Self::Log { low, high } => log_ticks(low, high, most),
        }
    }

    /// As [`AxisScale::ticks`], whole numbers only.
    pub fn whole_ticks(&self, most: usize) -> Vec<Tick> {
        match *self {
            Self::Linear { low, high } => linear_ticks(low, high, most.max(2), 1.0),
            Self::Log { .. } => self.ticks(most),
        }
    }
}

fn ends(values: impl IntoIterator<Item = f64>, over: f64) -> Option<(f64, f64)> {
    let known = values
        .into_iter()
        .filter(|value| value.is_finite() && *value > over);
    known.fold(None, |ends, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, most: usize, least_step: f64) -> Vec<Tick> {
    let rough = (high - low) / most as f64;
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| power * factor >= rough * 0.999);
    let step = (power * factor.unwrap_or(10.0)).max(least_step);
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first) as i64 + 1;
    (0..count.clamp(0, 1000))
        .map(|index| {
            let value = (first + index as f64) * step;
            Tick {
                value,
                label: label(value, step),
            }
        })
        .collect()
}

/// Powers of ten, with 2 and 5 times them where there is room; linear ticks where the scale covers
/// less than that.
fn log_ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |value: f64| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(&value);
    for factors in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]] {
        let values: Vec<f64> = (first..=last)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
            .filter(|value| inside(*value))
            .collect();
        if (2..=most).contains(&values.len()) {
            return values.into_iter().map(power_tick).collect();
        }
    }
    let step = (last - first) / most as i32 + 1;
    let powers: Vec<Tick> = (first.div_euclid(step) * step..=last)
        .step_by(step as usize)
        .map(|power| 10f64.powi(power))
        .filter(|value| inside(*value))
        .map(power_tick)
        .collect();
    if powers.len() >= 2 {
        return powers;
    }
    linear_ticks(low, high, most, 0.0)
        .into_iter()
        .filter(|tick| tick.value > 0.0)
        .collect()
}

fn power_tick(value: f64) -> Tick {
    Tick {
        value,
        label: label(value, value),
    }
}

/// `value`, a multiple of `step`, with as many decimals as that needs.
fn label(value: f64, step: f64) -> String {
    let size = value.abs().max(step.abs());
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        // Enough digits to tell neighbours apart.
        let digits = (size.log10().floor() - (step.abs() * 1.000_001).log10().floor()).max(0.0) as usize;
        let text = format!("{value:.digits$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = if mantissa.contains('.') {
            mantissa.trim_end_matches('0').trim_end_matches('.')
        } else {
            mantissa
        };
        return format!("{mantissa}e{exponent}").replace('-', "\u{2212}");
    }
    let decimals = (-(step * 1.000_001).log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}").replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: AxisScale, most: usize) -> String {
        let ticks = scale.ticks(most);
        ticks
            .iter()
            .map(|tick| tick.label.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(labels(AxisScale::linear([0.0, 1.0]), 6), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(AxisScale::linear([1.0, 100.0]), 6), "0 20 40 60 80 100");
        assert_eq!(labels(AxisScale::linear([-3.0, 3.0]), 4), "−2 0 2");
        assert_eq!(
            labels(AxisScale::linear([0.912, 0.9134]), 4),
            "0.9120 0.9125 0.9130"
        );
        assert_eq!(labels(AxisScale::linear([0.0, 3e7]), 4), "0 1e7 2e7 3e7");
        assert_eq!(
            labels(AxisScale::linear([0.0, 2e-5]), 5),
            "0 5e−6 1e−5 1.5e−5 2e−5"
        );
        assert_eq!(labels(AxisScale::log([1e-4, 1.0]), 6), "1e−4 0.001 0.01 0.1 1");
        assert_eq!(labels(AxisScale::log([0.01, 0.3]), 6), "0.01 0.02 0.05 0.1 0.2");
        assert_eq!(
            labels(AxisScale::log([0.2, 0.3]), 6),
            "0.20 0.22 0.24 0.26 0.28 0.30"
        );
        assert_eq!(labels(AxisScale::log([1e-12, 1e12]), 5), "1e−12 1e−6 1 1e6 1e12");
        let whole = AxisScale::linear([1.0, 3.0]).whole_ticks(9);
        assert_eq!(
            whole.iter().map(|tick| tick.label.as_str()).collect::<String>(),
            "123"
        );
    }

    #[test]
    fn odd_values_have_a_scale_too() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![5.0],
            vec![0.0, 0.0],
            vec![-2.0, f64::INFINITY],
            vec![1e-300, 1e300],
            vec![1e15, 1e15 + 1.0],
        ] {
            for scale in [AxisScale::linear(values.clone()), AxisScale::log(values.clone())] {
                let ticks = scale.ticks(5);
                assert!((1..=8).contains(&ticks.len()), "{values:?}: {ticks:?}");
                for tick in &ticks {
                    let place = scale.place(tick.value);
                    assert!(
                        (-1e-6..=1.0 + 1e-6).contains(&place),
                        "{values:?}: {tick:?} at {place}"
                    );
                }
                let labels: std::collections::BTreeSet<&str> =
                    ticks.iter().map(|tick| tick.label.as_str()).collect();
                assert_eq!(labels.len(), ticks.len(), "{values:?}: {ticks:?}");
            }
        }
        assert!(AxisScale::log([1.0, 2.0]).place(-1.0).is_nan());
    }

    #[test]
    fn places_go_from_end_to_end() {
        let linear = AxisScale::Linear { low: 2.0, high: 4.0 };
        assert_eq!([2.0, 3.0, 4.0].map(|value| linear.place(value)), [0.0, 0.5, 1.0]);
        let log = AxisScale::Log { low: 0.01, high: 1.0 };
        assert!((log.place(0.1) - 0.5).abs() < 1e-12);
        assert!(matches!(
            AxisScale::fitting(&[0.001, 0.5], 50.0),
            AxisScale::Log { .. }
        ));
        assert!(matches!(
            AxisScale::fitting(&[-0.001, 0.5], 50.0),
            AxisScale::Linear { .. }
        ));
    }
}
