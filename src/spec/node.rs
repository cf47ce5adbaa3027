//! YAML text as a tree of values that know where they stand in the file.
//!
//! `${name}` marks a parameter. Inside a flow mapping (`{lr: ${lr}}`) YAML would take its braces
//! for its own, so before parsing they are replaced, one character for one, by two private-use
//! characters that YAML lets through; offsets stay what they were. `$${` stands for a literal `${`.

use std::fmt::{self, Formatter};
use std::ops::Range;
use std::sync::Arc;

use miette::SourceSpan;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Location, Options, Spanned, UserMessageFormatter};

use super::diagnostic::Diagnostic;

/// What `{` and `}` of a `${name}` become while YAML is parsed.
pub(super) const OPEN: char = '\u{E000}';
pub(super) const CLOSE: char = '\u{E001}';

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands, in bytes of the source.
    pub span: SourceSpan,
    /// Which parameter the value came from, where it is not written at its place.
    pub parameter: Option<String>,
}

/// A YAML value. Clones share lists and mappings until one is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Arc<Vec<Node>>),
    /// A mapping, in the order of the file.
    Map(Arc<Vec<(Key, Node)>>),
}

/// A mapping's key and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub span: SourceSpan,
}

impl Node {
    /// A value that stands at `span`.
    pub fn new(value: Value, span: SourceSpan) -> Self {
        Self {
            value,
            span,
            parameter: None,
        }
    }

    /// Reads one YAML document.
    ///
    /// # Errors
    /// The text is not YAML, repeats a key, or costs more than a file of this kind should.
    pub fn parse(source: &str) -> Result<Self, Box<Diagnostic>> {
        let text = mark_parameters(source);
        let offsets = Offsets::new(&text, source);
        let mut options = Options::default();
        options.strict_booleans = true;
        options.with_snippet = false;
        match serde_yaml::from_str_with_options::<Spanned<Raw>>(&text, options) {
            Ok(root) => {
                let mut root = Self::from(root);
                offsets.translate(&mut root);
                Ok(root)
            }
            Err(error) => {
                let span = error
                    .location()
                    .map(|location| offsets.span(characters(&location)));
                let message = error
                    .without_snippet()
                    .render_with_formatter(&UserMessageFormatter);
                let message = message
                    .split(" at line")
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(',');
                Err(Box::new(Diagnostic {
                    help: advice(message).map(str::to_owned),
                    ..Diagnostic::new(format!("this is not valid YAML: {message}"), span)
                }))
            }
        }
    }

    /// A JSON value as one that stands at `span`.
    pub fn from_json(value: &serde_json::Value, span: SourceSpan) -> Self {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(flag) => Value::Bool(*flag),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => Value::List(Arc::new(
                items.iter().map(|item| Self::from_json(item, span)).collect(),
            )),
            serde_json::Value::Object(members) => {
                let entry = |(name, member): (&String, &serde_json::Value)| {
                    let key = Key {
                        name: name.clone(),
                        span,
                    };
                    (key, Self::from_json(member, span))
                };
                Value::Map(Arc::new(members.iter().map(entry).collect()))
            }
        };
        Self::new(value, span)
    }

    /// The names of the parameters that stand anywhere in it.
    pub fn parameters(&self, found: &mut std::collections::BTreeSet<String>) {
        match &self.value {
            Value::Text(text) if text.contains('$') => {
                let parts = text.split(OPEN).skip(1).filter_map(|rest| rest.split_once(CLOSE));
                found.extend(parts.map(|(name, _)| name.trim().to_owned()));
            }
            Value::List(items) => items.iter().for_each(|item| item.parameters(found)),
            Value::Map(entries) => entries.iter().for_each(|(_, node)| node.parameters(found)),
            _ => {}
        }
    }

    /// The member `name` of a mapping.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, node)| node)
    }

    /// The member `name` of a mapping, with its key.
    pub fn entry(&self, name: &str) -> Option<(&Key, &Self)> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.name == name)
                .map(|(key, node)| (key, node)),
            _ => None,
        }
    }

    /// The value at `path`, where there is one.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, part| match &node.value {
            Value::List(items) => items.get(part.parse::<usize>().ok()?),
            _ => node.get(part),
        })
    }

    /// The place of the value at `path`, or of as much of the path as there is.
    pub fn span_at(&self, path: &[&str]) -> SourceSpan {
        let mut node = self;
        let mut span = self.span;
        for part in path {
            let next = match &node.value {
                Value::Map(_) => node.entry(part).map(|(key, child)| (key.span, child)),
                Value::List(items) => part
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|item| (item.span, item)),
                _ => None,
            };
            let Some((key, child)) = next else { break };
            span = if child.is_scalar() { child.span } else { key };
            node = child;
        }
        span
    }

    /// Whether this is neither a list nor a mapping.
    pub fn is_scalar(&self) -> bool {
        !matches!(self.value, Value::List(_) | Value::Map(_))
    }

    /// What kind of value this is, for messages.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Int(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::Text(value) => format!("the text `{}`", value.replace(OPEN, "{").replace(CLOSE, "}")),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(value) => value.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.name.clone(), node.to_json()))
                .collect(),
        }
    }
}

/// What to do about a mistake of which the YAML library says `message`.
fn advice(message: &str) -> Option<&'static str> {
    const ADVICE: [(&str, &str); 4] = [
        (
            "duplicate mapping key",
            "a name stands once; take one of the two out",
        ),
        (
            "multiple found",
            "a file holds one document; take out the line `---`, or make a file of each",
        ),
        ("tab", "indent with spaces"),
        (
            "string scalar",
            "`{` begins a mapping; write a text in quotes, and a parameter as ${name}",
        ),
    ];
    let found = ADVICE.iter().find(|(part, _)| message.contains(part));
    found.map(|(_, advice)| *advice)
}

