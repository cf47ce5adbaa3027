//! The `command` kind: any program, with declared inputs and outputs.

mod check;
mod env;
mod environment;
mod metrics;

pub use check::LONGEST_ARGUMENT;
pub(super) use check::is_variable;
pub use env::{CallersVariable, EnvEntry, EnvValue, PASSED_VARIABLES, Secret, is_passed};
pub use environment::{
    CondaEnvironment, ContainerEngine, ContainerEnvironment, Environment, PythonEnvironment,
};
pub use metrics::{Better, CommandMetrics, MetricOptions};

use std::fmt::{self, Formatter};
use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::choice::{ChoiceOptions, Named};
use super::diagnostic::Diagnostic;
use super::kinds::{Accepts, Input, StageKind, keyed};
use super::pipeline::StageSpec;
use super::reference::Reference;
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
    /// Environment variables with fixed values, the caller's variables that count, and secrets. Of the
    /// caller's other variables only a short list reaches a command: PATH, HOME, LANG and what else says where
    /// things lie.
    #[serde(default)]
    pub env: IndexMap<String, EnvEntry>,
    /// Where it runs: a Python interpreter or virtual environment, a conda environment, a container image. What
    /// its lock file says is part of the key, or the image's digest; of a Python interpreter its version where
    /// `version` names one.
    #[serde(default)]
    pub environment: Option<Environment>,
    /// Whether it draws random numbers: then it finds its seed in `ERLEN_SEED`, and the seed is part of its
    /// key. A command that speaks of `${seed}` draws, whatever this says.
    #[serde(default)]
    pub draws: bool,
    /// Whether it can go on where it was interrupted: then `ERLEN_RESUME` names a folder that stays from try
    /// to try, until the stage has its result. What it gives must not depend on how often it was
    /// interrupted.
    #[serde(default)]
    pub resume: bool,
}

impl Named for Command {
    const NAME: &'static str = "command";
}

/// The history of what commands are: version 2 gives them only those of the caller's variables that they
/// declare or that [`PASSED_VARIABLES`] lists, copies of small inputs of the project with nothing of the
/// project around them, and takes what is not a number for a figure.
impl StageKind for Command {
    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Vec<Input> {
        let input = |(name, reference): (&String, &Reference)| Input {
            role: name.clone(),
            path: vec!["inputs".to_owned(), name.clone()],
            reference: reference.clone(),
        };
        let mut inputs: Vec<Input> = self.inputs.iter().map(input).collect();
        let lock = self.environment.as_ref().and_then(Environment::lock);
        inputs.extend(lock.map(|(reference, kind)| Input {
            role: Environment::LOCK.to_owned(),
            path: ["environment", kind, "lock"].map(str::to_owned).to_vec(),
            reference: reference.clone(),
        }));
        inputs
    }

    fn accepts(&self, _: &str) -> Accepts {
        Accepts::ANY
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["inputs", "environment", "draws", "resume"]
    }

    fn key_fields(&self) -> Value {
        let mut fields = keyed(self.to_json(), self.unkeyed_fields());
        if let Some(Value::Object(env)) = fields.get_mut("env") {
            env.retain(|name, value| match &self.env[name] {
                EnvEntry::Value(_) => true,
                EnvEntry::Secret(_) => false,
                EnvEntry::Variable(variable) => {
                    // What a variable holds counts as if it were written here.
                    *value = variable.value().map_or(Value::Null, Value::String);
                    true
                }
            });
        }
        if let (Value::Object(fields), Some(environment)) = (&mut fields, &self.environment) {
            fields.insert("environment".to_owned(), environment.key());
        }
        fields
    }

    fn draws(&self) -> bool {
        self.draws
    }

    fn keeps_unfinished(&self) -> bool {
        self.resume
    }

    fn lays_out_files(&self) -> bool {
        true
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
        check::command_mistakes(self, place)
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
