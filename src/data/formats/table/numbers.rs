//! Numbers as tables spell them.

use super::row::shortened;
use crate::data::labels::is_nothing;

/// How numbers are written.
#[derive(Clone, Copy, Debug)]
pub(in crate::data) struct NumberSpelling {
    /// What stands before the decimals.
    pub decimal: char,
    /// What stands between thousands.
    pub thousands: Option<char>,
}

impl NumberSpelling {
    /// As programs write numbers.
    pub const PLAIN: Self = Self {
        decimal: '.',
        thousands: None,
    };

    /// A number that f32 can hold, to its precision. `true` and `false` are 1 and 0.
    pub fn read(&self, text: &str) -> Result<f64, String> {
        let value = match text.to_ascii_lowercase().as_str() {
            "true" => Some(1.0),
            "false" => Some(0.0),
            _ => self.number(text),
        };
        match value {
            Some(value) if (value as f32).is_finite() => Ok(value),
            _ => Err(format!("`{}` is not a finite number", shortened(text))),
        }
    }

    /// A finite number, to the precision of f64.
    pub fn number(&self, text: &str) -> Option<f64> {
        let value = self.plain(text)?.parse::<f64>().ok()?;
        value.is_finite().then_some(value)
    }

    /// Whether a character stands between thousands.
    fn separates(&self, character: char) -> bool {
        is_unbroken(character) || self.thousands == Some(character)
    }

    /// Digits in groups of three without what separates the groups, which is the same between all of them.
    fn joined(&self, whole: &str) -> Option<String> {
        let unsigned = whole.strip_prefix(['+', '-']).unwrap_or(whole);
        let separator = unsigned.chars().find(|character| self.separates(*character))?;
        let groups: Vec<&str> = unsigned.split(separator).collect();
        let are_right = groups.iter().enumerate().all(|(place, group)| {
            let length = if place == 0 { 1..=3 } else { 3..=3 };
            length.contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_digit())
        });
        are_right.then(|| whole.replace(separator, ""))
    }

    /// The text with a point and without separators of thousands; nothing where they stand wrong. Blanks where no line is
    /// broken stand between thousands and nothing else, so they are taken for such whatever is said of them.
    fn plain(&self, text: &str) -> Option<String> {
        if self.decimal == '.' && self.thousands.is_none() && text.is_ascii() {
            return Some(text.to_owned());
        }
        let (whole, rest) = match text.find(self.decimal) {
            Some(at) => (&text[..at], Some(&text[at + self.decimal.len_utf8()..])),
            None => (text, None),
        };
        let whole = match whole.contains(|character| self.separates(character)) {
            true => self.joined(whole)?,
            false => whole.to_owned(),
        };
        // A point that separates no decimals would be taken for one that does.
        if self.decimal != '.' && (whole.contains('.') || rest.is_some_and(|rest| rest.contains('.'))) {
            return None;
        }
        Some(match rest {
            Some(rest) => format!("{whole}.{rest}"),
            None => whole,
        })
    }
}

/// Whether a character is a blank that no line is broken at, as programs write between thousands: as wide as a letter,
/// narrow, as a digit, or thin.
fn is_unbroken(character: char) -> bool {
    matches!(character, '\u{a0}' | '\u{202f}' | '\u{2007}' | '\u{2009}')
}

/// A yes or no as 1 or 0.
pub(super) fn boolean(text: &str) -> Result<f64, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" | "1.0" => Ok(1.0),
        "false" | "f" | "no" | "n" | "off" | "0" | "0.0" => Ok(0.0),
        _ => Err(format!(
            "`{}` is neither yes nor no: true and false, yes and no, y and n, t and f, on and off, 1 and 0 are read",
            shortened(text)
        )),
    }
}

/// What a text that is no number probably is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OddCell {
    /// A spelling of nothing.
    Nothing,
    /// A yes or no.
    Boolean,
    /// A number with a decimal comma, and what stands between its thousands where anything does that has to be told.
    DecimalComma(Option<char>),
    /// A number with commas, or whatever stands here, between thousands.
    Thousands(char),
    /// A number with a decimal point, where commas are to stand before decimals.
    DecimalPoint,
    /// A date: as in ISO 8601, or in the given form.
    Date(Option<&'static str>),
    /// A number past what f32 can hold.
    Infinite,
    /// Anything else.
    Text,
}

