//! From a tree of values to typed fields, with every mistake at its place.
//!
//! A serde deserializer over [`Node`]s: the types of the vocabulary derive `Deserialize`, and an
//! error gets the span of the innermost value (or key) that it is about.

use std::cell::RefCell;
use std::fmt::{self, Display, Formatter};
use std::marker::PhantomData;
use std::sync::Arc;

use miette::SourceSpan;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::diagnostic::{Diagnostic, suggest};
use super::node::{Key, Node, Value};

/// Reads a `T` from `node`.
///
/// # Errors
/// The first mistake found, at its place.
pub fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, Box<Diagnostic>> {
    T::deserialize(At(node)).map_err(|error| Box::new(error.at(node).into_diagnostic()))
}

/// What a value is wrong about, and where, once that is known.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct DecodeError {
    message: String,
    help: Option<String>,
    span: Option<SourceSpan>,
}

impl DecodeError {
    /// Puts the error at `node` unless it is already placed deeper.
    pub fn at(mut self, node: &Node) -> Self {
        if self.span.is_none() {
            self.span = Some(node.span);
            if let (Some(parameter), None) = (&node.parameter, &self.help) {
                self.help = Some(format!("the value comes from the parameter `{parameter}`"));
            }
        }
        self
    }

    /// The error as it is told.
    pub fn into_diagnostic(self) -> Diagnostic {
        Diagnostic {
            help: self.help,
            ..Diagnostic::new(self.message, self.span)
        }
    }

    fn at_key(mut self, key: &Key) -> Self {
        self.span.get_or_insert(key.span);
        self
    }
}

impl de::Error for DecodeError {
    fn custom<T: Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            help: None,
            span: None,
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let mut error = Self::custom(format!("expected {}, found {}", plain(expected), describe(found)));
        if let Unexpected::Str(text) = found
            && text.parse::<f64>().is_ok()
        {
            error.help = Some(format!("without quotes, {text} is a number"));
        }
        error
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let mut error = Self::custom(format!("expected {}, found {}", plain(expected), describe(found)));
        if let Unexpected::Unsigned(value) = found
            && value > u64::from(u32::MAX)
        {
            error.help = Some(format!("the largest number that may stand here is {}", u32::MAX));
        }
        error
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self {
            message: format!("unknown field `{field}`"),
            help: Some(suggest(field, "known fields", expected.iter().copied())),
            span: None,
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        unknown_name(variant, expected.iter().copied())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("the field `{field}` is missing"))
    }
}

/// serde's names of expected types, in a user's words.
fn plain(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "f64" | "f32" => "a number".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text".to_owned(),
        "a character" => "a single character".to_owned(),
        "a sequence" => "a list".to_owned(),
        _ if text.starts_with("a nonzero") => "a whole number, 1 or more".to_owned(),
        _ if text.starts_with("struct ") || text == "a map" => "a mapping of fields".to_owned(),
        _ if text.starts_with("an array of length ") => {
            format!(
                "a list of {} values",
                text.trim_start_matches("an array of length ")
            )
        }
        _ => text,
    }
}

fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        // With its point: `2.0` where no number may stand is not the number 2.
        Unexpected::Float(value) => format!("the number {value:?}"),
        Unexpected::Str(value) => format!("the text `{value}`"),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// The name of a newtype whose visitor wants the node itself.
const WANTS_NODE: &str = "$erlen::Node";

/// What a visitor that wants a node and [`At`] hand each other. serde lets a visitor see data and give
/// an error of a type that it does not know; the node's place and the error's own have to go past it.
enum Handed {
    Node(Node),
    Refused(DecodeError),
}

thread_local! {
    static HANDED: RefCell<Option<Handed>> = const { RefCell::new(None) };
}

/// Reads by `read` what stands in `deserializer`: with its place if that is a node, else through JSON.
pub(super) fn from_node<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    read: fn(&Node) -> Result<T, DecodeError>,
) -> Result<T, D::Error> {
    deserializer.deserialize_newtype_struct(WANTS_NODE, NodeVisitor(read))
}

