//! Files that are there as a whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use super::places::folder_around;

/// A file that gets its name once it is whole. Where the file system has files without a name, nothing of it is left when
/// the program is killed before that.
pub struct UnnamedFile(UnnamedForm);

enum UnnamedForm {
    #[cfg(target_os = "linux")]
    Nameless(File),
    Named(NamedTempFile),
}

impl UnnamedFile {
    /// A file in the folder of the one that is to be at `path`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn for_path(path: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = nameless_in(folder_around(path)) {
            return Ok(Self(UnnamedForm::Nameless(file)));
        }
        beside(path).map(UnnamedForm::Named).map(Self)
    }

    /// What to write to.
    pub fn as_file_mut(&mut self) -> &mut File {
        match &mut self.0 {
            #[cfg(target_os = "linux")]
            UnnamedForm::Nameless(file) => file,
            UnnamedForm::Named(file) => file.as_file_mut(),
        }
    }

    /// Gives it its name, unless there is a file of that name already.
    ///
    /// # Errors
    /// There is ([`io::ErrorKind::AlreadyExists`]), or it cannot get that name.
    pub fn persist_noclobber(self, path: &Path) -> io::Result<()> {
        let named = match self.0 {
            #[cfg(target_os = "linux")]
            UnnamedForm::Nameless(file) => match name(&file, path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => copied(file, path)?,
                named => return named,
            },
            UnnamedForm::Named(named) => named,
        };
        named
            .persist_noclobber(path)
            .map(drop)
            .map_err(|error| error.error)
    }
}

/// A file of a passing name beside the one that is to be at `path`.
///
/// # Errors
/// It cannot be made.
pub fn beside(path: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        // Those of any new file: the user's mask takes away from them.
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder_around(path))
}

/// Rights of a new file.
const MODE: u32 = 0o666;

/// A file without a name, where the file system has such.
#[cfg(target_os = "linux")]
fn nameless_in(folder: &Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags, open};

    // Read and written: where it cannot be named, it is copied.
    let file = open(
        folder,
        OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
        Mode::from_raw_mode(MODE),
    );
    file.ok().map(File::from)
}

/// Gives a file without a name one.
#[cfg(target_os = "linux")]
fn name(file: &File, path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{AtFlags, CWD, linkat};

    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, itself, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

/// A copy of a file without a name that cannot get one, as where `/proc` is missing.
#[cfg(target_os = "linux")]
fn copied(mut file: File, path: &Path) -> io::Result<NamedTempFile> {
    let mut copy = beside(path)?;
    file.rewind()?;
    io::copy(&mut file, copy.as_file_mut())?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_has_no_name_before_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let mut file = UnnamedFile::for_path(&path).unwrap();
        file.as_file_mut().write_all(b"whole").unwrap();
        #[cfg(target_os = "linux")]
        if matches!(file.0, UnnamedForm::Nameless(_)) {
            assert_eq!(names(), 0);
        }
        file.persist_noclobber(&path).unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"whole".to_vec(), 1));
        // Somebody else's file stays as it is.
        let mut other = UnnamedFile::for_path(&path).unwrap();
        other.as_file_mut().write_all(b"other").unwrap();
        let error = other.persist_noclobber(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), names()), (b"whole".to_vec(), 1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_named_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let Some(mut file) = nameless_in(folder.path()) else {
            return;
        };
        file.write_all(b"whole").unwrap();
        copied(file, &path).unwrap().persist_noclobber(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        let like_any = File::create(folder.path().join("any")).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions(),
            like_any.metadata().unwrap().permissions()
        );
    }
}
