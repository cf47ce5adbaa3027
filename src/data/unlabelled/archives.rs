//! Archives among what is predicted for: unpacked, they are gone through as folders are.

use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

/// How the names of archives end.
const ENDINGS: [&str; 10] = [
    ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst",
];

/// Unpacks the archive at the first path into the empty folder at the second. What is wrong is a sentence.
type Unpack = dyn Fn(&Path, &Path) -> Result<(), String> + Send + Sync;

/// How archives are unpacked, and where.
#[derive(Clone)]
pub struct ArchiveUnpacker {
    scratch: PathBuf,
    unpack: Arc<Unpack>,
}

impl ArchiveUnpacker {
    /// `unpack` unpacks the archive at its first argument into the empty folder at its second, one in `scratch` that is
    /// removed with all samples; what is wrong with the archive is a sentence.
    pub fn new(
        scratch: &Path,
        unpack: impl Fn(&Path, &Path) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            scratch: scratch.to_owned(),
            unpack: Arc::new(unpack),
        }
    }

    /// What is in the archive at `path`.
    pub(super) fn unpacked(&self, path: &Path) -> Result<TempDir, String> {
        let folder = std::fs::create_dir_all(&self.scratch)
            .and_then(|()| tempfile::tempdir_in(&self.scratch))
            .map_err(|error| {
                format!(
                    "there is no place to unpack it in `{}`: {error}",
                    self.scratch.display()
                )
            })?;
        (self.unpack)(path, folder.path())?;
        Ok(folder)
    }
}

impl Debug for ArchiveUnpacker {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveUnpacker")
            .field("scratch", &self.scratch)
            .finish_non_exhaustive()
    }
}

/// Whether the file at `path` is an archive, by its name: files of other kinds are zip archives too.
pub(super) fn is_archive(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending)) && path.is_file()
}
