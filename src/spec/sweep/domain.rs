//! A swept parameter: the values that it may take, and when it is used.

use std::fmt::{self, Formatter};

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::OneOrMany;
use crate::spec::table_rows::same_value;

/// A swept parameter: its domain, and the condition under which it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct SweptParameter {
    /// The values that it may take.
    pub domain: Domain,
    /// The values that other swept parameters must have for this one to be used. Where they have
    /// others, the parameter keeps the value that the file gives it.
    pub when: IndexMap<String, OneOrMany>,
}

/// The values that a parameter may take.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// One of these, without an order.
    Choice(Vec<Value>),
    /// `start`, `start + step`, ... up to `stop`, which is a member if the steps meet it.
    Range {
        /// The first value.
        start: f64,
        /// No value is beyond it.
        stop: f64,
        /// The distance of neighbours, over 0.
        step: f64,
        /// Whether all three are written as whole numbers, and so are the values.
        whole: bool,
    },
    /// Any number from `low` to `high`.
    Uniform {
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
    },
    /// Any number from `low` to `high`, evenly in the logarithm.
    LogUniform {
        /// The lower bound, over 0.
        low: f64,
        /// The upper bound.
        high: f64,
    },
    /// A whole number from `low` to `high`, both included.
    Int {
        /// The lower bound.
        low: i64,
        /// The upper bound.
        high: i64,
    },
    /// A whole number from `low` to `high`, both included, evenly in the logarithm.
    LogInt {
        /// The lower bound, over 0.
        low: i64,
        /// The upper bound.
        high: i64,
    },
}

impl Domain {
    /// How many values there are; none where they are uncountable.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Choice(values) => Some(values.len() as u64),
            Self::Range { .. } => self.values().map(|values| values.len() as u64),
            Self::Int { low, high } | Self::LogInt { low, high } => {
                Some(low.abs_diff(*high).saturating_add(1))
            }
            Self::Uniform { low, high } | Self::LogUniform { low, high } => (low == high).then_some(1),
        }
    }

    /// All values, in order; none where they are uncountable or more than a million.
    pub fn values(&self) -> Option<Vec<Value>> {
        const MOST: u64 = 1_000_000;
        match self {
            Self::Choice(values) => Some(values.clone()),
            Self::Range {
                start,
                stop,
                step,
                whole,
            } => {
                // A stop that rounding misses by a hair is a member.
                let steps = ((stop - start) / step + 1e-9).floor();
                (steps < MOST as f64).then(|| {
                    (0..=steps as u64)
                        .map(|index| {
                            let value = start + index as f64 * step;
                            if *whole {
                                Value::from(value as i64)
                            } else {
                                Value::from(tidy(value))
                            }
                        })
                        .collect()
                })
            }
            Self::Int { low, high } | Self::LogInt { low, high } => {
                (low.abs_diff(*high) < MOST).then(|| (*low..=*high).map(Value::from).collect())
            }
            Self::Uniform { low, high } | Self::LogUniform { low, high } => {
                (low == high).then(|| vec![Value::from(*low)])
            }
        }
    }

    /// Whether `value` is a member.
    pub fn contains(&self, value: &Value) -> bool {
        match self {
            Self::Choice(values) => values.iter().any(|member| same_value(member, value)),
            Self::Range { .. } => self
                .values()
                .is_some_and(|values| values.iter().any(|member| member.as_f64() == value.as_f64())),
            Self::Uniform { low, high } | Self::LogUniform { low, high } => value
                .as_f64()
                .is_some_and(|value| (*low..=*high).contains(&value)),
            Self::Int { low, high } | Self::LogInt { low, high } => value
                .as_i64()
                .is_some_and(|value| (*low..=*high).contains(&value)),
        }
    }

    /// The values to try a pipeline with, to find out whether it takes all of them: every choice,
    /// and the ends of everything else.
    pub fn probes(&self) -> Vec<Value> {
        match self {
            Self::Choice(values) => values.clone(),
            Self::Range { .. } => {
                let values = self.values().unwrap_or_default();
                values.first().into_iter().chain(values.last()).cloned().collect()
            }
            Self::Uniform { low, high } | Self::LogUniform { low, high } => {
                vec![Value::from(*low), Value::from(*high)]
            }
            Self::Int { low, high } | Self::LogInt { low, high } => {
                vec![Value::from(*low), Value::from(*high)]
            }
        }
    }
}

