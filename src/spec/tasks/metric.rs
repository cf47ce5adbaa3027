//! What an evaluation can be asked for, by name.

use std::borrow::Cow;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, VariantAccess};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::{OF_EVERY_TASK, TaskMetric};
use crate::spec::decode::{DecodeError, Variant, from_node};
use crate::spec::vocabulary::Vocabulary;

/// Something that `evaluate` measures: a [`TaskMetric`] of any task that there is, by its name, with options where it
/// has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationMetric {
    name: &'static str,
    options: MetricDetail,
}

/// The options of a metric that has some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricDetail {
    /// None are given.
    #[default]
    None,
    /// Those of `perplexity`.
    Perplexity(PerplexityOptions),
    /// Those of `entity_f1`.
    EntityF1(EntityF1Options),
}

/// How the tokens of texts are divided into windows, within each of which a token is predicted from those before it.
/// Each token is predicted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerplexityOptions {
    /// Tokens of a window; the last one is predicted only.
    pub window: NonZeroU32,
    /// Tokens from the beginning of one window to that of the next; as `window` by default, and then the first token of
    /// each window is not predicted. The smaller it is, the more is known of what comes before, and the longer it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<NonZeroU32>,
}

/// How entities are read from the tags of words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntityF1Options {
    /// What tags mean.
    #[serde(default)]
    pub scheme: EntityScheme,
    /// What counts as an entity.
    #[serde(default)]
    pub mode: EntityMode,
}

/// What tags of words mean: a letter, a hyphen, and the entity's type; `O` is of no entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntityScheme {
    /// `B-` begins an entity and `I-` goes on with it.
    #[default]
    Iob2,
    /// As IOB2, with `E-` for the last word of an entity and `S-` for one of a single word.
    Iobes,
}

/// What counts as an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntityMode {
    /// As seqeval's default and CoNLL's script: what goes on with no entity of its type begins one.
    #[default]
    Lenient,
    /// As seqeval's `mode="strict"`: only what is tagged as the scheme has it.
    Strict,
}

impl EvaluationMetric {
    /// Each sample with what was predicted for it, in a file.
    pub const PREDICTIONS: Self = Self::plain("predictions");

    /// How fast the model answers.
    pub const SPEED: Self = Self::plain("speed");

    /// The metric `name` without options.
    pub const fn plain(name: &'static str) -> Self {
        Self {
            name,
            options: MetricDetail::None,
        }
    }

    /// The name, as a pipeline file spells it.
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Its options.
    pub fn options(self) -> MetricDetail {
        self.options
    }

    /// What is wrong with the options: the field, what, and what to do.
    pub(in crate::spec) fn mistake(self) -> Option<(&'static str, String, &'static str)> {
        let MetricDetail::Perplexity(PerplexityOptions { window, stride }) = self.options else {
            return None;
        };
        if window.get() < 2 {
            let message = "in a window of one token nothing is predicted".to_owned();
            return Some(("window", message, "make it 2 or more"));
        }
        let stride = stride.filter(|stride| *stride > window)?;
        let message = format!("windows of {window} tokens that begin every {stride} leave tokens out");
        Some(("stride", message, "make it no larger than the window"))
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

impl MetricDetail {
    /// The options of the metric `name`, where `variant` gives some.
    fn read(name: &str, variant: Variant<'_>) -> Result<Self, DecodeError> {
        match name {
            _ if !variant.has_options() => variant.unit_variant().map(|()| Self::None),
            "perplexity" => variant.options().map(Self::Perplexity),
            "entity_f1" => variant.options().map(Self::EntityF1),
            _ => variant.unit_variant().map(|()| Self::None),
        }
    }

    /// The schema of the options of the metric `name`, where it has some.
    fn schema(name: &str, generator: &mut SchemaGenerator) -> Option<Schema> {
        match name {
            "perplexity" => Some(generator.subschema_for::<PerplexityOptions>()),
            "entity_f1" => Some(generator.subschema_for::<EntityF1Options>()),
            _ => None,
        }
    }
}

impl Serialize for EvaluationMetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.options {
            MetricDetail::None => serializer.serialize_str(self.name),
            MetricDetail::Perplexity(options) => {
                serializer.serialize_newtype_variant("Metric", 0, self.name, options)
            }
            MetricDetail::EntityF1(options) => {
                serializer.serialize_newtype_variant("Metric", 1, self.name, options)
            }
        }
    }
}

impl<'de> Deserialize<'de> for EvaluationMetric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_node(deserializer, |node| {
            let all = Self::all();
            let names = all.iter().map(|metric| metric.name);
            let variant = Variant::of(node, names.clone())?;
            match names.clone().find(|name| *name == variant.name()) {
                Some(name) => MetricDetail::read(name, variant).map(|options| Self { name, options }),
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

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut choices: Vec<Value> = Vec::new();
        for metric in Self::all() {
            choices.push(json!({"type": "string", "const": metric.name, "description": metric.about}));
            if let Some(options) = MetricDetail::schema(metric.name, generator) {
                choices.push(json!({
                    "type": "object",
                    "properties": {metric.name: options},
                    "required": [metric.name],
                    "additionalProperties": false,
                    "description": metric.about,
                }));
            }
        }
        json_schema!({"oneOf": choices, "description": "Something that `evaluate` measures."})
    }
}
