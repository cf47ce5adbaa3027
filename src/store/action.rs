//! Actions: which artifact a fingerprint stands for.

use std::fs;
use std::io;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::reading;
use super::object::{ObjectState, Trust, read_small};
use super::{JsonText, Manifest, Store, StoreError, boot};
use crate::event::Metrics;
use crate::fingerprint::{Digest, Fingerprint};

/// A known result: what a stage gave, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The digest of the stage's key.
    pub fingerprint: Fingerprint,
    /// The digest of the artifact's manifest.
    pub artifact: Digest,
    /// How many files the artifact has.
    pub entries: u64,
    /// The size of its files together.
    pub bytes: u64,
    /// The stage's figures.
    pub metrics: Metrics,
    /// How, when and where it was made; the store does not look into it.
    pub made: JsonText,
    /// The stage's key; the store does not look into it.
    pub key: JsonText,
    /// The boot under which it was written, where it was not flushed to the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) boot: Option<String>,
    /// Whether its files may still be in a remote store alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) remote: bool,
}

/// What a lease is given up for.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The stage's key.
    pub key: Value,
    /// The stage's figures.
    pub metrics: Metrics,
    /// How, when and where it was made.
    pub made: Value,
}

/// What the store holds for a fingerprint.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// The result, with every file of its artifact sound.
    Hit(Box<Action>),
    /// Nothing: it was never made.
    Miss,
    /// It was made, but part of it is not there any more.
    Evicted {
        /// What is missing.
        what: String,
    },
    /// It was made, but part of it is damaged, and now in quarantine.
    Corrupt {
        /// What is damaged, and how that shows.
        what: String,
    },
}

/// Manifests of at least this many files are checked on all cores.
pub(super) const PARALLEL_FROM: usize = 256;

impl Store {
    /// What the store holds for `fingerprint`.
    ///
    /// # Errors
    /// Something could not be read; that it is damaged or missing is no error but an answer.
    pub fn look_up(&self, fingerprint: &Fingerprint) -> Result<Lookup, StoreError> {
        self.look_up_with(fingerprint, &mut |_| {})
    }

    /// As [`Store::look_up`]; shows the result's manifest, where there is one, to `inspect` on the way.
    ///
    /// # Errors
    /// As there.
    pub fn look_up_with(
        &self,
        fingerprint: &Fingerprint,
        inspect: &mut dyn FnMut(&Manifest),
    ) -> Result<Lookup, StoreError> {
        let _hold = self.hold();
        let path = self.action_path(fingerprint);
        let action = match self.read_action(&path) {
            Ok(Some(action)) if action.fingerprint == *fingerprint => action,
            Ok(None) => return Ok(Lookup::Miss),
            Ok(Some(action)) => {
                self.quarantine(&path);
                let what = format!(
                    "the action file `{}` is that of {}",
                    path.display(),
                    action.fingerprint.short()
                );
                return Ok(Lookup::Corrupt { what });
            }
            Err(StoreError::Corrupt { what }) => return Ok(Lookup::Corrupt { what }),
            Err(error) => return Err(error),
        };
        let unsettled = action.boot.is_some() && action.boot.as_deref() != boot();
        let trust = if unsettled { Trust::Nothing } else { Trust::Times };
        let elsewhere = action.remote && self.remote().is_some();
        match self.check_artifact(&action.artifact, trust, elsewhere) {
            Ok(manifest) => inspect(&manifest),
            Err(StoreError::Evicted { what }) => return Ok(Lookup::Evicted { what }),
            Err(StoreError::Corrupt { what }) => return Ok(Lookup::Corrupt { what }),
            Err(error) => return Err(error),
        }
        if unsettled {
            self.settle(&path, &action);
        }
        self.inner.in_use.note(fingerprint);
        Ok(Lookup::Hit(Box::new(action)))
    }

    /// Looks whether every file of the artifact is there and sound; gives its manifest. A file may be missing
    /// where it is `elsewhere`, in a remote that can be read.
    pub(super) fn check_artifact(
        &self,
        artifact: &Digest,
        trust: Trust,
        elsewhere: bool,
    ) -> Result<Manifest, StoreError> {
        let manifest = self.manifest(artifact)?;
        let check = |entry: &super::Entry| {
            let name = || format!("`{}` of the artifact {}", entry.path, artifact.short());
            match self.check_object(&entry.digest, Some(entry.size), trust)? {
                ObjectState::Sound => Ok(()),
                ObjectState::Missing if elsewhere && self.remote_is_readable() => Ok(()),
                ObjectState::Missing => Err(StoreError::Evicted {
                    what: format!("{} (object {})", name(), entry.digest.short()),
                }),
                ObjectState::Damaged(why) => Err(StoreError::Corrupt {
                    what: format!("{} (object {}) is damaged: {why}", name(), entry.digest.short()),
                }),
            }
        };
        if manifest.entries.len() < PARALLEL_FROM {
            manifest.entries.iter().try_for_each(check)?;
        } else {
            manifest.entries.par_iter().try_for_each(check)?;
        }
        Ok(manifest)
    }

