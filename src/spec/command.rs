//! The `command` kind: any program, with declared inputs and outputs.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::choice::{ChoiceOptions, Named};
use super::command_metrics::CommandMetrics;
use super::diagnostic::Diagnostic;
use super::kinds::{Accepts, Input, StageKind, keyed};
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::validate::is_inside;
use crate::metric::MetricTable;

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

impl Named for Command {
    const NAME: &'static str = "command";
}

impl StageKind for Command {
    fn inputs(&self) -> Vec<Input> {
        let input = |(name, reference): (&String, &Reference)| Input {
            role: name.clone(),
            path: vec!["inputs".to_owned(), name.clone()],
            reference: reference.clone(),
        };
        self.inputs.iter().map(input).collect()
    }

    fn accepts(&self, _: &str) -> Accepts {
        Accepts::ANY
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["inputs"]
    }

    fn key_fields(&self) -> Value {
        let mut fields = keyed(self.to_json(), self.unkeyed_fields());
        // Secrets are the only variables that are no plain values.
        if let Some(Value::Object(env)) = fields.get_mut("env") {
            env.retain(|_, value| !value.is_object());
        }
        fields
    }

    fn is_heavy(&self) -> bool {
        false
    }

    fn secrets(&self) -> Vec<&str> {
        self.env.values().filter_map(EnvEntry::secret).collect()
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        // What a program reports is known once it has run.
        self.metrics.is_none().then(Vec::new)
    }

    fn describe_metrics(&self, stage: &str, _: &IndexMap<String, Arc<StageSpec>>, known: &mut MetricTable) {
        if let Some(metrics) = &self.metrics {
            metrics.describe(stage, known);
        }
    }

    fn mistakes(
        &self,
        _: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        command_mistakes(self, &mut mistakes, place);
        mistakes
    }
}

impl Command {
    /// Whether there is nothing to run.
    fn is_empty(&self) -> bool {
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

impl EnvEntry {
    /// The environment variable that the value is taken from, if it is a secret.
    fn secret(&self) -> Option<&str> {
        match self {
            Self::Secret(secret) => Some(&secret.secret),
            Self::Value(_) => None,
        }
    }
}

/// A value that is taken from the environment that Erlen runs in, and hidden in what a program prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The environment variable that holds it.
    pub secret: String,
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

fn command_mistakes(
    command: &Command,
    mistakes: &mut Vec<Diagnostic>,
    place: impl Fn(&[&str]) -> SourceSpan,
) {
    if command.is_empty() {
        mistakes.push(Diagnostic::new("there is nothing to run", place(&["run"])));
    }
    for (index, output) in command.outputs.iter().enumerate() {
        // A place is looked for in the file only where there is something to tell.
        let span = || place(&["outputs", &index.to_string()]);
        if !is_inside(output) {
            mistakes.push(
                Diagnostic::new(
                    format!("the output `{output}` is not a path inside the stage's folder"),
                    span(),
                )
                .help("an output is a relative path without `..`"),
            );
        }
        let overlaps = command.outputs[..index].iter().any(|other| {
            let (left, right) = (std::path::Path::new(output), std::path::Path::new(other));
            left.starts_with(right) || right.starts_with(left)
        });
        if overlaps {
            mistakes.push(Diagnostic::new(
                format!("the output `{output}` overlaps an earlier one"),
                span(),
            ));
        }
    }
    if let Some(metrics) = &command.metrics {
        let file = &metrics.file;
        let declared = command
            .outputs
            .iter()
            .any(|output| std::path::Path::new(file).starts_with(output));
        if !declared {
            mistakes.push(
                Diagnostic::new(
                    format!("`{file}` is not among the outputs"),
                    // The long form has its file in a field.
                    place(&["metrics", "file"]),
                )
                .help("add it to `outputs`"),
            );
        }
    }
    for (name, entry) in &command.env {
        if let EnvEntry::Secret(Secret { secret }) = entry
            && !is_variable(secret)
        {
            mistakes.push(
                Diagnostic::new(
                    format!("`{secret}` cannot name an environment variable"),
                    place(&["env", name, "secret"]),
                )
                .help("name the variable that holds the secret, not the secret itself"),
            );
        }
    }
    for (section, names) in [
        ("inputs", command.inputs.keys().collect::<Vec<_>>()),
        ("env", command.env.keys().collect::<Vec<_>>()),
    ] {
        for name in names {
            if !is_variable(name) {
                mistakes.push(
                    Diagnostic::new(
                        format!("`{name}` cannot name an environment variable"),
                        place(&[section, name]),
                    )
                    .help("letters, digits and `_`, not beginning with a digit"),
                );
            }
            if section == "env" && command.inputs.contains_key(name) {
                mistakes.push(Diagnostic::new(
                    format!("`{name}` is both an input and a fixed value"),
                    place(&[section, name]),
                ));
            }
        }
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
