//! The store: file contents by digest, and what is known of each stage's result.
//!
//! In go output folders with the key of the stage that made them; out come artifacts, verified,
//! at whatever place they are wanted.
//!
//! ```text
//! objects/ab/cdef...       file contents, read-only, named by BLAKE3
//! actions/ab/cdef....json  fingerprint -> key, artifact, metrics, how it was made
//! work/<fingerprint>/      a stage in progress, and what it needs to resume
//! quarantine/              what was found damaged
//! erlen.db                 the stat cache of input files (and the history of runs)
//! ```
//!
//! **Commit.** Objects are written under temporary names and renamed into place; the action file
//! comes last and is the commit marker. What has no marker does not exist, so a process that is
//! killed at any moment leaves nothing half-written behind.
//!
//! **Verification.** An object's modification time is set to a value derived from its digest. An
//! object with the right size and that time has not been changed since it was written or last
//! hashed; any other is hashed again, and quarantined if it is not what its name says. This needs
//! no database and survives copies that keep times. What leaves size and time alone (a decaying
//! disk) is found by [`Store::verify`], which always hashes.
//!
//! **Power loss.** Files are not flushed one by one: at a few milliseconds each that would cost
//! more than most stages. A file that was torn has the wrong size or time and is found; an action
//! file that was torn fails its own digest. Either is made again.

mod action;
mod error;
mod lease;
mod manifest;
mod materialise;
mod object;
mod stat_cache;

pub use action::{Action, Commit};
pub use error::StoreError;
pub use lease::{Lease, Leased};
pub use manifest::{Entry, Found, Manifest};
pub use object::Problem;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fingerprint::{Digest, Fingerprint};
use object::Objects;
use stat_cache::StatCache;

/// The layout that this program reads and writes.
const FORMAT: &str = "erlen store 1\n";

/// A folder of results. Clones speak of the same folder.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    objects: Objects,
    stat_cache: StatCache,
}

/// What the store knows of a fingerprint.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// The whole result.
    Hit(Action),
    /// Nothing.
    Miss,
    /// A result of which something is gone.
    Evicted {
        /// What is missing.
        what: String,
    },
    /// A result of which something was damaged; it is in quarantine now.
    Corrupt {
        /// What is wrong with it.
        what: String,
    },
}

impl Store {
    /// Opens the store in the folder `root`, which is made where it does not exist.
    ///
    /// # Errors
    /// The folder cannot be made or read, or holds a store of another layout.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::io(root))?;
        let marker = root.join("format");
        match fs::read_to_string(&marker) {
            Ok(format) if format == FORMAT => {}
            Ok(format) => {
                return Err(StoreError::Format {
                    root,
                    found: format.trim().to_owned(),
                    known: FORMAT.trim(),
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::create_dir_all(&root).map_err(StoreError::io(&root))?;
                object::write_atomically(&marker, FORMAT.as_bytes())?;
            }
            Err(error) => return Err(StoreError::io(&marker)(error)),
        }
        let objects = Objects::new(&root);
        let stat_cache = StatCache::new(root.join("erlen.db"));
        Ok(Self {
            shared: Arc::new(Shared {
                root,
                objects,
                stat_cache,
            }),
        })
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// What is known of `fingerprint`. A hit is complete: every object is there, and unchanged since
    /// it was verified.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn look_up(&self, fingerprint: &Fingerprint) -> Result<Lookup, StoreError> {
        let path = self.action_path(fingerprint);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lookup::Miss),
            Err(error) => return Err(StoreError::io(&path)(error)),
        };
        let action = match Action::from_bytes(&text, fingerprint) {
            Ok(action) => action,
            Err(what) => {
                self.shared.objects.quarantine(&path)?;
                return Ok(Lookup::Corrupt {
                    what: format!("the record {}: {what}", path.display()),
                });
            }
        };
        let problem = match self.shared.objects.check(&action.artifact, None)? {
            Some(problem) => Some(problem),
            None => {
                let mut found = None;
                for entry in &self.manifest(&action.artifact)?.entries {
                    found = self.shared.objects.check(&entry.digest, Some(entry.size))?;
                    if found.is_some() {
                        break;
                    }
                }
                found
            }
        };
        Ok(match problem {
            None => Lookup::Hit(action),
            Some(Problem::Missing(what)) => Lookup::Evicted { what },
            Some(Problem::Damaged(what)) => Lookup::Corrupt { what },
        })
    }

    /// The list of files of `artifact`.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn manifest(&self, artifact: &Digest) -> Result<Manifest, StoreError> {
        let bytes = self.shared.objects.read(artifact)?;
        Manifest::from_bytes(&bytes).map_err(|what| StoreError::Damaged {
            path: self.shared.objects.path(artifact),
            what,
        })
    }

    /// The content of one file of `artifact`, verified.
    ///
    /// # Errors
    /// There is no such file, or it is damaged.
    pub fn read_file(&self, artifact: &Digest, path: &str) -> Result<Vec<u8>, StoreError> {
        match self.manifest(artifact)?.find(path) {
            Some(Found::File(entry)) => self.shared.objects.read(&entry.digest),
            _ => Err(StoreError::NoSuchFile {
                artifact: *artifact,
                path: path.to_owned(),
            }),
        }
    }

    /// The digest of a file's content, or of a folder's manifest. Files that have not changed since
    /// they were last hashed are not read again.
    ///
    /// # Errors
    /// The file cannot be read, or a name in the folder is not UTF-8.
    pub fn input_digest(&self, path: &Path) -> Result<Digest, StoreError> {
        let metadata = fs::metadata(path).map_err(StoreError::io(path))?;
        if metadata.is_dir() {
            let manifest = Manifest::of_folder(path, &|file| self.shared.stat_cache.digest(file))?;
            return Ok(manifest.digest());
        }
        self.shared.stat_cache.digest(path)
    }

    /// Hashes every object and reads every action. Gives what is wrong; damaged files are moved to
    /// the quarantine.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn verify(&self) -> Result<Vec<String>, StoreError> {
        let mut problems = self.shared.objects.verify_all()?;
        for path in files_below(&self.shared.root.join("actions")) {
            let name = path.parent().and_then(Path::file_name).zip(path.file_stem());
            let fingerprint = name.and_then(|(folder, stem)| {
                format!("{}{}", folder.to_string_lossy(), stem.to_string_lossy())
                    .parse::<Digest>()
                    .ok()
            });
            match fingerprint
                .map(|fingerprint| self.look_up(&fingerprint))
                .transpose()?
            {
                Some(Lookup::Hit(_)) => {}
                Some(Lookup::Evicted { what } | Lookup::Corrupt { what }) => problems.push(what),
                Some(Lookup::Miss) | None => problems.push(format!("{} is no record", path.display())),
            }
        }
        Ok(problems)
    }

    fn action_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        let name = fingerprint.to_string();
        self.shared
            .root
            .join("actions")
            .join(&name[..2])
            .join(format!("{}.json", &name[2..]))
    }
}

/// All files below `folder`, in order; none where it does not exist.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect()
}

#[cfg(test)]
mod tests;
