//! The `command` kind: any program, with declared inputs and outputs.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    pub metrics: Option<String>,
    /// Environment variables with fixed values.
    #[serde(default)]
    pub env: IndexMap<String, EnvValue>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Run {
    /// A script for `sh`.
    Script(String),
    /// A program and its arguments, without a shell.
    Program(Vec<String>),
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
