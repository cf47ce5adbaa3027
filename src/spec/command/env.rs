//! What a command finds in its environment variables.

use std::fmt::{self, Display, Formatter};

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The caller's variables that reach every command, whatever it declares, and are in no key: where
/// programs, caches and certificates lie, how to speak to the network, which language messages are in, and
/// which graphics processors are seen. A name that ends in `*` stands for all that begin so.
pub const PASSED_VARIABLES: [&str; 39] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "TMP",
    "TEMP",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "CUDA_*",
    "NVIDIA_*",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "CONDA_EXE",
    "MAMBA_*",
];

/// Whether the caller's variable `name` reaches every command: see [`PASSED_VARIABLES`].
pub fn is_passed(name: &str) -> bool {
    PASSED_VARIABLES
        .iter()
        .any(|known| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => *known == name,
        })
}

/// What an environment variable holds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvEntry {
    /// A value, part of the stage's key.
    Value(EnvValue),
    /// A secret, part of nothing that is kept.
    Secret(Secret),
    /// The caller's variable of some name, whose value is part of the stage's key.
    Variable(CallersVariable),
}

impl EnvEntry {
    /// The environment variable that the value is taken from, if it is a secret.
    pub(super) fn secret(&self) -> Option<&str> {
        match self {
            Self::Secret(secret) => Some(&secret.secret),
            Self::Value(_) | Self::Variable(_) => None,
        }
    }
}

/// A value that is taken from the environment that Erlen runs in, and hidden in what a program prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The environment variable that holds it.
    pub secret: String,
}

/// A value that is taken from the environment that Erlen runs in, and is part of the stage's key: with
/// another value the stage runs again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallersVariable {
    /// The environment variable that holds it; where it is not set, the command does not find it either.
    pub variable: String,
}

impl CallersVariable {
    /// The value, where the variable is set.
    pub fn value(&self) -> Option<String> {
        std::env::var_os(&self.variable).map(|value| value.to_string_lossy().into_owned())
    }
}

impl<'de> Deserialize<'de> for EnvEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;

        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = EnvEntry;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a text, a number, true or false, {variable: NAME} (the caller's, part of the key) or {secret: NAME}",
                )
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<EnvEntry, E> {
                ValueVisitor.visit_bool(value).map(EnvEntry::Value)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<EnvEntry, E> {
                ValueVisitor.visit_i64(value).map(EnvEntry::Value)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<EnvEntry, E> {
                ValueVisitor.visit_u64(value).map(EnvEntry::Value)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<EnvEntry, E> {
                ValueVisitor.visit_f64(value).map(EnvEntry::Value)
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<EnvEntry, E> {
                ValueVisitor.visit_str(value).map(EnvEntry::Value)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EnvEntry, A::Error> {
                let named = EnvSource::deserialize(MapAccessDeserializer::new(map))?;
                match (named.secret, named.variable) {
                    (Some(secret), None) => Ok(EnvEntry::Secret(Secret { secret })),
                    (None, Some(variable)) => Ok(EnvEntry::Variable(CallersVariable { variable })),
                    _ => Err(de::Error::custom(
                        "write one of {variable: NAME} (the caller's, part of the key) and {secret: NAME} (hidden, and \
                         part of no key)",
                    )),
                }
            }
        }

        deserializer.deserialize_any(EntryVisitor)
    }
}

/// Where a value is taken from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvSource {
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    variable: Option<String>,
}

/// The value of an environment variable, or a word of a command.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
}

impl Display for EnvValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = EnvValue;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false")
    }

    fn visit_bool<E>(self, value: bool) -> Result<EnvValue, E> {
        Ok(EnvValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<EnvValue, E> {
        Ok(EnvValue::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<EnvValue, E> {
        Ok(i64::try_from(value).map_or(EnvValue::Float(value as f64), EnvValue::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<EnvValue, E> {
        Ok(EnvValue::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<EnvValue, E> {
        Ok(EnvValue::Text(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_what_reaches_commands_is_short_and_means_what_it_says() {
        for name in ["PATH", "LC_ALL", "CUDA_HOME", "no_proxy", "TZ"] {
            assert!(is_passed(name), "{name}");
        }
        for name in [
            "PATHS",
            "MODE",
            "PYTHONPATH",
            "VIRTUAL_ENV",
            "LC",
            "WANDB_API_KEY",
            "",
        ] {
            assert!(!is_passed(name), "{name}");
        }
    }
}
