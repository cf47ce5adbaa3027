//! How much each class counts in the loss.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spec::diagnostic::nearest;
use crate::spec::mistake::Mistake;
use crate::spec::values::NonNegative;

/// The word for weights that are measured.
const BALANCED: &str = "balanced";

/// How much each class counts in the loss.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeights {
    /// So that all classes count the same in sum: `samples / (classes * samples of the class)` over the
    /// training split, as scikit-learn's `class_weight="balanced"`.
    Balanced,
    /// By the classes' names; the others have 1.
    ByName(IndexMap<String, NonNegative>),
    /// In the classes' order.
    InOrder(Vec<NonNegative>),
}

impl ClassWeights {
    /// The weights as far as they are written, not measured.
    fn written(&self) -> Vec<f64> {
        match self {
            Self::Balanced => Vec::new(),
            Self::ByName(weights) => weights.values().map(|weight| weight.get()).collect(),
            Self::InOrder(weights) => weights.iter().map(|weight| weight.get()).collect(),
        }
    }

    /// What is wrong with them, whatever the data.
    pub(super) fn mistake(&self) -> Option<Mistake> {
        let written = self.written();
        let nothing = !written.is_empty() && written.iter().all(|weight| *weight == 0.0);
        // Classes that are not named count.
        let nothing = nothing && matches!(self, Self::InOrder(_));
        nothing.then(|| {
            Mistake::new([""; 0], "every one of `class_weights` is 0")
                .help("give the classes that count more than 0")
        })
    }

    /// The named classes that are not among `classes`.
    pub(super) fn foreign(&self, classes: &[String]) -> Vec<Mistake> {
        let Self::ByName(weights) = self else {
            return Vec::new();
        };
        let foreign = weights.keys().filter(|name| !classes.contains(name));
        let tell = |name: &String| {
            let near = nearest(name, classes.iter().map(String::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the classes are {}", super::shortened(classes)),
            };
            Mistake::new([name.as_str()], format!("there is no class `{name}`")).help(help)
        };
        foreign.map(tell).collect()
    }

    /// These weights, in the classes' order; what is no weight counts as 0.
    pub fn in_order(weights: Vec<f64>) -> Self {
        let weights = weights
            .into_iter()
            .map(|weight| NonNegative::new(weight).unwrap_or_default());
        Self::InOrder(weights.collect())
    }

    /// A weight for each of `classes`, of which the training split has so many samples.
    pub fn of(&self, classes: &[String], samples: &[u64]) -> Vec<f64> {
        match self {
            Self::InOrder(_) => self.written(),
            Self::ByName(weights) => {
                let weight = |name: &String| weights.get(name).map_or(1.0, |weight| weight.get());
                classes.iter().map(weight).collect()
            }
            Self::Balanced => {
                let present = samples.iter().filter(|count| **count > 0).count();
                let total: u64 = samples.iter().sum();
                let weight = |&count: &u64| match count {
                    0 => 1.0,
                    count => total as f64 / (present as f64 * count as f64),
                };
                samples.iter().map(weight).collect()
            }
        }
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Balanced => serializer.serialize_str(BALANCED),
            Self::ByName(weights) => weights.serialize(serializer),
            Self::InOrder(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClassWeightsVisitor;

        impl<'de> Visitor<'de> for ClassWeightsVisitor {
            type Value = ClassWeights;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("`balanced`, a weight for each class by its name, or a list of weights")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ClassWeights, E> {
                match text {
                    BALANCED => Ok(ClassWeights::Balanced),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<ClassWeights, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(ClassWeights::InOrder)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClassWeights, A::Error> {
                IndexMap::deserialize(MapAccessDeserializer::new(map)).map(ClassWeights::ByName)
            }
        }

        deserializer.deserialize_any(ClassWeightsVisitor)
    }
}

impl JsonSchema for ClassWeights {
    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let weight = generator.subschema_for::<NonNegative>();
        json_schema!({
            "description": "`balanced`, a weight for each class by its name, or a list in the classes' order",
            "anyOf": [
                {"const": BALANCED},
                {"type": "object", "additionalProperties": weight},
                {"type": "array", "items": weight}
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn weights(value: Value) -> ClassWeights {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn weights_by_rule_name_and_order() {
        let classes = ["no", "yes", "maybe"].map(str::to_owned);
        for (written, expected) in [
            // scikit-learn 1.9: compute_class_weight("balanced", ...) of 6, 3 and 1 samples.
            (json!("balanced"), [10.0 / 18.0, 10.0 / 9.0, 10.0 / 3.0]),
            (json!({"maybe": 4.0, "no": 0.0}), [0.0, 1.0, 4.0]),
            (json!([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]),
        ] {
            let read = weights(written.clone());
            assert_eq!(read.of(&classes, &[6, 3, 1]), expected);
            assert_eq!(serde_json::to_value(&read).unwrap(), written);
            assert!(read.foreign(&classes).is_empty() && read.mistake().is_none());
        }
        let foreign = weights(json!({"yess": 1})).foreign(&classes);
        assert_eq!(foreign[0].message, "there is no class `yess`");
        assert_eq!(foreign[0].help.as_deref(), Some("did you mean `yes`?"));
        assert!(weights(json!([0, 0])).mistake().is_some());
        for wrong in [json!("even"), json!(3), json!([-1.0]), json!({"a": "b"})] {
            assert!(serde_json::from_value::<ClassWeights>(wrong).is_err());
        }
    }
}
