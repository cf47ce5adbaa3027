//! What can go wrong when models are asked.

use std::io;
use std::path::PathBuf;

use crate::train::TrainError;

/// Why there are no answers, or not all of them.
#[derive(Debug, thiserror::Error)]
pub(super) enum InferError {
    /// What is asked for cannot be done, whatever the files hold.
    #[error("{0}")]
    Arguments(String),
    /// The models cannot be asked.
    #[error(transparent)]
    Asking(#[from] TrainError),
    /// The answers cannot be written.
    #[error("cannot write `{path}`: {source}")]
    Writing {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl InferError {
    /// `path` is where answers were to go, and somebody else's file.
    pub fn is_there(path: PathBuf) -> Self {
        Self::Arguments(format!(
            "`{}` is there already: remove it, or name another file with --output",
            path.display()
        ))
    }
}
