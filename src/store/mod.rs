//! The content-addressed store: every intermediate artifact, and under which key it was made.
//!
//! In go a stage's fingerprint and, on a [`Lease`], the files that it made; out comes an
//! [`Action`] that names its artifact, and the artifact's files wherever they are wanted.
//!
//! ```text
//! format                    the version of this layout
//! objects/ab/cdef...        file contents and manifests, read-only, named by BLAKE3
//! actions/ab/cdef....json   fingerprint -> key, artifact, metrics, how it was made
//! work/<fingerprint>/       a stage in progress: lock, scratch, in, output, log.txt
//! quarantine/               what turned out to be damaged
//! in-use/                   what running processes rely on; gc.lock keeps collections apart from them
//! erlen.db                  SQLite: digests of input files that have not changed (and the history of runs)
//! ```
//!
//! # What has no marker does not exist
//!
//! A commit moves the output's files into `objects/`, then writes the manifest, then renames the
//! action file into place. A process killed between any two of these steps leaves objects that
//! nothing refers to, which is harmless, and a work folder, which the next lease takes over.
//!
//! # Verified since last changed
//!
//! An object's modification time is set to a value derived from its digest (a moment between 2001
//! and 2018) after it was written or hashed. Whoever changes an object afterwards (a command that
//! writes through a hard link, a failing disk's repair tool) also changes that time, unless it
//! takes pains not to. So an object whose size and time are as they should be is taken as
//! unchanged; any other is hashed again: if it is right, the time is set anew; if it is wrong, it
//! goes to quarantine and is made again. This needs no database, and `rsync -a` keeps it.
//! [`Store::verify`] hashes everything, whatever the times say.
//!
//! # Power loss
//!
//! Flushing every file to the disk costs 3.8 ms a file on the development machine (ext4 on a
//! virtual SSD), against 0.05 ms to write and rename a small one: a pipeline of a thousand small
//! stages would take four seconds longer, and lose nothing dear without it. So a result is flushed
//! (objects, manifest, then action) when its lease was held for a second or longer, where it costs
//! next to nothing beside the work. Any other result carries the identity of the boot that it was
//! written under; a look-up under another boot hashes its objects again, whatever their times say,
//! before it trusts them. A SIGKILL needs none of this: what was written stays in the kernel's cache.
//!
//! # Leases
//!
//! Only one process and thread at a time may make a fingerprint: the one that holds the kernel's
//! file lock on `work/<fingerprint>/lock`. The lock ends with the process, so nothing ever needs
//! to be unlocked by hand.
//!
//! # Remotes
//!
//! A store can stand before a remote one, which is asked for what is not here and gets what is new:
//! [`Store::attach`].
//!
//! # Collections
//!
//! [`Store::collect`] removes results that nobody needs, least recently used first, while others work:
//! what a process has found it notes as relied upon, and what was made since the oldest living process
//! began stays.

mod action;
mod collect;
mod error;
mod given;
mod in_use;
mod inputs;
mod json_text;
mod lease;
mod manifest;
mod materialise;
mod object;
mod remote;
mod spare;
mod tree;
mod usage;
mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use action::{Action, Commit, Lookup};
pub use collect::{Collection, Removed, Retention};
pub use error::StoreError;
pub use given::{GivenInput, InputChanges};
pub use in_use::Hold;
pub use json_text::JsonText;
pub use lease::{Lease, Leased};
pub use manifest::{Entry, Manifest, Subtree};
pub use materialise::{ChangedInput, LaidOut};
pub use remote::{RemoteOptions, RemoteReport, Sent};
pub use usage::{Amount, Usage};
pub use verify::{Problem, Verification};

use crate::fingerprint::{Digest, Fingerprint};
use error::{reading, writing};

/// The first line of the file `format`.
const FORMAT: &str = "erlen store 1\n";

/// A store; clones share it, between threads too.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    cache: inputs::StatCache,
    links: materialise::LinkSupport,
    spares: spare::Spares,
    in_use: in_use::InUse,
    remote: OnceLock<remote::RemoteStore>,
}

