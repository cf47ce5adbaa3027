//! What can go wrong with data.

use std::io;
use std::path::{Path, PathBuf};

use crate::tokenizer::TokenizerError;

/// What can go wrong while data is read, prepared or served.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}{}", path.display(), hint(source))]
    Io {
        /// What was tried: `read`, `write`, ...
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A dataset file that is not what it should be.
    #[error(
        "`{}` is not a usable dataset: {problem} (it is made by a `preprocess` stage; run that stage again)",
        path.display()
    )]
    Dataset {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Input files that are not in the format that was asked for.
    #[error("{place}: {problem}")]
    Input {
        /// The file, and where it matters the line, column or record.
        place: String,
        /// What is wrong there, and what to do.
        problem: String,
    },
    /// A format that can be named but not read.
    #[error(
        "this program cannot read `{name}`: its options are known and its files are not; add it to the \
         program's formats"
    )]
    UnknownFormat {
        /// Its name.
        name: &'static str,
    },
    /// Options that do not fit the data.
    #[error("{0}")]
    Options(String),
    /// A tokenizer that cannot be used, or a text that it cannot encode.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The work was asked to stop.
    #[error("interrupted")]
    Stopped,
}

impl DataError {
    /// Images of various sizes, where a network needs one size.
    pub fn various_sizes() -> Self {
        Self::Options(
            "the network needs images of one size, and the dataset's images have various sizes: add `resize: \
             {size: [height, width]}` or `random_resized_crop` to `augment` (and `resize` to \
             `eval_transforms`), or `size: [height, width]` to the preprocess stage's format"
                .into(),
        )
    }

    /// An [`DataError::Io`] maker for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// An [`DataError::Input`] about a whole file or folder.
    pub(super) fn input(path: &Path, problem: impl Into<String>) -> Self {
        Self::Input {
            place: format!("`{}`", path.display()),
            problem: problem.into(),
        }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space there, or move the store to a larger disk"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; check the permissions, or choose another place"
        }
        _ => "",
    }
}