    /// Reads an action file; a damaged one goes to quarantine.
    pub(super) fn read_action(&self, path: &Path) -> Result<Option<Action>, StoreError> {
        let bytes = match read_small(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Vec::new(),
            Err(error) => return Err(reading("read", path)(error)),
        };
        decode(&bytes).map(Some).map_err(|why| {
            self.quarantine(path);
            StoreError::Corrupt {
                what: format!("the action file `{}` is damaged: {why}", path.display()),
            }
        })
    }

    /// Every result that the store holds, in no order; damaged action files are left out.
    ///
    /// # Errors
    /// The folder of actions cannot be listed.
    pub fn actions(&self) -> Result<Vec<Action>, StoreError> {
        let mut actions = Vec::new();
        for path in super::verify::files_below(&self.root().join("actions"))? {
            match self.read_action(&path) {
                Ok(action) => actions.extend(action),
                Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(actions)
    }

    /// Writes down that the action's files were found sound after a boot, so that they are not
    /// hashed again: they have been read from the disk. Best effort.
    fn settle(&self, path: &Path, action: &Action) {
        // Whoever holds the lock is about to replace the action.
        let Ok(Some(lock)) = self.try_lock(&action.fingerprint) else {
            return;
        };
        if !matches!(self.read_action(path), Ok(Some(now)) if now == *action) {
            return;
        }
        let settled = Action {
            boot: None,
            ..action.clone()
        };
        let temporary = self.work_path(&action.fingerprint).join("action");
        if fs::write(&temporary, encode(&settled)).is_ok() {
            let _ = fs::rename(&temporary, path);
        }
        let _ = self
            .inner
            .spares
            .keep(&self.work_path(&action.fingerprint), &lock);
    }
}

/// What every action file begins with; the digest of the rest follows.
const OPENING: &str = "{\"version\":1,\"check\":\"";

/// The action as a file: one JSON object, whose field `check` is the digest of everything behind it.
pub(super) fn encode(action: &Action) -> String {
    // An action holds strings, numbers and JSON values only, which always serialise.
    let body = serde_json::to_string(action).unwrap_or_default();
    let rest = format!("\",{}\n", body.get(1..).unwrap_or_default());
    format!("{OPENING}{}{rest}", Digest::of_bytes(rest.as_bytes()))
}

/// Reads what [`encode`] wrote; the error says what is wrong.
pub(super) fn decode(bytes: &[u8]) -> Result<Action, String> {
    let after = bytes
        .strip_prefix(OPENING.as_bytes())
        .ok_or("it does not begin as an action file of version 1")?;
    let (check, rest) = after.split_at_checked(64).ok_or("it ends early")?;
    if Digest::of_bytes(rest).to_string().as_bytes() != check {
        return Err("its check sum is wrong".to_owned());
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Action {
        Action {
            fingerprint: Digest::of_bytes(b"f"),
            artifact: Digest::of_bytes(b"a"),
            entries: 3,
            bytes: 12,
            metrics: [("loss".to_owned(), f64::INFINITY), ("accuracy".to_owned(), 0.25)].into(),
            made: (&serde_json::json!({"host": "h"})).into(),
            key: (&serde_json::json!({"kind": "train", "lr": 0.1})).into(),
            boot: Some("b".to_owned()),
            remote: true,
        }
    }

    #[test]
    fn actions_read_back_and_are_json() {
        let text = encode(&sample());
        assert_eq!(decode(text.as_bytes()).unwrap(), sample());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["key"]["kind"], "train");
        let mut odd = sample();
        odd.metrics = [("loss".to_owned(), f64::NAN)].into();
        assert_eq!(decode(encode(&odd).as_bytes()).unwrap(), odd);
    }

    #[test]
    fn every_damage_is_found() {
        let text = encode(&sample()).into_bytes();
        for position in 0..text.len() {
            let mut damaged = text.clone();
            damaged[position] ^= 1;
            assert!(decode(&damaged).is_err(), "byte {position}");
            assert!(decode(&text[..position]).is_err(), "length {position}");
        }
    }
}
