//! Why a file did not come, and whether that is the source's fault.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::Path;

use crate::stages::StageError;

/// Why a file did not come from a source, or is not what it should be.
#[derive(Debug, PartialEq)]
pub(super) enum DownloadFault {
    /// The source is at fault: another one, or the same at another time, may give a better file.
    Source(StageError),
    /// It is not: the disk, a limit, an interruption. What has come is good, as far as is known.
    Here(StageError),
}

impl DownloadFault {
    /// The fault of the source.
    pub fn source(message: impl Into<String>) -> Self {
        Self::Source(StageError::failed(message))
    }

    /// A limit of the stage, which its author may raise.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::Here(StageError::failed(message))
    }

    /// The failure to `doing` a file of our own at `path`.
    pub fn cannot(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::Here(super::cannot(doing, path, error))
    }
}

impl Display for DownloadFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (Self::Source(error) | Self::Here(error)) = self;
        error.fmt(f)
    }
}

impl From<StageError> for DownloadFault {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Interrupted => Self::Here(error),
            other => Self::Source(other),
        }
    }
}
