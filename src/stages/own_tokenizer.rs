//! The tokenizer that a model of texts reads them by, which stands beside it in its artifact.

use std::fs;
use std::path::Path;

use crate::data::TOKENIZER_FOLDER;
use crate::train::TrainError;

/// Takes over the tokenizer beside the dataset or model in `from`, byte for byte, into `to`; nothing where there is none.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn take_over(from: &Path, to: &Path) -> Result<(), TrainError> {
    let source = from.join(TOKENIZER_FOLDER);
    if !source.is_dir() {
        return Ok(());
    }
    let target = to.join(TOKENIZER_FOLDER);
    fs::create_dir_all(&target).map_err(TrainError::writing(&target))?;
    let reading = |error| TrainError::Read {
        path: source.clone(),
        source: error,
    };
    for entry in fs::read_dir(&source).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let target = target.join(entry.file_name());
        // Read and written rather than copied: a copy would take over the store's read-only mode.
        let bytes = fs::read(entry.path()).map_err(reading)?;
        fs::write(&target, bytes).map_err(TrainError::writing(&target))?;
    }
    Ok(())
}
