//! Parameters whose values look otherwise in a text than where they are given.

use indexmap::IndexMap;

use super::Command;
use super::choice::Named;
use super::node::{CLOSE, Node, OPEN, Value};
use super::pipeline::Override;

/// A parameter, a number or a flag, that a text such as a command's holds otherwise than it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewrittenParameter {
    /// Its name.
    pub name: String,
    /// As it is given.
    pub given: String,
    /// As it stands in a text.
    pub text: String,
}

/// Those of `parameters` that stand in a text of `root` otherwise than in the file `source` or in `overrides`.
pub(super) fn rewritten(
    source: &str,
    root: &Node,
    parameters: &IndexMap<String, Node>,
    overrides: &[Override],
) -> Vec<RewrittenParameter> {
    let rewritten = |(name, node): (&String, &Node)| {
        let text = match &node.value {
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return None,
        };
        let set = overrides.iter().rev().find(|change| change.name == *name);
        let given = match set {
            Some(change) => change.value.trim(),
            None => source.get(node.span.offset()..node.span.offset() + node.span.len())?,
        };
        let is_other = !given.starts_with(['*', '&', '!']) && !says_the_same(given, &text);
        (is_other && is_text_in(root, name, false)).then(|| RewrittenParameter {
            name: name.clone(),
            given: given.to_owned(),
            text,
        })
    };
    parameters.iter().filter_map(rewritten).collect()
}

/// Whether whoever reads the value `given` reads the same in `text`, to the last digit: an exponent may be written out, and
/// zeros may go that say nothing.
fn says_the_same(given: &str, text: &str) -> bool {
    match (digits(given), digits(text)) {
        (Some(given), Some(text)) => given == text,
        // Flags and infinity have no digits.
        _ => given == text,
    }
}

/// The digits of a decimal number from the first one on that is not 0 to the last one that counts; nothing where it is written
/// in another way. A 0 at the end of a fraction counts where there is no exponent: `3.10` may be a version.
fn digits(number: &str) -> Option<String> {
    let number = number.strip_prefix(['-', '+']).unwrap_or(number);
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (number, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = is_decimal(whole) && is_decimal(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_is_one = exponent.is_none_or(|exponent| exponent.parse::<i32>().is_ok());
    let leads_with_zero = whole.len() > 1 && whole.starts_with('0');
    if !is_number || !exponent_is_one || leads_with_zero {
        return None;
    }
    let ends = exponent.is_none() && fraction.ends_with('0');
    let all = format!("{whole}{fraction}");
    let all = all.trim_start_matches('0');
    Some(match ends {
        true => format!("{all} and zeros"),
        false => all.trim_end_matches('0').to_owned(),
    })
}

/// Whether the parameter `name` becomes a text in `node`, and is no value of its own; `as_text` tells that values become
/// texts here.
fn is_text_in(node: &Node, name: &str, as_text: bool) -> bool {
    match &node.value {
        Value::Text(text) => {
            let mut names = text.split(OPEN).skip(1).filter_map(|rest| rest.split_once(CLOSE));
            let is_alone = text.matches(OPEN).count() == 1
                && text.strip_prefix('$').is_some_and(|rest| rest.starts_with(OPEN))
                && text.ends_with(CLOSE);
            (as_text || !is_alone) && names.any(|(inside, _)| inside.trim() == name)
        }
        Value::List(items) => items.iter().any(|item| is_text_in(item, name, as_text)),
        Value::Map(entries) => entries.iter().any(|(key, child)| {
            // The arguments and the environment of a program.
            let is_command = key.name == Command::NAME;
            let of_program = ["run", "env"].iter().filter_map(|field| child.get(field));
            let as_arguments = || is_command && of_program.clone().any(|field| is_text_in(field, name, true));
            is_text_in(child, name, as_text) || as_arguments()
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::{Override, Pipeline};

    fn told(value: &str, overrides: &[Override]) -> Option<(String, String)> {
        let source = format!(
            "params: {{n: {value}, unused: 1_0, alone: 2_0}}\nstages:\n  c: {{command: {{run: 'echo ${{n}}', outputs: [o]}}, \
             retries: '${{alone}}'}}\n"
        );
        let pipeline = Pipeline::parse(Path::new("p.yaml"), &source, overrides).expect("valid");
        let mut found = pipeline.rewritten_params.into_iter();
        let told = found.next().map(|found| {
            assert_eq!(found.name, "n");
            (found.given, found.text)
        });
        assert_eq!(found.next(), None);
        told
    }

    #[test]
    fn what_looks_otherwise_in_a_text_is_told() {
        for (given, text) in [
            ("1_000", "1000"),
            ("0x10", "16"),
            ("0o17", "15"),
            ("007", "7"),
            ("True", "true"),
            ("1.0", "1"),
            ("3.10", "3.1"),
            ("0.30", "0.3"),
            ("12345678901234567890", "12345678901234567000"),
            ("0.12345678901234567890123", "0.12345678901234568"),
        ] {
            assert_eq!(told(given, &[]), Some((given.to_owned(), text.to_owned())));
            let set = Override {
                name: "n".to_owned(),
                value: given.to_owned(),
            };
            assert_eq!(told("7", &[set]), Some((given.to_owned(), text.to_owned())));
        }
        // Texts stay as they are, and so do numbers of which nothing goes.
        for given in [
            "7",
            "-7",
            "1000",
            "0",
            "0.25",
            "1e3",
            "5e-4",
            "1.5e-4",
            "1.0e-3",
            "\"1_000\"",
            "yes",
            "true",
            "a_1",
        ] {
            assert_eq!(told(given, &[]), None, "{given}");
        }
    }

    #[test]
    fn arguments_and_variables_are_texts_too() {
        let told = |command: &str| {
            let source =
                format!("params: {{n: 1_000}}\nstages: {{c: {{command: {{{command}, outputs: [o]}}}}}}\n");
            let pipeline = Pipeline::parse(Path::new("p.yaml"), &source, &[]).expect("valid");
            pipeline.rewritten_params.len()
        };
        assert_eq!(told("run: [echo, '${n}']"), 1);
        assert_eq!(told("run: ls, env: {N: '${n}'}"), 1);
        assert_eq!(told("run: ls, env: {N: '${n}', M: x}"), 1);
        assert_eq!(told("run: ls, resume: false"), 0);
    }
}
