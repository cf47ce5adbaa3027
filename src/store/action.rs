//! Actions: what is known of a stage's result.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Metrics;
use crate::fingerprint::{Digest, Fingerprint};

/// The version of the action files' layout.
const VERSION: u32 = 1;

/// The result of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The digest of the key.
    pub fingerprint: Fingerprint,
    /// The key.
    pub key: Value,
    /// The digest of the output's manifest.
    pub artifact: Digest,
    /// The number of files.
    pub entries: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The stage's figures.
    pub metrics: Metrics,
    /// How, when and where it was made.
    pub made: Value,
}

/// What is committed beside the output folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The key.
    pub key: Value,
    /// The stage's figures.
    pub metrics: Metrics,
    /// How, when and where it was made.
    pub made: Value,
}

/// An action file: the action with its own digest.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    digest: Digest,
    action: Action,
}

impl Action {
    /// The action as the content of its file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let file = File {
            version: VERSION,
            digest: Digest::of_value("action", self),
            action: self.clone(),
        };
        let mut bytes = serde_json::to_vec_pretty(&file).expect("actions serialise to JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the content of the action file of `fingerprint`.
    pub(super) fn from_bytes(bytes: &[u8], fingerprint: &Fingerprint) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| format!("not readable: {error}"))?;
        if file.version != VERSION {
            return Err(format!("version {} is not known", file.version));
        }
        if file.digest != Digest::of_value("action", &file.action) {
            return Err("its content does not match its digest".to_owned());
        }
        if file.action.fingerprint != *fingerprint {
            return Err(format!("it speaks of {}", file.action.fingerprint));
        }
        Ok(file.action)
    }
}