impl OddCell {
    /// What `text` probably is, which is no number that is spelt as `wanted`.
    pub fn of(text: &str, wanted: NumberSpelling) -> Self {
        if is_nothing(text) {
            return Self::Nothing;
        }
        let reads = |decimal, thousands| NumberSpelling { decimal, thousands }.read(text).is_ok();
        if wanted.decimal == ',' {
            let others = ['.', ' ', '\'', '\u{2019}', '_'];
            if let Some(thousands) = others.into_iter().find(|other| reads(',', Some(*other))) {
                return Self::Thousands(thousands);
            }
            if reads('.', None) || reads('.', Some(',')) {
                return Self::DecimalPoint;
            }
        }
        if text.parse::<f64>().is_ok() {
            return Self::Infinite;
        }
        if ["yes", "no", "y", "n", "t", "f", "on", "off"].contains(&text.to_ascii_lowercase().as_str()) {
            return Self::Boolean;
        }
        for thousands in [',', ' ', '\'', '\u{2019}', '_'] {
            if text.contains(thousands) && reads('.', Some(thousands)) && !reads(',', None) {
                return Self::Thousands(thousands);
            }
        }
        if reads(',', None) {
            return Self::DecimalComma(None);
        }
        for thousands in ['.', ' ', '\'', '\u{2019}'] {
            if reads(',', Some(thousands)) {
                return Self::DecimalComma(Some(thousands));
            }
        }
        if super::dates::read_date(text, None).is_ok() {
            return Self::Date(None);
        }
        for format in [
            "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y%m%d", "%d.%m.%y", "%d/%m/%y",
            "%m/%d/%y", "%d-%m-%y",
        ] {
            if super::dates::read_date(text, Some(format)).is_ok() {
                return Self::Date(Some(format));
            }
        }
        Self::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let read = |text: &str, decimal, thousands| NumberSpelling { decimal, thousands }.read(text).ok();
        for (text, expected) in [
            ("1,5", Some(1.5)),
            ("-0,25", Some(-0.25)),
            ("1.234,5", Some(1234.5)),
            ("12.345.678", Some(12_345_678.0)),
            ("7", Some(7.0)),
            ("1,5e3", Some(1500.0)),
            ("1.5", None),
            ("1,2,3", None),
            ("12.34,5", None),
            ("x", None),
            ("true", Some(1.0)),
        ] {
            assert_eq!(read(text, ',', Some('.')), expected, "{text}");
        }
        assert_eq!(read("1.5", ',', None), None);
        assert_eq!(read("1,234.5", '.', Some(',')), Some(1234.5));
        assert_eq!(read("1,23.5", '.', Some(',')), None);
        assert_eq!(read("FALSE", '.', None), Some(0.0));
        // Blanks that no line is broken at stand between thousands alone.
        for blank in ['\u{a0}', '\u{202f}', '\u{2009}', '\u{2007}'] {
            assert_eq!(
                read(&format!("-1{blank}234{blank}567.5"), '.', None),
                Some(-1_234_567.5)
            );
            assert_eq!(read(&format!("1{blank}234,5"), ',', None), Some(1234.5));
            assert_eq!(read(&format!("1{blank}234,5"), ',', Some(' ')), Some(1234.5));
            assert_eq!(read(&format!("12{blank}34"), '.', None), None);
            assert_eq!(read(&format!("1{blank}234 567"), '.', Some(' ')), None);
        }
        assert_eq!(read("1 234,5", ',', Some(' ')), Some(1234.5));
        assert_eq!(read("1 234", '.', None), None);
        for text in ["inf", "nan", "1e39", ""] {
            assert_eq!(read(text, '.', None), None, "{text}");
        }
    }

    #[test]
    fn odd_cells_are_told_apart() {
        for (text, expected) in [
            ("NA", OddCell::Nothing),
            ("", OddCell::Nothing),
            ("?", OddCell::Nothing),
            ("yes", OddCell::Boolean),
            ("1,5", OddCell::DecimalComma(None)),
            ("1.234,50", OddCell::DecimalComma(Some('.'))),
            ("1 234,50", OddCell::DecimalComma(Some(' '))),
            ("1\u{202f}234,50", OddCell::DecimalComma(None)),
            ("1\u{2019}234.5", OddCell::Thousands('\u{2019}')),
            ("1,234.5", OddCell::Thousands(',')),
            ("1 234", OddCell::Thousands(' ')),
            ("2026-01-31", OddCell::Date(None)),
            ("2026-01-31T12:30:00Z", OddCell::Date(None)),
            ("31.01.2026", OddCell::Date(Some("%d.%m.%Y"))),
            ("31.01.26", OddCell::Date(Some("%d.%m.%y"))),
            ("01/31/2026", OddCell::Date(Some("%m/%d/%Y"))),
            ("inf", OddCell::Infinite),
            ("Berlin", OddCell::Text),
            ("12:30", OddCell::Text),
        ] {
            assert_eq!(OddCell::of(text, NumberSpelling::PLAIN), expected, "{text}");
        }
        let commas = NumberSpelling {
            decimal: ',',
            thousands: None,
        };
        for (text, expected) in [
            ("1.990", OddCell::Thousands('.')),
            ("-12.345.678", OddCell::Thousands('.')),
            ("1.234,50", OddCell::Thousands('.')),
            ("1,234.5", OddCell::DecimalPoint),
            ("1.99", OddCell::DecimalPoint),
            ("1.5e3", OddCell::DecimalPoint),
            ("inf", OddCell::Infinite),
            ("1e39", OddCell::Infinite),
        ] {
            assert_eq!(OddCell::of(text, commas), expected, "{text}");
        }
    }
}
