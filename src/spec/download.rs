//! The `download` kind: bytes from a project file or a URL, checked and unpacked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::choice::Named;
use super::kinds::{Accepts, Input, StageKind};
use super::reference::Reference;
use super::values::ByteSize;
use crate::metric::MetricTable;

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

impl Named for Download {
    const NAME: &'static str = "download";
}

impl StageKind for Download {
    fn inputs(&self) -> Vec<Input> {
        match self.local_file() {
            Some(path) if self.sha256.is_none() => vec![Input {
                role: "file".to_owned(),
                path: vec!["url".to_owned()],
                reference: Reference::Project(path),
            }],
            _ => Vec::new(),
        }
    }

    fn accepts(&self, _: &str) -> Accepts {
        Accepts::ANY
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &[]
    }

    fn key_fields(&self) -> Value {
        self.key()
    }

    fn is_heavy(&self) -> bool {
        false
    }

    fn sources(&self) -> String {
        format!("{:?}", (&self.url, &self.mirrors))
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}

impl Download {
    /// The file on this machine that the URL names: one without a scheme, relative to the project's
    /// root unless it is absolute, or one with `file:`.
    pub fn local_file(&self) -> Option<String> {
        match url::Url::parse(&self.url) {
            Ok(url) if url.scheme() == "file" => url
                .to_file_path()
                .ok()
                .and_then(|path| path.to_str().map(str::to_owned)),
            Ok(_) => None,
            Err(_) => Some(self.url.strip_prefix("./").unwrap_or(&self.url).to_owned()),
        }
    }

    /// The name that the file has in the artifact where it is not unpacked: the last part of the
    /// URL's path.
    pub fn file_name(&self) -> String {
        let path = self
            .url
            .split(['?', '#'])
            .next()
            .unwrap_or_default()
            .trim_end_matches('/');
        let name = path.rsplit(['/', ':']).next().unwrap_or_default();
        if matches!(name, "" | "." | "..") {
            "download".to_owned()
        } else {
            name.to_owned()
        }
    }

    /// Whether the file is, by its name, one compressed file, which keeps its name when unpacked.
    fn is_single_file(&self) -> bool {
        let name = self.file_name().to_ascii_lowercase();
        let stem = [".gz", ".gzip", ".zst", ".zstd"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending));
        stem.is_some_and(|stem| !stem.ends_with(".tar"))
    }

    /// What names the result: the checksum where there is one, else where the file comes from.
    /// A file of this machine without a checksum is an input, named by its content.
    fn key(&self) -> Value {
        let mut fields = Map::new();
        match &self.sha256 {
            Some(sha256) => fields.insert("sha256".to_owned(), sha256.as_str().into()),
            None if self.local_file().is_none() => fields.insert("url".to_owned(), self.url.as_str().into()),
            None => None,
        };
        if !self.unpack || self.is_single_file() {
            fields.insert("file_name".to_owned(), self.file_name().into());
        }
        fields.insert("unpack".to_owned(), self.unpack.into());
        Value::Object(fields)
    }
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
