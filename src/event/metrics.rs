//! A stage's figures: numbers, and those that are none.

use std::borrow::Cow;
use std::collections::{BTreeMap, btree_map};
use std::fmt::{self, Display, Formatter};
use std::ops::Index;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a figure came to.
///
/// In JSON a number is a number, `null` what is not defined, and a text (`"NaN"`, `"inf"`, `"-inf"`)
/// what is not a number. Two of what is not a number are equal where their bits are.
#[derive(Clone, Copy, Debug)]
pub enum MetricValue {
    /// A finite number.
    Number(f64),
    /// There is no such figure of these samples, as no area under a curve of a single class.
    Undefined,
    /// The arithmetic went wrong: infinite, or not a number.
    NotANumber(f64),
}

impl MetricValue {
    /// The number, where it is one.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Undefined | Self::NotANumber(_) => None,
        }
    }

    /// What came out of the arithmetic, be it a number or not, where the figure is defined.
    pub fn defined(self) -> Option<f64> {
        match self {
            Self::Number(value) | Self::NotANumber(value) => Some(value),
            Self::Undefined => None,
        }
    }
}

impl PartialEq for MetricValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left == right,
            (left, right) => left.defined().map(f64::to_bits) == right.defined().map(f64::to_bits),
        }
    }
}

impl From<f64> for MetricValue {
    fn from(value: f64) -> Self {
        if value.is_finite() {
            Self::Number(value)
        } else {
            Self::NotANumber(value)
        }
    }
}

/// Nothing is a figure that is not defined.
impl From<Option<f64>> for MetricValue {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Undefined, Self::from)
    }
}

impl Display for MetricValue {
    /// The number in its shortest form, `undefined`, `NaN`, `inf` or `-inf`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(value) | Self::NotANumber(value) => write!(f, "{value}"),
            Self::Undefined => f.write_str("undefined"),
        }
    }
}

impl Serialize for MetricValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Undefined => serializer.serialize_none(),
            Self::NotANumber(value) => serializer.collect_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for MetricValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum WrittenValue {
            Number(f64),
            Text(String),
            Nothing(()),
        }
        match WrittenValue::deserialize(deserializer)? {
            WrittenValue::Number(value) => Ok(value.into()),
            WrittenValue::Nothing(()) => Ok(Self::Undefined),
            WrittenValue::Text(text) => match text.parse::<f64>() {
                Ok(value) if !value.is_finite() => Ok(Self::NotANumber(value)),
                _ => Err(de::Error::custom(format!("`{text}` is no figure"))),
            },
        }
    }
}

impl JsonSchema for MetricValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MetricValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number; null where the figure is not defined for these samples; \
                            a text where it is not a number.",
            "type": ["number", "null", "string"],
        })
    }
}

/// A stage's figures, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Metrics(BTreeMap<String, MetricValue>);

impl Metrics {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the figure `name`, in place of one of the same name.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<MetricValue>) {
        self.0.insert(name.into(), value.into());
    }

    /// What the figure `name` came to; nothing where there is none of that name.
    pub fn get(&self, name: &str) -> Option<MetricValue> {
        self.0.get(name).copied()
    }

    /// The figure `name`, where it is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.number()
    }

    /// All figures, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, MetricValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The figures that are numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        self.iter()
            .filter_map(|(name, value)| Some((name, value.number()?)))
    }

    /// The names of all figures, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Keeps the figures whose names are `wanted`.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| wanted(name));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Index<&str> for Metrics {
    type Output = f64;

    /// The figure `name`, where it is sure to be there. Panics where it is not, or not defined.
    fn index(&self, name: &str) -> &f64 {
        match self.0.get(name) {
            Some(MetricValue::Number(value) | MetricValue::NotANumber(value)) => value,
            Some(MetricValue::Undefined) | None => panic!("there is no figure `{name}`"),
        }
    }
}

impl IntoIterator for Metrics {
    type Item = (String, MetricValue);
    type IntoIter = btree_map::IntoIter<String, MetricValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<V: Into<MetricValue>> FromIterator<(String, V)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(figures: I) -> Self {
        let figures = figures.into_iter();
        Self(figures.map(|(name, value)| (name, value.into())).collect())
    }
}

impl<V: Into<MetricValue>, const N: usize> From<[(String, V); N]> for Metrics {
    fn from(figures: [(String, V); N]) -> Self {
        figures.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_states_survive_json() {
        let mut metrics = Metrics::from([("loss".to_owned(), 1.0), ("up".to_owned(), f64::INFINITY)]);
        metrics.insert("auc", None);
        metrics.insert("broken", f64::NAN);
        let json = serde_json::to_string(&metrics).unwrap();
        assert_eq!(json, r#"{"auc":null,"broken":"NaN","loss":1.0,"up":"inf"}"#);
        assert_eq!(serde_json::from_str::<Metrics>(&json).unwrap(), metrics);
        assert_eq!(metrics.numbers().collect::<Vec<_>>(), [("loss", 1.0)]);
        assert_eq!(
            metrics.names().collect::<Vec<_>>(),
            ["auc", "broken", "loss", "up"]
        );
        assert_eq!(metrics.get("auc"), Some(MetricValue::Undefined));
        assert_eq!(metrics.number("broken"), None);
        assert_eq!(metrics.get("other"), None);
        let shown: Vec<String> = metrics.iter().map(|(_, value)| value.to_string()).collect();
        assert_eq!(shown, ["undefined", "NaN", "1", "inf"]);
        for wrong in [r#""1.5""#, r#""fast""#, "[]", "true"] {
            assert!(serde_json::from_str::<MetricValue>(wrong).is_err(), "{wrong}");
        }
    }
}
