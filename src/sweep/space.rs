//! The search space: which points there are, and what they mean.

use std::collections::HashSet;

use serde_json::Value;

use super::scale::Scale;
use super::{SweepError, Values};
use crate::spec::{Constraint, Sweep, same_value};

/// A coordinate for every parameter that is used, in the order of the space.
pub(super) type Point = Vec<Option<f64>>;

/// What two equal points share.
pub(super) type PointKey = Vec<u64>;

/// The points that were taken already.
pub(super) type Taken = HashSet<PointKey>;

/// The parameters, their conditions and the constraints between them.
#[derive(Clone, Debug)]
pub(super) struct Space {
    pub(super) parameters: Vec<SpaceParameter>,
    /// The parameters' indices; what a condition is about comes before what it decides.
    order: Vec<usize>,
    constraints: Vec<Constraint>,
    /// What the pipeline file itself says, for unswept parameters that constraints speak of.
    own: Values,
}

/// One swept parameter.
#[derive(Clone, Debug)]
pub(super) struct SpaceParameter {
    pub(super) name: String,
    pub(super) scale: Scale,
    /// Parameters, and the values that they must have for this one to be used.
    when: Vec<(usize, Vec<Value>)>,
    /// Its value where it is not used.
    own: Value,
}

impl Space {
    pub(super) fn new(sweep: &Sweep, own: &Values) -> Result<Self, SweepError> {
        let mut parameters = Vec::new();
        for (name, parameter) in &sweep.params {
            let mut when = Vec::new();
            for (on, values) in &parameter.when {
                let condition = || SweepError::Condition {
                    name: name.clone(),
                    on: on.clone(),
                };
                let index = sweep.params.get_index_of(on).ok_or_else(condition)?;
                when.push((index, values.0.clone()));
            }
            parameters.push(SpaceParameter {
                name: name.clone(),
                scale: Scale::new(&parameter.domain)
                    .ok_or_else(|| SweepError::LongRange { name: name.clone() })?,
                when,
                own: own
                    .get(name)
                    .cloned()
                    .ok_or_else(|| SweepError::NoValue { name: name.clone() })?,
            });
        }
        Ok(Self {
            order: order(&parameters)?,
            parameters,
            constraints: sweep.constraints.clone(),
            own: own.clone(),
        })
    }

    /// Values with the coordinates that `choose` gives for the parameters that are used, whose
    /// indices it is asked for.
    pub(super) fn choose(&self, mut choose: impl FnMut(usize) -> f64) -> Point {
        let mut point: Point = vec![None; self.parameters.len()];
        for &index in &self.order {
            if self.is_used(index, &point) {
                point[index] = Some(choose(index));
            }
        }
        point
    }

    /// Whether the conditions of a parameter hold, given the coordinates of those before it.
    fn is_used(&self, index: usize, point: &Point) -> bool {
        self.parameters[index].when.iter().all(|(on, wanted)| {
            point[*on].is_some_and(|coordinate| {
                let value = self.parameters[*on].scale.value(coordinate);
                wanted.iter().any(|wanted| same_value(wanted, &value))
            })
        })
    }

    /// Whether no parameter has a condition, and there is no constraint.
    pub(super) fn is_plain(&self) -> bool {
        self.constraints.is_empty() && self.parameters.iter().all(|parameter| parameter.when.is_empty())
    }

    /// The values of a point.
    pub(super) fn values(&self, point: &Point) -> Values {
        self.parameters
            .iter()
            .zip(point)
            .map(|(parameter, coordinate)| {
                let value = match coordinate {
                    Some(coordinate) => parameter.scale.value(*coordinate),
                    None => parameter.own.clone(),
                };
                (parameter.name.clone(), value)
            })
            .collect()
    }

    /// The point that has these values; none where they are not (or no longer) in the space.
    pub(super) fn point(&self, values: &Values) -> Option<Point> {
        if values.len() != self.parameters.len() {
            return None;
        }
        let mut point: Point = vec![None; self.parameters.len()];
        for &index in &self.order {
            let parameter = &self.parameters[index];
            let value = values.get(&parameter.name)?;
            if self.is_used(index, &point) {
                point[index] = Some(parameter.scale.coordinate(value)?);
            } else if !same_value(value, &parameter.own) {
                return None;
            }
        }
        Some(point)
    }

