//! Whether files that were asked for are those of another time.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use walkdir::WalkDir;

use super::files::expanded;
use crate::data::error::DataError;
use crate::data::formats::is_hidden;
use crate::fingerprint::Digest;

/// What tells the files at `paths` from those of another time: the paths as they are given, and of each file that they lead
/// to, at any depth, the path, the length and when it was changed. Files whose names are among `without` do not count.
/// Contents are not read.
///
/// # Errors
/// A path leads nowhere, or a pattern fits nothing.
pub fn listing_digest(paths: &[PathBuf], without: &[&OsStr]) -> Result<Digest, DataError> {
    let mut hasher = blake3::Hasher::new();
    let mut file = |path: &Path, found: Option<Metadata>| {
        let changed = found.as_ref().and_then(|found| found.modified().ok());
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let length = found.map_or(u64::MAX, |found| found.len());
        let path = path.as_os_str().as_bytes();
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update(&length.to_le_bytes());
        hasher.update(&changed.map_or(u128::MAX, |time| time.as_nanos()).to_le_bytes());
    };
    for given in paths {
        file(given, None);
        for root in expanded(given)? {
            if !root.is_dir() {
                file(&root, root.metadata().ok());
                continue;
            }
            let walk = WalkDir::new(&root).follow_links(true).sort_by_file_name();
            let shown = walk
                .into_iter()
                .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()));
            for entry in shown {
                match entry {
                    Ok(entry) if entry.file_type().is_dir() || without.contains(&entry.file_name()) => {}
                    Ok(entry) => file(entry.path(), entry.metadata().ok()),
                    Err(error) => file(error.path().unwrap_or(&root), None),
                }
            }
        }
    }
    Ok(Digest::of_bytes(hasher.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn other_files_are_told() {
        let folder = tempfile::tempdir().expect("writable");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("in")).expect("writable");
        fs::write(path("in/a.csv"), "1").expect("writable");
        fs::write(path("b.csv"), "1").expect("writable");
        let paths = [path("in"), path("*.csv")];
        let digest = || listing_digest(&paths, &[OsStr::new("own.part")]).expect("there");
        let first = digest();
        assert_eq!(first, digest());
        fs::write(path("in/own.part"), "rows").expect("writable");
        fs::write(path("in/.hidden"), "?").expect("writable");
        assert_eq!(first, digest());
        fs::write(path("in/c.csv"), "").expect("writable");
        let more = digest();
        assert_ne!(first, more);
        fs::write(path("in/a.csv"), "22").expect("writable");
        let longer = digest();
        assert_ne!(more, longer);
        fs::write(path("d.csv"), "").expect("writable");
        assert_ne!(longer, digest());
        assert!(listing_digest(&[path("nothing")], &[]).is_err());
        let swapped = [paths[1].clone(), paths[0].clone()];
        assert_ne!(
            digest(),
            listing_digest(&swapped, &[OsStr::new("own.part")]).expect("there")
        );
    }
}
