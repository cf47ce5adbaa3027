//! One parameter's domain as the interval from 0 to 1.
//!
//! Samplers work with coordinates: numbers evenly (or evenly in their logarithm) along the
//! interval, and members of what can be counted as neighbouring cells of it.

use serde_json::Value;

use crate::spec::{Domain, same_value};

/// A domain, laid out along the interval from 0 to 1.
#[derive(Clone, Debug)]
pub(super) enum Scale {
    /// Members without an order, in cells of equal width.
    Categories(Vec<Value>),
    /// Members in order, in cells of equal width.
    Steps(Vec<Value>),
    /// Whole numbers; each cell reaches half a step to both sides, evenly in the logarithm if `log`.
    Whole { low: i64, high: i64, log: bool },
    /// Any number, evenly in the logarithm if `log`.
    Continuous { low: f64, high: f64, log: bool },
}

impl Scale {
    /// None where a range has too many members to list.
    pub(super) fn new(domain: &Domain) -> Option<Self> {
        Some(match domain {
            Domain::Choice(values) => Self::Categories(values.clone()),
            Domain::Range { .. } => Self::Steps(domain.values()?),
            Domain::Int { low, high } => Self::Whole {
                low: *low,
                high: *high,
                log: false,
            },
            Domain::LogInt { low, high } => Self::Whole {
                low: *low,
                high: *high,
                log: true,
            },
            Domain::Uniform { low, high } | Domain::LogUniform { low, high } if low == high => {
                Self::Steps(vec![Value::from(*low)])
            }
            Domain::Uniform { low, high } => Self::Continuous {
                low: *low,
                high: *high,
                log: false,
            },
            Domain::LogUniform { low, high } => Self::Continuous {
                low: *low,
                high: *high,
                log: true,
            },
        })
    }

    /// How many members there are; none where they cannot be counted.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Categories(values) | Self::Steps(values) => Some(values.len() as u64),
            Self::Whole { low, high, .. } => Some(low.abs_diff(*high).saturating_add(1)),
            Self::Continuous { .. } => None,
        }
    }

    /// The member at a coordinate.
    pub(super) fn value(&self, coordinate: f64) -> Value {
        match self {
            Self::Categories(values) | Self::Steps(values) => {
                values[cell(coordinate, values.len() as u64) as usize].clone()
            }
            Self::Whole {
                low,
                high,
                log: false,
            } => {
                let index = cell(coordinate, self.size().unwrap_or(u64::MAX));
                Value::from(low.saturating_add_unsigned(index).min(*high))
            }
            Self::Whole { low, high, log: true } => {
                let value = stretch(coordinate, *low as f64 - 0.5, *high as f64 + 0.5, true);
                Value::from((value.round() as i64).clamp(*low, *high))
            }
            Self::Continuous { low, high, log } => {
                let value = stretch(coordinate, *low, *high, *log);
                Value::from(readable(value, high - low, *log).clamp(*low, *high))
            }
        }
    }

    /// The member with this index, from 0 in order; only for what can be counted.
    pub(super) fn member(&self, index: u64) -> Value {
        match self {
            Self::Categories(values) | Self::Steps(values) => values[index as usize].clone(),
            Self::Whole { low, high, .. } => Value::from(low.saturating_add_unsigned(index).min(*high)),
            Self::Continuous { low, .. } => Value::from(*low),
        }
    }

    /// Where a member lies: in the middle of its cell. None for what is no member.
    pub(super) fn coordinate(&self, value: &Value) -> Option<f64> {
        match self {
            Self::Categories(values) | Self::Steps(values) => {
                let index = values.iter().position(|member| same_value(member, value))?;
                Some((index as f64 + 0.5) / values.len() as f64)
            }
            Self::Whole { low, high, log } => {
                let whole = whole(value).filter(|whole| (low..=high).contains(&whole))?;
                Some(if *log {
                    squeeze(whole as f64, *low as f64 - 0.5, *high as f64 + 0.5, true)
                } else {
                    (low.abs_diff(whole) as f64 + 0.5) / self.size()? as f64
                })
            }
            Self::Continuous { low, high, log } => {
                let number = value.as_f64().filter(|number| (low..=high).contains(&number))?;
                Some(squeeze(number, *low, *high, *log))
            }
        }
    }

    /// The ends of the cell around a coordinate; none for what has no cells.
    pub(super) fn cell(&self, coordinate: f64) -> Option<(f64, f64)> {
        match self {
            Self::Continuous { .. } => None,
            Self::Whole { low, high, log: true } => {
                let at = self.value(coordinate).as_f64()?;
                let edge = |value| squeeze(value, *low as f64 - 0.5, *high as f64 + 0.5, true);
                Some((edge(at - 0.5), edge(at + 0.5)))
            }
            _ => {
                let size = self.size()?;
                let index = cell(coordinate, size) as f64;
                Some((index / size as f64, (index + 1.0) / size as f64))
            }
        }
    }
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
    })
}

