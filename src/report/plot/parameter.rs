//! A swept parameter as an axis: numbers, or names where some values are none.

use serde_json::Value;

use super::chart::Along;
use super::scale::AxisScale;
use super::view::short_value;
use crate::report::Trial;

/// Numbers that span more than this ratio are shown on a logarithmic axis.
const LOG_FROM: f64 = 50.0;
/// Up to so many different numbers that return often each have a slot of their own, like names.
const FEW: usize = 6;
const OFTEN: usize = 3;

/// A parameter as an axis.
#[derive(Clone, Debug)]
pub struct ParameterAxis {
    /// What lies along it.
    pub along: Along,
    names: Vec<String>,
}

impl ParameterAxis {
    /// What the trials' values of `name` are; nothing without a trial.
    pub fn of<'a>(name: &str, trials: impl Iterator<Item = &'a Trial>) -> Option<Self> {
        let values: Vec<&Value> = trials
            .map(|trial| trial.parameters.get(name).unwrap_or(&Value::Null))
            .collect();
        if values.is_empty() {
            return None;
        }
        let numbers: Vec<f64> = values.iter().filter_map(|value| value.as_f64()).collect();
        let mut different = numbers.clone();
        different.sort_by(f64::total_cmp);
        different.dedup();
        let few = different.len() <= 2 || different.len() <= FEW && numbers.len() >= OFTEN * different.len();
        if numbers.len() == values.len() && !few {
            let scale = AxisScale::fitting(&numbers, LOG_FROM);
            let whole = values.iter().all(|value| value.is_i64() || value.is_u64());
            return Some(Self {
                along: match scale {
                    AxisScale::Linear { .. } if whole => Along::Counts(scale),
                    _ => Along::Numbers(scale),
                },
                names: Vec::new(),
            });
        }
        let mut named: Vec<(f64, String)> = values
            .iter()
            .map(|value| (value.as_f64().unwrap_or(f64::INFINITY), short_value(value)))
            .collect();
        named.sort_by(|left, right| left.0.total_cmp(&right.0).then_with(|| left.1.cmp(&right.1)));
        named.dedup();
        let names: Vec<String> = named.into_iter().map(|(_, name)| name).collect();
        Some(Self {
            along: Along::Names(names.clone()),
            names,
        })
    }

    /// Where a value lies, in the axis' own numbers; nothing where it has no place.
    pub fn value(&self, value: &Value) -> Option<f64> {
        match self.along {
            Along::Names(_) => {
                let name = short_value(value);
                self.names
                    .iter()
                    .position(|known| *known == name)
                    .map(|index| index as f64)
            }
            _ => value.as_f64(),
        }
    }

    /// How many names there are; none where there are numbers.
    pub fn categories(&self) -> Option<usize> {
        matches!(self.along, Along::Names(_)).then_some(self.names.len())
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::json;

    use super::*;

    fn parameter(values: &[Value]) -> ParameterAxis {
        let trials: Vec<Trial> = values
            .iter()
            .map(|value| Trial {
                parameters: IndexMap::from([("p".to_owned(), value.clone())]),
                ..Trial::default()
            })
            .collect();
        ParameterAxis::of("p", trials.iter()).unwrap()
    }

    #[test]
    fn numbers_and_names() {
        let lr = parameter(&[json!(0.001), json!(0.01), json!(1.0)]);
        assert!(matches!(lr.along, Along::Numbers(AxisScale::Log { .. })));
        let width = parameter(&[json!(16), json!(20), json!(32)]);
        assert!(matches!(width.along, Along::Counts(_)));
        let mixed = parameter(&[json!("sgd"), json!(2), json!("adam"), json!("sgd"), json!(null)]);
        assert_eq!(mixed.categories(), Some(4));
        assert_eq!(mixed.value(&json!(2)), Some(0.0));
        assert_eq!(mixed.value(&json!("lion")), None);
        assert_eq!(parameter(&[json!(true), json!(false)]).categories(), Some(2));
        assert_eq!(parameter(&[json!(1), json!(2)]).categories(), Some(2));
        assert!(ParameterAxis::of("p", std::iter::empty()).is_none());
    }
}