/// Replaces the braces of every `${...}` that is closed on its line.
fn mark_parameters(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut end = 0;
    for reference in references(source) {
        out.push_str(&source[end..reference.start]);
        out.push('$');
        out.push(OPEN);
        out.push_str(&source[reference.start + 2..reference.end - 1]);
        out.push(CLOSE);
        end = reference.end;
    }
    out.push_str(&source[end..]);
    out
}

/// Where each `${...}` stands that is closed on its line and is not escaped, in bytes.
pub(super) fn references(source: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + source[at..].find("${")?;
            let inside = &source[start + 2..];
            let end = inside
                .find(['}', '\n', '{'])
                .filter(|&end| inside.as_bytes()[end] == b'}');
            match end {
                Some(end) if !source[at..start].ends_with('$') => {
                    at = start + 2 + end + 1;
                    return Some(start..at);
                }
                _ => at = start + 2,
            }
        }
    })
}

/// Translates character offsets of the marked text into byte offsets of the source.
struct Offsets<'a> {
    source: &'a str,
    /// The byte offset in the source of every character, or nothing where they are the same.
    bytes: Option<Vec<usize>>,
}

impl<'a> Offsets<'a> {
    fn new(marked: &str, source: &'a str) -> Self {
        let bytes = (!source.is_ascii()).then(|| source.char_indices().map(|(at, _)| at).collect());
        debug_assert_eq!(marked.chars().count(), source.chars().count());
        Self { source, bytes }
    }

    fn byte(&self, character: usize) -> usize {
        match &self.bytes {
            None => character.min(self.source.len()),
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.source.len()),
        }
    }

    /// Takes every span in `node` from characters of the marked text to bytes of the source.
    fn translate(&self, node: &mut Node) {
        node.span = self.span(node.span);
        match &mut node.value {
            Value::List(items) => Arc::make_mut(items)
                .iter_mut()
                .for_each(|item| self.translate(item)),
            Value::Map(entries) => {
                for (key, node) in Arc::make_mut(entries) {
                    key.span = self.span(key.span);
                    self.translate(node);
                }
            }
            _ => {}
        }
    }

    fn span(&self, characters: SourceSpan) -> SourceSpan {
        let end = characters.offset() + characters.len();
        let (start, end) = (self.byte(characters.offset()), self.byte(end));
        let text = &self.source[start..end];
        // A block's span reaches to the end of its last line; its first line says enough.
        let length = text.lines().next().unwrap_or_default().trim_end().len();
        (start, length).into()
    }
}

fn characters(location: &Location) -> SourceSpan {
    let span = location.span();
    (span.offset() as usize, span.len() as usize).into()
}

/// A value as the YAML library gives it, in a tree whose spans are still counted in characters.
struct Raw(Value);

impl From<Spanned<Raw>> for Node {
    fn from(raw: Spanned<Raw>) -> Self {
        Self::new(raw.value.0, characters(&raw.referenced))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor).map(Self)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Raw>>()? {
            items.push(item.into());
        }
        items.shrink_to_fit();
        Ok(Value::List(Arc::new(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<String>, Spanned<Raw>>()? {
            let span = characters(&key.referenced);
            let name = key.value;
            entries.push((Key { name, span }, value.into()));
        }
        entries.shrink_to_fit();
        Ok(Value::Map(Arc::new(entries)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(source: &'a str, node: &Node) -> &'a str {
        &source[node.span.offset()..node.span.offset() + node.span.len()]
    }

    #[test]
    fn parameters_survive_flow_mappings_and_spans_are_bytes() {
        let source = "é: {lr: ${lr}, m: 0.9}\nshell: \"echo $${HOME} ${x}\"\n";
        let root = Node::parse(source).unwrap();
        let lr = root.get("é").unwrap().get("lr").unwrap();
        assert_eq!(lr.value, Value::Text(format!("${OPEN}lr{CLOSE}")));
        assert_eq!(at(source, lr), "${lr}");
        assert_eq!(at(source, root.get("é").unwrap().get("m").unwrap()), "0.9");
        let shell = root.get("shell").unwrap();
        assert_eq!(
            shell.value,
            Value::Text(format!("echo $${{HOME}} ${OPEN}x{CLOSE}"))
        );
    }

    #[test]
    fn numbers_have_their_types() {
        let root =
            Node::parse("[1, -2, 5e-4, 1.0, 0x10, yes, true, null, '3', 18446744073709551615]").unwrap();
        let Value::List(items) = root.value else {
            panic!("a list")
        };
        let values: Vec<Value> = items.iter().map(|item| item.value.clone()).collect();
        assert_eq!(
            values,
            [
                Value::Int(1),
                Value::Int(-2),
                Value::Float(5e-4),
                Value::Float(1.0),
                Value::Int(16),
                Value::Text("yes".into()),
                Value::Bool(true),
                Value::Null,
                Value::Text("3".into()),
                Value::Float(18_446_744_073_709_551_615.0),
            ]
        );
    }

    #[test]
    fn bad_yaml_is_placed() {
        let source = "a: 1\nb: [1, 2\nc: 3\n";
        let error = Node::parse(source).unwrap_err();
        assert!(
            error.message.starts_with("this is not valid YAML"),
            "{}",
            error.message
        );
        assert!(error.span.is_some());
        let error = Node::parse("a: 1\na: 2\n").unwrap_err();
        assert!(error.message.contains("duplicate"), "{}", error.message);
    }
}
