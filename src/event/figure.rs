//! Figures as JSON, to the last bit: infinities and what is not a number are texts, which JSON has no numbers for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure as it stands in JSON.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ExactFigure {
    /// A finite number.
    Finite(f64),
    /// `NaN`, `inf` or `-inf`.
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

/// For fields that are one figure.
pub mod one {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::ExactFigure;

    /// Writes a figure.
    ///
    /// # Errors
    /// Those of the serializer.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        ExactFigure::from(*value).serialize(serializer)
    }

    /// Reads a figure.
    ///
    /// # Errors
    /// A text that is no figure.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let figure = ExactFigure::deserialize(deserializer)?;
        f64::try_from(figure).map_err(de::Error::custom)
    }
}

/// For fields that are lists of figures.
pub mod list {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::ExactFigure;

    /// Writes a list.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| ExactFigure::from(*value)))
    }

    /// Reads a list.
    ///
    /// # Errors
    /// A text that is no figure.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Vec::<ExactFigure>::deserialize(deserializer)?
            .into_iter()
            .map(|figure| f64::try_from(figure).map_err(de::Error::custom))
            .collect()
    }
}
