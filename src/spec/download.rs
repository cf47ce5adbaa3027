//! The `download` kind: bytes from a project file or a URL, checked and unpacked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::ByteSize;

/// Fetches one file, checks it and, where asked, unpacks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// `http:`, `https:` or `file:`; without a scheme, a file of the project.
    pub url: String,
    /// The expected SHA-256 of the file, as 64 hexadecimal digits. With it, the result is named by
    /// the content alone and the URL may change freely.
    #[serde(default)]
    pub sha256: Option<Sha256>,
    /// Further URLs of the same file, tried in turn when the first fails.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Unpack a tar, tar.gz, tar.zst, zip or gz file; the artifact is then its content.
    #[serde(default)]
    pub unpack: bool,
    /// Most bytes to accept, packed.
    #[serde(default = "default_max_size")]
    pub max_size: ByteSize,
    /// Most bytes to accept, unpacked.
    #[serde(default = "default_max_unpacked")]
    pub max_unpacked: ByteSize,
}

fn default_max_size() -> ByteSize {
    ByteSize(64 << 30)
}

fn default_max_unpacked() -> ByteSize {
    ByteSize(256 << 30)
}

/// A SHA-256 sum: 64 hexadecimal digits, kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Sha256(#[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))] String);

impl Sha256 {
    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(serde::de::Error::custom(format!(
                "`{text}` is not a SHA-256 sum: 64 hexadecimal digits are expected"
            )))
        }
    }
}
