//! Content digests and the canonical hasher.
//!
//! Everything that Erlen names by content (objects, artifacts, stage keys, recipes) is named by a
//! [`Digest`]: 32 bytes of BLAKE3. Structured values are hashed through their canonical JSON, in
//! which object keys are sorted and white space is absent, so two equal values hash the same
//! whatever order their fields were written in.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter, Write as _};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// A 32-byte BLAKE3 digest, printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The digest of a stage key: the name under which a stage's result is kept.
pub type Fingerprint = Digest;

/// Files from this size on are memory-mapped and hashed on all cores.
const PARALLEL_FROM: u64 = 8 << 20;

impl Digest {
    /// The digest of `bytes`.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of a file's content.
    ///
    /// # Errors
    /// Whatever opening or reading the file gives.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hasher = blake3::Hasher::new();
        if file.metadata()?.len() >= PARALLEL_FROM {
            hasher.update_mmap_rayon(path)?;
        } else {
            let mut buffer = [0; 64 << 10];
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => hasher.update(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
            }
        }
        Ok(Self(*hasher.finalize().as_bytes()))
    }

    /// The digest of `value`'s canonical JSON, separated by `domain` from equal values that mean
    /// something else (`"stage key"`, `"manifest"`, ...).
    pub fn of_value(domain: &str, value: &impl Serialize) -> Self {
        Self::of_canonical(domain, &canonical_json(value))
    }

    /// As [`Digest::of_value`], for a value that is canonical JSON already.
    pub fn of_canonical(domain: &str, text: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(domain.as_bytes());
        hasher.update(b"\n");
        hasher.update(text.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The first 12 hexadecimal digits: enough to tell digests apart on a screen.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// `value` as JSON with sorted object keys and no white space.
///
/// Numbers print in their shortest form that reads back the same. Values that JSON cannot hold
/// (maps with keys that are no strings) are a mistake in Erlen's own types and panic.
fn canonical_json(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("hashed types serialise to JSON");
    let mut out = String::new();
    write_canonical(&value, &mut out);
    out
}

/// Appends a value's [`canonical_json`] to `out`.
pub fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write_canonical(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::String(text) => write_text(text, out),
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

/// Appends a text as a JSON string to `out`.
pub fn write_text(text: &str, out: &mut String) {
    let plain = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        let _ = write!(out, "{}", Value::from(text));
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest: 64 hexadecimal digits are expected")]
pub struct ParseDigestError(String);

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        let error = || ParseDigestError(text.to_owned());
        if bytes.len() != 64 {
            return Err(error());
        }
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
            let (high, low) = digit(pair[0]).zip(digit(pair[1])).ok_or_else(error)?;
            *byte = high << 4 | low;
        }
        Ok(Self(digest))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "a BLAKE3 digest"
        })
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl de::Visitor<'_> for TextVisitor {
            type Value = Digest;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a digest: 64 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prints_and_parses() {
        let digest = Digest::of_bytes(b"erlen");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("xyz".parse::<Digest>().is_err());
        assert!("+f".repeat(32).parse::<Digest>().is_err());
    }

    #[test]
    fn field_order_does_not_matter() {
        let left = json!({"b": [1, 2.5], "a": {"y": null, "x": "é"}});
        let right = json!({"a": {"x": "é", "y": null}, "b": [1, 2.5]});
        assert_eq!(canonical_json(&left), r#"{"a":{"x":"é","y":null},"b":[1,2.5]}"#);
        assert_eq!(Digest::of_value("t", &left), Digest::of_value("t", &right));
        assert_ne!(Digest::of_value("t", &left), Digest::of_value("u", &left));
    }

    #[test]
    fn large_and_small_files_hash_as_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0usize, 1, 100_000, (9 << 20) + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let path = folder.path().join(size.to_string());
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(Digest::of_file(&path).unwrap(), Digest::of_bytes(&bytes));
        }
    }
}
