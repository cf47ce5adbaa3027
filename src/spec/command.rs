//! The `command` kind: any program, with declared inputs and outputs.

use std::fmt::{self, Display, Formatter};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::command_metrics::CommandMetrics;
use super::reference::Reference;

/// Runs a program in an empty folder. Inputs come as paths in environment variables; outputs are
/// what it leaves under the declared paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// A script for `sh`, or a program and its arguments.
    pub run: Run,
    /// Environment variables that hold the paths of inputs.
    #[serde(default)]
    pub inputs: IndexMap<String, Reference>,
    /// Files and folders that the program makes, relative to the folder it runs in.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// One of the outputs: a JSON object whose numbers become the stage's metrics.
    #[serde(default)]
    pub metrics: Option<CommandMetrics>,
    /// Environment variables with fixed values, and secrets.
    #[serde(default)]
    pub env: IndexMap<String, EnvEntry>,
}

impl Command {
    /// Whether there is nothing to run.
    pub(super) fn is_empty(&self) -> bool {
        match &self.run {
            Run::Script(script) => script.trim().is_empty(),
            Run::Program(words) => words.first().is_none_or(|program| program.is_empty()),
        }
    }
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Run {
    /// A script for `sh`.
    Script(String),
    /// A program and its arguments, without a shell.
    Program(#[schemars(with = "Vec<EnvValue>")] Vec<String>),
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RunVisitor;

        impl<'de> Visitor<'de> for RunVisitor {
            type Value = Run;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a script, or a list of a program and its arguments")
            }

            fn visit_str<E>(self, script: &str) -> Result<Run, E> {
                Ok(Run::Script(script.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Run, A::Error> {
                let mut program = Vec::new();
                while let Some(word) = words.next_element::<EnvValue>()? {
                    program.push(word.to_string());
                }
                Ok(Run::Program(program))
            }
        }

        deserializer.deserialize_any(RunVisitor)
    }
}

/// What an environment variable holds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvEntry {
    /// A value, part of the stage's key.
    Value(EnvValue),
    /// A secret, part of nothing that is kept.
    Secret(Secret),
}

/// A value that is taken from the environment that Erlen runs in, and hidden in what a program prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The environment variable that holds it.
    pub secret: String,
}

impl Command {
    /// The environment variables that its secrets are taken from.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.env.values().filter_map(|entry| match entry {
            EnvEntry::Secret(secret) => Some(secret.secret.as_str()),
            EnvEntry::Value(_) => None,
        })
    }
}

impl<'de> Deserialize<'de> for EnvEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;

        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = EnvEntry;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false, or {secret: VARIABLE}")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<EnvEntry, E> {
                ValueVisitor.visit_bool(value).map(EnvEntry::Value)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<EnvEntry, E> {
                ValueVisitor.visit_i64(value).map(EnvEntry::Value)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<EnvEntry, E> {
                ValueVisitor.visit_u64(value).map(EnvEntry::Value)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<EnvEntry, E> {
                ValueVisitor.visit_f64(value).map(EnvEntry::Value)
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<EnvEntry, E> {
                ValueVisitor.visit_str(value).map(EnvEntry::Value)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EnvEntry, A::Error> {
                Secret::deserialize(MapAccessDeserializer::new(map)).map(EnvEntry::Secret)
            }
        }

        deserializer.deserialize_any(EntryVisitor)
    }
}

/// The value of an environment variable, or a word of a command.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
}

impl Display for EnvValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = EnvValue;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false")
    }

    fn visit_bool<E>(self, value: bool) -> Result<EnvValue, E> {
        Ok(EnvValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<EnvValue, E> {
        Ok(EnvValue::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<EnvValue, E> {
        Ok(i64::try_from(value).map_or(EnvValue::Float(value as f64), EnvValue::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<EnvValue, E> {
        Ok(EnvValue::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<EnvValue, E> {
        Ok(EnvValue::Text(value.to_owned()))
    }
}
