//! Manifests: the files of an artifact.

use std::fs;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use crate::fingerprint::{Digest, canonical_json};

/// The files of an artifact, sorted by path. Empty folders are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The files.
    pub entries: Vec<Entry>,
}

/// A file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The path inside the artifact, with `/` between its parts.
    pub path: String,
    /// The content's digest.
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
    /// Whether it is a program.
    pub executable: bool,
}

/// What stands at a path inside an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A file.
    File(&'a Entry),
    /// A folder: its files, with paths relative to it.
    Folder(Manifest),
}

/// A file on its way into a manifest.
struct Listed {
    file: std::path::PathBuf,
    path: String,
    size: u64,
    executable: bool,
}

impl Manifest {
    /// The manifest of the files below `root`, whose contents `digest` names. A symbolic link counts
    /// as the file that it leads to, as long as that lies below `root` too.
    pub(super) fn of_folder(
        root: &Path,
        digest: &(dyn Fn(&Path) -> Result<Digest, StoreError> + Sync),
    ) -> Result<Self, StoreError> {
        let listed = list(root)?;
        let entries: Result<Vec<Entry>, StoreError> = listed
            .into_par_iter()
            .map(|item| {
                let digest = digest(&item.file)?;
                Ok(Entry {
                    path: item.path,
                    digest,
                    size: item.size,
                    executable: item.executable,
                })
            })
            .collect();
        let mut entries = entries?;
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Self { entries })
    }

    /// The digest that names the artifact.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(&self.to_bytes())
    }

    /// The size of all files in bytes.
    pub fn size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// What stands at `path`.
    pub fn find(&self, path: &str) -> Option<Found<'_>> {
        if let Ok(index) = self
            .entries
            .binary_search_by(|entry| entry.path.as_str().cmp(path))
        {
            return Some(Found::File(&self.entries[index]));
        }
        let prefix = format!("{path}/");
        let entries: Vec<Entry> = self
            .entries
            .iter()
            .filter_map(|entry| {
                let path = entry.path.strip_prefix(&prefix)?.to_owned();
                Some(Entry {
                    path,
                    ..entry.clone()
                })
            })
            .collect();
        (!entries.is_empty()).then_some(Found::Folder(Self { entries }))
    }

    /// The digest of what stands at `path`: of a file's content, or of a folder's manifest.
    pub fn content_digest_at(&self, path: &str) -> Option<Digest> {
        self.find(path).map(|found| match found {
            Found::File(entry) => entry.digest,
            Found::Folder(manifest) => manifest.digest(),
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        canonical_json(self).into_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("not a list of files: {error}"))
    }
}

/// The files below `root`.
fn list(root: &Path) -> Result<Vec<Listed>, StoreError> {
    let mut listed = Vec::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(root).to_owned();
            StoreError::Io {
                path,
                source: error.into(),
            }
        })?;
        let kind = entry.file_type();
        if kind.is_dir() {
            continue;
        }
        let path = entry.path();
        if kind.is_symlink() {
            check_link(root, path)?;
        }
        let metadata = fs::metadata(path).map_err(StoreError::io(path))?;
        if !metadata.is_file() {
            let what = if kind.is_symlink() {
                "a symbolic link to a folder cannot be kept; copy the folder"
            } else {
                "only files and folders can be kept"
            };
            return Err(StoreError::Unsupported {
                path: path.to_owned(),
                what: what.to_owned(),
            });
        }
        let relative = path.strip_prefix(root).unwrap_or(path);
        let name = relative.to_str().ok_or_else(|| StoreError::Name {
            path: path.to_owned(),
        })?;
        listed.push(Listed {
            file: path.to_owned(),
            path: name.to_owned(),
            size: metadata.len(),
            executable: is_executable(&metadata),
        });
    }
    Ok(listed)
}

fn check_link(root: &Path, link: &Path) -> Result<(), StoreError> {
    let target = link.canonicalize().map_err(StoreError::io(link))?;
    let root = root.canonicalize().map_err(StoreError::io(root))?;
    if target.starts_with(&root) {
        return Ok(());
    }
    let what = format!(
        "the symbolic link leads outside, to {}; copy the file instead",
        target.display()
    );
    Err(StoreError::Unsupported {
        path: link.to_owned(),
        what,
    })
}

fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}
