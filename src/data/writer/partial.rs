//! The file under its temporary name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::error::DataError;
use crate::data::layout::FILE_NAME;

/// The file under its temporary name; removed unless it is kept.
pub(super) struct PartialDataset {
    folder: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl PartialDataset {
    /// The temporary name in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            path: folder.join(format!("{FILE_NAME}.partial")),
            kept: false,
        }
    }

    /// The temporary name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name.
    pub fn keep(mut self) -> Result<(), DataError> {
        let renamed = fs::rename(&self.path, self.folder.join(FILE_NAME));
        renamed.map_err(DataError::io("rename", &self.path))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for PartialDataset {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing can be done about a file that cannot be removed, and it has no final name.
            let _ = fs::remove_file(&self.path);
        }
    }
}
