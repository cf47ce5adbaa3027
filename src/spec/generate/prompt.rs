//! What a model goes on with.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::spec::reference::Reference;

/// What a model goes on with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Prompt {
    /// A text.
    Text(String),
    /// The lines of a file, but for empty ones.
    File {
        /// The file.
        file: Reference,
    },
    /// A conversation that is to be answered.
    Chat {
        /// What was said so far.
        messages: Vec<ChatTurn>,
    },
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatTurn {
    /// By whom, such as `user`.
    pub role: String,
    /// What.
    pub content: String,
}

impl Prompt {
    /// The file that it stands for.
    pub fn file(&self) -> Option<&Reference> {
        match self {
            Self::File { file } => Some(file),
            Self::Text(_) | Self::Chat { .. } => None,
        }
    }
}

/// The mapping that a prompt can be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PromptMapping {
    /// A file with a prompt a line.
    #[serde(default)]
    file: Option<Reference>,
    /// A conversation that is to be answered.
    #[serde(default)]
    messages: Option<Vec<ChatTurn>>,
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PromptVisitor)
    }
}

/// Reads a text or a mapping.
struct PromptVisitor;

impl<'de> Visitor<'de> for PromptVisitor {
    type Value = Prompt;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a text, `{file: ...}` or `{messages: [...]}`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Prompt, E> {
        Ok(Prompt::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Prompt, A::Error> {
        let mapping = PromptMapping::deserialize(MapAccessDeserializer::new(access))?;
        match (mapping.file, mapping.messages) {
            (Some(file), None) => Ok(Prompt::File { file }),
            (None, Some(messages)) if messages.is_empty() => Err(de::Error::custom(
                "a conversation of no messages: write at least one",
            )),
            (None, Some(messages)) => Ok(Prompt::Chat { messages }),
            _ => Err(de::Error::custom("write either `file` or `messages`")),
        }
    }
}

impl JsonSchema for Prompt {
    fn schema_name() -> Cow<'static, str> {
        "Prompt".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (file, turn) = (
            generator.subschema_for::<Reference>(),
            generator.subschema_for::<ChatTurn>(),
        );
        let mapping = |name: &str, value: serde_json::Value| {
            serde_json::json!({
                "type": "object", "properties": {name: value}, "required": [name], "additionalProperties": false,
            })
        };
        let messages = serde_json::json!({"type": "array", "items": turn, "minItems": 1});
        json_schema!({
            "description": "what a model goes on with: a text, a file with one a line, or a conversation",
            "anyOf": [
                {"type": "string"},
                mapping("file", file.into()),
                mapping("messages", messages),
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_texts_files_or_conversations() {
        let read = |json: &str| serde_json::from_str::<Prompt>(json).map_err(|error| error.to_string());
        for json in [
            r#""a""#,
            r#"{"file":"./a.txt"}"#,
            r#"{"messages":[{"role":"user","content":"a"}]}"#,
        ] {
            let prompt = read(json).expect("valid");
            assert_eq!(serde_json::to_string(&prompt).expect("JSON"), json);
        }
        for (json, told) in [
            ("3", "a text, `{file: ...}`"),
            (r#"{"messages":[]}"#, "no messages"),
            ("{}", "either `file` or `messages`"),
            (r#"{"path":"./a"}"#, "unknown field"),
        ] {
            let error = read(json).expect_err("refused");
            assert!(error.contains(told), "{error}");
        }
    }
}