/// `0.1 + 2 * 0.1` without the tail that binary fractions leave.
fn tidy(value: f64) -> f64 {
    format!("{value:.12e}").parse().unwrap_or(value)
}

/// A domain as it is written in a mapping.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ParameterFields {
    /// One of these, without an order.
    #[serde(default)]
    choice: Option<Vec<Value>>,
    /// `[start, stop, step]`: from start to stop, both included.
    #[serde(default)]
    range: Option<[f64; 3]>,
    /// `[low, high]`: any number between them.
    #[serde(default)]
    uniform: Option<[f64; 2]>,
    /// `[low, high]`: any number between them, evenly in the logarithm.
    #[serde(default)]
    log_uniform: Option<[f64; 2]>,
    /// `[low, high]`: a whole number, both included.
    #[serde(default)]
    int: Option<[i64; 2]>,
    /// `[low, high]`: a whole number, both included, evenly in the logarithm.
    #[serde(default)]
    log_int: Option<[i64; 2]>,
    /// The values that other swept parameters must have for this one to be used.
    #[serde(default)]
    when: IndexMap<String, OneOrMany>,
}

impl ParameterFields {
    fn into_parameter(self) -> Result<SweptParameter, String> {
        let mut domains: Vec<Result<Domain, String>> = Vec::new();
        domains.extend(self.choice.map(choice));
        domains.extend(self.range.map(range));
        domains.extend(
            self.uniform.map(|[low, high]| {
                bounds(low, high, f64::NEG_INFINITY).map(|()| Domain::Uniform { low, high })
            }),
        );
        domains.extend(
            self.log_uniform
                .map(|[low, high]| bounds(low, high, 0.0).map(|()| Domain::LogUniform { low, high })),
        );
        domains.extend(self.int.map(|[low, high]| {
            bounds(low as f64, high as f64, f64::NEG_INFINITY).map(|()| Domain::Int { low, high })
        }));
        domains.extend(
            self.log_int.map(|[low, high]| {
                bounds(low as f64, high as f64, 0.0).map(|()| Domain::LogInt { low, high })
            }),
        );
        match (domains.pop(), domains.is_empty()) {
            (Some(domain), true) => Ok(SweptParameter {
                domain: domain?,
                when: self.when,
            }),
            _ => Err(format!(
                "one of {} is expected",
                ["choice", "range", "uniform", "log_uniform", "int", "log_int"].join(", ")
            )),
        }
    }
}

fn choice(values: Vec<Value>) -> Result<Domain, String> {
    if values.is_empty() {
        return Err("there is nothing to choose from: the list is empty".to_owned());
    }
    let mut seen = std::collections::HashSet::new();
    // `1` and `1.0` are the same value.
    let key = |value: &Value| match value.as_f64() {
        Some(number) => number.to_string(),
        None => value.to_string(),
    };
    if let Some(value) = values.iter().find(|value| !seen.insert(key(value))) {
        return Err(format!("the value {value} stands here twice"));
    }
    Ok(Domain::Choice(values))
}

fn range([start, stop, step]: [f64; 3]) -> Result<Domain, String> {
    if ![start, stop, step].iter().all(|value| value.is_finite()) || step <= 0.0 || stop < start {
        return Err("a range is [start, stop, step] with start <= stop and a step over 0".to_owned());
    }
    let whole = [start, stop, step]
        .iter()
        .all(|value| value.fract() == 0.0 && value.abs() < 1e15);
    Ok(Domain::Range {
        start,
        stop,
        step,
        whole,
    })
}

fn bounds(low: f64, high: f64, over: f64) -> Result<(), String> {
    if !(low.is_finite() && high.is_finite()) || low > high {
        return Err(format!("[{low}, {high}] is empty: the lower bound comes first"));
    }
    if low <= over {
        return Err(format!(
            "the logarithm needs a lower bound over 0, and {low} is not"
        ));
    }
    Ok(())
}

impl SweptParameter {
    /// Reads a parameter as it is written in a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())
    }
}

