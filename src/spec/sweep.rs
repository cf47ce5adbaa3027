//! The `sweep:` section: a search space over the parameters, how it is searched, and for what.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::num::NonZeroU32;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::table::MetricPath;
use super::table_rows::same_value;
use super::values::{Positive, Span};

/// Many runs of the same pipeline, each with other values of some parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The swept parameters and the values that each may take. A list means one of its members.
    pub params: IndexMap<String, Parameter>,
    /// What every trial's values must fulfil.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// How many seeds each trial is run with: the pipeline's seed and those that follow it.
    #[serde(default = "one")]
    pub replicates: NonZeroU32,
    /// How the space is searched.
    #[serde(default)]
    pub search: Search,
    /// What is searched for. Several objectives give a Pareto front.
    #[serde(default)]
    pub objective: Objectives,
    /// When a trial that does badly is stopped before its last epoch.
    #[serde(default)]
    pub prune: Option<Prune>,
    /// How many trials may run at once, as far as the machine's resources allow. By default one
    /// where later trials learn from earlier ones (a search that learns knows so many fewer of
    /// them), else as many as the resources allow.
    #[serde(default)]
    pub parallel: Option<NonZeroU32>,
    /// How long new trials may be started for, counted from the start of each call.
    #[serde(default)]
    pub time: Option<Span>,
}

impl Sweep {
    /// What the pruner judges by: the metric that it names, else the only objective. A metric that
    /// is no objective is better when larger, unless it is a loss.
    pub fn judged(&self) -> Option<Objective> {
        match (self.prune.as_ref()?.metric(), self.objective.0.as_slice()) {
            (Some(metric), objectives) => {
                let named = objectives.iter().find(|objective| objective.path() == metric);
                Some(named.cloned().unwrap_or_else(|| {
                    if metric.metric.ends_with("loss") {
                        Objective::Minimize(metric.clone())
                    } else {
                        Objective::Maximize(metric.clone())
                    }
                }))
            }
            (None, [objective]) => Some(objective.clone()),
            (None, _) => None,
        }
    }
}

/// A swept parameter: its domain, and the condition under which it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
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
    fn into_parameter(self) -> Result<Parameter, String> {
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
            (Some(domain), true) => Ok(Parameter {
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

impl Parameter {
    /// Reads a parameter as it is written in a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())
    }
}

impl Serialize for Parameter {
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

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParameterVisitor;

        impl<'de> Visitor<'de> for ParameterVisitor {
            type Value = Parameter;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values, or a domain such as {log_uniform: [0.001, 1]}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Parameter, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element()? {
                    values.push(value);
                }
                Ok(Parameter {
                    domain: choice(values).map_err(de::Error::custom)?,
                    when: IndexMap::new(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Parameter, A::Error> {
                let fields = ParameterFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                fields.into_parameter().map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(ParameterVisitor)
    }
}

impl JsonSchema for Parameter {
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

/// How the space is searched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// Every combination, in order.
    Grid(Grid),
    /// Independent draws.
    Random(Trials),
    /// A Sobol sequence: draws that fill the space evenly.
    Sobol(Trials),
    /// Tree-structured Parzen estimators: draws near what did well.
    Tpe(Tpe),
    /// Covariance matrix adaptation, for numbers only.
    CmaEs(CmaEs),
}

impl Default for Search {
    fn default() -> Self {
        Self::Grid(Grid {})
    }
}

impl Search {
    /// The name, as it is written in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Grid(_) => "grid",
            Self::Random(_) => "random",
            Self::Sobol(_) => "sobol",
            Self::Tpe(_) => "tpe",
            Self::CmaEs(_) => "cma_es",
        }
    }

    /// How many trials are wanted; none where the space decides.
    pub fn trials(&self) -> Option<u32> {
        match self {
            Self::Grid(_) => None,
            Self::Random(options) | Self::Sobol(options) => Some(options.trials.get()),
            Self::Tpe(options) => Some(options.trials.get()),
            Self::CmaEs(options) => Some(options.trials.get()),
        }
    }
}

/// The grid has no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grid {}

/// How many trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trials {
    /// How many trials.
    #[serde(default = "default_trials")]
    pub trials: NonZeroU32,
}

/// Options of the tree-structured Parzen estimators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tpe {
    /// How many trials.
    #[serde(default = "default_trials")]
    pub trials: NonZeroU32,
    /// How many of them are drawn before the estimators take over.
    #[serde(default = "default_startup")]
    pub startup: u32,
    /// How many candidates each estimate is chosen from.
    #[serde(default = "default_candidates")]
    pub candidates: NonZeroU32,
}

/// Options of the covariance matrix adaptation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CmaEs {
    /// How many trials.
    #[serde(default = "default_trials")]
    pub trials: NonZeroU32,
    /// Trials a generation; by default 4 + 3 ln(number of parameters).
    #[serde(default)]
    pub population: Option<NonZeroU32>,
    /// The first step's size, as a share of each parameter's range.
    #[serde(default = "default_sigma")]
    pub sigma: Positive,
}

/// What is searched for: one objective, or a list of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "ObjectivesSchema")]
pub struct Objectives(pub Vec<Objective>);

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes what `Objectives` reads, for the schema")]
enum ObjectivesSchema {
    One(Objective),
    Many(Vec<Objective>),
}

impl<'de> Deserialize<'de> for Objectives {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectivesVisitor;

        impl<'de> Visitor<'de> for ObjectivesVisitor {
            type Value = Objectives;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("an objective such as {maximize: model.val_accuracy}, or a list of them")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Objectives, A::Error> {
                let mut objectives = Vec::new();
                while let Some(objective) = items.next_element()? {
                    objectives.push(objective);
                }
                Ok(Objectives(objectives))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Objectives, A::Error> {
                let mut objectives = Vec::new();
                while let Some((direction, path)) = map.next_entry::<Direction, MetricPath>()? {
                    objectives.push(Objective::new(direction, path));
                }
                if objectives.len() > 1 {
                    return Err(de::Error::custom("several objectives are written as a list"));
                }
                Ok(Objectives(objectives))
            }
        }

        deserializer.deserialize_any(ObjectivesVisitor)
    }
}

/// A metric to be made as large or as small as possible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The larger, the better.
    Maximize(MetricPath),
    /// The smaller, the better.
    Minimize(MetricPath),
}

