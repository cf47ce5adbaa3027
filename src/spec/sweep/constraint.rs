//! What every trial's values must fulfil.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::spec::table_rows::same_value;

/// A value, or a list of values any of which will do.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct OneOrMany(pub Vec<Value>);

impl OneOrMany {
    /// Whether `value` is one of them; `1` and `1.0` are the same.
    pub fn contains(&self, value: &Value) -> bool {
        self.0.iter().any(|member| same_value(member, value))
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Array(values) => values,
            value => vec![value],
        }))
    }
}

/// A comparison that every trial's values must fulfil, such as
/// `{product: [width, depth], at_most: 64}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// The left side: a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The left side: the sum of parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<Vec<String>>,
    /// The left side: the product of parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Vec<String>>,
    /// The left side is no more than this number or parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Operand>,
    /// The left side is no less than this number or parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Operand>,
    /// Values that must not come together.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub exclude: IndexMap<String, OneOrMany>,
}

/// The right side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Operand {
    /// A number.
    Number(f64),
    /// A parameter's value.
    Parameter(String),
}

impl Constraint {
    /// The parameters that it speaks of.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let right =
            [&self.at_most, &self.at_least]
                .into_iter()
                .flatten()
                .filter_map(|operand| match operand {
                    Operand::Parameter(name) => Some(name.as_str()),
                    Operand::Number(_) => None,
                });
        let left = self
            .param
            .iter()
            .chain(self.sum.iter().flatten())
            .chain(self.product.iter().flatten());
        left.map(String::as_str)
            .chain(right)
            .chain(self.exclude.keys().map(String::as_str))
    }

    /// Whether `values` fulfil it. A parameter that is no number fulfils no comparison.
    pub fn holds(&self, values: &IndexMap<String, Value>) -> bool {
        let number = |name: &String| values.get(name).and_then(Value::as_f64);
        let left: Option<f64> = match (&self.param, &self.sum, &self.product) {
            (Some(name), ..) => number(name),
            (_, Some(names), _) => names.iter().map(number).sum(),
            (.., Some(names)) => names.iter().map(number).product(),
            _ => None,
        };
        let right = |operand: &Operand| match operand {
            Operand::Number(value) => Some(*value),
            Operand::Parameter(name) => number(name),
        };
        let compares = |bound: &Option<Operand>, holds: fn(f64, f64) -> bool| match bound {
            None => true,
            Some(bound) => matches!((left, right(bound)), (Some(left), Some(right)) if holds(left, right)),
        };
        let excluded = !self.exclude.is_empty()
            && self
                .exclude
                .iter()
                .all(|(name, members)| values.get(name).is_some_and(|value| members.contains(value)));
        compares(&self.at_most, |left, right| left <= right)
            && compares(&self.at_least, |left, right| left >= right)
            && !excluded
    }

    /// What is wrong with its form.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        let sides = usize::from(self.param.is_some())
            + usize::from(self.sum.is_some())
            + usize::from(self.product.is_some());
        let compared = self.at_most.is_some() || self.at_least.is_some();
        match (sides, compared, self.exclude.is_empty()) {
            (1, true, true) | (0, false, false) => None,
            _ => Some(
                "a constraint compares one of param, sum, product with at_most or at_least, or lists values to exclude",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn constraints_compare_and_exclude() {
        let holds = |constraint: Value, values: Value| {
            let constraint: Constraint = serde_json::from_value(constraint).unwrap();
            assert_eq!(constraint.mistake(), None);
            constraint.holds(&serde_json::from_value(values).unwrap())
        };
        let at_most = json!({"product": ["w", "d"], "at_most": 64});
        assert!(holds(at_most.clone(), json!({"w": 16, "d": 4})));
        assert!(!holds(at_most, json!({"w": 16, "d": 5})));
        let ordered = json!({"param": "low", "at_most": "high"});
        assert!(holds(ordered.clone(), json!({"low": 1, "high": 2})));
        assert!(!holds(ordered, json!({"low": 3, "high": 2})));
        let never = json!({"exclude": {"o": ["sgd", "lion"], "lr": 1}});
        assert!(!holds(never.clone(), json!({"o": "sgd", "lr": 1})));
        assert!(holds(never.clone(), json!({"o": "adam", "lr": 1})));
        assert!(
            !holds(never, json!({"o": "sgd", "lr": 1.0})),
            "1 and 1.0 are the same"
        );
    }
}
