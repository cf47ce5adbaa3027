//! What the types of a command's fields do not tell to be wrong.

use std::path::Path;

use miette::SourceSpan;

use super::{CallersVariable, Command, EnvEntry, EnvValue, Run, Secret};
use crate::spec::diagnostic::Diagnostic;
use crate::spec::validate::is_inside;

/// The most bytes that Linux lets a program take in one argument or one environment variable, its end
/// included (`MAX_ARG_STRLEN`: 32 pages of 4 KiB). A longer script goes through a file.
pub const LONGEST_ARGUMENT: usize = 128 << 10;

/// Ends of the names of variables that are hardly anything but secrets.
const SECRET_ENDS: [&str; 7] = [
    "API_KEY",
    "ACCESS_KEY",
    "SECRET_KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "CREDENTIALS",
];

pub(super) fn command_mistakes(command: &Command, place: &dyn Fn(&[&str]) -> SourceSpan) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    if command.is_empty() {
        mistakes.push(Diagnostic::new("there is nothing to run", place(&["run"])));
    }
    mistakes.extend(output_mistakes(command, place));
    mistakes.extend(length_mistakes(command, place));
    if let Some(environment) = &command.environment {
        let place = |path: &[&str]| place(&[&["environment"], path].concat());
        mistakes.extend(environment.mistake(&place));
    }
    for (name, entry) in &command.env {
        let (field, what, variable) = match entry {
            EnvEntry::Secret(Secret { secret }) => ("secret", "secret", secret),
            EnvEntry::Variable(CallersVariable { variable }) => ("variable", "value", variable),
            EnvEntry::Value(_) => continue,
        };
        if !is_variable(variable) {
            mistakes.push(
                Diagnostic::new(
                    format!("`{variable}` cannot name an environment variable"),
                    place(&["env", name, field]),
                )
                .help(format!(
                    "name the variable that holds the {what}, not the {what} itself"
                )),
            );
        } else if field == "variable" && names_a_secret(variable) {
            mistakes.push(
                Diagnostic::new(
                    format!("`{variable}` seems to hold a secret, and the value of a `variable` is recorded"),
                    place(&["env", name, field]),
                )
                .help(format!(
                    "write {{secret: {variable}}}: it is part of nothing that is kept"
                )),
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
            } else if name.starts_with("ERLEN_") {
                mistakes.push(
                    Diagnostic::new(
                        format!("`{name}` is one of Erlen's own names"),
                        place(&[section, name]),
                    )
                    .help("choose a name that does not begin with ERLEN_"),
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
    mistakes
}

fn output_mistakes(command: &Command, place: &dyn Fn(&[&str]) -> SourceSpan) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
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
            let (left, right) = (Path::new(output), Path::new(other));
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
            .any(|output| Path::new(file).starts_with(output));
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
    mistakes
}

/// Arguments and values that no system lets a program take. A script may be of any length.
fn length_mistakes(command: &Command, place: &dyn Fn(&[&str]) -> SourceSpan) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    let mut tell = |what: String, bytes: usize, span: SourceSpan| {
        let message = format!(
            "{what} has {bytes} bytes, and a program can take {} of them",
            LONGEST_ARGUMENT - 1
        );
        mistakes
            .push(Diagnostic::new(message, span).help("put it into a file, and hand that over as an input"));
    };
    if let Run::Program(words) = &command.run {
        for (index, word) in words.iter().enumerate() {
            if word.len() >= LONGEST_ARGUMENT {
                let what = match index {
                    0 => "the program's name".to_owned(),
                    _ => format!("the argument {index}"),
                };
                tell(what, word.len(), place(&["run", &index.to_string()]));
            }
        }
    }
    for (name, entry) in &command.env {
        if let EnvEntry::Value(EnvValue::Text(text)) = entry
            && name.len() + text.len() + 1 >= LONGEST_ARGUMENT
        {
            tell(
                format!("the variable `{name}`"),
                text.len(),
                place(&["env", name]),
            );
        }
    }
    mistakes
}

pub(in crate::spec) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn names_a_secret(variable: &str) -> bool {
    let name = variable.to_ascii_uppercase();
    SECRET_ENDS.iter().any(|end| name.ends_with(end))
}
