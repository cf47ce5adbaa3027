//! Parameters take the place of `${name}`.

use std::sync::Arc;

use indexmap::IndexMap;

use super::diagnostic::{Diagnostic, suggest};
use super::node::{CLOSE, Key, Node, OPEN, Value};

/// Replaces every `${name}` in `node`. A scalar that is nothing but `${name}` becomes the
/// parameter's value with its type; inside a longer text, the parameter's text is put in.
pub(super) fn interpolate(
    node: &mut Node,
    parameters: &IndexMap<String, Node>,
    mistakes: &mut Vec<Diagnostic>,
) {
    match &mut node.value {
        Value::List(items) if items.iter().any(speaks_of_parameters) => {
            for item in Arc::make_mut(items) {
                interpolate(item, parameters, mistakes);
            }
        }
        Value::Map(entries) if entries.iter().any(entry_speaks_of_parameters) => {
            for (key, value) in Arc::make_mut(entries) {
                if key.name.contains(OPEN) {
                    mistakes.push(
                        Diagnostic::new("a parameter cannot stand in a field's name", key.span)
                            .help("parameters stand for values"),
                    );
                }
                interpolate(value, parameters, mistakes);
            }
        }
        Value::Text(text) if text_speaks_of_parameters(text) => match substitute(text, parameters) {
            Ok((value, parameter)) => {
                node.value = value;
                node.parameter = parameter;
            }
            Err(problem) => mistakes.push(Diagnostic {
                span: Some(node.span),
                ..problem
            }),
        },
        _ => {}
    }
}

/// Whether anything in `node` is to be replaced: what holds no parameter stays shared with the file's tree.
fn speaks_of_parameters(node: &Node) -> bool {
    match &node.value {
        Value::Text(text) => text_speaks_of_parameters(text),
        Value::List(items) => items.iter().any(speaks_of_parameters),
        Value::Map(entries) => entries.iter().any(entry_speaks_of_parameters),
        _ => false,
    }
}

fn entry_speaks_of_parameters((key, node): &(Key, Node)) -> bool {
    key.name.contains(OPEN) || speaks_of_parameters(node)
}

fn text_speaks_of_parameters(text: &str) -> bool {
    text.contains('$') && (text.contains(OPEN) || text.contains("$${"))
}

/// The value of `text` with its parameters filled in, and the name of one of them.
fn substitute(
    text: &str,
    parameters: &IndexMap<String, Node>,
) -> Result<(Value, Option<String>), Diagnostic> {
    let find = |name: &str| {
        parameters.get(name).ok_or_else(|| {
            let mut help = suggest(name, "parameters", parameters.keys().map(String::as_str));
            if name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                help.push_str(&format!("; a shell variable is written ${name} or $${{{name}}}"));
            }
            Diagnostic::new(format!("unknown parameter `{name}`"), None).help(help)
        })
    };
    if let Some(name) = text.strip_prefix(['$']).and_then(|rest| rest.strip_prefix(OPEN))
        && let Some(name) = name.strip_suffix(CLOSE)
        && !name.contains(CLOSE)
    {
        let name = name.trim();
        return Ok((find(name)?.value.clone(), Some(name.to_owned())));
    }
    let mut out = String::new();
    let mut last = None;
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        let before = &rest[..at];
        out.push_str(&unescape(before.strip_suffix('$').unwrap_or(before)));
        let inside = &rest[at + OPEN.len_utf8()..];
        let (name, after) = inside.split_once(CLOSE).unwrap_or((inside, ""));
        let name = name.trim();
        let value = find(name)?;
        match &value.value {
            Value::Text(text) => out.push_str(text),
            Value::Bool(flag) => out.push_str(&flag.to_string()),
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Float(number) => out.push_str(&number.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => {
                return Err(Diagnostic::new(
                    format!(
                        "the parameter `{name}` is {} and cannot be put into a text",
                        value.describe()
                    ),
                    None,
                ));
            }
        }
        last = Some(name.to_owned());
        rest = after;
    }
    out.push_str(&unescape(rest));
    Ok((Value::Text(out), last))
}

/// Takes `$${` for the `${` that it stands for.
fn unescape(text: &str) -> String {
    text.replace("$${", "${")
}

/// Takes every `$${` in a parameter's value for the `${` that it stands for.
pub(super) fn unescape_all(node: &mut Node) {
    match &mut node.value {
        Value::Text(text) => *text = unescape(text),
        Value::List(items) => Arc::make_mut(items).iter_mut().for_each(unescape_all),
        Value::Map(entries) => Arc::make_mut(entries)
            .iter_mut()
            .for_each(|(_, node)| unescape_all(node)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: &str) -> (Node, Vec<Diagnostic>) {
        let params = Node::parse("lr: 0.1\nname: x\nflag: true\nsizes: [1, 2]\n").unwrap();
        let Value::Map(entries) = params.value else {
            panic!()
        };
        let parameters = entries
            .iter()
            .map(|(key, node)| (key.name.clone(), node.clone()))
            .collect();
        let mut node = Node::parse(source).unwrap();
        let mut mistakes = Vec::new();
        interpolate(&mut node, &parameters, &mut mistakes);
        (node, mistakes)
    }

    #[test]
    fn types_are_kept_and_texts_are_filled() {
        let (node, mistakes) = run("a: {lr: ${lr}, s: ${sizes}}\nb: \"${name}-${lr} $${HOME} ${ flag }\"\n");
        assert_eq!(mistakes, []);
        assert_eq!(node.get("a").unwrap().get("lr").unwrap().value, Value::Float(0.1));
        assert!(matches!(
            node.get("a").unwrap().get("s").unwrap().value,
            Value::List(_)
        ));
        assert_eq!(
            node.get("b").unwrap().value,
            Value::Text("x-0.1 ${HOME} true".into())
        );
    }

    #[test]
    fn unknown_parameters_are_reported() {
        let (_, mistakes) = run("a: ${l}\nb: x${sizes}\nc: echo ${HOME}\n");
        assert_eq!(mistakes[0].message, "unknown parameter `l`");
        assert_eq!(mistakes[0].help.as_deref(), Some("did you mean `lr`?"));
        assert!(mistakes[1].message.contains("cannot be put into a text"));
        let (node, _) = run("a: echo $${HOME}\n");
        assert_eq!(node.get("a").unwrap().value, Value::Text("echo ${HOME}".into()));
        assert_eq!(node.get("a").unwrap().parameter, None);
        assert!(mistakes[2].help.as_deref().unwrap().contains("$${HOME}"));
    }
}
