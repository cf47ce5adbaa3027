//! What is searched for.

use std::fmt::{self, Formatter};

use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::metric::Direction;
use crate::spec::table::MetricPath;

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
    /// `path`, to be made better in `direction`.
    pub fn new(direction: Direction, path: MetricPath) -> Self {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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
