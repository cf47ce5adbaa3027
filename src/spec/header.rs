//! Headers of requests: plain ones, and those whose value stands in the environment.

use std::fmt::{self, Formatter};

use miette::SourceSpan;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::command::is_variable;
use super::diagnostic::Diagnostic;
use super::download::Download;
use crate::http::is_secret_name;

/// What a header holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum HeaderEntry {
    /// A value, part of the stage's key where no checksum names the result.
    Text(String),
    /// A secret, part of nothing that is kept.
    Secret(HeaderSecret),
}

/// A value that is taken from the environment that Erlen runs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderSecret {
    /// The environment variable that holds it.
    pub secret: String,
    /// What stands before it, such as `Bearer ` (with its blank).
    #[serde(default)]
    pub prefix: String,
    /// The user whose password it is: both are sent as Basic authentication.
    #[serde(default)]
    pub user: Option<String>,
}

impl HeaderEntry {
    /// The environment variable that the value is taken from, if it is a secret.
    pub(super) fn secret(&self) -> Option<&str> {
        match self {
            Self::Secret(secret) => Some(&secret.secret),
            Self::Text(_) => None,
        }
    }

    /// The value, if it is no secret.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Secret(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for HeaderEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;

        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = HeaderEntry;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or {secret: VARIABLE}")
            }

            fn visit_str<E>(self, text: &str) -> Result<HeaderEntry, E> {
                Ok(HeaderEntry::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HeaderEntry, A::Error> {
                HeaderSecret::deserialize(MapAccessDeserializer::new(map)).map(HeaderEntry::Secret)
            }
        }

        deserializer.deserialize_any(HeaderVisitor)
    }
}

/// Headers that are the client's own business.
const OWN: [&str; 9] = [
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "if-range",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What is wrong with the headers of a download.
pub(super) fn header_mistakes(download: &Download, place: &dyn Fn(&[&str]) -> SourceSpan) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (name, entry) in &download.headers {
        let span = || place(&["headers", name]);
        let lower = name.to_ascii_lowercase();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            mistakes.push(
                Diagnostic::new(format!("`{name}` cannot name a header"), span())
                    .help("a header's name is of letters, digits and `-`"),
            );
        } else if OWN.contains(&lower.as_str()) {
            mistakes.push(Diagnostic::new(
                format!("the header `{name}` is not for a pipeline to set"),
                span(),
            ));
        } else if seen.contains(&lower) {
            mistakes.push(Diagnostic::new(
                format!("the header `{name}` stands twice"),
                span(),
            ));
        }
        match entry {
            HeaderEntry::Text(_) if is_secret_name(name) => mistakes.push(
                Diagnostic::new(format!("the header `{name}` holds a secret, and the file is no place for one"), span())
                    .help("take it from an environment variable: `{secret: VARIABLE}`, with `prefix: \"Bearer \"` before a token or `user: NAME` before a password"),
            ),
            HeaderEntry::Text(text) if text.chars().any(|letter| letter.is_control() && letter != '\t') => mistakes
                .push(Diagnostic::new(format!("the header `{name}` has a line break, or another letter that no header has"), span())),
            HeaderEntry::Text(_) => {}
            HeaderEntry::Secret(secret) => {
                if !is_variable(&secret.secret) {
                    mistakes.push(
                        Diagnostic::new(
                            format!("`{}` cannot name an environment variable", secret.secret),
                            place(&["headers", name, "secret"]),
                        )
                        .help("name the variable that holds the secret, not the secret itself"),
                    );
                }
                if secret.user.is_some() && !secret.prefix.is_empty() {
                    mistakes.push(
                        Diagnostic::new("`user` and `prefix` exclude each other", place(&["headers", name, "user"]))
                            .help("`user` sends `Basic` before user and password by itself"),
                    );
                }
                if secret.user.as_ref().is_some_and(|user| user.contains(':')) {
                    mistakes.push(Diagnostic::new(
                        "a user's name has no `:` in Basic authentication",
                        place(&["headers", name, "user"]),
                    ));
                }
            }
        }
        seen.push(lower);
    }
    mistakes
}