impl Objective {
    fn new(direction: Direction, path: MetricPath) -> Self {
        match direction {
            Direction::Maximize => Self::Maximize(path),
            Direction::Minimize => Self::Minimize(path),
        }
    }

    /// The metric.
    pub fn path(&self) -> &MetricPath {
        match self {
            Self::Maximize(path) | Self::Minimize(path) => path,
        }
    }

    /// Which way is better.
    pub fn direction(&self) -> Direction {
        match self {
            Self::Maximize(_) => Direction::Maximize,
            Self::Minimize(_) => Direction::Minimize,
        }
    }
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The larger, the better.
    Maximize,
    /// The smaller, the better.
    Minimize,
}

impl Direction {
    /// Whether `left` is better than `right`; nothing is better than itself, and what is no number
    /// is worse than every number.
    pub fn is_better(self, left: f64, right: f64) -> bool {
        self.loss(left) < self.loss(right)
    }

    /// `value` as something to be made small; what is no number is the largest.
    pub fn loss(self, value: f64) -> f64 {
        match self {
            _ if value.is_nan() => f64::INFINITY,
            Self::Maximize => -value,
            Self::Minimize => value,
        }
    }
}

/// When a trial that does badly is stopped before its last epoch. It is judged by its first
/// replicate; the others are run once that one has come to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prune {
    /// Asynchronous successive halving: the best share of the trials at each rung goes on.
    Asha(Asha),
    /// A trial that is worse than the median of the earlier ones at the same epoch.
    Median(Median),
    /// A trial that has not improved for a while.
    Patience(Patience),
}

impl Prune {
    /// The metric that is judged, where it is not the objective.
    pub fn metric(&self) -> Option<&MetricPath> {
        match self {
            Self::Asha(options) => options.metric.as_ref(),
            Self::Median(options) => options.metric.as_ref(),
            Self::Patience(options) => options.metric.as_ref(),
        }
    }
}

/// Options of asynchronous successive halving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asha {
    /// Epochs to the first rung.
    #[serde(default = "one")]
    pub min_epochs: NonZeroU32,
    /// Each rung is this many times as far as the one before, and one in so many trials goes on.
    #[serde(default = "default_reduction")]
    pub reduction: NonZeroU32,
    /// A figure of a training's epochs; by default the objective.
    #[serde(default)]
    pub metric: Option<MetricPath>,
}

/// Options of the median rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Median {
    /// Epochs that every trial gets.
    #[serde(default = "one")]
    pub min_epochs: NonZeroU32,
    /// Trials that run to their end before any is stopped.
    #[serde(default = "default_median_startup")]
    pub startup: u32,
    /// A figure of a training's epochs; by default the objective.
    #[serde(default)]
    pub metric: Option<MetricPath>,
}