struct NodeVisitor<T>(fn(&Node) -> Result<T, DecodeError>);

impl<'de, T> Visitor<'de> for NodeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a mapping of it to its options")
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        let Some(Handed::Node(node)) = HANDED.take() else {
            return Err(E::invalid_type(Unexpected::Unit, &self));
        };
        (self.0)(&node).map_err(|refused| {
            let message = refused.message.clone();
            HANDED.set(Some(Handed::Refused(refused)));
            E::custom(message)
        })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        (self.0)(&Node::from_json(&value, (0, 0).into())).map_err(de::Error::custom)
    }
}

/// A value to be read.
#[derive(Clone, Copy)]
struct At<'a>(&'a Node);

/// The largest whole number up to which a number that is written with a point or an exponent is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl At<'_> {
    /// What stands for a whole number, which `2.0` and `1e3` are too.
    fn whole_number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let Value::Float(value) = self.0.value else {
            return self.deserialize_any(visitor);
        };
        if value.fract() != 0.0 || !value.is_finite() {
            return self.deserialize_any(visitor);
        }
        if value.abs() > EXACT {
            let message = format!("expected {}, found the number {value:?}", plain(&visitor));
            let error = DecodeError {
                help: Some(format!(
                    "the largest whole number that can be read is {}",
                    i64::MAX
                )),
                ..de::Error::custom(message)
            };
            return Err(error.at(self.0));
        }
        match value < 0.0 {
            true => visitor.visit_i64(value as i64),
            false => visitor.visit_u64(value as u64),
        }
        .map_err(|error: DecodeError| error.at(self.0))
    }
}

/// Whole numbers of every width.
macro_rules! whole_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.whole_number(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = DecodeError;

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                value: None,
            }),
        }
        .map_err(|error| error.at(self.0))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == WANTS_NODE {
            HANDED.set(Some(Handed::Node(self.0.clone())));
            return visitor
                .visit_unit()
                .map_err(|error: DecodeError| match HANDED.take() {
                    Some(Handed::Refused(refused)) => refused.at(self.0),
                    _ => error.at(self.0),
                });
        }
        visitor
            .visit_newtype_struct(self)
            .map_err(|error| error.at(self.0))
    }

    /// Fields have names: a list would be taken by position, and mean something else once a field moves.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.0.value {
            Value::List(_) => {
                Err(<DecodeError as de::Error>::invalid_type(Unexpected::Seq, &visitor).at(self.0))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    /// A name alone, or a mapping of the name to its options.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let variant = Variant::of(self.0, variants.iter().copied())?;
        visitor.visit_enum(variant).map_err(|error| error.at(self.0))
    }

    /// What has no options is as good as an empty mapping of them.
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Map(entries) if entries.is_empty() => visitor.visit_unit(),
            _ => Err(de::Error::custom(format!("`{name}` has no options"))),
        }
        .map_err(|error: DecodeError| error.at(self.0))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit
        seq tuple tuple_struct map identifier
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.0
            .next()
            .map(|item| seed.deserialize(At(item)).map_err(|error| error.at(item)))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, (Key, Node)>,
    value: Option<(&'a Key, &'a Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some((key, value));
        let name: StrDeserializer<'_, DecodeError> = key.name.as_str().into_deserializer();
        seed.deserialize(name)
            .map(Some)
            .map_err(|error| error.at_key(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let (key, value) = self
            .value
            .take()
            .ok_or_else(|| de::Error::custom("a value before its key"))?;
        seed.deserialize(At(value)).map_err(|error| {
            // What is wrong with a whole mapping is best shown at the key that it stands under.
            if value.is_scalar() {
                error.at(value)
            } else if error.span == Some(value.span) {
                DecodeError {
                    span: Some(key.span),
                    ..error
                }
            } else {
                error.at_key(key)
            }
        })
    }
}

/// One of several things by its name, with or without options: a variant of an enum, or an entry of a
/// list.
pub(super) struct Variant<'a> {
    name: &'a str,
    key: Option<&'a Key>,
    options: Option<&'a Node>,
    at: &'a Node,
}

