//! From the values of a tensor to the range that its bytes reach over.

use rayon::prelude::*;

use crate::spec::RangeRule;

/// Parts that the range of a tensor is counted in.
const BINS: usize = 8192;
/// Values that a thread goes through at once.
const PART: usize = 1 << 18;
/// Steps on one side of 0, in which values are compared with what bytes make of them.
const LEVELS: usize = 128;

/// The values of a tensor that have been seen: first their limits, then how many lie where.
#[derive(Clone, Debug)]
pub(super) struct SeenValues {
    low: f32,
    high: f32,
    counts: Vec<u64>,
}

impl SeenValues {
    /// None yet.
    pub fn new() -> Self {
        Self {
            low: f32::INFINITY,
            high: f32::NEG_INFINITY,
            counts: Vec::new(),
        }
    }

    /// Takes note of the limits of `values`; false where one is not finite.
    pub fn limit(&mut self, values: &[f32]) -> bool {
        let limits = values.par_chunks(PART).map(|values| {
            let mut limits = (f32::INFINITY, f32::NEG_INFINITY, true);
            for &value in values {
                limits.0 = limits.0.min(value);
                limits.1 = limits.1.max(value);
                limits.2 &= value.is_finite();
            }
            limits
        });
        let limits = limits.reduce(
            || (f32::INFINITY, f32::NEG_INFINITY, true),
            |one, other| (one.0.min(other.0), one.1.max(other.1), one.2 && other.2),
        );
        self.low = self.low.min(limits.0);
        self.high = self.high.max(limits.1);
        limits.2
    }

    /// Counts `values`, which lie within the limits.
    pub fn count(&mut self, values: &[f32]) {
        let (low, parts_of_one) = (f64::from(self.low), 1.0 / self.width());
        let counted = values.par_chunks(PART).map(|values| {
            let mut counts = vec![0; BINS];
            for &value in values {
                let place = ((f64::from(value) - low) * parts_of_one) as usize;
                counts[place.min(BINS - 1)] += 1;
            }
            counts
        });
        let counted = counted.reduce(
            || vec![0; BINS],
            |mut counts, more| {
                counts
                    .iter_mut()
                    .zip(more)
                    .for_each(|(count, more)| *count += more);
                counts
            },
        );
        self.counts.resize(BINS, 0);
        self.counts
            .iter_mut()
            .zip(counted)
            .for_each(|(count, more)| *count += more);
    }

    /// The width of a part.
    fn width(&self) -> f64 {
        ((f64::from(self.high) - f64::from(self.low)) / BINS as f64).max(f64::MIN_POSITIVE)
    }

    /// Where the part `place` begins.
    fn edge(&self, place: usize) -> f64 {
        f64::from(self.low) + place as f64 * self.width()
    }

    /// The range by `rule`.
    pub fn range(&self, rule: &RangeRule) -> (f32, f32) {
        match rule {
            RangeRule::MinMax => (self.low, self.high),
            RangeRule::Percentile(percentile) => self.percentiles(percentile.get()),
            RangeRule::Entropy => self.least_divergence(),
        }
    }

    /// What all but so many percent of the values lie under, and over: to a part's edge, and never beyond the limits.
    fn percentiles(&self, percentile: f64) -> (f32, f32) {
        let total: u64 = self.counts.iter().sum();
        let outside = total as f64 * (1.0 - percentile / 100.0);
        let beyond = |counts: &mut dyn Iterator<Item = &u64>| {
            let mut seen = 0.0;
            counts
                .take_while(|count| {
                    seen += **count as f64;
                    seen <= outside
                })
                .count()
        };
        let below = beyond(&mut self.counts.iter());
        let above = beyond(&mut self.counts.iter().rev());
        let low = if below == 0 {
            self.low
        } else {
            self.edge(below) as f32
        };
        let high = if above == 0 {
            self.high
        } else {
            self.edge(BINS - above) as f32
        };
        (low.min(high), high)
    }

    /// The range on both sides of 0 whose bytes are distributed most like the values (Migacz, "8-bit inference with
    /// TensorRT", 2017): of all that reach from 0 to a part's edge, the one with the least Kullback-Leibler divergence
    /// of the bytes' distribution from that of the values, those beyond counted at the edge.
    fn least_divergence(&self) -> (f32, f32) {
        let largest = f64::from(self.high.abs().max(self.low.abs()));
        if largest <= 0.0 {
            return (0.0, 0.0);
        }
        // Distances from 0, in as many parts.
        let width = largest / (BINS / 4) as f64;
        let mut distances = vec![0.0f64; BINS / 4];
        for (place, &count) in self.counts.iter().enumerate() {
            let middle = (self.edge(place) + self.edge(place + 1)) / 2.0;
            let distance = (middle.abs() / width) as usize;
            distances[distance.min(BINS / 4 - 1)] += count as f64;
        }
        // 0 is a byte's value whatever the range, so how often it occurs says nothing.
        distances[0] = distances[1];
        let levels = if self.low >= 0.0 { 2 * LEVELS } else { LEVELS };
        let mut best = (f64::INFINITY, distances.len());
        for kept in (levels..=distances.len()).step_by(levels / 16) {
            let divergence = divergence(&distances, kept, levels);
            if divergence < best.0 {
                best = (divergence, kept);
            }
        }
        let threshold = (best.1 as f64 * width) as f32;
        (self.low.max(-threshold), self.high.min(threshold))
    }
}

