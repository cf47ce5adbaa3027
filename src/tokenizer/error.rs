//! What can go wrong with tokenizers.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong while a tokenizer is trained, read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, ...
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder that holds no tokenizer that can be used.
    #[error("`{}` holds no tokenizer that can be used: {problem}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Options that do not fit the documents, or each other.
    #[error("{0}")]
    Options(String),
    /// A text that cannot be encoded.
    #[error("{0}")]
    Text(String),
}

impl TokenizerError {
    /// An [`TokenizerError::Io`] maker for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// A file or folder that holds no tokenizer that can be used.
    pub(super) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}
