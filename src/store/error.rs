//! What can go wrong with the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::fingerprint::Digest;

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{}: {source}{}", path.display(), advice(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds a store of another layout.
    #[error("{} is `{found}`, and this program knows `{known}`; use another folder (ERLEN_STORE)", root.display())]
    Format {
        /// The store's folder.
        root: PathBuf,
        /// What it says it is.
        found: String,
        /// What is known.
        known: &'static str,
    },
    /// Something that was there is gone.
    #[error("{what}; run again to make it anew")]
    Missing {
        /// What.
        what: String,
    },
    /// A file is not what its name says.
    #[error("{} is damaged: {what}; run again to make it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In which way.
        what: String,
    },
    /// An artifact has no such file.
    #[error("the artifact {} has no file `{path}`", artifact.short())]
    NoSuchFile {
        /// The artifact.
        artifact: Digest,
        /// The path inside it.
        path: String,
    },
    /// A name cannot be kept.
    #[error("{}: the name is not UTF-8; rename the file", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Something that cannot be kept.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
}

impl StoreError {
    /// The system refused something about `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// What to do about an error of the system's.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space, or put the store elsewhere (ERLEN_STORE), and run again: what is done is kept"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; the store must be writable: put it elsewhere with ERLEN_STORE or `store` in erlen.yaml"
        }
        _ => "",
    }
}
