//! Where models, inputs and outputs are.

use std::path::{Path, PathBuf};

/// The folder with a model that `path` names, itself or the one that it lies in, or a file that is a whole model; nothing
/// where there is neither.
pub fn model_folder(path: &Path) -> Option<PathBuf> {
    if path.is_dir() || (path.is_file() && is_gguf(path)) {
        return Some(path.to_owned());
    }
    path.is_file().then(|| folder_around(path).to_owned())
}

/// Whether a file is a whole model, by its name.
fn is_gguf(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// The first of `inputs` that is not there and is no pattern either.
pub fn missing_input(inputs: &[PathBuf]) -> Option<&Path> {
    let missing = inputs.iter().find(|path| {
        let is_pattern = path.to_string_lossy().contains(['*', '?', '[']);
        !is_pattern && path.symlink_metadata().is_err()
    });
    missing.map(PathBuf::as_path)
}

/// The folder that a file is in.
pub(super) fn folder_around(path: &Path) -> &Path {
    let around = path.parent().filter(|around| !around.as_os_str().is_empty());
    around.unwrap_or(Path::new("."))
}
