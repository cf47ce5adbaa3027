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
    /// A number that f32 can hold, to its precision. `true` and `false` are 1 and 0.
    pub fn read(&self, text: &str) -> Result<f64, String> {
        let value = match text.to_ascii_lowercase().as_str() {
            "true" => Some(1.0),
            "false" => Some(0.0),
            _ => self.plain(text).and_then(|plain| plain.parse::<f64>().ok()),
        };
        match value {
            Some(value) if (value as f32).is_finite() => Ok(value),
            _ => Err(format!("`{}` is not a finite number", shortened(text))),
        }
    }

    /// The text with a point and without separators of thousands; nothing where they stand wrong.
    fn plain(&self, text: &str) -> Option<String> {
        if self.decimal == '.' && self.thousands.is_none() {
            return Some(text.to_owned());
        }
        let (whole, rest) = match text.find(self.decimal) {
            Some(at) => (&text[..at], Some(&text[at + self.decimal.len_utf8()..])),
            None => (text, None),
        };
        let whole = match self.thousands.filter(|thousands| whole.contains(*thousands)) {
            Some(thousands) => joined(whole, thousands)?,
            None => whole.to_owned(),
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

/// Digits in groups of three without what separates the groups.
fn joined(whole: &str, thousands: char) -> Option<String> {
    let unsigned = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let groups: Vec<&str> = unsigned.split(thousands).collect();
    let are_right = groups.iter().enumerate().all(|(place, group)| {
        let length = if place == 0 { 1..=3 } else { 3..=3 };
        length.contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_digit())
    });
    are_right.then(|| whole.replace(thousands, ""))
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
    /// A number with a decimal comma.
    DecimalComma,
    /// A number with commas, or whatever stands here, between thousands.
    Thousands(char),
    /// A date: as in ISO 8601, or in the given form.
    Date(Option<&'static str>),
    /// A number past what f32 can hold.
    Infinite,
    /// Anything else.
    Text,
}

impl OddCell {
    /// What `text` probably is.
    pub fn of(text: &str) -> Self {
        if is_nothing(text) {
            return Self::Nothing;
        }
        if text.parse::<f64>().is_ok() {
            return Self::Infinite;
        }
        if ["yes", "no", "y", "n", "t", "f", "on", "off"].contains(&text.to_ascii_lowercase().as_str()) {
            return Self::Boolean;
        }
        let reads = |decimal, thousands| NumberSpelling { decimal, thousands }.read(text).is_ok();
        for thousands in [',', ' ', '\'', '\u{a0}', '\u{202f}', '_'] {
            if text.contains(thousands) && reads('.', Some(thousands)) && !reads(',', None) {
                return Self::Thousands(thousands);
            }
        }
        if reads(',', None) || reads(',', Some('.')) {
            return Self::DecimalComma;
        }
        if super::place::order_of(text).is_ok() {
            return Self::Date(None);
        }
        for format in [
            "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y%m%d",
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
            ("1,5", OddCell::DecimalComma),
            ("1.234,50", OddCell::DecimalComma),
            ("1,234.5", OddCell::Thousands(',')),
            ("1 234", OddCell::Thousands(' ')),
            ("2026-01-31", OddCell::Date(None)),
            ("2026-01-31T12:30:00Z", OddCell::Date(None)),
            ("31.01.2026", OddCell::Date(Some("%d.%m.%Y"))),
            ("01/31/2026", OddCell::Date(Some("%m/%d/%Y"))),
            ("inf", OddCell::Infinite),
            ("Berlin", OddCell::Text),
            ("12:30", OddCell::Text),
        ] {
            assert_eq!(OddCell::of(text), expected, "{text}");
        }
    }
}
