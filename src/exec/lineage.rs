//! The last checkpoints of trainings, so that trainings of more epochs go on from them.
//!
//! Trainings that are equal but for the number of their epochs share a key without that number. Under it the
//! store keeps the last checkpoint of the longest of them: a result like any other, which no pipeline needs, so
//! a collection removes it as soon as it is asked to.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fingerprint::{Digest, Fingerprint};
use crate::plan::{Reason, StageKey};
use crate::spec::Kind;
use crate::stages::{LAST_CHECKPOINT, ShorterStage};
use crate::store::{Commit, Lease, Lookup, Store, StoreError};

/// What made a checkpoint that is kept.
#[derive(Serialize, Deserialize)]
struct CheckpointOrigin {
    stage: String,
    erlen: String,
    /// The digest of the stage's own key.
    fingerprint: Fingerprint,
    /// How long the stage was to be: epochs, or steps.
    epochs: u32,
}

/// What a stage has in common with those of other lengths.
pub(super) struct Lineage {
    /// The key without the number of epochs, or why there is none.
    key: Result<StageKey, String>,
    /// How long it is: the number of epochs, or of steps.
    epochs: u32,
}

impl Lineage {
    /// That of a stage with such a key; nothing for kinds that go through no epochs.
    pub fn of(kind: &Kind, key: &StageKey) -> Option<Self> {
        Some(Self {
            key: key.of_any_length(kind)?,
            epochs: kind.length()?,
        })
    }

    /// The checkpoint that the stage can go on from, laid out in `folder`.
    pub fn shorter(&self, store: &Store, folder: &Path) -> Result<Option<ShorterStage>, StoreError> {
        let Some((artifact, made)) = self.kept(store)? else {
            return Ok(None);
        };
        if made.epochs > self.epochs {
            return Ok(None);
        }
        let checkpoint = folder.join(LAST_CHECKPOINT);
        store.materialise(&artifact, Some(LAST_CHECKPOINT), &checkpoint)?;
        Ok(Some(ShorterStage {
            checkpoint,
            fingerprint: made.fingerprint,
        }))
    }

    /// Keeps the last checkpoint in the scratch folder, unless that of a longer stage is kept.
    pub fn keep(&self, lease: &Lease, store: &Store, stage: &str) -> Result<(), StoreError> {
        let Ok(key) = &self.key else {
            return Ok(());
        };
        let checkpoint = lease.scratch().join(LAST_CHECKPOINT);
        let longer = self
            .kept(store)?
            .is_some_and(|(_, made)| made.epochs >= self.epochs);
        if longer || !checkpoint.is_file() {
            return Ok(());
        }
        let made = CheckpointOrigin {
            stage: stage.to_owned(),
            erlen: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: *lease.fingerprint(),
            epochs: self.epochs,
        };
        let commit = Commit {
            key: serde_json::to_value(key).unwrap_or_default(),
            made: serde_json::to_value(made).unwrap_or_default(),
            ..Commit::default()
        };
        lease.keep_beside(&key.fingerprint(), &checkpoint, commit)?;
        Ok(())
    }

    /// Why the stage starts anew although nothing but the number of epochs has changed since it ran.
    pub fn why_anew(&self, reason: &Reason) -> Option<String> {
        let Reason::ParamChanged {
            path, old, more: 0, ..
        } = reason
        else {
            return None;
        };
        let old = old.as_ref().and_then(serde_json::Value::as_u64)?;
        if path != "epochs" && path != "steps" {
            return None;
        }
        let why = match &self.key {
            Err(why) => why.clone(),
            Ok(_) if old > u64::from(self.epochs) => {
                format!("a longer one ran, and what it was after fewer {path} is not kept")
            }
            Ok(_) => format!("the last checkpoint of the training of {old} {path} is not kept any more"),
        };
        Some(format!("starts anew: {why}"))
    }

    /// The checkpoint that is kept: its artifact, and what made it.
    fn kept(&self, store: &Store) -> Result<Option<(Digest, CheckpointOrigin)>, StoreError> {
        let Ok(key) = &self.key else {
            return Ok(None);
        };
        Ok(match store.look_up(&key.fingerprint())? {
            Lookup::Hit(action) => {
                let made = serde_json::from_value(action.made.value()).ok();
                made.map(|made| (action.artifact, made))
            }
            _ => None,
        })
    }
}