impl<'a> Variant<'a> {
    /// What `node` names, which should be one of `known`.
    pub fn of(node: &'a Node, known: impl Iterator<Item = &'static str>) -> Result<Self, DecodeError> {
        match &node.value {
            Value::Text(name) => Ok(Self {
                name,
                key: None,
                options: None,
                at: node,
            }),
            Value::Map(entries) if entries.len() == 1 => {
                let (key, options) = &entries[0];
                Ok(Self {
                    name: &key.name,
                    key: Some(key),
                    options: Some(options),
                    at: node,
                })
            }
            Value::Map(entries) if entries.len() > 1 => {
                let names: Vec<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
                Err(DecodeError {
                    message: format!(
                        "one choice is expected here, found {}: {}",
                        names.len(),
                        names.join(", ")
                    ),
                    help: Some("write one of them with its options indented under it".to_owned()),
                    span: Some(entries[1].0.span),
                })
            }
            _ => {
                let known: Vec<&str> = known.collect();
                let (known, found) = (known.join(", "), node.describe());
                let error: DecodeError = de::Error::custom(format!("expected one of {known}, found {found}"));
                Err(error.at(node))
            }
        }
    }

    /// What `key` names, with what stands under it.
    pub fn of_entry(key: &'a Key, options: &'a Node) -> Self {
        Self {
            name: &key.name,
            key: Some(key),
            options: Some(options),
            at: options,
        }
    }

    /// The name that is given.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Whether options are given.
    pub fn has_options(&self) -> bool {
        self.options.is_some_and(|options| options.value != Value::Null)
    }

    /// The options that are given. With a name alone, every option has its default, or the error says
    /// which one is missing.
    pub fn options<T: DeserializeOwned>(self) -> Result<T, DecodeError> {
        self.newtype_variant_seed(PhantomData)
    }

    /// The error for a name that is none of `known`.
    pub fn unknown(&self, known: impl Iterator<Item = &'static str> + Clone) -> DecodeError {
        self.placed(unknown_name(self.name, known))
    }

    fn placed(&self, error: DecodeError) -> DecodeError {
        match self.key {
            Some(key) => error.at_key(key),
            None => error.at(self.at),
        }
    }
}

