//! Numbers as tables show them.

use serde_json::Value;

use crate::spec::{NumberFormat, Round, TableColumn};

/// How the numbers of a cell are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    factor: f64,
    digits: Digits,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Digits {
    /// With so many decimals; fewer than none rounds to tens, hundreds, ...
    Decimals(i32),
    /// With an exponent and so many decimals before it.
    Exponent(usize),
    /// All of them.
    All,
}

impl Style {
    /// How `figure`, known up to `uncertainty`, is written in a column. `whole` says that the column
    /// holds nothing but whole numbers.
    pub fn of(
        column: &TableColumn,
        round: Round,
        whole: bool,
        figure: f64,
        uncertainty: Option<f64>,
    ) -> Self {
        let factor = match column.format {
            NumberFormat::Percent => 100.0,
            _ => 1.0,
        };
        let value = figure * factor;
        let uncertainty = uncertainty
            .map(|uncertainty| uncertainty * factor)
            .filter(|uncertainty| uncertainty.is_finite() && *uncertainty > 0.0);
        let wanted = column.digits.map(i32::from);
        let digits = match (column.format, wanted, round, uncertainty) {
            (NumberFormat::Integer, ..) => Digits::Decimals(0),
            (NumberFormat::Scientific, Some(digits), ..) => Digits::exponent(digits),
            (NumberFormat::Scientific, None, Round::Uncertainty, Some(uncertainty)) => {
                Digits::exponent(exponent(value) - exponent(uncertainty) + 1)
            }
            (NumberFormat::Scientific, ..) => Digits::exponent(3),
            (_, Some(digits), ..) => Digits::Decimals(digits),
            (format, None, Round::Uncertainty, Some(uncertainty)) => {
                if format == NumberFormat::Auto && needs_exponent(value) {
                    Digits::exponent(exponent(value) - exponent(uncertainty) + 1)
                } else {
                    Digits::Decimals(1 - exponent(uncertainty))
                }
            }
            (NumberFormat::Fixed, ..) => Digits::Decimals(4),
            (NumberFormat::Percent, ..) => Digits::Decimals(2),
            (NumberFormat::Auto, ..) if whole => Digits::All,
            (NumberFormat::Auto, ..) if needs_exponent(value) => Digits::exponent(3),
            (NumberFormat::Auto, ..) => Digits::Decimals(decimals(value)),
        };
        Self { factor, digits }
    }

    /// `value` in this style.
    pub fn text(&self, value: f64) -> String {
        let value = value * self.factor;
        if !value.is_finite() {
            return value.to_string();
        }
        let text = match self.digits {
            Digits::All => full(value),
            Digits::Exponent(digits) => format!("{value:.digits$e}"),
            Digits::Decimals(decimals) => match usize::try_from(decimals) {
                Ok(decimals) => format!("{value:.decimals$}"),
                Err(_) => {
                    let unit = 10f64.powi(-decimals);
                    format!("{:.0}", (value / unit).round() * unit)
                }
            },
        };
        unsigned_zero(text)
    }

    /// `value` with its sign, even where that is plus.
    pub fn signed(&self, value: f64) -> String {
        let text = self.text(value);
        let is_zero = !text.contains(|c: char| ('1'..='9').contains(&c));
        if text.starts_with('-') || is_zero || value.is_nan() {
            text
        } else {
            format!("+{text}")
        }
    }
}

impl Digits {
    fn exponent(digits: i32) -> Self {
        Self::Exponent(usize::try_from(digits).unwrap_or(0).min(15))
    }
}

/// `-0.00` is `0.00`.
fn unsigned_zero(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) if !rest.contains(|c: char| ('1'..='9').contains(&c)) => rest.to_owned(),
        _ => text,
    }
}

/// The place of the first significant digit: 0 for 1 to 10, -1 for 0.1 to 1.
fn exponent(value: f64) -> i32 {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    // Through the text: a logarithm is off by one where it is just below a whole number.
    let text = format!("{value:e}");
    text.split_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok())
        .unwrap_or(0)
}

/// Whether a few decimals would show nothing of `value`, or too much.
fn needs_exponent(value: f64) -> bool {
    let size = value.abs();
    value.is_finite() && size != 0.0 && !(1e-3..1e7).contains(&size)
}

/// Four decimals up to 10, about five digits beyond.
fn decimals(value: f64) -> i32 {
    match value.abs() {
        s if s < 10.0 => 4,
        s if s < 100.0 => 3,
        s if s < 1000.0 => 2,
        s if s < 10_000.0 => 1,
        _ => 0,
    }
}

