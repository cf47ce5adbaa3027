//! Files that change only when their content does.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::ReportError;

/// Makes `path` hold `bytes`, with its folder where that is missing; says whether it held something
/// else before. A reader sees the old file or the new one, never a part.
///
/// # Errors
/// The file or its folder cannot be written.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, ReportError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    replace(path, bytes).map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })?;
    Ok(true)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".erlen-");
    // As any new file: the process's mask decides, not the privacy of temporary files.
    #[cfg(unix)]
    let mut file = {
        use std::os::unix::fs::PermissionsExt;
        builder
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)?
    };
    #[cfg(not(unix))]
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results/table.csv");
        assert!(write_if_changed(&path, b"a\n").unwrap());
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(!write_if_changed(&path, b"a\n").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        assert!(write_if_changed(&path, b"b\n").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"b\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn says_what_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = write_if_changed(&blocked.join("table.csv"), b"")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot write ") && error.contains("file/table.csv: "),
            "{error}"
        );
    }
}
