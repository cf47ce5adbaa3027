//! The `download` kind: bytes from a project file or a URL, checked and unpacked.

use std::num::NonZeroU32;
use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::choice::Named;
use super::diagnostic::Diagnostic;
use super::header::{HeaderEntry, header_mistakes};
use super::kinds::{Accepts, Input, StageKind};
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::values::ByteSize;
use crate::fingerprint::Digest;
use crate::http::Address;
use crate::metric::MetricTable;

/// Fetches one file, checks it and, where asked, unpacks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// `http:`, `https:` or `file:`; without a scheme, a file of the project. A user and a password in it are
    /// sent to its host and kept nowhere; better, `headers` takes them from the environment.
    pub url: String,
    /// The expected SHA-256 of the file, as 64 hexadecimal digits. With it, the result is named by
    /// the content alone and the URL may change freely.
    #[serde(default)]
    pub sha256: Option<Sha256>,
    /// Further URLs of the same file, tried in turn when the first fails.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// What is sent with each request, such as `{Authorization: {secret: HUB_TOKEN, prefix: "Bearer "}}`.
    /// Secrets are sent to the host of `url` alone.
    #[serde(default)]
    pub headers: IndexMap<String, HeaderEntry>,
    /// Unpack a tar archive, plain or as gz, xz, bz2 or zst, a zip archive, or a single file as gz, xz, bz2 or
    /// zst; the artifact is then its content.
    #[serde(default)]
    pub unpack: bool,
    /// Most bytes to accept, packed.
    #[serde(default = "default_max_size")]
    pub max_size: ByteSize,
    /// Most bytes to accept, unpacked.
    #[serde(default = "default_max_unpacked")]
    pub max_unpacked: ByteSize,
    /// Most times its own size that an archive may unpack to, where that is over 1 GiB: archives that are made
    /// to fill a disk do so.
    #[serde(default = "default_max_ratio")]
    pub max_ratio: NonZeroU32,
}

impl Named for Download {
    const NAME: &'static str = "download";
}

impl StageKind for Download {
    /// 2: POSIX sparse files in archives are unpacked with their holes (other bytes than before, without a
    /// word); what comes from the web without a checksum is put together of parts of one version only, decoded
    /// where a server encoded it, and no web page in place of the file. What is taken as it is from the project,
    /// or checked by a sum, stays as it was.
    fn version(&self) -> u32 {
        let is_unchecked = self.sha256.is_none() && self.local_file().is_none();
        if self.unpack || is_unchecked { 2 } else { 1 }
    }

    fn inputs(&self) -> Vec<Input> {
        match self.local_file() {
            Some(path) if self.sha256.is_none() => vec![Input {
                role: "file".to_owned(),
                path: vec!["url".to_owned()],
                reference: match path.starts_with('/') {
                    true => Reference::Absolute(path),
                    false => Reference::Project(path),
                },
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

    fn keeps_unfinished(&self) -> bool {
        true
    }

    fn is_heavy(&self) -> bool {
        false
    }

    fn secrets(&self) -> Vec<&str> {
        self.headers.values().filter_map(HeaderEntry::secret).collect()
    }

    fn sources(&self) -> String {
        format!("{:?}", (&self.url, &self.mirrors, &self.headers))
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        Some(Vec::new())
    }

    fn mistakes(
        &self,
        _: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        header_mistakes(self, place)
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
        let place = Address::new(&self.url).place();
        let path = place.split('#').next().unwrap_or_default().trim_end_matches('/');
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
        let stem = [".gz", ".gzip", ".zst", ".zstd", ".xz", ".bz2"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending));
        stem.is_some_and(|stem| !stem.ends_with(".tar"))
    }

    /// What names the result: the checksum where there is one, else where the file comes from and what is
    /// asked for openly. A file of this machine without a checksum is an input, named by its content.
    ///
    /// Keys are kept, shown and shared: of a URL's user and query, which may be secrets, they have the digest,
    /// and of a password nothing.
    fn key(&self) -> Value {
        let mut fields = Map::new();
        match &self.sha256 {
            Some(sha256) => drop(fields.insert("sha256".to_owned(), sha256.as_str().into())),
            None if self.local_file().is_none() => {
                let address = Address::new(&self.url);
                fields.insert("url".to_owned(), address.shown().into());
                if let Some(hidden) = address.hidden() {
                    let digest = Digest::of_bytes(hidden.as_bytes());
                    fields.insert("url_digest".to_owned(), digest.to_string().into());
                }
                let plain: Map<String, Value> = self
                    .headers
                    .iter()
                    .filter_map(|(name, entry)| Some((name.to_ascii_lowercase(), entry.text()?.into())))
                    .collect();
                if !plain.is_empty() {
                    fields.insert("headers".to_owned(), plain.into());
                }
            }
            None => {}
        }
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

fn default_max_ratio() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(199)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn download(fields: Value) -> Download {
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        for (url, name) in [
            ("https://a.b/c/d.tar.gz?v=1#e", "d.tar.gz"),
            ("https://me:oats@a.b", "a.b"),
            ("https://me:oats@a.b/?f=g", "a.b"),
            ("data/x.csv", "x.csv"),
            ("data/a@b.csv#c", "a@b.csv"),
            ("..", "download"),
        ] {
            assert_eq!(download(json!({"url": url})).file_name(), name);
        }
    }

    #[test]
    fn keys_hold_no_secret() {
        let key = |fields: Value| download(fields).key();
        assert_eq!(
            key(json!({"url": "https://a.b/c", "max_ratio": 7})),
            json!({"url": "https://a.b/c", "file_name": "c", "unpack": false})
        );
        let whole = key(json!({
            "url": "https://me:oats@a.b/c?token=oats",
            "headers": {"Authorization": {"secret": "T"}, "Accept": "text/csv"},
        }));
        assert_eq!(whole["url"], "https://a.b/c?...");
        assert_eq!(whole["headers"], json!({"accept": "text/csv"}));
        assert!(!whole.to_string().contains("oats"));
        let version = |fields: Value| download(fields).version();
        assert_eq!(version(json!({"url": "data/x.csv"})), 1);
        assert_eq!(version(json!({"url": "data/x.tar", "unpack": true})), 2);
        assert_eq!(version(json!({"url": "https://a.b/x.csv"})), 2);
        assert_eq!(
            version(json!({"url": "https://a.b/x.csv", "sha256": "00".repeat(32)})),
            1
        );
        let summed = key(json!({
            "url": "https://a.b/c?token=oats", "sha256": "00".repeat(32), "headers": {"Accept": "text/csv"},
        }));
        assert!(summed.get("url").is_none() && summed.get("headers").is_none());
    }
}
