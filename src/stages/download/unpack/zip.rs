//! Zip archives.

use std::io::{Read, Seek};

use super::tree::UnpackedTree;
use crate::stages::StageError;

/// No symbolic link's target is longer.
const LONGEST_TARGET: u64 = 4096;

/// Unpacks a zip archive into `tree`.
pub(super) fn unpack(reader: impl Read + Seek, tree: &mut UnpackedTree<'_>) -> Result<(), StageError> {
    let mut archive =
        zip::ZipArchive::new(reader).map_err(|error| tree.broken("its list of contents", &error))?;
    if archive.len() as u64 > tree.most_entries() {
        return Err(tree.refuse("", &format!("is one of {}, more than are allowed", archive.len())));
    }
    for index in 0..archive.len() {
        let number = format!("entry {}", index + 1);
        let mut entry = archive
            .by_index(index)
            .map_err(|error| tree.broken(&number, &error))?;
        let name = entry
            .name()
            .map_err(|error| tree.broken(&number, &error))?
            .into_owned();
        // Some programs write Windows paths.
        let path = name.replace('\\', "/");
        if path.get(1..3) == Some(":/") {
            return Err(tree.refuse(&path, "has an absolute path"));
        }
        if entry.is_dir() || path.ends_with('/') {
            tree.folder(&path)?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            let read = entry.by_ref().take(LONGEST_TARGET).read_to_string(&mut target);
            read.map_err(|error| tree.broken(&format!("`{path}`"), &error))?;
            tree.symbolic_link(&path, &target)?;
        } else {
            // The file type, where the program that packed it knew about such things.
            let mode = entry.unix_mode().unwrap_or(0);
            if !matches!(mode & 0o170_000, 0 | 0o100_000) {
                return Err(tree.refuse(&path, "is a device or a pipe"));
            }
            tree.file(&path, mode & 0o100 != 0, &mut entry)?;
        }
    }
    Ok(())
}