/// Options of the patience rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patience {
    /// Epochs without an improvement after which a trial is stopped.
    pub epochs: NonZeroU32,
    /// A figure of a training's epochs; by default the objective.
    #[serde(default)]
    pub metric: Option<MetricPath>,
}

/// When a training pauses although its recipe goes on. Says how far to run a stage now, and is
/// never part of a key: a paused training keeps its checkpoint and can be continued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLimits {
    /// The figure of the epochs that is judged, such as `val_accuracy`.
    pub metric: String,
    /// Which way it is better.
    pub direction: Direction,
    /// Pause after this many epochs in all.
    pub until: Option<u32>,
    /// Pause after the epoch (from 1) if the best value up to it is worse than this.
    #[serde(with = "by_epoch")]
    pub worse_than: BTreeMap<u32, f64>,
    /// Pause once the best value is this many epochs old.
    pub patience: Option<u32>,
}

/// Limits by epoch as pairs, with the bits of each number: JSON has neither numbers as keys nor
/// every number as a value.
mod by_epoch {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(limits: &BTreeMap<u32, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs: Vec<(u32, u64)> = limits
            .iter()
            .map(|(epoch, limit)| (*epoch, limit.to_bits()))
            .collect();
        pairs.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u32, f64>, D::Error> {
        let pairs = Vec::<(u32, u64)>::deserialize(deserializer)?;
        let limits = pairs
            .into_iter()
            .map(|(epoch, bits)| (epoch, f64::from_bits(bits)));
        Ok(limits.collect())
    }
}

impl EpochLimits {
    /// Whether a training with these figures of its epochs so far is to pause.
    pub fn pause(&self, values: &[f64]) -> bool {
        let epoch = u32::try_from(values.len()).unwrap_or(u32::MAX);
        if self.until.is_some_and(|until| epoch >= until) {
            return true;
        }
        let losses = values.iter().map(|value| self.direction.loss(*value));
        let best = losses
            .enumerate()
            .min_by(|left, right| left.1.total_cmp(&right.1));
        let Some((at, best)) = best else { return false };
        let limit = self.worse_than.get(&epoch);
        let age = epoch - 1 - u32::try_from(at).unwrap_or(u32::MAX);
        limit.is_some_and(|limit| best > self.direction.loss(*limit))
            || self.patience.is_some_and(|patience| age >= patience)
    }
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn number(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN)
}

fn default_trials() -> NonZeroU32 {
    number(20)
}

fn default_startup() -> u32 {
    10
}

fn default_candidates() -> NonZeroU32 {
    number(24)
}

fn default_sigma() -> Positive {
    Positive::new(0.3).expect("0.3 is positive")
}

fn default_reduction() -> NonZeroU32 {
    number(3)
}

fn default_median_startup() -> u32 {
    5
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn domain(value: Value) -> Result<Domain, String> {
        Parameter::from_json(&value).map(|parameter| parameter.domain)
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
            let parameter = Parameter::from_json(&text).unwrap();
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

    #[test]
    fn limits_pause_when_they_should() {
        let limits = EpochLimits {
            metric: "val_loss".into(),
            direction: Direction::Minimize,
            until: Some(5),
            worse_than: BTreeMap::from([(2, 0.5)]),
            patience: Some(2),
        };
        assert!(!limits.pause(&[0.9]));
        assert!(limits.pause(&[0.9, 0.6]), "worse than the limit at epoch 2");
        assert!(!limits.pause(&[0.9, 0.5]), "as good as the limit");
        assert!(!limits.pause(&[0.9, 0.5, 0.6]));
        assert!(
            limits.pause(&[0.9, 0.5, 0.6, 0.5]),
            "two epochs without a better one"
        );
        assert!(limits.pause(&[0.9, 0.5, 0.4, 0.3, 0.2]), "the last epoch allowed");
        let none = EpochLimits {
            until: None,
            patience: None,
            ..limits
        };
        assert!(
            none.pause(&[f64::NAN, f64::NAN]),
            "what is no number is worse than any limit"
        );
    }

    #[test]
    fn objectives_are_one_or_many() {
        let read = |value: Value| serde_json::from_value::<Objectives>(value);
        let one = read(json!({"maximize": "m.val_accuracy"})).unwrap();
        assert_eq!(one.0[0].direction(), Direction::Maximize);
        let two = read(json!([{"minimize": "m.a"}, {"maximize": "m.b"}])).unwrap();
        assert_eq!(two.0.len(), 2);
        assert_eq!(two.0[1].path().metric, "b");
        assert!(read(json!({"maximize": "m.a", "minimize": "m.b"})).is_err());
    }
}
