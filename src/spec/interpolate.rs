//! Parameters take the place of `${name}`.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;

use super::command::is_variable;
use super::diagnostic::{Diagnostic, suggest};
use super::node::{CLOSE, Key, Node, OPEN, Value, references};

/// Puts parameters into a file's tree.
pub(super) struct Interpolation<'a> {
    /// The file's text, to find the place of each `${name}` in.
    pub source: &'a str,
    /// The parameters' values.
    pub parameters: &'a IndexMap<String, Node>,
}

impl Interpolation<'_> {
    /// Replaces every `${name}` in `node`. A scalar that is nothing but `${name}` becomes the
    /// parameter's value with its type; inside a longer text, the parameter's text is put in.
    pub fn fill(&self, node: &mut Node, mistakes: &mut Vec<Diagnostic>) {
        match &mut node.value {
            Value::List(items) if items.iter().any(speaks_of_parameters) => {
                for item in Arc::make_mut(items) {
                    self.fill(item, mistakes);
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
                    self.fill(value, mistakes);
                }
            }
            Value::Text(text) if text_speaks_of_parameters(text) => {
                if let Some((value, parameter)) = self.substitute(text, node.span, mistakes) {
                    node.value = value;
                    node.parameter = parameter;
                }
            }
            _ => {}
        }
    }

    /// The value of `text`, which stands at `span`, with its parameters filled in, and the name of one of
    /// them; nothing where there were mistakes.
    fn substitute(
        &self,
        text: &str,
        span: SourceSpan,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Option<(Value, Option<String>)> {
        if let Some(inside) = text.strip_prefix(['$']).and_then(|rest| rest.strip_prefix(OPEN))
            && let Some(inside) = inside.strip_suffix(CLOSE)
            && !inside.contains(CLOSE)
        {
            let name = inside.trim();
            if let Some(value) = self.parameters.get(name) {
                return Some((value.value.clone(), Some(name.to_owned())));
            }
            mistakes.push(self.unknown(name, false, self.place(span, inside, 0)));
            return None;
        }
        let mut out = String::new();
        let mut last = None;
        let mut rest = text;
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let before = mistakes.len();
        while let Some(at) = rest.find(OPEN) {
            let left = &rest[..at];
            out.push_str(&unescape(left.strip_suffix('$').unwrap_or(left)));
            let (inside, after) = rest[at + OPEN.len_utf8()..]
                .split_once(CLOSE)
                .unwrap_or((&rest[at + OPEN.len_utf8()..], ""));
            let number = seen.entry(inside).or_default();
            let name = inside.trim();
            match self.parameters.get(name).map(|node| (node, &node.value)) {
                Some((_, Value::Text(text))) => out.push_str(text),
                Some((_, Value::Bool(flag))) => out.push_str(&flag.to_string()),
                Some((_, Value::Int(number))) => out.push_str(&number.to_string()),
                Some((_, Value::Float(number))) => out.push_str(&number.to_string()),
                Some((node, Value::Null | Value::List(_) | Value::Map(_))) => mistakes.push(Diagnostic::new(
                    format!(
                        "the parameter `{name}` is {} and cannot be put into a text",
                        node.describe()
                    ),
                    self.place(span, inside, *number),
                )),
                None => mistakes.push(self.unknown(name, true, self.place(span, inside, *number))),
            }
            *number += 1;
            last = Some(name.to_owned());
            rest = after;
        }
        out.push_str(&unescape(rest));
        (mistakes.len() == before).then_some((Value::Text(out), last))
    }

    /// That there is no parameter `name`. Within a text, such as a script, a variable of the shell may be meant.
    fn unknown(&self, name: &str, within_text: bool, span: SourceSpan) -> Diagnostic {
        let known = self.parameters.keys().map(String::as_str);
        let mut help = suggest(name, "parameters", known);
        let is_upper = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if is_variable(name) && (within_text || is_upper) {
            help.push_str(&format!("; a shell variable is written ${name} or $${{{name}}}"));
        } else if within_text {
            help.push_str(&format!("; what is the shell's own is written $${{{name}}}"));
        }
        Diagnostic::new(format!("unknown parameter `{name}`"), span).help(help)
    }

    /// The place of the `number`th `${inside}` (from 0) of the scalar that stands at `span`.
    fn place(&self, span: SourceSpan, inside: &str, number: usize) -> SourceSpan {
        let rest = self.source.get(span.offset()..).unwrap_or_default();
        // What an alias stands for is written elsewhere.
        if rest.starts_with('*') {
            return span;
        }
        references(rest)
            .filter(|found| rest[found.start + 2..found.end - 1] == *inside)
            .nth(number)
            .map_or(span, |found| (span.offset() + found.start, found.len()).into())
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
        let interpolation = Interpolation {
            source,
            parameters: &parameters,
        };
        interpolation.fill(&mut node, &mut mistakes);
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

    #[test]
    fn every_mistake_of_a_script_is_placed_and_tells_the_shells_way() {
        let source = "run: |\n  echo ${lr} ${f%.gz}\n  echo $${lr} ${i}x ${i}\nother: ${i}\n";
        let (_, mistakes) = run(source);
        let found: Vec<(usize, &str, &str)> = mistakes
            .iter()
            .map(|mistake| {
                let span = mistake.span.unwrap();
                let text = &source[span.offset()..span.offset() + span.len()];
                (span.offset(), text, mistake.help.as_deref().unwrap())
            })
            .collect();
        let known = "parameters: lr, name, flag, sizes";
        let shell = format!("{known}; a shell variable is written $i or $${{i}}");
        let own = format!("{known}; what is the shell's own is written $${{f%.gz}}");
        assert_eq!(
            found,
            [
                (20, "${f%.gz}", own.as_str()),
                (43, "${i}", &shell),
                (49, "${i}", &shell),
                (61, "${i}", known)
            ]
        );
    }
}
