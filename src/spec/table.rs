//! The `tables:` section: results as files.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A results table, written to `results/NAME.FORMAT`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Parameters that tell the rows apart; each becomes a column.
    #[serde(default)]
    pub rows: Vec<String>,
    /// Column titles and the metrics under them, as `STAGE.METRIC`.
    pub columns: IndexMap<String, MetricPath>,
    /// The files to write.
    #[serde(default = "default_formats")]
    pub formats: Vec<TableFormat>,
}

/// A metric of a stage, written `STAGE.METRIC`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String")]
pub struct MetricPath {
    /// The stage's name.
    pub stage: String,
    /// The metric's name.
    pub metric: String,
}

impl From<MetricPath> for String {
    fn from(path: MetricPath) -> Self {
        format!("{}.{}", path.stage, path.metric)
    }
}

impl<'de> Deserialize<'de> for MetricPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once('.') {
            Some((stage, metric)) if !stage.is_empty() && !metric.is_empty() => Ok(Self {
                stage: stage.to_owned(),
                metric: metric.to_owned(),
            }),
            _ => Err(serde::de::Error::custom(format!(
                "`{text}` is not a metric: STAGE.METRIC is expected, such as test.accuracy"
            ))),
        }
    }
}

/// A table's file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    /// Comma-separated values, numbers in full precision.
    Csv,
    /// A Markdown table.
    Md,
}

impl TableFormat {
    /// The file name's ending.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Md => "md",
        }
    }
}

fn default_formats() -> Vec<TableFormat> {
    vec![TableFormat::Csv, TableFormat::Md]
}