impl Serialize for SweptParameter {
    /// As it is written in a file.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.domain {
            Domain::Choice(values) => map.serialize_entry("choice", values)?,
            Domain::Range {
                start, stop, step, ..
            } => map.serialize_entry("range", &[start, stop, step])?,
            Domain::Uniform { low, high } => map.serialize_entry("uniform", &[low, high])?,
            Domain::LogUniform { low, high } => map.serialize_entry("log_uniform", &[low, high])?,
            Domain::Int { low, high } => map.serialize_entry("int", &[low, high])?,
            Domain::LogInt { low, high } => map.serialize_entry("log_int", &[low, high])?,
        }
        if !self.when.is_empty() {
            map.serialize_entry("when", &self.when)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SweptParameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParameterVisitor;

        impl<'de> Visitor<'de> for ParameterVisitor {
            type Value = SweptParameter;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values, or a domain such as {log_uniform: [0.001, 1]}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<SweptParameter, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element()? {
                    values.push(value);
                }
                Ok(SweptParameter {
                    domain: choice(values).map_err(de::Error::custom)?,
                    when: IndexMap::new(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SweptParameter, A::Error> {
                let fields = ParameterFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                fields.into_parameter().map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(ParameterVisitor)
    }
}

impl JsonSchema for SweptParameter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parameter".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<ParameterFields>();
        json_schema!({
            "description": "a list of values, or a domain such as {log_uniform: [0.001, 1]}",
            "anyOf": [{"type": "array", "minItems": 1}, fields]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn domain(value: Value) -> Result<Domain, String> {
        SweptParameter::from_json(&value).map(|parameter| parameter.domain)
    }

    #[test]
    fn domains_list_their_values() {
        let values = |value| domain(value).unwrap().values();
        assert_eq!(values(json!([1, "a"])), Some(vec![json!(1), json!("a")]));
        assert_eq!(
            values(json!({"range": [0.1, 0.5, 0.1]})),
            Some(vec![json!(0.1), json!(0.2), json!(0.3), json!(0.4), json!(0.5)])
        );
        assert_eq!(
            values(json!({"range": [1, 6, 2]})),
            Some(vec![json!(1), json!(3), json!(5)])
        );
        assert_eq!(
            values(json!({"int": [-1, 1]})),
            Some(vec![json!(-1), json!(0), json!(1)])
        );
        assert_eq!(values(json!({"uniform": [0, 1]})), None);
        assert_eq!(domain(json!({"uniform": [2, 2]})).unwrap().size(), Some(1));
    }

    #[test]
    fn domains_know_their_members() {
        let holds = |set: Value, value: Value| domain(set).unwrap().contains(&value);
        assert!(holds(json!({"log_uniform": [0.1, 1]}), json!(1)));
        assert!(!holds(json!({"log_uniform": [0.1, 1]}), json!(1.5)));
        assert!(holds(json!({"range": [0, 1, 0.25]}), json!(0.75)));
        assert!(!holds(json!({"int": [1, 3]}), json!(1.5)));
        assert!(!holds(json!(["a", "b"]), json!("c")));
    }

    #[test]
    fn parameters_are_written_as_they_are_read() {
        for text in [
            json!({"choice": ["a", 1, null]}),
            json!({"range": [1.0, 6.0, 2.0], "when": {"o": ["sgd"]}}),
            json!({"log_uniform": [0.01, 1.0]}),
            json!({"int": [1, 8]}),
        ] {
            let parameter = SweptParameter::from_json(&text).unwrap();
            assert_eq!(serde_json::to_value(&parameter).unwrap(), text);
        }
    }

    #[test]
    fn bad_domains_are_refused() {
        for (bad, word) in [
            (json!([]), "empty"),
            (json!([1, 1]), "twice"),
            (json!([1, 1.0]), "twice"),
            (json!({"uniform": [1, 0]}), "empty"),
            (json!({"log_uniform": [0, 1]}), "over 0"),
            (json!({"range": [0, 1, 0]}), "step over 0"),
            (json!({"int": [0, 1], "uniform": [0, 1]}), "one of"),
            (json!({"when": {"a": 1}}), "one of"),
            (json!({"unifrom": [0, 1]}), "unifrom"),
        ] {
            let error = domain(bad.clone()).unwrap_err();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }
}
