//! Laying out artifacts as files: by reflink, else by hard link, else by copy.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rayon::prelude::*;

use super::Store;
use super::error::StoreError;
use super::manifest::{Entry, Found, Manifest};
use super::object::{Problem, mark};
use crate::fingerprint::Digest;

/// The ending of the list that is left beside a laid-out artifact, so that changes can be noticed.
pub(super) const LIST: &str = "laid-out";

impl Store {
    /// Lays out `artifact`, or what stands at the path `inside` it, at `target`, verified. Files are
    /// read-only and may share their content with the store.
    ///
    /// # Errors
    /// The artifact is incomplete or has no such path, or `target` cannot be written.
    pub fn materialise(
        &self,
        artifact: &Digest,
        inside: Option<&str>,
        target: &Path,
    ) -> Result<(), StoreError> {
        let manifest = self.manifest(artifact)?;
        let no_such = || StoreError::NoSuchFile {
            artifact: *artifact,
            path: inside.unwrap_or_default().to_owned(),
        };
        let manifest = match inside {
            None => manifest,
            Some(path) => match manifest.find(path).ok_or_else(no_such)? {
                Found::Folder(folder) => folder,
                Found::File(entry) => Manifest {
                    entries: vec![Entry {
                        path: String::new(),
                        ..entry.clone()
                    }],
                },
            },
        };
        let is_file = matches!(manifest.entries.as_slice(), [entry] if entry.path.is_empty());
        let folder = if is_file {
            target.parent().unwrap_or(target)
        } else {
            target
        };
        fs::create_dir_all(folder).map_err(StoreError::io(folder))?;
        let mut folders: Vec<&Path> = manifest
            .entries
            .iter()
            .filter_map(|entry| Path::new(&entry.path).parent())
            .collect();
        folders.dedup();
        for inner in folders {
            let inner = folder.join(inner);
            fs::create_dir_all(&inner).map_err(StoreError::io(&inner))?;
        }
        manifest.entries.par_iter().try_for_each(|entry| {
            let file = if entry.path.is_empty() {
                target.to_owned()
            } else {
                target.join(&entry.path)
            };
            self.place(entry, &file)
        })?;
        let mut list = target.as_os_str().to_owned();
        list.push(".");
        list.push(LIST);
        fs::write(&list, manifest.to_bytes()).map_err(StoreError::io(target))
    }

    fn place(&self, entry: &Entry, target: &Path) -> Result<(), StoreError> {
        let objects = &self.shared.objects;
        match objects.check(&entry.digest, Some(entry.size))? {
            Some(Problem::Missing(what)) => return Err(StoreError::Missing { what }),
            Some(Problem::Damaged(what)) => {
                return Err(StoreError::Damaged {
                    path: objects.path(&entry.digest),
                    what,
                });
            }
            None => {}
        }
        let object = objects.path(&entry.digest);
        // A link shares its mode with the object, which is no program.
        let linked = !entry.executable
            && (reflink_copy::reflink(&object, target).is_ok() || fs::hard_link(&object, target).is_ok());
        if !linked {
            fs::copy(&object, target).map_err(StoreError::io(target))?;
        }
        if entry.executable {
            fs::set_permissions(target, Permissions::from_mode(0o555)).map_err(StoreError::io(target))?;
        }
        if fs::metadata(target).and_then(|metadata| metadata.modified()).ok() != Some(mark(&entry.digest)) {
            let file = fs::File::open(target).map_err(StoreError::io(target))?;
            file.set_modified(mark(&entry.digest))
                .map_err(StoreError::io(target))?;
        }
        Ok(())
    }
}