    /// The index of the first constraint that `values` break.
    pub(super) fn broken(&self, values: &Values) -> Option<usize> {
        if self.constraints.is_empty() {
            return None;
        }
        let mut all = self.own.clone();
        all.extend(values.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.broken_by_all(&all)
    }

    /// The same, where `all` holds a value for every parameter of the pipeline.
    pub(super) fn broken_by_all(&self, all: &Values) -> Option<usize> {
        self.constraints
            .iter()
            .position(|constraint| !constraint.holds(all))
    }

    /// The parameters' indices; what a condition is about comes before what it decides.
    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    /// The values of the pipeline file itself.
    pub(super) fn own(&self) -> &Values {
        &self.own
    }

    /// What equal points share.
    pub(super) fn key(&self, point: &Point) -> PointKey {
        let snapped = |(parameter, coordinate): (&SpaceParameter, &Option<f64>)| match coordinate {
            Some(at) => {
                let value = parameter.scale.value(*at);
                parameter.scale.coordinate(&value).unwrap_or(*at).to_bits()
            }
            None => u64::MAX,
        };
        self.parameters.iter().zip(point).map(snapped).collect()
    }
}

impl SpaceParameter {
    /// Parameters by index, and the values that they must have for this one to be used.
    pub(super) fn conditions(&self) -> &[(usize, Vec<Value>)] {
        &self.when
    }
}

/// The parameters' indices, in their own order as far as conditions allow.
fn order(parameters: &[SpaceParameter]) -> Result<Vec<usize>, SweepError> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < parameters.len() {
        let waiting = |index: usize| parameters[index].when.iter().find(|(on, _)| !order.contains(on));
        let ready = (0..parameters.len()).find(|&index| !order.contains(&index) && waiting(index).is_none());
        let Some(ready) = ready else {
            let stuck = (0..parameters.len()).find_map(|index| Some((index, waiting(index)?.0)));
            let (name, on) = stuck.unwrap_or_default();
            return Err(SweepError::Condition {
                name: parameters[name].name.clone(),
                on: parameters[on].name.clone(),
            });
        };
        order.push(ready);
    }
    Ok(order)
}

/// How often each constraint was broken by points that were tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken {
    tried: u64,
    by: Vec<u64>,
}

impl Broken {
    /// Counts a point; whether it breaks no constraint.
    pub(super) fn count(&mut self, broken: Option<usize>) -> bool {
        self.tried += 1;
        if let Some(index) = broken {
            self.by.resize(self.by.len().max(index + 1), 0);
            self.by[index] += 1;
        }
        broken.is_none()
    }

    /// Whether every point that was tried breaks a constraint.
    pub(super) fn always(&self) -> bool {
        self.tried > 0 && self.by.iter().sum::<u64>() == self.tried
    }

    /// The error that says so.
    pub(super) fn error(&self, space: &Space) -> SweepError {
        let most = (0..self.by.len()).max_by_key(|&index| (self.by[index], usize::MAX - index));
        let constraint = most.and_then(|index| {
            let constraint = space.constraints.get(index)?;
            Some(format!("`{}`", readable(constraint)))
        });
        SweepError::Constraints {
            tried: self.tried,
            broken: most.map_or(0, |index| self.by[index]),
            constraint: constraint.unwrap_or_else(|| "one of them".to_owned()),
        }
    }
}

/// A constraint as it is written in a pipeline file.
fn readable(constraint: &Constraint) -> String {
    fn write(value: &Value) -> String {
        match value {
            Value::Object(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| format!("{name}: {}", write(value)))
                    .collect();
                format!("{{{}}}", fields.join(", "))
            }
            Value::Array(items) => format!("[{}]", items.iter().map(write).collect::<Vec<_>>().join(", ")),
            Value::String(text) => text.clone(),
            Value::Number(number) => match number.as_f64() {
                Some(value) if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
                _ => number.to_string(),
            },
            other => other.to_string(),
        }
    }
    serde_json::to_value(constraint).map_or_else(|_| "a constraint".to_owned(), |value| write(&value))
}
