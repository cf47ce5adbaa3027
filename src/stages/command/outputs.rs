//! What a command leaves: the declared outputs become its artifact.

use std::fs;
use std::path::{Path, PathBuf};

/// From this many names on, the rest is only counted.
const LISTED: usize = 8;

/// Moves the declared `outputs` from the `folder` that the command ran in to the empty folder `target`.
///
/// # Errors
/// What is missing, and what is there instead; or what cannot be moved.
pub(super) fn collect(folder: &Path, outputs: &[String], target: &Path) -> Result<(), String> {
    let is_missing = |output: &&String| folder.join(output).symlink_metadata().is_err();
    let missing: Vec<String> = outputs
        .iter()
        .filter(is_missing)
        .map(|output| format!("`{output}`"))
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "the command ended well without making its output{} {}; in its folder it left: {}. It runs in an empty \
             folder of its own, and an output is a path in there",
            if missing.len() == 1 { "" } else { "s" },
            missing.join(", "),
            listing(folder)
        ));
    }
    for output in outputs {
        let to = target.join(output);
        let moved = to
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::rename(folder.join(output), &to));
        moved.map_err(|error| format!("cannot take the output `{output}`: {error}"))?;
    }
    Ok(())
}

fn listing(folder: &Path) -> String {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| PathBuf::from(entry.file_name())))
        .collect();
    names.sort();
    let shown: Vec<String> = names
        .iter()
        .take(LISTED)
        .map(|name| name.display().to_string())
        .collect();
    match names.len() {
        0 => "nothing".to_owned(),
        count if count > LISTED => format!("{} and {} more", shown.join(", "), count - LISTED),
        _ => shown.join(", "),
    }
}

/// Empties the folder for outputs: only what is declared is kept, wherever a program wrote.
///
/// # Errors
/// What is in it cannot be removed.
pub(super) fn empty(folder: &Path) -> Result<(), String> {
    let clear = || -> std::io::Result<()> {
        for item in fs::read_dir(folder)? {
            let item = item?;
            if item.file_type()?.is_dir() {
                fs::remove_dir_all(item.path())?;
            } else {
                fs::remove_file(item.path())?;
            }
        }
        Ok(())
    };
    clear().map_err(|error| format!("{}: {error}", folder.display()))
}
