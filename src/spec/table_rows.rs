//! The rows of a table: what tells them apart, which there are, and in which order.

use std::fmt::{self, Formatter};

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What tells the rows of a table apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rows {
    /// Parameters; each becomes a column.
    pub parameters: Vec<String>,
    /// Whether each trial is a row of its own.
    pub each_trial: bool,
    /// Stages: a row each, where there are any.
    pub stages: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RowsFields {
    /// Parameters: trials that agree in all of them share a row.
    #[serde(default)]
    parameters: Option<Vec<String>>,
    /// A row a trial, with its number and these parameters.
    #[serde(default)]
    trials: Option<Vec<String>>,
    /// A row each of these stages; columns then name metrics alone.
    #[serde(default)]
    stages: Vec<String>,
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowsVisitor;

        impl<'de> Visitor<'de> for RowsVisitor {
            type Value = Rows;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a list of parameters, {trials: [PARAMETER, ...]} or {stages: [STAGE, ...]}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Rows, A::Error> {
                let parameters = Deserialize::deserialize(de::value::SeqAccessDeserializer::new(items))?;
                Ok(Rows {
                    parameters,
                    ..Rows::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rows, A::Error> {
                let fields = RowsFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                if fields.parameters.is_some() && fields.trials.is_some() {
                    return Err(de::Error::custom(
                        "rows are grouped by `parameters` or are `trials`, not both",
                    ));
                }
                Ok(Rows {
                    each_trial: fields.trials.is_some(),
                    parameters: fields.trials.or(fields.parameters).unwrap_or_default(),
                    stages: fields.stages,
                })
            }
        }

        deserializer.deserialize_any(RowsVisitor)
    }
}

impl JsonSchema for Rows {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rows".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<RowsFields>();
        json_schema!({
            "description": "parameters, or {trials: [...]} for a row a trial, or {stages: [...]} for a row a stage",
            "anyOf": [{"type": "array", "items": {"type": "string"}}, fields]
        })
    }
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Filter {
    /// One of these.
    OneOf(Vec<Value>),
    /// Within bounds, or not some values.
    Bounds {
        /// No less than this.
        at_least: Option<f64>,
        /// No more than this.
        at_most: Option<f64>,
        /// None of these.
        not: Vec<Value>,
    },
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FilterFields {
    /// No less than this.
    #[serde(default)]
    at_least: Option<f64>,
    /// No more than this.
    #[serde(default)]
    at_most: Option<f64>,
    /// Neither this nor one of these.
    #[serde(default)]
    not: Value,
}

impl Filter {
    /// Whether `value` is as it must be.
    pub fn holds(&self, value: &Value) -> bool {
        let among = |values: &[Value]| values.iter().any(|member| same_value(member, value));
        match self {
            Self::OneOf(values) => among(values),
            Self::Bounds {
                at_least,
                at_most,
                not,
            } => {
                let number = value.as_f64();
                let bounded = |bound: &Option<f64>, holds: fn(f64, f64) -> bool| match bound {
                    None => true,
                    Some(bound) => number.is_some_and(|number| holds(number, *bound)),
                };
                bounded(at_least, |number, bound| number >= bound)
                    && bounded(at_most, |number, bound| number <= bound)
                    && !among(not)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            fields @ Value::Object(_) => {
                let fields: FilterFields = serde_json::from_value(fields).map_err(de::Error::custom)?;
                let not = match fields.not {
                    Value::Null => Vec::new(),
                    Value::Array(values) => values,
                    value => vec![value],
                };
                if fields.at_least.is_none() && fields.at_most.is_none() && not.is_empty() {
                    return Err(de::Error::custom(
                        "a filter is a value, a list of values, or at_least, at_most, not",
                    ));
                }
                Ok(Self::Bounds {
                    at_least: fields.at_least,
                    at_most: fields.at_most,
                    not,
                })
            }
            Value::Array(values) => Ok(Self::OneOf(values)),
            value => Ok(Self::OneOf(vec![value])),
        }
    }
}

impl JsonSchema for Filter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Filter".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<FilterFields>();
        json_schema!({
            "description": "a value, a list of values, or bounds such as {at_least: 0.5}",
            "anyOf": [{"type": ["string", "number", "boolean", "null", "array"]}, fields]
        })
    }
}

/// The order of the rows: by the first key, then by the next where that ties.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct SortKeys(pub Vec<SortKey>);

/// What rows are ordered by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SortKey {
    /// A parameter that tells rows apart, or a column's title.
    pub by: String,
    /// The largest first.
    #[serde(default)]
    pub descending: bool,
}

impl<'de> Deserialize<'de> for SortKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;

        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = SortKeys;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a column, {by: COLUMN, descending: true}, or a list of them")
            }

            fn visit_str<E>(self, by: &str) -> Result<SortKeys, E> {
                Ok(SortKeys(vec![SortKey {
                    by: by.to_owned(),
                    descending: false,
                }]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SortKeys, A::Error> {
                let key = SortKey::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(SortKeys(vec![key]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<SortKeys, A::Error> {
                let mut keys = SortKeys::default();
                while let Some(SortKeys(more)) = items.next_element()? {
                    keys.0.extend(more);
                }
                Ok(keys)
            }
        }

        deserializer.deserialize_any(KeysVisitor)
    }
}

impl JsonSchema for SortKeys {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SortKeys".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<SortKey>();
        json_schema!({
            "description": "a column, {by: COLUMN, descending: true}, or a list of them",
            "anyOf": [
                {"type": "string"},
                key.clone(),
                {"type": "array", "items": {"anyOf": [{"type": "string"}, key]}}
            ]
        })
    }
}

/// The row to compare with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Baseline {
    /// The row that has these values; those that it leaves open are taken from each row itself.
    Values(IndexMap<String, Value>),
    /// The row that has this value, where one thing alone tells rows apart.
    Only(Value),
}

impl Baseline {
    /// The wanted values by label.
    pub fn values(&self, labels: &[String]) -> IndexMap<String, Value> {
        match self {
            Self::Values(values) => values.clone(),
            Self::Only(value) => labels
                .iter()
                .map(|label| (label.clone(), value.clone()))
                .take(1)
                .collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Baseline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Object(values) => Self::Values(values.into_iter().collect()),
            value => Self::Only(value),
        })
    }
}

impl JsonSchema for Baseline {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Baseline".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "the values of the row to compare with, such as {model: mlp}, or its only value",
            "type": ["object", "string", "number", "boolean"]
        })
    }
}

/// What stands for several trials that share a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The best of them by the sweep's (first) objective, with all of its seeds.
    #[default]
    Best,
    /// All of them: their values are taken together.
    All,
}

/// Whether two parameter values are the same; `1` and `1.0` are.
pub fn same_value(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_compare_values() {
        let filter = |value: Value| serde_json::from_value::<Filter>(value);
        assert!(filter(json!(1)).unwrap().holds(&json!(1.0)));
        assert!(filter(json!(["a", "b"])).unwrap().holds(&json!("b")));
        let bounds = filter(json!({"at_least": 0.1, "at_most": 0.5, "not": 0.2})).unwrap();
        let held: Vec<bool> = [0.05, 0.1, 0.2, 0.5, 0.6]
            .iter()
            .map(|value| bounds.holds(&json!(value)))
            .collect();
        assert_eq!(held, [false, true, false, true, false]);
        assert!(!bounds.holds(&json!("text")));
        assert!(
            filter(json!({"at_lest": 1}))
                .unwrap_err()
                .to_string()
                .contains("at_lest")
        );
        assert!(filter(json!({})).is_err());
    }
}
