//! A tree of values that know where they stand in a file.

use std::ops::Range;
use std::sync::Arc;

use miette::SourceSpan;

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
