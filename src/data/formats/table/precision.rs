//! What numbers lose as they become f32.

use super::columns::Columns;
use crate::data::intake::Intake;

/// Numbers of a column that are remembered, to be compared with those that follow.
const REMEMBERED: usize = 16;

/// f32 holds every integer up to this.
const LARGEST_WHOLE: f64 = (1u64 << f32::MANTISSA_DIGITS) as f64;

/// Differences up to this share of a column's range are taken for noise.
const NOISE: f64 = 1.0 / (1u64 << 20) as f64;

/// How many columns are named; the rest is counted.
const NAMED: usize = 10;

/// Watches the columns of a table for numbers that f32 cannot tell apart.
///
/// Reported are columns with an integer over 2^24 that f32 does not hold, such as a time in seconds or
/// a number that tells rows apart, and columns with two numbers that become one although they differ
/// by more than a millionth of the column's range, such as a small change of a large number. Few
/// numbers are remembered, so that a rare pair of the latter may be missed in a table that is not
/// ordered.
pub(super) struct PrecisionWatch {
    columns: Vec<Watched>,
}

/// One column.
#[derive(Clone)]
struct Watched {
    low: f64,
    high: f64,
    /// The first integer that is changed.
    whole: Option<f64>,
    /// Of numbers that became one, the two that are farthest apart.
    merged: Option<[f64; 2]>,
    /// Numbers that came lately, each at a place that follows from its f32; at first none.
    recent: [f64; REMEMBERED],
}

impl PrecisionWatch {
    /// Watches a table of `columns` columns.
    pub fn new(columns: usize) -> Self {
        let none = Watched {
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            whole: None,
            merged: None,
            recent: [f64::NAN; REMEMBERED],
        };
        Self {
            columns: vec![none; columns],
        }
    }

    /// Takes a row's numbers, each with its column.
    pub fn watch(&mut self, numbers: &[(usize, f64)]) {
        for (column, number) in numbers {
            self.columns[*column].watch(*number);
        }
    }

    /// Warns of the columns that lose something.
    pub fn tell(&self, columns: &Columns<'_>, intake: &Intake<'_>) {
        let mut count = 0;
        for (index, watched) in self.columns.iter().enumerate() {
            let Some(loss) = watched.loss() else {
                continue;
            };
            count += 1;
            if count <= NAMED {
                intake.warn(format!(
                    "{}: {loss}, as numbers are kept with 24 bits (f32): if such differences matter, subtract an \
                     offset from the column or give it in coarser units beforehand; if it only tells rows apart, \
                     name it in `ignore`",
                    columns.header.describe(index)
                ));
            }
        }
        if count > NAMED {
            intake.warn(format!(
                "{count} columns lose differences between their numbers, the first {NAMED} of them named above"
            ));
        }
    }
}

impl Watched {
    fn watch(&mut self, number: f64) {
        self.low = self.low.min(number);
        self.high = self.high.max(number);
        let kept = number as f32;
        // Larger integers than f64 holds are measurements, written out.
        if number.fract() == 0.0
            && (LARGEST_WHOLE..=LARGEST_WHOLE * LARGEST_WHOLE).contains(&number.abs())
            && f64::from(kept) != number
        {
            self.whole.get_or_insert(number);
        }
        let place = kept.to_bits().wrapping_mul(0x9e37_79b1) as usize >> 16;
        let other = &mut self.recent[place % REMEMBERED];
        if *other as f32 == kept && *other != number {
            let known = self.merged.map_or(0.0, |[left, right]| (left - right).abs());
            if (*other - number).abs() > known {
                self.merged = Some([*other, number]);
            }
        } else {
            *other = number;
        }
    }

    /// What is lost, in words.
    fn loss(&self) -> Option<String> {
        if let Some(number) = self.whole {
            return Some(format!("`{number}` becomes {}", f64::from(number as f32)));
        }
        let [left, right] = self.merged?;
        let is_noise = (left - right).abs() <= (self.high - self.low) * NOISE;
        (!is_noise).then(|| format!("`{left:?}` and `{right:?}` become equal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(numbers: impl IntoIterator<Item = f64>) -> Option<String> {
        let mut precision = PrecisionWatch::new(2);
        for number in numbers {
            precision.watch(&[(1, number)]);
        }
        assert_eq!(precision.columns[0].loss(), None);
        precision.columns[1].loss()
    }

    #[test]
    fn integers_that_f32_does_not_hold_are_told() {
        assert_eq!(loss((0..1000).map(f64::from)), None);
        assert_eq!(loss([16_777_216.0, -16_777_216.0, 16_777_218.0, 2.4e9]), None);
        assert_eq!(
            loss([5.0, 16_777_217.0, 16_777_219.0]).unwrap(),
            "`16777217` becomes 16777216"
        );
        assert_eq!(
            loss([-1_700_000_001.0]).unwrap(),
            "`-1700000001` becomes -1700000000"
        );
        // No integers that mean each of their digits.
        assert_eq!(loss([1e20, 3e20, 6.022e23]), None);
    }

    #[test]
    fn numbers_that_become_one_are_told_unless_they_are_noise() {
        let days = (0..100).map(|hour| 2_459_000.5 + f64::from(hour) / 24.0);
        let told = loss(days).unwrap();
        assert!(
            told.starts_with("`24590") && told.ends_with(" become equal"),
            "{told}"
        );
        assert_eq!(loss([1e-46, 2e-46]).unwrap(), "`1e-46` and `2e-46` become equal");
        // Decimals that f32 tells apart, and digits that no measurement has.
        assert_eq!(loss((0..5000).map(|tenth| f64::from(tenth % 977) / 10.0)), None);
        let fractions = (0..20_000).map(|index| (f64::from(index) * 0.618_033_988_749_895).fract());
        assert_eq!(loss(fractions.flat_map(|number| [number, number + 1e-12])), None);
    }
}
