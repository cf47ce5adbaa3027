//! Figures as JSON, to the last bit: infinities and what is not a number are strings.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ExactFigure {
    Finite(f64),
    Other(String),
}

impl From<f64> for ExactFigure {
    fn from(value: f64) -> Self {
        if value.is_finite() {
            Self::Finite(value)
        } else if value.is_infinite() || value.to_bits() == f64::NAN.to_bits() {
            Self::Other(value.to_string())
        } else {
            // The sign and the payload of what is not a number, as processors leave it.
            Self::Other(format!("NaN:{:016x}", value.to_bits()))
        }
    }
}

impl TryFrom<ExactFigure> for f64 {
    type Error = String;

    fn try_from(figure: ExactFigure) -> Result<Self, String> {
        match figure {
            ExactFigure::Finite(value) => Ok(value),
            ExactFigure::Other(text) => match text.strip_prefix("NaN:") {
                Some(bits) => u64::from_str_radix(bits, 16)
                    .map(f64::from_bits)
                    .map_err(|error| format!("`{text}` is no figure: {error}")),
                None => text
                    .parse()
                    .map_err(|error| format!("`{text}` is no figure: {error}")),
            },
        }
    }
}

pub(super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| ExactFigure::from(*value)))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    Vec::<ExactFigure>::deserialize(deserializer)?
        .into_iter()
        .map(|figure| f64::try_from(figure).map_err(de::Error::custom))
        .collect()
}
