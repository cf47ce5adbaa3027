//! What can go wrong in the store.

use std::io;
use std::path::Path;

use crate::fingerprint::Digest;

/// Why the store could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused an operation on a file.
    #[error("cannot {doing} `{}`: {source}", .path.display())]
    Io {
        /// What was tried, such as `read`.
        doing: &'static str,
        /// On which file.
        path: Box<Path>,
        /// What the system said.
        source: io::Error,
    },
    /// The disk, or the user's quota on it, is full.
    #[error(
        "the disk is full: cannot {doing} `{path}`{}; make room (`erlen store gc` drops what is no longer needed) \
         or set ERLEN_STORE to a folder on another disk, and run again",
        .needed.map(|bytes| format!(", which needs {bytes} bytes")).unwrap_or_default()
    )]
    Full {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: Box<Path>,
        /// How many bytes it needs, where known.
        needed: Option<u64>,
    },
    /// The store may be read but not written.
    #[error(
        "the store cannot be written: cannot {doing} `{path}`: {source}; make it writable, or set ERLEN_STORE to a \
         folder that is"
    )]
    ReadOnly {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: Box<Path>,
        /// What the system said.
        source: io::Error,
    },
    /// The folder is no store, or one of another version.
    #[error("`{path}` is not a store of this version: {why}")]
    Format {
        /// The folder.
        path: Box<Path>,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// An object is not there any more.
    #[error("{what} is missing from the store; run again to make it anew")]
    Evicted {
        /// What is missing.
        what: String,
    },
    /// An object's bytes are not those that it is named by.
    #[error("{what}; it was moved to quarantine, run again to make it anew")]
    Corrupt {
        /// What is damaged, and how that shows.
        what: String,
    },
    /// An artifact has no such path.
    #[error("the artifact {artifact} has no `{path}`{hint}", artifact = .artifact.short())]
    NoSuchPath {
        /// The artifact.
        artifact: Box<Digest>,
        /// The path asked for.
        path: Box<str>,
        /// What is there instead.
        hint: Box<str>,
    },
    /// A file tree holds something that cannot be kept.
    #[error("`{path}` cannot be kept: {why}")]
    Unkeepable {
        /// The file.
        path: Box<Path>,
        /// What it is, and what to do.
        why: String,
    },
    /// A file changed while it was being read.
    #[error("`{path}` changed while it was being read; let whatever writes it finish, and run again")]
    Unsettled {
        /// The file.
        path: Box<Path>,
    },
}

impl StoreError {
    /// Whether part of a known result is not there any more: what made it can make it again.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Evicted { .. } | Self::Corrupt { .. })
    }

    /// Tells full disks and unwritable places from other failures.
    fn of_write(doing: &'static str, path: &Path, needed: Option<u64>, source: io::Error) -> Self {
        let path = Box::from(path);
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { doing, path, needed },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { doing, path, source }
            }
            _ => Self::Io { doing, path, source },
        }
    }
}

/// For `map_err`: failing to `doing` (a read) `path`.
pub(super) fn reading(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = Box::from(path);
    move |source| StoreError::Io { doing, path, source }
}

/// For `map_err`: failing to `doing` (a write) `path`.
pub(super) fn writing(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::of_write(doing, &path, None, source)
}

/// For `map_err`: failing to `doing` (a write of `needed` bytes) `path`.
pub(super) fn writing_bytes(
    doing: &'static str,
    path: &Path,
    needed: u64,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::of_write(doing, &path, Some(needed), source)
}
