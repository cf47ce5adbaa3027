//! What cells of a table may hold beside plain numbers and texts: nothing, or a date.

use std::fmt::{self, Formatter};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The key that stands for all columns that are not named.
pub const OTHER_COLUMNS: &str = "default";

/// What becomes of cells that hold nothing: for all columns, or by the columns' names (in a table without
/// a header their indices), with `default` for the others. What says `mean` or `median` for all columns
/// means `mode` for those of texts.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum MissingOptions {
    /// The same for all columns.
    All(MissingPolicy),
    /// By column.
    ByColumn(IndexMap<String, MissingPolicy>),
}

/// What becomes of a cell that holds nothing. What it is filled with is found in the training split alone,
/// and kept with the dataset and the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingPolicy {
    /// The row is a bad sample.
    #[default]
    Error,
    /// The row is left out, and counted.
    Drop,
    /// Filled with the mean of the column's numbers.
    Mean,
    /// Filled with the median of the column's numbers.
    Median,
    /// Filled with what is most frequent in the column; of several, the first in order.
    Mode,
    /// Filled with a number or a text.
    Constant(CellConstant),
    /// Filled as by `mean`, of texts as by `mode`; a feature of its own, `NAME is missing`, tells which
    /// cells held nothing.
    Indicator,
}

/// A number or a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CellConstant {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// How a column of dates becomes numbers. In short a list of the parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DateOptions {
    /// The numbers that a date becomes: a feature `NAME.part` for each. None of the column of `split.order`, which
    /// needs its `format` alone.
    #[serde(default)]
    pub parts: Vec<DatePart>,
    /// How dates are written, as for `strftime`: `%d.%m.%Y`. Without it as in ISO 8601: `2026-01-31`, with
    /// or without a time. A time that names its offset or zone is taken in UTC, all parts of it; one that
    /// names none as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// A number that a date has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year.
    Year,
    /// The month, from 1.
    Month,
    /// The day of the month, from 1.
    Day,
    /// The day of the week, from 1 for Monday to 7.
    Weekday,
    /// The day of the year, from 1.
    DayOfYear,
    /// The hour, from 0 (in UTC where an offset or a zone is named).
    Hour,
    /// The minute, from 0.
    Minute,
    /// Days since the beginning of 1970, with what a time adds.
    Days,
}

impl DatePart {
    /// As a pipeline file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Weekday => "weekday",
            Self::DayOfYear => "day_of_year",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Days => "days",
        }
    }
}

impl Default for MissingOptions {
    fn default() -> Self {
        Self::All(MissingPolicy::Error)
    }
}

impl MissingOptions {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What becomes of an empty cell of the column called `name`.
    pub fn of(&self, name: &str) -> MissingPolicy {
        match self {
            Self::All(policy) => policy.clone(),
            Self::ByColumn(columns) => {
                let policy = columns.get(name).or_else(|| columns.get(OTHER_COLUMNS));
                policy.cloned().unwrap_or_default()
            }
        }
    }

    /// The columns that are named.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let columns = match self {
            Self::All(_) => None,
            Self::ByColumn(columns) => Some(columns),
        };
        let names = columns.into_iter().flat_map(IndexMap::keys).map(String::as_str);
        names.filter(|name| *name != OTHER_COLUMNS)
    }
}

impl<'de> Deserialize<'de> for MissingOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MissingVisitor;

        impl<'de> Visitor<'de> for MissingVisitor {
            type Value = MissingOptions;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a word for all columns, such as `median`, or a mapping from columns to such words",
                )
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<MissingOptions, E> {
                MissingPolicy::deserialize(word.into_deserializer()).map(MissingOptions::All)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MissingOptions, A::Error> {
                IndexMap::deserialize(MapAccessDeserializer::new(map)).map(MissingOptions::ByColumn)
            }
        }

        deserializer.deserialize_any(MissingVisitor)
    }
}

impl<'de> Deserialize<'de> for DateOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct DateFields {
            #[serde(default)]
            parts: Vec<DatePart>,
            #[serde(default)]
            format: Option<String>,
        }

        struct DateVisitor;

        impl<'de> Visitor<'de> for DateVisitor {
            type Value = DateOptions;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a list of parts such as [year, month], or `{parts: [...], format: ...}`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<DateOptions, A::Error> {
                let parts = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(DateOptions { parts, format: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DateOptions, A::Error> {
                let DateFields { parts, format } = DateFields::deserialize(MapAccessDeserializer::new(map))?;
                Ok(DateOptions { parts, format })
            }
        }

        deserializer.deserialize_any(DateVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_found_by_column() {
        let all: MissingOptions = serde_json::from_str(r#""median""#).unwrap();
        assert_eq!(all.of("x"), MissingPolicy::Median);
        let some: MissingOptions =
            serde_json::from_str(r#"{"default": "drop", "age": "mean", "kind": {"constant": "none"}}"#)
                .unwrap();
        assert_eq!(some.of("x"), MissingPolicy::Drop);
        assert_eq!(
            some.of("kind"),
            MissingPolicy::Constant(CellConstant::Text("none".into()))
        );
        assert_eq!(some.columns().collect::<Vec<_>>(), ["age", "kind"]);
        let error = serde_json::from_str::<MissingOptions>(r#""medain""#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("medain") && error.contains("median"), "{error}");
    }

    #[test]
    fn dates_have_a_short_form() {
        let short: DateOptions = serde_json::from_str(r#"["year", "weekday"]"#).unwrap();
        assert_eq!(short.parts, [DatePart::Year, DatePart::Weekday]);
        let long: DateOptions = serde_json::from_str(r#"{"parts": ["days"], "format": "%d.%m.%Y"}"#).unwrap();
        assert_eq!(long.format.as_deref(), Some("%d.%m.%Y"));
        let order: DateOptions = serde_json::from_str(r#"{"format": "%d.%m.%Y"}"#).unwrap();
        assert!(order.parts.is_empty());
        assert!(serde_json::from_str::<DateOptions>(r#"{"part": ["days"]}"#).is_err());
    }
}
