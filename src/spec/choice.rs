//! What a pipeline file chooses by name: one entry of a list, with options of the entry's own type.
//!
//! A list is open: [`Vocabulary`] says which entries there are, and the options of each are a plain
//! type that derives serde's and schemars' traits. [`Choice`] holds the options of one entry behind
//! the trait that all entries of the list implement.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};
use std::ops::Deref;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Deserializer};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::decode::{DecodeError, Variant, from_node};
use super::node::{Key, Node};
use super::vocabulary::Vocabulary;

/// Something that a pipeline file names.
pub trait Named {
    /// The name, as a pipeline file spells it.
    const NAME: &'static str;
}

/// What the options of every entry can do. Never implemented by hand: it follows from [`Named`] and
/// derived traits.
pub trait ChoiceOptions: Any + Debug + Send + Sync {
    /// The entry's name, as a pipeline file spells it.
    fn name(&self) -> &'static str;

    /// The options with every default filled in; nothing where the entry has none.
    ///
    /// # Errors
    /// A value that JSON cannot hold.
    fn to_json(&self) -> serde_json::Result<Value>;

    /// Whether `other` is of the same type and equal.
    fn equals(&self, other: &dyn Any) -> bool;

    /// For finding out the type.
    fn as_any(&self) -> &dyn Any;
}

impl<O: Named + Debug + PartialEq + Serialize + Send + Sync + 'static> ChoiceOptions for O {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn to_json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<O>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A type that can be an entry of a list. Follows from [`Named`] and derived traits.
pub trait ListedOptions: Named + ChoiceOptions + DeserializeOwned + JsonSchema {}

impl<O: Named + ChoiceOptions + DeserializeOwned + JsonSchema> ListedOptions for O {}

/// The trait objects that a list is of.
pub trait ChoiceFamily: ChoiceOptions {
    /// The name in the schema.
    const NAME: &'static str;
    /// What is chosen, for the schema.
    const DESCRIPTION: &'static str;

    /// The family's entries.
    fn entries(vocabulary: &Vocabulary) -> &ChoiceList<Self>;
}

/// One entry of a list, with its options. In a file: the name alone, or a mapping of the name to the
/// options.
pub struct Choice<T: ?Sized>(Arc<T>);

impl<T: ChoiceFamily + ?Sized> Choice<T> {
    pub(super) fn new(options: Arc<T>) -> Self {
        Self(options)
    }

    /// The options, where the entry is the one whose type is `O`.
    pub fn options<O: Named + 'static>(&self) -> Option<&O> {
        self.0.as_any().downcast_ref()
    }
}

impl<T: ?Sized> Deref for Choice<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> Clone for Choice<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Debug + ?Sized> Debug for Choice<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ChoiceOptions + ?Sized> PartialEq for Choice<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(other.0.as_any())
    }
}

impl<T: ChoiceFamily + ?Sized> Serialize for Choice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_json().map_err(S::Error::custom)? {
            Value::Null => serializer.serialize_unit_variant(T::NAME, 0, self.0.name()),
            options => serializer.serialize_newtype_variant(T::NAME, 0, self.0.name(), &options),
        }
    }
}

impl<'de, T: ChoiceFamily + ?Sized> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_node(deserializer, |node| T::entries(&Vocabulary::current()).read(node))
    }
}

impl<T: ChoiceFamily + ?Sized> JsonSchema for Choice<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let vocabulary = Vocabulary::current();
        let choices: Vec<Value> = T::entries(&vocabulary)
            .0
            .iter()
            .map(|entry| entry.schema(generator))
            .collect();
        json_schema!({"oneOf": choices, "description": T::DESCRIPTION})
    }
}

/// The entries of a list, in the order in which they are told to users.
pub struct ChoiceList<T: ?Sized>(Vec<ListEntry<T>>);