/// A p-value: three decimals, and two digits where those would show less.
pub fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "<0.001".to_owned(),
        p => format!("{p:.3}"),
    }
}

/// The shortest text that reads back as the same number; whole numbers without a fraction.
pub fn full(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        format!("{value:?}")
    }
}

/// A number for reading by itself, with about five digits.
pub fn readable(value: f64) -> String {
    let digits = if needs_exponent(value) {
        Digits::exponent(3)
    } else {
        Digits::Decimals(decimals(value))
    };
    Style { factor: 1.0, digits }.text(value)
}

/// A parameter's value: texts bare, numbers in full, everything else as JSON.
pub fn parameter(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn full_numbers_read_back() {
        for value in [
            0.1,
            1.0 / 3.0,
            1e-7,
            -2.5e300,
            123_456_789.123,
            0.9850000000000001,
            1e15,
            7.0,
        ] {
            assert_eq!(full(value).parse::<f64>().unwrap(), value);
        }
        assert_eq!(
            [1797.0, 0.1, 1e-7, f64::NAN].map(full).join(" "),
            "1797 0.1 1e-7 NaN"
        );
    }

    fn style(column: Value, round: Round, figure: f64, uncertainty: Option<f64>) -> Style {
        let column: TableColumn = serde_json::from_value(column).unwrap();
        Style::of(&column, round, false, figure, uncertainty)
    }

    #[test]
    fn readable_numbers() {
        let all = [
            0.985,
            1.0,
            0.0,
            12.34567,
            123.4567,
            1234.567,
            46_730.4,
            1.234e-5,
            -0.5,
            f64::INFINITY,
        ];
        let text = |value| style(json!("m.x"), Round::Digits, value, None).text(value);
        assert_eq!(
            all.map(text).join(" "),
            "0.9850 1.0000 0.0000 12.346 123.46 1234.6 46730 1.234e-5 -0.5000 inf"
        );
    }

    #[test]
    fn formats_and_digits() {
        let text = |column: Value, value: f64| {
            let mut column = column;
            column["metric"] = json!("m.x");
            style(column, Round::Digits, value, None).text(value)
        };
        assert_eq!(text(json!({"format": "percent"}), 0.98765), "98.77");
        assert_eq!(text(json!({"format": "percent", "digits": 1}), 0.98765), "98.8");
        assert_eq!(text(json!({"format": "fixed"}), 1234.5), "1234.5000");
        assert_eq!(
            text(json!({"format": "scientific", "digits": 2}), 0.00123),
            "1.23e-3"
        );
        assert_eq!(text(json!({"format": "integer"}), 7.6), "8");
        assert_eq!(text(json!({"digits": 1}), -0.01), "0.0");
    }

    /// The cases of the Particle Data Group's kind: two significant digits of the uncertainty.
    #[test]
    fn rounding_by_the_uncertainty() {
        let text = |figure: f64, uncertainty: f64| {
            let style = style(json!("m.x"), Round::Uncertainty, figure, Some(uncertainty));
            format!("{} ± {}", style.text(figure), style.text(uncertainty))
        };
        assert_eq!(text(0.984_321, 0.002_14), "0.9843 ± 0.0021");
        assert_eq!(text(0.984_321, 0.1), "0.98 ± 0.10");
        assert_eq!(text(1234.567, 12.3), "1235 ± 12");
        assert_eq!(text(12_345.6, 678.0), "12350 ± 680");
        assert_eq!(text(1.2345e-6, 2.5e-8), "1.234e-6 ± 2.500e-8");
        let percent = json!({"metric": "m.x", "format": "percent"});
        let style = style(percent, Round::Uncertainty, 0.9876, Some(0.0123));
        assert_eq!(style.text(0.9876), "98.8");
    }

    #[test]
    fn differences_have_a_sign() {
        let style = style(json!("m.x"), Round::Digits, 0.98, None);
        let all = [0.0123, -0.0123, 0.0, 1e-9, -1e-9];
        assert_eq!(
            all.map(|value| style.signed(value)).join(" "),
            "+0.0123 -0.0123 0.0000 0.0000 0.0000"
        );
        assert_eq!([0.5, 0.0123, 0.0001].map(p_value).join(" "), "0.500 0.012 <0.001");
    }

    #[test]
    fn parameters() {
        let all = [
            json!(0.1),
            json!(3),
            json!("bf16"),
            json!(true),
            json!(null),
            json!([1, 2]),
        ];
        assert_eq!(
            all.map(|value| parameter(&value)).join(" "),
            "0.1 3 bf16 true  [1,2]"
        );
    }
}