/// The Kullback-Leibler divergence of the first `kept` parts in `levels` levels from the parts themselves, what lies
/// beyond counted in the last one.
fn divergence(parts: &[f64], kept: usize, levels: usize) -> f64 {
    let mut wanted = parts[..kept].to_vec();
    let beyond: f64 = parts[kept..].iter().sum();
    // A level's values are spread evenly over those of its parts that have any.
    let mut given = vec![0.0; kept];
    for level in 0..levels {
        let range = level * kept / levels..(level + 1) * kept / levels;
        let sum: f64 = parts[range.clone()].iter().sum();
        let filled = parts[range.clone()].iter().filter(|count| **count > 0.0).count();
        for place in range {
            if parts[place] > 0.0 {
                given[place] = sum / filled as f64;
            }
        }
    }
    wanted[kept - 1] += beyond;
    let (total_wanted, total_given): (f64, f64) = (wanted.iter().sum(), given.iter().sum());
    if total_given <= 0.0 {
        return f64::INFINITY;
    }
    // What has no level at all counts as a little, as in other programs.
    const LITTLE: f64 = 1e-10;
    wanted
        .iter()
        .zip(&given)
        .filter(|(wanted, _)| **wanted > 0.0)
        .map(|(wanted, given)| {
            let (wanted, given) = (wanted / total_wanted, (given / total_given).max(LITTLE));
            wanted * (wanted / given).ln()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[f32]) -> SeenValues {
        let mut seen = SeenValues::new();
        assert!(seen.limit(values));
        seen.count(values);
        seen
    }

    fn percentile(percent: f64) -> RangeRule {
        serde_json::from_value(serde_json::json!({"percentile": percent})).expect("a rule")
    }

    /// Values that are distributed much like a normal distribution: sums of twelve uniform ones.
    fn normal(count: u32) -> Vec<f32> {
        let uniform = |seed: u32| {
            let mixed = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed >> 40) as f32 / (1 << 24) as f32
        };
        let sum = |index: u32| (0..12).map(|part| uniform(index * 12 + part)).sum::<f32>() - 6.0;
        (0..count).map(sum).collect()
    }

    #[test]
    fn ranges_of_known_values() {
        let values: Vec<f32> = (0..=10_000).map(|value| value as f32 / 100.0 - 20.0).collect();
        let seen = seen(&values);
        assert_eq!(seen.range(&RangeRule::MinMax), (-20.0, 80.0));
        // A percent at either end, to a part's edge.
        let (low, high) = seen.range(&percentile(99.0));
        assert!(
            (low + 19.0).abs() < 0.05 && (high - 79.0).abs() < 0.05,
            "{low} {high}"
        );
        assert_eq!(seen.range(&percentile(100.0)), (-20.0, 80.0));
    }

    #[test]
    fn a_value_far_out_is_left_out_by_all_but_the_limits() {
        let mut values = normal(200_000);
        values.push(60.0);
        let seen = seen(&values);
        assert_eq!(seen.range(&RangeRule::MinMax).1, 60.0);
        assert!(seen.range(&percentile(99.99)).1 < 6.5);
        let (low, high) = seen.range(&RangeRule::Entropy);
        assert!((2.0..10.0).contains(&high), "{high}");
        assert!((-10.0..-1.0).contains(&low), "{low}");
    }

    #[test]
    fn zeros_say_nothing_about_the_range() {
        // As behind a ReLU.
        let cut: Vec<f32> = normal(100_000).into_iter().map(|value| value.max(0.0)).collect();
        let alone: Vec<f32> = cut.iter().copied().filter(|value| *value > 0.0).collect();
        let high = |values: &[f32]| seen(values).range(&RangeRule::Entropy).1;
        assert!(high(&cut) > 2.5, "{}", high(&cut));
        assert!(
            (high(&cut) - high(&alone)).abs() < 0.3,
            "{} {}",
            high(&cut),
            high(&alone)
        );
    }

    #[test]
    fn values_of_0_alone_and_values_that_are_none() {
        let zeros = seen(&[0.0; 10]);
        for rule in [RangeRule::MinMax, RangeRule::Entropy, percentile(99.9)] {
            assert_eq!(zeros.range(&rule), (0.0, 0.0), "{rule:?}");
        }
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!SeenValues::new().limit(&[1.0, odd, 2.0]));
        }
    }
}
