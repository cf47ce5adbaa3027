//! What numbers lose as they become f32.

use csv::ByteRecord;

use super::row::shortened;
use crate::data::blanks::{is_blank, trimmed};
use crate::data::decimal::Decimal;
use crate::data::intake::Intake;
use crate::spec::counted_that;

/// Numbers of a column that are remembered, to be compared with those that follow.
const REMEMBERED: usize = 16;

/// f32 holds every integer up to this.
const LARGEST_WHOLE: f64 = (1u64 << f32::MANTISSA_DIGITS) as f64;

/// The largest number that a machine counts with: of 64 bits. Larger ones are measurements, written out.
const LARGEST_COUNT: f64 = u64::MAX as f64;

/// Differences up to this share of a column's range are taken for noise.
const NOISE: f64 = 1.0 / (1u64 << 20) as f64;

/// How many columns are named; the rest is counted.
const NAMED: usize = 10;

/// Watches the columns of a table for numbers that f32 cannot tell apart.
///
/// Reported are columns with an integer over 2^24 that f32 does not hold, such as a time in seconds or nanoseconds or
/// a number that tells rows apart, as it is written, to the last digit; and columns with two numbers that become one although they differ
/// by more than a millionth of the column's range, such as a small change of a large number. Few
/// numbers are remembered, so that a rare pair of the latter may be missed in a table that is not
/// ordered.
pub(in crate::data) struct PrecisionWatch {
    columns: Vec<Watched>,
}

/// One column.
#[derive(Clone)]
struct Watched {
    low: f64,
    high: f64,
    /// The first integer that is changed, as it is written, and what it becomes.
    whole: Option<[String; 2]>,
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

    /// Takes a row's numbers, each with its column, and how they are written.
    pub fn watch(&mut self, numbers: &[(usize, f64)], record: &ByteRecord) {
        for (column, number) in numbers {
            self.columns[*column].watch(*number, record.get(*column).unwrap_or_default());
        }
    }

    /// Warns of the columns that lose something, which `describe` names. What is watched of those that `are_dates` are
    /// their days.
    pub fn tell(
        &self,
        describe: impl Fn(usize) -> String,
        are_dates: impl Fn(usize) -> bool,
        intake: &Intake<'_>,
    ) {
        let mut count = 0;
        for (index, watched) in self.columns.iter().enumerate() {
            let Some(loss) = watched.loss() else {
                continue;
            };
            count += 1;
            if count <= NAMED && are_dates(index) {
                intake.warn(format!(
                    "{}: of its days {loss}, as numbers are kept with 24 bits (f32), which parts days since 1970 by about \
                     three minutes: if such differences matter, add the parts hour and minute, or give the time since a \
                     later moment as a number",
                    describe(index)
                ));
            } else if count <= NAMED {
                intake.warn(format!(
                    "{}: {loss}, as numbers are kept with 24 bits (f32): if such differences matter, subtract an \
                     offset from the column or give it in coarser units beforehand; if it only tells rows apart, \
                     name it in `ignore`",
                    describe(index)
                ));
            }
        }
        if count > NAMED {
            intake.warn(format!(
                "{} differences between their numbers, the first {NAMED} of them named above",
                counted_that(count, "column", ["loses", "lose"])
            ));
        }
    }
}

impl Watched {
    fn watch(&mut self, number: f64, written: &[u8]) {
        self.low = self.low.min(number);
        self.high = self.high.max(number);
        let kept = number as f32;
        if self.whole.is_none()
            && number.fract() == 0.0
            && (LARGEST_WHOLE..=LARGEST_COUNT).contains(&number.abs())
        {
            self.whole = changed(number, kept, written);
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
        if let Some([written, becomes]) = &self.whole {
            return Some(format!("`{written}` becomes {becomes}"));
        }
        let [left, right] = self.merged?;
        let is_noise = (left - right).abs() <= (self.high - self.low) * NOISE;
        (!is_noise).then(|| format!("`{left:?}` and `{right:?}` become equal"))
    }
}

/// An integer as it is written, and what it becomes, where these differ. Over 2^48 only what is written with all of its
/// digits counts as one: as text, since f64 does not hold all integers over 2^53.
fn changed(number: f64, kept: f32, written: &[u8]) -> Option<[String; 2]> {
    let becomes = (f64::from(kept) as i128).to_string();
    if number.abs() <= LARGEST_WHOLE * LARGEST_WHOLE {
        return (f64::from(kept) != number).then(|| [number.to_string(), becomes]);
    }
    let text = trimmed(std::str::from_utf8(written).ok()?);
    let digits: String = text
        .chars()
        .filter(|character| character.is_ascii_digit() || *character == '-')
        .collect();
    // Separators of thousands may stand between the digits; points with zeros behind them and exponents are none of
    // an integer that means each of its digits.
    let is_written_out = text.chars().all(|character| {
        character.is_ascii_digit() || is_blank(character) || "+-'_.,\u{2019}".contains(character)
    });
    let is_same = |digits: &str| Decimal::parse(digits).map(|number| number.plain());
    let (meant, kept) = (is_same(&digits)?, is_same(&becomes)?);
    (is_written_out && meant != kept && has_many_digits(&meant)).then(|| [shortened(text), becomes])
}

/// Whether a number has more digits that are not 0 at its end than f32 tells: a rounded measurement has not.
fn has_many_digits(plain: &str) -> bool {
    plain.trim_start_matches('-').trim_end_matches('0').len() > 9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(numbers: impl IntoIterator<Item = f64>) -> Option<String> {
        written(numbers.into_iter().map(|number| (number, String::new())))
    }

    fn written(numbers: impl IntoIterator<Item = (f64, String)>) -> Option<String> {
        let mut precision = PrecisionWatch::new(2);
        for (number, text) in numbers {
            precision.watch(&[(1, number)], &ByteRecord::from(vec!["", text.as_str()]));
        }
        assert_eq!(precision.columns[0].loss(), None);
        precision.columns[1].loss()
    }

    #[test]
    fn long_integers_are_told_as_they_are_written() {
        let told = |text: &str| written([(text.replace(',', "").parse().unwrap(), text.to_owned())]);
        for (text, becomes) in [
            ("9007199254740993", "9007199254740992"),
            ("1234567890123456789", "1234567939550609408"),
            ("18446744073709551615", "18446744073709551616"),
            ("-1234567890123456789", "-1234567939550609408"),
            ("1,234,567,890,123,456,789", "1234567939550609408"),
        ] {
            assert_eq!(told(text).unwrap(), format!("`{text}` becomes {becomes}"));
        }
        // Measurements written out, numbers that are kept, and exponents.
        for text in [
            "6022000000000000000",
            "9007199254740992",
            "1.23456789012e18",
            "100000000000000000",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
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
