//! What an evaluation can be asked for, by name.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, VariantAccess};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::{OF_EVERY_TASK, TaskMetric};
use crate::spec::decode::{Variant, from_node};
use crate::spec::vocabulary::Vocabulary;

/// The name of something that `evaluate` measures: a [`TaskMetric`] of any task that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationMetric(&'static str);

impl EvaluationMetric {
    /// Each sample with what was predicted for it, in a file.
    pub const PREDICTIONS: Self = Self("predictions");

    /// The name, as a pipeline file spells it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// All that there are, each name once.
    fn all() -> Vec<&'static TaskMetric> {
        let vocabulary = Vocabulary::current();
        let of_tasks = vocabulary.tasks().iter().flat_map(|task| task.metrics);
        let mut all: Vec<&'static TaskMetric> = Vec::new();
        for metric in of_tasks.chain(&OF_EVERY_TASK) {
            if !all.iter().any(|known| known.name == metric.name) {
                all.push(metric);
            }
        }
        all
    }
}

impl Serialize for EvaluationMetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for EvaluationMetric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_node(deserializer, |node| {
            let all = Self::all();
            let names = all.iter().map(|metric| metric.name);
            let variant = Variant::of(node, names.clone())?;
            match names.clone().find(|name| *name == variant.name()) {
                Some(name) => variant.unit_variant().map(|()| Self(name)),
                None => Err(variant.unknown(names)),
            }
            .map_err(|error| error.at(node))
        })
    }
}

impl JsonSchema for EvaluationMetric {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = |metric: &TaskMetric| json!({"type": "string", "const": metric.name, "description": metric.about});
        let names: Vec<Value> = Self::all().into_iter().map(name).collect();
        json_schema!({"oneOf": names, "description": "Something that `evaluate` measures."})
    }
}