impl Store {
    /// Opens the store in the folder `root`, and makes it where there is none.
    ///
    /// A store that can only be read opens too: look-ups work, leases fail with the way out.
    ///
    /// # Errors
    /// The folder cannot be made or read, holds something else, or is of another version.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let format = root.join("format");
        match fs::read(&format) {
            Ok(text) if text == FORMAT.as_bytes() => {}
            Ok(text) => {
                let why = format!(
                    "its file `format` says `{}` and `{}` is expected; use the Erlen that made it, or set ERLEN_STORE \
                     to another folder",
                    String::from_utf8_lossy(&text[..text.len().min(40)]).trim(),
                    FORMAT.trim()
                );
                return Err(StoreError::Format {
                    path: root.into(),
                    why,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(root, &format)?,
            Err(error) => return Err(reading("read", &format)(error)),
        }
        let root = fs::canonicalize(root).map_err(reading("resolve", root))?;
        let cache = inputs::StatCache::new(root.join("erlen.db"));
        Ok(Self {
            inner: Arc::new(Inner {
                root,
                cache,
                links: materialise::LinkSupport::default(),
                spares: spare::Spares::default(),
                in_use: in_use::InUse::default(),
                remote: OnceLock::new(),
            }),
        })
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Whether an interrupted try to make `fingerprint` left something that a resume can use.
    pub fn scratch_exists(&self, fingerprint: &Fingerprint) -> bool {
        let scratch = self.work_path(fingerprint).join("scratch");
        fs::read_dir(scratch).is_ok_and(|mut items| items.next().is_some())
    }

    /// Where the object `digest` lies.
    fn object_path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.inner.root.join("objects").join(&name[..2]).join(&name[2..])
    }

    /// Where the action of `fingerprint` lies.
    fn action_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        let name = fingerprint.to_string();
        self.inner
            .root
            .join("actions")
            .join(&name[..2])
            .join(format!("{}.json", &name[2..]))
    }

    /// Where `fingerprint` is made.
    fn work_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.inner.root.join("work").join(fingerprint.to_string())
    }

    /// Moves a damaged file out of the way; where that is impossible, it stays and is found again.
    fn quarantine(&self, path: &Path) {
        let folder = self.inner.root.join("quarantine");
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let name = path
            .strip_prefix(&self.inner.root)
            .unwrap_or(path)
            .to_string_lossy()
            .replace('/', "-");
        let name = format!("{name}.{}", since.map_or(0, |since| since.as_nanos()));
        if fs::create_dir_all(&folder).is_ok() && fs::rename(path, folder.join(name)).is_ok() {
            return;
        }
        let _ = tree::remove(path);
    }
}

/// Makes an empty store.
fn create(root: &Path, format: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(root).map_err(writing("make the folder", root))?;
    for item in fs::read_dir(root).map_err(reading("list", root))? {
        let name = item.map_err(reading("list", root))?.file_name();
        let name = name.to_string_lossy();
        // Another process may be making the same store right now.
        let ours = name == "format"
            || name == ".gitignore"
            || name.starts_with(".new-")
            || name.starts_with("erlen.");
        // Or has made it, and works in it already.
        if !ours && format.exists() {
            return Ok(());
        }
        if !ours {
            let why =
                format!("it holds `{name}` but no file `format`; set ERLEN_STORE to a new or empty folder");
            return Err(StoreError::Format {
                path: root.into(),
                why,
            });
        }
    }
    for (name, text) in [(".gitignore", "*\n"), ("format", FORMAT)] {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(root)
            .map_err(writing("write into", root))?;
        io::Write::write_all(&mut file, text.as_bytes()).map_err(writing("write", format))?;
        file.persist(root.join(name))
            .map_err(|error| writing("write", format)(error.error))?;
    }
    Ok(())
}

/// The identity of the machine's current boot, where the system tells.
fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .ok()
            .map(|text| text.trim().to_owned())
    };
    BOOT.get_or_init(read).as_deref()
}

#[cfg(test)]
mod tests;
