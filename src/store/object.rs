//! Objects: file contents, named by their digests.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use tempfile::NamedTempFile;

use super::error::StoreError;
use crate::fingerprint::Digest;

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is gone.
    Missing(String),
    /// It was not what its name says, and is in quarantine now.
    Damaged(String),
}

/// The objects of a store.
pub(super) struct Objects {
    root: PathBuf,
    folder: PathBuf,
}

impl Objects {
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            folder: root.join("objects"),
        }
    }

    /// Where the object of `digest` lies.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(&name[..2]).join(&name[2..])
    }

    /// Takes the file `source` in, by renaming it; where the object exists, `source` is removed.
    pub fn take(&self, source: &Path, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        let size = fs::metadata(source).map_err(StoreError::io(source))?.len();
        if self.check(digest, Some(size))?.is_none() {
            return fs::remove_file(source).map_err(StoreError::io(source));
        }
        if fs::symlink_metadata(source)
            .map_err(StoreError::io(source))?
            .is_symlink()
        {
            // The link's target is a file of the same output: both need their own content.
            return self.put(&fs::read(source).map_err(StoreError::io(source))?, digest);
        }
        seal(source, digest)?;
        move_to(source, &path)
    }

    /// Writes `bytes` as the object of `digest`, unless it exists.
    pub fn put(&self, bytes: &[u8], digest: &Digest) -> Result<(), StoreError> {
        if self.check(digest, Some(bytes.len() as u64))?.is_none() {
            return Ok(());
        }
        let path = self.path(digest);
        let temporary = temporary_beside(&path, bytes)?;
        seal(temporary.path(), digest)?;
        temporary
            .persist(&path)
            .map_err(|error| StoreError::io(&path)(error.error))?;
        Ok(())
    }

    /// The object's content, verified.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { what: missing(&path) });
            }
            Err(error) => return Err(StoreError::io(&path)(error)),
        };
        if Digest::of_bytes(&bytes) == *digest {
            return Ok(bytes);
        }
        self.quarantine(&path)?;
        Err(StoreError::Damaged {
            path,
            what: "its content does not match its digest".to_owned(),
        })
    }

    /// Whether the object is there, of the right size, and unchanged since it was last verified; one
    /// that changed is hashed, and quarantined if it is not what its name says.
    pub fn check(&self, digest: &Digest, size: Option<u64>) -> Result<Option<Problem>, StoreError> {
        let path = self.path(digest);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some(Problem::Missing(missing(&path))));
            }
            Err(error) => return Err(StoreError::io(&path)(error)),
        };
        let right_size = size.is_none_or(|size| size == metadata.len());
        let right_time = metadata.modified().is_ok_and(|time| time == mark(digest));
        if right_size && right_time {
            return Ok(None);
        }
        if right_size && Digest::of_file(&path).map_err(StoreError::io(&path))? == *digest {
            // On a store that may only be read it is hashed again the next time.
            let _ = set_time(&path, digest);
            return Ok(None);
        }
        self.quarantine(&path)?;
        let what = format!(
            "the object {} was changed or cut short; it is in quarantine",
            path.display()
        );
        Ok(Some(Problem::Damaged(what)))
    }

    /// Hashes every object.
    pub fn verify_all(&self) -> Result<Vec<String>, StoreError> {
        let files = super::files_below(&self.folder);
        let problems: Result<Vec<Option<String>>, StoreError> = files
            .par_iter()
            .map(|path| {
                let name = path.parent().and_then(Path::file_name).zip(path.file_name());
                let digest = name.and_then(|(folder, name)| {
                    format!("{}{}", folder.to_string_lossy(), name.to_string_lossy())
                        .parse::<Digest>()
                        .ok()
                });
                let Some(digest) = digest else {
                    return Ok(Some(format!("{} is no object", path.display())));
                };
                if Digest::of_file(path).map_err(StoreError::io(path))? == digest {
                    let _ = set_time(path, &digest);
                    return Ok(None);
                }
                self.quarantine(path)?;
                Ok(Some(format!(
                    "the object {} was damaged; it is in quarantine",
                    path.display()
                )))
            })
            .collect();
        Ok(problems?.into_iter().flatten().collect())
    }

    /// Moves a damaged file out of the way.
    pub fn quarantine(&self, path: &Path) -> Result<(), StoreError> {
        let name = path
            .strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
            .replace('/', "-");
        match move_to(path, &self.root.join("quarantine").join(name)) {
            // Another process was faster.
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn missing(path: &Path) -> String {
    format!("the object {} is gone", path.display())
}

/// The modification time that marks the object of `digest` as verified.
pub(super) fn mark(digest: &Digest) -> SystemTime {
    let bytes = digest.as_bytes();
    let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % (1 << 29);
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + u64::from(number))
}

fn set_time(path: &Path, digest: &Digest) -> std::io::Result<()> {
    File::open(path)?.set_modified(mark(digest))
}

/// Makes a file read-only and marks it as verified.
fn seal(path: &Path, digest: &Digest) -> Result<(), StoreError> {
    set_time(path, digest)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o444)))
        .map_err(StoreError::io(path))
}

/// Renames a file, making the target's folder where it does not exist.
fn move_to(source: &Path, target: &Path) -> Result<(), StoreError> {
    match fs::rename(source, target) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            make_parent(target)?;
            fs::rename(source, target).map_err(StoreError::io(target))
        }
        other => other.map_err(StoreError::io(target)),
    }
}

fn make_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(StoreError::io(parent))
}

fn temporary_beside(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, StoreError> {
    make_parent(path)?;
    let parent = path.parent().unwrap_or(path);
    let mut file = NamedTempFile::with_prefix_in(".new-", parent).map_err(StoreError::io(parent))?;
    file.write_all(bytes).map_err(StoreError::io(path))?;
    Ok(file)
}

/// Writes a whole file under a temporary name, then renames it into place.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let file = temporary_beside(path, bytes)?;
    fs::set_permissions(file.path(), Permissions::from_mode(0o644)).map_err(StoreError::io(path))?;
    file.persist(path)
        .map_err(|error| StoreError::io(path)(error.error))?;
    Ok(())
}
