//! Numbers as tables show them.

use serde_json::Value;

/// The shortest text that reads back as the same number; whole numbers without a fraction.
pub fn full(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        format!("{value:?}")
    }
}

/// A number for reading: four decimals up to 1, about five digits beyond, an exponent where those
/// would show nothing.
pub fn readable(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || (size != 0.0 && !(1e-3..1e7).contains(&size)) {
        return if value.is_finite() {
            format!("{value:.3e}")
        } else {
            value.to_string()
        };
    }
    let decimals = match size {
        s if s < 10.0 => 4,
        s if s < 100.0 => 3,
        s if s < 1000.0 => 2,
        s if s < 10_000.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
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
        assert_eq!(
            all.map(readable).join(" "),
            "0.9850 1.0000 0.0000 12.346 123.46 1234.6 46730 1.234e-5 -0.5000 inf"
        );
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
