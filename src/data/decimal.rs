//! Numbers as they are written, compared exactly.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};

/// Exponents past this are no way to write a class.
const LARGEST_EXPONENT: i32 = 400;

/// A decimal number of any length: `1`, `+1.50`, `-.5`, `1e3`.
#[derive(Clone, Debug)]
pub(super) struct Decimal {
    is_negative: bool,
    /// The digits, the first and the last of them not 0; none for 0.
    digits: Vec<u8>,
    /// How many of the digits stand before the point; negative where zeros follow it.
    point: i32,
    begins_with_zeros: bool,
}

impl Decimal {
    /// The number that `text` writes; nothing where it writes none.
    pub fn parse(text: &str) -> Option<Self> {
        let (is_negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty())
            || !are_digits(whole)
            || !are_digits(fraction)
            || exponent.abs() > LARGEST_EXPONENT
        {
            return None;
        }
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let point = i32::try_from(whole.len()).ok()? - i32::try_from(zeros).ok()? + exponent;
        let is_zero = digits.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            point: if is_zero { 0 } else { point },
            digits,
            begins_with_zeros: whole.len() > 1 && whole.starts_with('0'),
        })
    }

    /// The number with all of its digits and without an exponent: `100`, `-0.25`.
    pub fn plain(&self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        let digits = String::from_utf8_lossy(&self.digits);
        let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
        let length = i32::try_from(self.digits.len()).unwrap_or(i32::MAX);
        match self.point {
            _ if self.digits.is_empty() => "0".to_owned(),
            point if point <= 0 => format!("{sign}0.{}{digits}", zeros(-point)),
            point if point >= length => format!("{sign}{digits}{}", zeros(point - length)),
            point => {
                let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
                format!("{sign}{whole}.{fraction}")
            }
        }
    }

    /// Whether it is written with zeros in front, as codes are.
    pub fn begins_with_zeros(&self) -> bool {
        self.begins_with_zeros
    }
}

/// By number, however it is written.
impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |number: &Self| (!number.digits.is_empty()).then_some(number.point);
        let unsigned = |left: &Self, right: &Self| {
            size(left)
                .cmp(&size(right))
                .then_with(|| left.digits.cmp(&right.digits))
        };
        match (self.is_negative, other.is_negative) {
            (false, false) => unsigned(self, other),
            (true, true) => unsigned(other, self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl Display for Decimal {
    /// The same text for the same number, however it was written.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let digits = String::from_utf8_lossy(&self.digits);
        write!(f, "{sign}0.{digits}e{}", self.point)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_told_from_texts() {
        for text in ["1", "-1", "+1", "1.", ".5", "1.50", "1e3", "1E-3", "007"] {
            assert!(Decimal::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "e3",
            "1e",
            "1_000",
            "0x10",
            "nan",
            "inf",
            "1,5",
            " 1",
            "1e999999999",
            "+-1",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
        let text = |text: &str| Decimal::parse(text).unwrap().to_string();
        assert_eq!(text("100"), text("1e2"));
        assert_eq!(text("0.0"), text("-0"));
        assert_ne!(text("1"), text("-1"));
        for (written, plain) in [
            ("1e2", "100"),
            ("-0.250", "-0.25"),
            ("1.0", "1"),
            ("+12.5e1", "125"),
            ("1e-3", "0.001"),
            ("-0", "0"),
            ("0012.30", "12.3"),
            ("18446744073709551617", "18446744073709551617"),
        ] {
            assert_eq!(Decimal::parse(written).unwrap().plain(), plain, "{written}");
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_numbers(left in -1e6f64..1e6, right in -1e6f64..1e6) {
            let number = |value: f64| Decimal::parse(&format!("{value:?}")).unwrap();
            prop_assert_eq!(number(left).cmp(&number(right)), left.total_cmp(&right));
            let scientific = Decimal::parse(&format!("{left:e}")).unwrap();
            prop_assert_eq!(scientific.cmp(&number(left)), Ordering::Equal);
        }

        #[test]
        fn any_text_is_a_number_or_none(text in "\\PC*") {
            let _ = Decimal::parse(&text);
        }
    }
}
