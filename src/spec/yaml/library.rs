//! YAML as the library reads it, which knows all of it and tells what is wrong.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use miette::SourceSpan;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Location, Options, Spanned, UserMessageFormatter};

use crate::spec::diagnostic::Diagnostic;
use crate::spec::node::{CLOSE, Key, Node, OPEN, Value, references};

/// One document.
///
/// # Errors
/// The text is not YAML, repeats a key, or costs more than a file of this kind should.
pub(super) fn read(source: &str) -> Result<Node, Box<Diagnostic>> {
    let text = mark_parameters(source);
    let offsets = Offsets::new(&text, source);
    let mut options = Options::default();
    options.strict_booleans = true;
    options.with_snippet = false;
    match serde_yaml::from_str_with_options::<Spanned<Raw>>(&text, options) {
        Ok(root) => {
            let mut root = Node::from(root);
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
