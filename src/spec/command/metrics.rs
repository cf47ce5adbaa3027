//! What a command says of its own metrics: their file, and for each which way it is better.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::metric::{Direction, MetricInfo, MetricTable};

/// The rank of the first metric that a command describes, behind what everybody knows.
const FIRST_RANK: u16 = 500;

/// The metrics of a command: a file, or a file and what is known of the metrics in it. As JSON it is
/// the file alone: what else is said changes no output and is in no key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "String")]
pub struct CommandMetrics {
    /// One of the outputs: a JSON object whose numbers become the stage's metrics.
    pub file: String,
    /// What is known of them, by name.
    pub of: IndexMap<String, MetricOptions>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CommandMetricsFields {
    /// One of the outputs: a JSON object whose numbers become the stage's metrics.
    file: String,
    /// What is known of them, by name. Never part of the stage's key.
    #[serde(default)]
    of: IndexMap<String, MetricOptions>,
}

/// What a pipeline file says of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricOptions {
    /// Which way it is better; by default as for a metric of that name that Erlen itself reports,
    /// else neither.
    #[serde(default)]
    pub better: Option<Better>,
    /// What it is measured in.
    #[serde(default)]
    pub unit: Option<String>,
    /// Its name in words.
    #[serde(default)]
    pub title: Option<String>,
}

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The larger, the better.
    Larger,
    /// The smaller, the better.
    Smaller,
    /// Neither is.
    Neither,
}

impl CommandMetrics {
    /// Adds what is said of the metrics of `stage` to `metrics`.
    pub(super) fn describe(&self, stage: &str, metrics: &mut MetricTable) {
        for (rank, (name, options)) in (FIRST_RANK..MetricInfo::LAST).zip(&self.of) {
            let info = match metrics.get(name) {
                Some(known) => known.clone(),
                None => MetricInfo::new(name.clone(), metrics.title(stage, name)).rank(rank),
            };
            metrics.add_to(stage, options.on(info));
        }
    }
}

impl MetricOptions {
    fn on(&self, mut info: MetricInfo) -> MetricInfo {
        info.from_file = true;
        match self.better {
            None => {}
            Some(Better::Larger) => info.better = Some(Direction::Maximize),
            Some(Better::Smaller) => info.better = Some(Direction::Minimize),
            Some(Better::Neither) => info.better = None,
        }
        // A command's accuracy may be in percent, whatever Erlen's own is in.
        info.unit = self.unit.clone().map(Cow::Owned);
        if let Some(title) = &self.title {
            info.title = Cow::Owned(title.clone());
        }
        info
    }
}

impl From<CommandMetrics> for String {
    fn from(metrics: CommandMetrics) -> Self {
        metrics.file
    }
}

impl<'de> Deserialize<'de> for CommandMetrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CommandMetricsVisitor;

        impl<'de> Visitor<'de> for CommandMetricsVisitor {
            type Value = CommandMetrics;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a file such as scores.json, or a mapping such as {file: scores.json, of: {bleu: {better: larger}}}",
                )
            }

            fn visit_str<E>(self, file: &str) -> Result<CommandMetrics, E> {
                Ok(CommandMetrics {
                    file: file.to_owned(),
                    of: IndexMap::new(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CommandMetrics, A::Error> {
                let fields = CommandMetricsFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(CommandMetrics {
                    file: fields.file,
                    of: fields.of,
                })
            }
        }

        deserializer.deserialize_any(CommandMetricsVisitor)
    }
}

impl JsonSchema for CommandMetrics {
    fn schema_name() -> Cow<'static, str> {
        "CommandMetrics".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<CommandMetricsFields>();
        json_schema!({
            "description": "a file such as scores.json, or a mapping such as {file: scores.json, of: {bleu: {better: larger}}}",
            "anyOf": [{"type": "string"}, fields]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_of_metrics_is_known_of_their_stage_alone() {
        let metrics: CommandMetrics = serde_json::from_value(json!({
            "file": "scores.json",
            "of": {
                "bleu": {"better": "larger", "unit": "%", "title": "BLEU"},
                "word_errors": {},
                "accuracy": {"unit": "%"},
                "loss": {"better": "neither"},
            },
        }))
        .unwrap();
        assert_eq!(serde_json::to_value(&metrics).unwrap(), json!("scores.json"));
        let mut table = MetricTable::built_in();
        metrics.describe("scores", &mut table);
        let bleu = table.of_stage("scores", "bleu").unwrap();
        assert_eq!(
            (bleu.better, bleu.unit.as_deref()),
            (Some(Direction::Maximize), Some("%"))
        );
        assert_eq!(table.title("scores", "bleu"), "BLEU");
        assert_eq!(table.title("scores", "word_errors"), "word errors");
        assert_eq!(table.better("scores", "accuracy"), Some(Direction::Maximize));
        assert_eq!(table.better("scores", "loss"), None);
        assert_eq!(table.better("other", "loss"), Some(Direction::Minimize));
        assert_eq!(table.describe("other", "bleu"), None);
        let names = ["word_errors", "bleu", "accuracy", "a"];
        assert_eq!(
            table.most_telling("scores", names.into_iter()),
            ["accuracy", "bleu", "word_errors", "a"]
        );
    }
}