/// Reads an entry's options.
type ReadOptions<T> = dyn Fn(Variant<'_>) -> Result<Arc<T>, DecodeError> + Send + Sync;

struct ListEntry<T: ?Sized> {
    name: &'static str,
    read: Arc<ReadOptions<T>>,
    /// The schema of the options, as a reference where it has a name.
    reference: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of the options itself.
    whole: fn(&mut SchemaGenerator) -> Schema,
}

impl<T: ?Sized> ChoiceList<T> {
    /// No entries.
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// With one more entry; one of the same name gives way.
    pub(super) fn and<O: ListedOptions>(mut self, as_family: fn(Arc<O>) -> Arc<T>) -> Self
    where
        T: 'static,
    {
        let entry = ListEntry {
            name: O::NAME,
            read: Arc::new(move |variant| variant.options::<O>().map(|options| as_family(Arc::new(options)))),
            reference: |generator| of_type(generator, SchemaGenerator::subschema_for::<O>),
            whole: |generator| of_type(generator, O::json_schema),
        };
        match self.0.iter_mut().find(|other| other.name == O::NAME) {
            Some(other) => *other = entry,
            None => self.0.push(entry),
        }
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.0.iter().map(|entry| entry.name)
    }
}

impl<T: ChoiceFamily + ?Sized> ChoiceList<T> {
    /// The entry that `key` names, with the options that stand under it.
    pub(super) fn read_entry(&self, key: &Key, node: &Node) -> Result<Choice<T>, DecodeError> {
        self.find(Variant::of_entry(key, node))
    }

    /// For each entry its name and the schema of its options.
    pub(super) fn references(&self, generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        let references = self.0.iter();
        references
            .map(|entry| (entry.name, (entry.reference)(generator)))
            .collect()
    }

    /// The entry that `node` names, with the options that it gives.
    pub(super) fn read(&self, node: &Node) -> Result<Choice<T>, DecodeError> {
        let variant = Variant::of(node, self.names())?;
        self.find(variant).map_err(|error| error.at(node))
    }

    fn find(&self, variant: Variant<'_>) -> Result<Choice<T>, DecodeError> {
        match self.0.iter().find(|entry| entry.name == variant.name()) {
            Some(entry) => (entry.read)(variant).map(Choice::new),
            None => Err(variant.unknown(self.names())),
        }
    }
}

/// The schema that `make` makes; one that says nothing, so that nothing of it is linked, in a program that only asks models.
fn of_type(generator: &mut SchemaGenerator, make: fn(&mut SchemaGenerator) -> Schema) -> Schema {
    if cfg!(feature = "full") {
        make(generator)
    } else {
        Schema::default()
    }
}

impl<T: ?Sized> Clone for ChoiceList<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> Debug for ChoiceList<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl<T: ?Sized> Clone for ListEntry<T> {
    fn clone(&self) -> Self {
        Self {
            read: Arc::clone(&self.read),
            ..*self
        }
    }
}

impl<T: ?Sized> ListEntry<T> {
    /// The name with its options, or alone where it has none.
    fn schema(&self, generator: &mut SchemaGenerator) -> Value {
        // By a generator of its own: what has no options needs no definition.
        let whole = (self.whole)(&mut generator.settings().clone().into_generator());
        let description = whole.get("description").cloned();
        let mut schema = if whole.get("type") == Some(&json!("null")) {
            json!({"type": "string", "const": self.name})
        } else {
            json!({
                "type": "object",
                "properties": {self.name: (self.reference)(generator)},
                "required": [self.name],
                "additionalProperties": false,
            })
        };
        if let Some(description) = description {
            schema["description"] = description;
        }
        schema
    }
}

/// Makes the family of a trait: the type of a choice among its entries, and how entries are added.
macro_rules! choice {
    ($description:literal, $choice:ident of $options:ident in $list:ident) => {
        #[doc = $description]
        pub type $choice = $crate::spec::Choice<dyn $options>;

        impl $crate::spec::ChoiceFamily for dyn $options {
            const NAME: &'static str = stringify!($choice);
            const DESCRIPTION: &'static str = $description;

            fn entries(vocabulary: &$crate::spec::Vocabulary) -> &$crate::spec::ChoiceList<Self> {
                &vocabulary.lists().$list
            }
        }

        impl $crate::spec::ChoiceList<dyn $options> {
            /// With one more entry; one of the same name gives way.
            #[must_use]
            pub fn with<O: $options + $crate::spec::ListedOptions>(self) -> Self {
                self.and::<O>(|options| options)
            }
        }

        impl<O: $options> From<O> for $crate::spec::Choice<dyn $options> {
            fn from(options: O) -> Self {
                Self::new(std::sync::Arc::new(options))
            }
        }
    };
}

pub(super) use choice;
