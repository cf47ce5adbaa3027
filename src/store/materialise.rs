//! Putting artifacts where they are wanted, and looking afterwards whether they were left alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::action::PARALLEL_FROM;
use super::error::{reading, writing, writing_bytes};
use super::manifest::{Entry, Manifest, Subtree};
use super::object::{has_verified_time, no_such_path, set_verified_time};
use super::{Store, StoreError};
use crate::fingerprint::Digest;

/// Which ways of sharing a file's bytes turned out not to work here.
#[derive(Debug, Default)]
pub(super) struct LinkSupport {
    no_reflink: AtomicBool,
}

/// An artifact, or a part of one, as it was laid out somewhere.
#[derive(Debug)]
pub struct LaidOut {
    artifact: Digest,
    manifest: Manifest,
    inside: Option<String>,
    target: PathBuf,
}

/// A materialised file whose content is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedInput {
    /// Its path within what was materialised; `""` is the file itself.
    pub path: String,
    /// Whether the change went through to the store, which has put the object into quarantine.
    pub reached_store: bool,
}

impl Store {
    /// Puts the artifact, or the file or folder at `inside` it, at `target`, which must not exist;
    /// folders around it are made.
    ///
    /// The files share their bytes with the store where the file systems allow it (reflink, else
    /// hard link, else copy) and are read-only.
    ///
    /// # Errors
    /// An object is missing or damaged, there is no such path, or `target` cannot be written.
    pub fn materialise(
        &self,
        artifact: &Digest,
        inside: Option<&str>,
        target: &Path,
    ) -> Result<LaidOut, StoreError> {
        let manifest = self.manifest(artifact)?;
        if let Some(around) = target.parent() {
            fs::create_dir_all(around).map_err(writing("make the folder", around))?;
        }
        match part(artifact, &manifest, inside)? {
            Subtree::File(entry) => self.place(artifact, entry, target)?,
            Subtree::Folder(tree) => {
                self.fetch_all(&tree.entries)?;
                fs::create_dir(target).map_err(writing("make the folder", target))?;
                let mut last = "";
                let of_files = tree
                    .entries
                    .iter()
                    .filter_map(|entry| Some(entry.path.rsplit_once('/')?.0));
                for path in of_files.chain(tree.empty_folders.iter().map(String::as_str)) {
                    // Sorted by path, most files lie in the folder of the one before.
                    if path != last {
                        let folder = target.join(path);
                        fs::create_dir_all(&folder).map_err(writing("make the folder", &folder))?;
                        last = path;
                    }
                }
                let place = |entry: &Entry| self.place(artifact, entry, &target.join(&entry.path));
                if tree.entries.len() < PARALLEL_FROM {
                    tree.entries.iter().try_for_each(place)?;
                } else {
                    tree.entries.par_iter().try_for_each(place)?;
                }
            }
        }
        Ok(LaidOut {
            artifact: *artifact,
            manifest,
            inside: inside.map(str::to_owned),
            target: target.to_owned(),
        })
    }

    /// The files of what [`Store::materialise`] laid out whose content has changed since.
    ///
    /// A change that went through a hard link into the store is undone as far as the store goes:
    /// the object is in quarantine, and whatever needs it is made again. A file that was removed is
    /// not reported: that harms nobody.
    ///
    /// # Errors
    /// A file that may have changed cannot be read.
    pub fn changed_inputs(&self, laid_out: &LaidOut) -> Result<Vec<ChangedInput>, StoreError> {
        let LaidOut {
            artifact,
            manifest,
            inside,
            target,
        } = laid_out;
        let found: Result<Vec<Option<ChangedInput>>, StoreError> =
            match part(artifact, manifest, inside.as_deref())? {
                Subtree::File(entry) => self.changed(entry, target, "").map(|found| vec![found]),
                Subtree::Folder(tree) => {
                    let look = |entry: &Entry| self.changed(entry, &target.join(&entry.path), &entry.path);
                    if tree.entries.len() < PARALLEL_FROM {
                        tree.entries.iter().map(look).collect()
                    } else {
                        tree.entries.par_iter().map(look).collect()
                    }
                }
            };
        Ok(found?.into_iter().flatten().collect())
    }

    fn changed(&self, entry: &Entry, file: &Path, path: &str) -> Result<Option<ChangedInput>, StoreError> {
        let change = |reached_store| {
            Ok(Some(ChangedInput {
                path: path.into(),
                reached_store,
            }))
        };
        let metadata = match fs::symlink_metadata(file) {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return change(false),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(reading("look at", file)(error)),
        };
        if metadata.len() == entry.size && has_verified_time(&metadata, &entry.digest) {
            return Ok(None);
        }
        let object = self.object_path(&entry.digest);
        let is_object = |of: &fs::Metadata| (of.dev(), of.ino()) == (metadata.dev(), metadata.ino());
        let shared = fs::symlink_metadata(&object).is_ok_and(|of| is_object(&of));
        if Digest::of_file(file).map_err(reading("read", file))? == entry.digest {
            if shared {
                // Only the time was touched.
                let _ = set_verified_time(&object, &entry.digest);
            }
            return Ok(None);
        }
        if shared {
            self.quarantine(&object);
        }
        change(shared)
    }

    fn place(&self, artifact: &Digest, entry: &Entry, target: &Path) -> Result<(), StoreError> {
        let what = format!("`{}` of the artifact {}", entry.path, artifact.short());
        self.require_object(&entry.digest, Some(entry.size), &what)?;
        let object = self.object_path(&entry.digest);
        if entry.executable {
            // The object's permissions are those of all its links.
            return self.copy_out(&object, entry, target, 0o555);
        }
        if self.reflink(&object, target) {
            return finish(target, entry, 0o444);
        }
        match fs::hard_link(&object, target) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(writing("write", target)(error))
            }
            // Another file system, too many links, or a rule against linking to others' files.
            Err(_) => self.copy_out(&object, entry, target, 0o444),
        }
    }

    fn reflink(&self, object: &Path, target: &Path) -> bool {
        let links = &self.inner.links;
        if links.no_reflink.load(Ordering::Relaxed) {
            return false;
        }
        let linked = reflink_copy::reflink(object, target).is_ok();
        if !linked {
            links.no_reflink.store(true, Ordering::Relaxed);
        }
        linked
    }

    fn copy_out(&self, object: &Path, entry: &Entry, target: &Path, mode: u32) -> Result<(), StoreError> {
        if !self.reflink(object, target) {
            fs::copy(object, target).map_err(writing_bytes("write", target, entry.size))?;
        }
        finish(target, entry, mode)
    }
}

/// What of the artifact is meant.
fn part<'a>(
    artifact: &Digest,
    manifest: &'a Manifest,
    inside: Option<&str>,
) -> Result<Subtree<'a>, StoreError> {
    let path = inside.unwrap_or_default();
    manifest
        .subtree(path)
        .ok_or_else(|| no_such_path(artifact, manifest, path))
}

/// Gives a file that has an inode of its own the permissions and the time of an object.
fn finish(target: &Path, entry: &Entry, mode: u32) -> Result<(), StoreError> {
    fs::set_permissions(target, Permissions::from_mode(mode))
        .and_then(|()| set_verified_time(target, &entry.digest))
        .map_err(writing("set the permissions of", target))
}
