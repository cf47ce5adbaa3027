//! Scalars with a meaning: each checks itself while it is read, so that a mistake is reported at
//! the very place where it stands in the file.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A number within bounds; see the aliases below.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $what:literal, $holds:expr, $schema:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            /// The number, if it is within the bounds.
            pub fn new(value: f64) -> Option<Self> {
                let holds: fn(f64) -> bool = $holds;
                holds(value).then_some(Self(value))
            }

            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = f64::deserialize(deserializer)?;
                Self::new(value)
                    .ok_or_else(|| de::Error::custom(format!("{value} is not {}", $what)))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

bounded!(
    /// A finite number over 0.
    Positive,
    "a number over 0",
    |x| x.is_finite() && x > 0.0,
    json_schema!({"type": "number", "exclusiveMinimum": 0})
);
bounded!(
    /// A finite number that is 0 or more.
    NonNegative,
    "0 or more",
    |x| x.is_finite() && x >= 0.0,
    json_schema!({"type": "number", "minimum": 0})
);
bounded!(
    /// A number in `[0, 1]`.
    Probability,
    "between 0 and 1",
    |x| (0.0..=1.0).contains(&x),
    json_schema!({"type": "number", "minimum": 0, "maximum": 1})
);
bounded!(
    /// A number in `[0, 1)`.
    BelowOne,
    "at least 0 and under 1",
    |x| (0.0..1.0).contains(&x),
    json_schema!({"type": "number", "minimum": 0, "exclusiveMaximum": 1})
);
bounded!(
    /// A share in `(0, 1)`.
    Share,
    "a share between 0 and 1 (both excluded)",
    |x| x > 0.0 && x < 1.0,
    json_schema!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})
);

bounded!(
    /// A number in `(0, 1]`.
    UpToOne,
    "over 0 and at most 1",
    |x| x > 0.0 && x <= 1.0,
    json_schema!({"type": "number", "exclusiveMinimum": 0, "maximum": 1})
);

bounded!(
    /// What logits are divided by, in `[1e-4, 1e4]`. Beyond, the distributions are a single class, or even but for their
    /// rounding: times the square of the temperature, that would be the loss, and below 0 as often as not.
    TeacherTemperature,
    "a temperature from 0.0001 to 10000",
    |x| (1e-4..=1e4).contains(&x),
    json_schema!({"type": "number", "minimum": 1e-4, "maximum": 1e4})
);

bounded!(
    /// A percentage in `(50, 100]`.
    Percentage,
    "a percentage over 50 and up to 100",
    |x| x > 50.0 && x <= 100.0,
    json_schema!({"type": "number", "exclusiveMinimum": 50, "maximum": 100})
);

impl Percentage {
    /// All.
    pub const MOST: Self = Self(100.0);
}

impl Default for NonNegative {
    fn default() -> Self {
        Self(0.0)
    }
}

impl Default for BelowOne {
    fn default() -> Self {
        Self(0.0)
    }
}

/// A number of bytes: an integer, or a text such as `512MiB` or `2GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (digits, factor) = BYTE_UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
            .unwrap_or((text, 1));
        let number: f64 = digits.trim().parse().ok()?;
        let bytes = number * factor as f64;
        (number.is_finite() && (0.0..1e18).contains(&bytes)).then_some(Self(bytes as u64))
    }
}

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| "a number of bytes is expected, such as 512MiB or 2GB".to_owned())
    }
}

impl Display for ByteSize {
    /// In the largest binary unit, with at most one decimal: `8 GiB`, `1.5 MiB`, `12 B`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (unit, factor) = BYTE_UNITS[..4]
            .iter()
            .find(|(_, factor)| self.0 >= *factor)
            .unwrap_or(&("B", 1));
        let text = format!("{:.1}", self.0 as f64 / *factor as f64);
        write!(f, "{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber {
            expects: "a number of bytes, such as 512MiB or 2GB",
            number: |number| u64::try_from(number).ok().map(ByteSize),
            text: ByteSize::parse,
        })
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "a number of bytes, such as 512MiB or 2GB",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^\\s*[0-9.]+\\s*([KMGT]iB|[kMGT]?B)?\\s*$"}
            ]
        })
    }
}

/// A span of time: a number of seconds, or a text such as `90s`, `15m`, `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (digits, factor) = [
            ("ms", 1e-3),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
            ("d", 86400.0),
        ]
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
        let seconds = digits.trim().parse::<f64>().ok()? * factor;
        Duration::try_from_secs_f64(seconds).ok().map(Self)
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| "a span of time is expected, such as 90s, 12h or 30d".to_owned())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}ms", self.0.as_millis()))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber {
            expects: "a span of time, such as 90s, 15m or 2h",
            number: |number| u64::try_from(number).ok().map(|s| Span(Duration::from_secs(s))),
            text: Span::parse,
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "a span of time, such as 90s, 15m or 2h",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^\\s*[0-9.]+\\s*(ms|s|m|h|d)\\s*$"}
            ]
        })
    }
}

/// Reads a value that may be written as an integer or as a text.
struct TextOrNumber<T> {
    expects: &'static str,
    number: fn(i64) -> Option<T>,
    text: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for TextOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.expects)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        let signed = i64::try_from(number).ok();
        signed
            .and_then(self.number)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sizes() {
        assert_eq!(ByteSize::parse("8GiB"), Some(ByteSize(8 << 30)));
        assert_eq!(ByteSize::parse("1.5 kB"), Some(ByteSize(1500)));
        assert_eq!(ByteSize::parse("12"), Some(ByteSize(12)));
        assert_eq!(ByteSize::parse("-1"), None);
        assert_eq!(ByteSize::parse("GiB"), None);
        assert_eq!(ByteSize(1536).to_string(), "1.5 KiB");
        assert_eq!(ByteSize(8 << 30).to_string(), "8 GiB");
        assert_eq!(ByteSize(0).to_string(), "0 B");
    }

    #[test]
    fn spans_of_time() {
        assert_eq!(Span::parse("90s"), Some(Span(Duration::from_secs(90))));
        assert_eq!(Span::parse("1.5h"), Some(Span(Duration::from_secs(5400))));
        assert_eq!(Span::parse("20ms"), Some(Span(Duration::from_millis(20))));
        assert_eq!(Span::parse("-3s"), None);
        assert_eq!(Span::parse("soon"), None);
    }
}
