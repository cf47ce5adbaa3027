//! Going over the whole store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::error::reading;
use super::object::{ObjectState, Trust};
use super::{Action, Store, StoreError};
use crate::fingerprint::Digest;

/// What [`Store::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// How many objects were hashed.
    pub objects: u64,
    /// Their size together.
    pub bytes: u64,
    /// How many action files were read.
    pub actions: u64,
    /// What is wrong; empty in a sound store.
    pub problems: Vec<Problem>,
}

/// Something wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and what became of it.
    pub what: String,
}

impl Store {
    /// Hashes every object and reads every action; what is damaged goes to quarantine.
    ///
    /// # Errors
    /// A folder of the store cannot be listed, or a file cannot be read.
    pub fn verify(&self) -> Result<Verification, StoreError> {
        let bytes = AtomicU64::new(0);
        let objects = files_below(&self.root().join("objects"))?;
        let mut problems: Vec<Problem> = objects
            .par_iter()
            .filter_map(|path| match self.verify_object(path) {
                Ok(size) => {
                    bytes.fetch_add(size, Ordering::Relaxed);
                    None
                }
                Err(what) => what.map(|what| Problem {
                    path: path.clone(),
                    what,
                }),
            })
            .collect();
        let actions = files_below(&self.root().join("actions"))?;
        for path in &actions {
            let problem = match self.read_action(path) {
                Ok(Some(action)) if self.action_path(&action.fingerprint) != *path => {
                    self.quarantine(path);
                    Err(StoreError::Corrupt {
                        what: format!("it is the action of {}", action.fingerprint.short()),
                    })
                }
                Ok(Some(action)) => self.verify_artifact(&action),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = problem {
                problems.push(Problem {
                    path: path.clone(),
                    what: error.to_string(),
                });
            }
        }
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Verification {
            objects: objects.len() as u64,
            bytes: bytes.into_inner(),
            actions: actions.len() as u64,
            problems,
        })
    }

    /// Whether what is here of a result is sound, and all of it is here unless a remote has it.
    fn verify_artifact(&self, action: &Action) -> Result<(), StoreError> {
        match self.check_artifact(&action.artifact, Trust::Times, false) {
            Err(StoreError::Evicted { .. }) if action.remote => Ok(()),
            other => other.map(drop),
        }
    }

    /// The object's size; what is wrong with it, unless it is gone.
    fn verify_object(&self, path: &Path) -> Result<u64, Option<String>> {
        let full = full_name(path);
        let Ok(digest) = full.parse::<Digest>() else {
            // A temporary file: of a commit that is under way, or of one that was killed.
            return if full.contains(".new-") {
                Err(None)
            } else {
                Err(Some("its name is no digest".to_owned()))
            };
        };
        match self.check_object(&digest, None, Trust::Nothing) {
            Ok(ObjectState::Sound) => Ok(fs::metadata(path).map_or(0, |metadata| metadata.len())),
            Ok(ObjectState::Missing) => Err(None),
            Ok(ObjectState::Damaged(why)) => Err(Some(format!("{why}; moved to quarantine"))),
            Err(error) => Err(Some(error.to_string())),
        }
    }
}

/// What the object at `path` is named by: its digest, unless it is a stray file.
pub(super) fn full_name(path: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    format!(
        "{}{}",
        path.parent().and_then(name).unwrap_or_default(),
        name(path).unwrap_or_default()
    )
}

/// The files in the folders of `folder`; none where there is no such folder.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = |folder: &Path| match fs::read_dir(folder) {
        Ok(items) => items
            .map(|item| Ok(item?.path()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(reading("list", folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(vec![folder.to_owned()]),
        Err(error) => Err(reading("list", folder)(error)),
    };
    let mut files = Vec::new();
    for shard in list(folder)? {
        files.extend(list(&shard)?);
    }
    Ok(files)
}
