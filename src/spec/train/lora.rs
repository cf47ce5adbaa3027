//! Low-rank changes: what is trained instead of the weights.

use std::borrow::Cow;
use std::fmt::{self, Formatter};
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spec::values::{BelowOne, Positive};

/// The word for all layers but the output layer.
const ALL_LINEAR: &str = "all_linear";

/// Low-rank changes of linear layers (LoRA: Hu et al., 2021): the weights to begin with stay as they are, and what is
/// trained is `scale * B * A` beside each, with `A` of `[rank, inputs]` and `B` of `[outputs, rank]`. The output layer of a
/// task is trained in full. What is kept of the training is what was trained; the other weights stand beside it once
/// for all trainings that share them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraOptions {
    /// The rank of the changes.
    pub rank: NonZeroU32,
    /// The scale is `alpha / rank`; without it 1, whatever the rank.
    #[serde(default)]
    pub alpha: Option<Positive>,
    /// The share of a changed layer's inputs that the change does not see, anew for each sample.
    #[serde(default)]
    pub dropout: BelowOne,
    /// Which linear layers: `all_linear` (but the output layer), or the last parts of their names, such as `[query,
    /// value]`, or patterns with `*`. By default as PEFT: `c_attn` of `gpt2`, `query` and `value` (`q_lin`, `v_lin`) of
    /// `bert`, `q_proj` and `v_proj` of `llama`; of other models all but the output layer.
    #[serde(default, skip_serializing_if = "LoraTargets::is_usual")]
    pub targets: LoraTargets,
    /// Scale by `alpha / sqrt(rank)`, so that a larger rank does not learn more slowly (Kalajdzievski, 2023).
    #[serde(default)]
    pub rslora: bool,
    /// Learn the norm of each row of a changed weight on its own (DoRA: Liu et al., 2024).
    #[serde(default)]
    pub dora: bool,
    /// Other parameters that are trained in full, by patterns of their names, in which `*` stands for any text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

impl LoraOptions {
    /// What changes are multiplied by.
    pub fn scale(&self) -> f64 {
        let rank = f64::from(self.rank.get());
        let alpha = self.alpha.map_or(rank, Positive::get);
        match self.rslora {
            true => alpha / rank.sqrt(),
            false => alpha / rank,
        }
    }
}

/// Which linear layers get a low-rank change.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LoraTargets {
    /// Those that are usual for the architecture.
    #[default]
    Usual,
    /// All but the output layer.
    AllLinear,
    /// Those whose names end so.
    Named(Vec<String>),
}

impl LoraTargets {
    fn is_usual(&self) -> bool {
        *self == Self::Usual
    }
}

impl Serialize for LoraTargets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Usual => serializer.serialize_none(),
            Self::AllLinear => serializer.serialize_str(ALL_LINEAR),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LoraTargets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetsVisitor;

        impl<'de> Visitor<'de> for TargetsVisitor {
            type Value = LoraTargets;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("`all_linear`, or a list of the ends of layers' names")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<LoraTargets, E> {
                match text {
                    ALL_LINEAR => Ok(LoraTargets::AllLinear),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_unit<E: de::Error>(self) -> Result<LoraTargets, E> {
                Ok(LoraTargets::Usual)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<LoraTargets, A::Error> {
                let names: Vec<String> = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
                match names.is_empty() {
                    true => Err(de::Error::invalid_length(0, &self)),
                    false => Ok(LoraTargets::Named(names)),
                }
            }
        }

        deserializer.deserialize_any(TargetsVisitor)
    }
}

impl JsonSchema for LoraTargets {
    fn schema_name() -> Cow<'static, str> {
        "LoraTargets".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`all_linear`, or a list of the ends of layers' names",
            "anyOf": [
                {"const": ALL_LINEAR},
                {"type": "array", "items": {"type": "string"}, "minItems": 1}
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn options(value: Value) -> LoraOptions {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn scales_are_those_of_peft() {
        for (written, scale) in [
            (json!({"rank": 4, "alpha": 8}), 2.0),
            (json!({"rank": 4, "alpha": 8, "rslora": true}), 4.0),
            (json!({"rank": 64}), 1.0),
        ] {
            assert_eq!(options(written).scale(), scale);
        }
    }

    #[test]
    fn targets_are_a_word_or_names() {
        for (written, expected) in [
            (json!({"rank": 2}), LoraTargets::Usual),
            (
                json!({"rank": 2, "targets": "all_linear"}),
                LoraTargets::AllLinear,
            ),
            (
                json!({"rank": 2, "targets": ["query"]}),
                LoraTargets::Named(vec!["query".to_owned()]),
            ),
        ] {
            let read = options(written);
            assert_eq!(read.targets, expected);
            assert_eq!(options(serde_json::to_value(&read).unwrap()), read);
        }
        for wrong in [json!("all"), json!([]), json!(3)] {
            assert!(serde_json::from_value::<LoraTargets>(wrong).is_err());
        }
    }
}
