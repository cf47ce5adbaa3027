//! A column of a table: a metric, and how its figures are shown.

use std::fmt::{self, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A column of figures: a metric, or a metric and how it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableColumn {
    /// The metric, as `STAGE.METRIC`; where rows are stages, as `METRIC`.
    pub metric: String,
    /// What stands for a cell's values.
    pub show: Show,
    /// How numbers are written in the formats for reading.
    pub format: NumberFormat,
    /// Decimals; by default what the format has.
    pub digits: Option<u8>,
    /// The unit, for the title.
    pub unit: Option<String>,
    /// Which figure is best, and set in bold.
    pub best: Option<Best>,
    /// Whether a column of ranks follows.
    pub rank: bool,
    /// Whether a column of differences from the baseline follows.
    pub delta: bool,
    /// Whether a column of p-values of these differences follows.
    pub significance: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TableColumnFields {
    /// The metric, as `STAGE.METRIC`; where rows are stages, as `METRIC`.
    metric: String,
    /// What stands for the values of several seeds.
    #[serde(default)]
    show: Show,
    /// How numbers are written in the formats for reading.
    #[serde(default)]
    format: NumberFormat,
    /// Decimals; by default what the format has.
    #[serde(default)]
    digits: Option<u8>,
    /// The unit, for the title.
    #[serde(default)]
    unit: Option<String>,
    /// Which figure is best, and set in bold; by default as the metric's name tells.
    #[serde(default)]
    best: Option<Best>,
    /// Whether a column of ranks follows.
    #[serde(default)]
    rank: bool,
    /// Whether a column of differences from the baseline follows.
    #[serde(default)]
    delta: bool,
    /// Whether a column of p-values of these differences follows.
    #[serde(default)]
    significance: bool,
}

impl TableColumn {
    /// A column of `metric` with everything else as by default.
    pub fn of(metric: impl Into<String>) -> Self {
        Self {
            metric: metric.into(),
            show: Show::default(),
            format: NumberFormat::default(),
            digits: None,
            unit: None,
            best: None,
            rank: false,
            delta: false,
            significance: false,
        }
    }
}

impl<'de> Deserialize<'de> for TableColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TableColumnVisitor;

        impl<'de> Visitor<'de> for TableColumnVisitor {
            type Value = TableColumn;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a metric such as test.accuracy, or a mapping such as {metric: test.accuracy, show: max}",
                )
            }

            fn visit_str<E>(self, metric: &str) -> Result<TableColumn, E> {
                Ok(TableColumn::of(metric))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TableColumn, A::Error> {
                let fields = TableColumnFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                if fields.digits.is_some_and(|digits| digits > 15) {
                    return Err(de::Error::custom("`digits` is at most 15: numbers have no more"));
                }
                Ok(TableColumn {
                    metric: fields.metric,
                    show: fields.show,
                    format: fields.format,
                    digits: fields.digits,
                    unit: fields.unit,
                    best: fields.best,
                    rank: fields.rank,
                    delta: fields.delta,
                    significance: fields.significance,
                })
            }
        }

        deserializer.deserialize_any(TableColumnVisitor)
    }
}

impl JsonSchema for TableColumn {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TableColumn".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<TableColumnFields>();
        json_schema!({
            "description": "a metric such as test.accuracy, or a mapping such as {metric: test.accuracy, show: max}",
            "anyOf": [{"type": "string"}, fields]
        })
    }
}

/// What stands for the values of a cell: one a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// Their mean and, where there are several, their standard deviation: `0.9843 ± 0.0021`.
    #[default]
    MeanStd,
    /// Their mean.
    Mean,
    /// Their sample standard deviation (n - 1).
    Std,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The middle one, or the mean of the middle two.
    Median,
    /// How many there are.
    Count,
    /// Their mean and its 95 % interval by Student's t: `0.9843 [0.9791, 0.9895]`.
    Interval,
}

impl Show {
    /// Whether the figure is a mean.
    pub fn is_mean(self) -> bool {
        matches!(self, Self::MeanStd | Self::Mean | Self::Interval)
    }
}

/// How numbers are written in the formats for reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumberFormat {
    /// Whole numbers as they are; others with about five digits.
    #[default]
    Auto,
    /// A fixed number of decimals, by default four.
    Fixed,
    /// In hundredths, by default with two decimals.
    Percent,
    /// With an exponent, by default with three decimals.
    Scientific,
    /// Rounded to a whole number.
    Integer,
}

/// Which figure of a column is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Best {
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// None is.
    None,
}