fn unknown_name(name: &str, known: impl Iterator<Item = &'static str> + Clone) -> DecodeError {
    DecodeError {
        message: format!("`{name}` is not known here"),
        help: Some(suggest(name, "known", known)),
        span: None,
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        let name: StrDeserializer<'_, DecodeError> = self.name.into_deserializer();
        let variant = seed.deserialize(name).map_err(|error| self.placed(error))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match self.options {
            None => Ok(()),
            Some(options) if options.value == Value::Null => Ok(()),
            Some(options) => Err(DecodeError {
                message: format!("`{}` has no options", self.name),
                help: None,
                span: None,
            }
            .at(options)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        match self.options {
            Some(options) if options.value != Value::Null => {
                seed.deserialize(At(options)).map_err(|error| match self.key {
                    Some(key) if error.span == Some(options.span) && !options.is_scalar() => DecodeError {
                        span: Some(key.span),
                        ..error
                    },
                    _ => error.at(options),
                })
            }
            // A name alone: every option has its default, or the error says which one is missing.
            _ => {
                let empty = Node::new(
                    Value::Map(Arc::default()),
                    self.key.map_or(self.at.span, |key| key.span),
                );
                seed.deserialize(At(&empty))
            }
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, DecodeError> {
        Err(de::Error::custom(format!(
            "`{}` cannot be written here",
            self.name
        )))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, DecodeError> {
        Err(de::Error::custom(format!(
            "`{}` cannot be written here",
            self.name
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Augment, Optimizer, Train};
    use super::*;

    fn fails<T: DeserializeOwned + fmt::Debug>(source: &str) -> (String, String, Option<String>) {
        let node = Node::parse(source).unwrap();
        let error = decode::<T>(&node).unwrap_err();
        let span = error.span.unwrap();
        (
            error.message,
            source[span.offset()..span.offset() + span.len()].to_owned(),
            error.help,
        )
    }

    #[test]
    fn names_alone_stand_for_all_defaults() {
        let node = Node::parse("- random_horizontal_flip\n- random_crop: {padding: 4}\n").unwrap();
        let augment: Vec<Augment> = decode(&node).unwrap();
        assert_eq!(
            serde_json::to_string(&augment).unwrap(),
            r#"[{"random_horizontal_flip":{"p":0.5}},{"random_crop":{"size":null,"padding":4}}]"#
        );
        let (message, place, _) = fails::<Vec<Augment>>("- random_rotation\n");
        assert_eq!(
            (message.as_str(), place.as_str()),
            ("the field `degrees` is missing", "random_rotation")
        );
    }

    #[test]
    fn whole_numbers_may_have_a_point_or_an_exponent() {
        let read = |source: &str| decode::<Vec<u32>>(&Node::parse(source).unwrap());
        assert_eq!(read("[2, 2.0, 1e1, -0.0]").unwrap(), [2, 2, 10, 0]);
        for (source, message) in [
            (
                "[32.5]",
                "expected a whole number, 0 or more, found the number 32.5",
            ),
            (
                "[-2.0]",
                "expected a whole number, 0 or more, found the number -2",
            ),
            (
                "[1e300]",
                "expected a whole number, 0 or more, found the number 1e300",
            ),
            (
                "[99999999999]",
                "expected a whole number, 0 or more, found the number 99999999999",
            ),
        ] {
            assert_eq!(read(source).unwrap_err().message, message, "{source}");
        }
        let (message, _, help) = fails::<Vec<u64>>("[18446744073709551615]");
        assert!(
            message.starts_with("expected a whole number, 0 or more"),
            "{message}"
        );
        assert_eq!(
            help.as_deref(),
            Some("the largest whole number that can be read is 9223372036854775807")
        );
        let text = decode::<String>(&Node::parse("2.0").unwrap()).unwrap_err();
        assert_eq!(text.message, "expected a text, found the number 2.0");
    }

    #[test]
    fn mistakes_are_placed() {
        let (message, place, help) = fails::<Optimizer>("sgd: {lr: 0.1, momentun: 0.9}");
        assert_eq!(message, "unknown field `momentun`");
        assert_eq!(place, "momentun");
        assert_eq!(help.as_deref(), Some("did you mean `momentum`?"));

        let (message, place, _) = fails::<Optimizer>("sgd: {lr: -0.1}");
        assert_eq!(
            (message.as_str(), place.as_str()),
            ("-0.1 is not 0 or more", "-0.1")
        );

        let (message, place, help) = fails::<Optimizer>("sgd:\n  lr: '0.1'\n");
        assert_eq!(message, "expected a number, found the text `0.1`");
        assert_eq!(place, "'0.1'");
        assert_eq!(help.as_deref(), Some("without quotes, 0.1 is a number"));

        let (message, place, _) = fails::<Optimizer>("sgd: [0.1, 0.9]");
        assert_eq!(message, "expected a mapping of fields, found a list");
        assert_eq!(place, "sgd");

        let (message, place, help) = fails::<Optimizer>("adamx: {lr: 0.1}");
        assert_eq!(
            (message.as_str(), place.as_str()),
            ("`adamx` is not known here", "adamx")
        );
        assert_eq!(help.as_deref(), Some("did you mean `adam`?"));

        let (message, place, _) =
            fails::<Train>("data: d\nmodel: mlp\nepochs: 0\noptimizer: {sgd: {lr: 1}}\n");
        assert_eq!(
            (message.as_str(), place.as_str()),
            ("expected a whole number, 1 or more, found the number 0", "0")
        );

        let (message, place, _) = fails::<Optimizer>("sgd:\n  momentum: 0.9\n");
        assert_eq!(
            (message.as_str(), place.as_str()),
            ("the field `lr` is missing", "sgd")
        );
    }
}
