//! Which model is asked: one, or several together.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::kinds::Input;
use super::reference::Reference;

/// One model, or several whose predictions are averaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelReferences(Vec<Reference>);

/// What a stage calls its only model, and what the names of several begin with.
const ROLE: &str = "model";

impl ModelReferences {
    /// All of them, at least one, in order.
    pub fn all(&self) -> &[Reference] {
        &self.0
    }

    /// They as inputs: `model`, or `model.0`, `model.1`, ...
    pub fn inputs(&self) -> impl Iterator<Item = Input> + '_ {
        self.inputs_as(ROLE, &[])
    }

    /// They as inputs that the stage calls `name`, or `name.0`, `name.1`, ..., where the field of that name stands `under`
    /// others.
    pub(super) fn inputs_as<'a>(
        &'a self,
        name: &'a str,
        under: &'a [&str],
    ) -> impl Iterator<Item = Input> + 'a {
        let roles = self.roles_as(name);
        self.0.iter().zip(roles).map(move |(reference, role)| Input {
            path: under
                .iter()
                .copied()
                .chain(role.split('.'))
                .map(str::to_owned)
                .collect(),
            role,
            reference: reference.clone(),
        })
    }

    /// What the stage calls each of them.
    pub fn roles(&self) -> Vec<String> {
        self.roles_as(ROLE)
    }

    fn roles_as(&self, name: &str) -> Vec<String> {
        match self.0.len() {
            1 => vec![name.to_owned()],
            count => (0..count).map(|index| format!("{name}.{index}")).collect(),
        }
    }

    /// Whether an input's role is that of a model.
    pub fn is_role(role: &str) -> bool {
        Self::is_role_as(ROLE, role)
    }

    /// Whether it is that of a model that the stage calls `name`.
    pub(super) fn is_role_as(name: &str, role: &str) -> bool {
        role.split('.').next() == Some(name)
    }
}

impl Serialize for ModelReferences {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => only.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ModelReferences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferencesVisitor)
    }
}

/// Reads a reference, or a list of them.
struct ReferencesVisitor;

impl<'de> Visitor<'de> for ReferencesVisitor {
    type Value = ModelReferences;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a model, or a list of models")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ModelReferences, E> {
        let reference = Reference::parse(text).map_err(E::custom)?;
        Ok(ModelReferences(vec![reference]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<ModelReferences, A::Error> {
        let mut references: Vec<Reference> = Vec::new();
        while let Some(reference) = access.next_element()? {
            if references.contains(&reference) {
                return Err(de::Error::custom(format!(
                    "`{reference}` is named twice: name each model once"
                )));
            }
            references.push(reference);
        }
        if references.is_empty() {
            return Err(de::Error::custom("the list is empty: name at least one model"));
        }
        Ok(ModelReferences(references))
    }
}

impl JsonSchema for ModelReferences {
    fn schema_name() -> Cow<'static, str> {
        "ModelReferences".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let reference = generator.subschema_for::<Reference>();
        json_schema!({
            "description": "a model, or a list of models whose predictions are averaged",
            "anyOf": [
                reference,
                {"type": "array", "items": reference, "minItems": 1, "uniqueItems": true},
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_written_as_one_and_several_have_roles() {
        let read = |json: &str| serde_json::from_str::<ModelReferences>(json);
        let one = read(r#""a""#).unwrap();
        assert_eq!(one, read(r#"["a"]"#).unwrap());
        assert_eq!(serde_json::to_string(&one).unwrap(), r#""a""#);
        assert_eq!(one.roles(), ["model"]);
        let two = read(r#"["a", "b/x"]"#).unwrap();
        assert_eq!(serde_json::to_string(&two).unwrap(), r#"["a","b/x"]"#);
        let inputs: Vec<Input> = two.inputs().collect();
        assert_eq!(
            (inputs[1].role.as_str(), &inputs[1].path[..]),
            ("model.1", &["model".to_owned(), "1".to_owned()][..])
        );
        assert!(ModelReferences::is_role("model.1") && ModelReferences::is_role("model"));
        assert!(!ModelReferences::is_role("data"));
        for (bad, told) in [
            ("[]", "empty"),
            (r#"["a", "a"]"#, "twice"),
            ("3", "a list of models"),
            (r#""""#, "empty"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