fn cell(coordinate: f64, size: u64) -> u64 {
    ((coordinate * size as f64).floor() as u64).min(size.saturating_sub(1))
}

fn stretch(coordinate: f64, low: f64, high: f64, log: bool) -> f64 {
    if log {
        (low.ln() + coordinate * (high.ln() - low.ln())).exp()
    } else {
        low + coordinate * (high - low)
    }
}

fn squeeze(value: f64, low: f64, high: f64, log: bool) -> f64 {
    let coordinate = if log {
        (value.ln() - low.ln()) / (high.ln() - low.ln())
    } else {
        (value - low) / (high - low)
    };
    coordinate.clamp(0.0, 1.0)
}

/// A number without the digits that make no difference: rounded to a millionth of the range, and
/// where the scale is logarithmic to six significant digits.
fn readable(value: f64, range: f64, log: bool) -> f64 {
    let power = |size: f64| size.abs().log10().floor() as i32;
    let mut exponent = power(range) - 6;
    if log && value != 0.0 {
        exponent = exponent.min(power(value) - 5);
    }
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = (power(value) - exponent).clamp(0, 16) as usize;
    format!("{value:.digits$e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::spec::SweptParameter;

    fn scale(domain: Value) -> Scale {
        Scale::new(&SweptParameter::from_json(&domain).unwrap().domain).unwrap()
    }

    fn examples() -> Vec<Scale> {
        [
            json!(["a", 1, null, [2, 3]]),
            json!({"range": [0.1, 0.5, 0.1]}),
            json!({"int": [-3, 12]}),
            json!({"int": [-1_000_000_000, 1_000_000_000]}),
            json!({"log_int": [1, 1000]}),
            json!({"uniform": [-1.5, 2.25]}),
            json!({"uniform": [0.999, 0.9999]}),
            json!({"log_uniform": [1e-5, 1.0]}),
            json!({"uniform": [3, 3]}),
            json!({"log_int": [7, 7]}),
        ]
        .map(scale)
        .to_vec()
    }

    proptest! {
        #[test]
        fn members_have_coordinates_and_come_back(at in 0.0..=1.0f64, which in 0..10usize) {
            let scale = &examples()[which];
            let value = scale.value(at);
            let coordinate = scale.coordinate(&value).expect("what the scale gives is a member");
            prop_assert!((0.0..=1.0).contains(&coordinate));
            prop_assert!(same_value(&scale.value(coordinate), &value), "{value} comes back as {}", scale.value(coordinate));
            match scale.cell(at) {
                Some((low, high)) => prop_assert!(low <= at + 1e-9 && at <= high + 1e-9),
                None => prop_assert!((coordinate - at).abs() < 2e-6),
            }
        }
    }

    #[test]
    fn cells_cover_the_interval_once() {
        let scale = scale(json!({"log_int": [1, 20]}));
        let mut reached = 0.0;
        for index in 0..20 {
            let at = scale.coordinate(&scale.member(index)).unwrap();
            let (low, high) = scale.cell(at).unwrap();
            assert!((low - reached).abs() < 1e-12, "cell {index} begins at {low}");
            reached = high;
        }
        assert!((reached - 1.0).abs() < 1e-12);
    }

    #[test]
    fn numbers_are_short_and_inside() {
        let lr = scale(json!({"log_uniform": [1e-5, 1.0]}));
        assert_eq!(lr.value(0.5), json!(0.00316228));
        assert_eq!(lr.value(0.0), json!(1e-5));
        assert_eq!(lr.value(1.0), json!(1.0));
        let momentum = scale(json!({"uniform": [0.0, 1.0]}));
        assert_eq!(momentum.value(1.0 / 3.0), json!(0.333333));
        let narrow = scale(json!({"uniform": [0.999, 0.9999]}));
        assert_eq!(narrow.value(1.0 / 3.0), json!(0.9993));
        assert_ne!(narrow.value(0.5), narrow.value(0.5 + 1e-5));
    }

    #[test]
    fn what_is_no_member_has_no_coordinate() {
        assert_eq!(scale(json!({"int": [1, 3]})).coordinate(&json!(2.5)), None);
        assert!(scale(json!({"int": [1, 3]})).coordinate(&json!(2.0)).is_some());
        assert_eq!(scale(json!({"uniform": [0, 1]})).coordinate(&json!(1.5)), None);
        assert_eq!(scale(json!(["a"])).coordinate(&json!("b")), None);
    }
}
