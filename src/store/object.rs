//! Objects: file contents named by their digest.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};

use super::error::{reading, writing, writing_bytes};
use super::manifest::Manifest;
use super::tree::make_writable;
use super::{Store, StoreError};
use crate::fingerprint::Digest;

/// What is known about an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ObjectState {
    /// It is there, and as it should be.
    Sound,
    /// It is not there.
    Missing,
    /// It was damaged and is in quarantine; how that showed.
    Damaged(String),
}

/// How an object is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Size and time suffice.
    Times,
    /// Only the digest does.
    Nothing,
}

impl Store {
    /// Looks whether the object is there and sound; damaged, it goes to quarantine.
    pub(super) fn check_object(
        &self,
        digest: &Digest,
        size: Option<u64>,
        trust: Trust,
    ) -> Result<ObjectState, StoreError> {
        let path = self.object_path(digest);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ObjectState::Missing),
            Err(error) => return Err(reading("look at", &path)(error)),
        };
        if let Some(why) = wrong_shape(&metadata, size) {
            self.quarantine(&path);
            return Ok(ObjectState::Damaged(why));
        }
        if trust == Trust::Times && has_verified_time(&metadata, digest) {
            return Ok(ObjectState::Sound);
        }
        let found = match Digest::of_file(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ObjectState::Missing),
            Err(error) => return Err(reading("read", &path)(error)),
        };
        if found != *digest {
            self.quarantine(&path);
            return Ok(ObjectState::Damaged(format!(
                "its content has the digest {}",
                found.short()
            )));
        }
        // A store that can only be read is hashed again each time.
        let unchanged = |now: &Metadata| times(now) == times(&metadata);
        if !has_verified_time(&metadata, digest)
            && fs::symlink_metadata(&path).is_ok_and(|now| unchanged(&now))
        {
            let _ = set_verified_time(&path, digest);
        }
        Ok(ObjectState::Sound)
    }

    /// As [`Store::check_object`], with anything but soundness an error that speaks of `what`.
    pub(super) fn require_object(
        &self,
        digest: &Digest,
        size: Option<u64>,
        what: &str,
    ) -> Result<(), StoreError> {
        let name = format!("{what} (object {})", digest.short());
        match self.check_object(digest, size, Trust::Times)? {
            ObjectState::Sound => Ok(()),
            ObjectState::Missing if self.fetch(digest, size)? => Ok(()),
            ObjectState::Missing => Err(StoreError::Evicted { what: name }),
            ObjectState::Damaged(why) => Err(StoreError::Corrupt {
                what: format!("{name} is damaged: {why}"),
            }),
        }
    }

    /// The object's bytes, verified.
    pub(super) fn read_object(&self, digest: &Digest, what: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.object_path(digest);
        let name = || format!("{what} (object {})", digest.short());
        let mut read = read_small(&path);
        if let Err(error) = &read
            && error.kind() == io::ErrorKind::NotFound
            && self.fetch(digest, None)?
        {
            read = read_small(&path);
        }
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Evicted { what: name() });
            }
            Err(error) => return Err(reading("read", &path)(error)),
        };
        let found = Digest::of_bytes(&bytes);
        if found == *digest {
            return Ok(bytes);
        }
        self.quarantine(&path);
        Err(StoreError::Corrupt {
            what: format!(
                "{} is damaged: its content has the digest {}",
                name(),
                found.short()
            ),
        })
    }

    /// An artifact's manifest, verified.
    ///
    /// # Errors
    /// It is missing, damaged (and now in quarantine), or cannot be read.
    pub fn manifest(&self, artifact: &Digest) -> Result<Manifest, StoreError> {
        let what = format!("the manifest of the artifact {}", artifact.short());
        let bytes = self.read_object(artifact, &what)?;
        let text = String::from_utf8(bytes).map_err(|error| error.to_string());
        text.and_then(|text| Manifest::from_text(&text))
            .map_err(|why| StoreError::Corrupt {
                what: format!("{what} is no manifest: {why}"),
            })
    }

    /// The bytes of one file of an artifact, verified.
    ///
    /// # Errors
    /// As [`Store::manifest`], and where the artifact has no such file.
    pub fn read_file(&self, artifact: &Digest, path: &str) -> Result<Vec<u8>, StoreError> {
        let manifest = self.manifest(artifact)?;
        match manifest.file(path) {
            Some(entry) => self.read_object(
                &entry.digest,
                &format!("`{path}` of the artifact {}", artifact.short()),
            ),
            None => Err(no_such_path(artifact, &manifest, path)),
        }
    }

    /// Takes the file at `path` in as the object `digest`: moved where it can be, else copied.
    ///
    /// Where a sound object is there already, the file is left as it is.
    pub(super) fn adopt(&self, path: &Path, digest: &Digest, metadata: &Metadata) -> Result<(), StoreError> {
        if self.check_object(digest, Some(metadata.len()), Trust::Times)? == ObjectState::Sound {
            return Ok(());
        }
        let object = self.object_path(digest);
        // Behind a second name lies a file of someone else's, which must stay as it is.
        let moved = metadata.nlink() == 1 && self.move_in(path, &object, digest)?;
        if moved {
            Ok(())
        } else {
            self.copy_in(path, &object, digest, metadata.len())
        }
    }

    /// Writes `bytes` as an object, through the temporary file `temporary`.
    pub(super) fn put(&self, bytes: &[u8], temporary: &Path) -> Result<Digest, StoreError> {
        let digest = Digest::of_bytes(bytes);
        if self.check_object(&digest, Some(bytes.len() as u64), Trust::Times)? == ObjectState::Sound {
            return Ok(digest);
        }
        let object = self.object_path(&digest);
        fs::write(temporary, bytes).map_err(writing_bytes("write", temporary, bytes.len() as u64))?;
        seal(temporary, &digest).map_err(writing("seal", temporary))?;
        rename_making_folders(temporary, &object).map_err(writing("write", &object))?;
        Ok(digest)
    }

    fn move_in(&self, path: &Path, object: &Path, digest: &Digest) -> Result<bool, StoreError> {
        if seal(path, digest).is_err() {
            return Ok(false);
        }
        match rename_making_folders(path, object) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                path.parent().into_iter().for_each(make_writable);
                rename_making_folders(path, object).map_err(writing("move an output to", object))?;
                Ok(true)
            }
            Err(error) => Err(writing("move an output to", object)(error)),
        }
    }

    fn copy_in(&self, path: &Path, object: &Path, digest: &Digest, size: u64) -> Result<(), StoreError> {
        let folder = object.parent().unwrap_or(object);
        fs::create_dir_all(folder).map_err(writing("make the folder", folder))?;
        let temporary = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(folder)
            .map_err(writing("write into", folder))?
            .into_temp_path();
        fs::copy(path, &temporary).map_err(writing_bytes("write", object, size))?;
        // The file may have changed between the hashing and the copy.
        if Digest::of_file(&temporary).map_err(reading("read", &temporary))? != *digest {
            return Err(StoreError::Unsettled { path: path.into() });
        }
        seal(&temporary, digest).map_err(writing("seal", object))?;
        temporary
            .persist(object)
            .map_err(|error| writing("write", object)(error.error))
    }
}

/// The error for a path that the artifact does not have.
pub(super) fn no_such_path(artifact: &Digest, manifest: &Manifest, path: &str) -> StoreError {
    let names: Vec<String> = manifest.names(8).iter().map(|name| format!("`{name}`")).collect();
    let hint = if names.is_empty() {
        "; it is empty".to_owned()
    } else {
        format!("; it has {}", names.join(", "))
    };
    StoreError::NoSuchPath {
        artifact: Box::new(*artifact),
        path: path.into(),
        hint: hint.into(),
    }
}

/// Reads a file that is most likely small: then opening, one reading and closing is all it takes.
pub(super) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut buffer = [0; 8 << 10];
    let mut bytes = Vec::new();
    loop {
        match file.read(&mut buffer) {
            // A file gives less than it is asked for only at its end.
            Ok(count) if count < buffer.len() => {
                bytes.extend_from_slice(&buffer[..count]);
                return Ok(bytes);
            }
            Ok(_) => {
                bytes.extend_from_slice(&buffer);
                file.read_to_end(&mut bytes)?;
                return Ok(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What about the file cannot be right, whatever its content.
fn wrong_shape(metadata: &Metadata, size: Option<u64>) -> Option<String> {
    if !metadata.is_file() {
        return Some("it is not a file".to_owned());
    }
    size.filter(|size| *size != metadata.len())
        .map(|size| format!("it has {} bytes instead of {size}", metadata.len()))
}

/// Size, modification and change time: what shows that a file changed.
pub(super) fn times(metadata: &Metadata) -> (u64, (i64, i64), (i64, i64)) {
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    (
        metadata.len(),
        modified,
        (metadata.ctime(), metadata.ctime_nsec()),
    )
}

/// Whether `path` still names the open `file`, which others may have removed or replaced.
pub(super) fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    let named = fs::metadata(path);
    Ok(named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())))
}

/// The modification time, in seconds, of an object that has not changed since it was verified.
fn verified_time(digest: &Digest) -> i64 {
    let bytes = digest.as_bytes();
    let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    1_000_000_000 + i64::from(number % (1 << 29))
}

/// Whether the file has not changed since it was verified as the object `digest`.
pub(super) fn has_verified_time(metadata: &Metadata, digest: &Digest) -> bool {
    metadata.mtime() == verified_time(digest) && metadata.mtime_nsec() == 0
}

/// Marks the file as verified.
pub(super) fn set_verified_time(path: &Path, digest: &Digest) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: verified_time(digest),
            tv_nsec: 0,
        },
    };
    Ok(rustix::fs::utimensat(
        CWD,
        path,
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// Makes the file what every object is: read-only and marked as verified.
pub(super) fn seal(path: &Path, digest: &Digest) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o444))?;
    set_verified_time(path, digest)
}

/// Renames; the target's folder is made where it is missing.
pub(super) fn rename_making_folders(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::rename(from, to)
        }
        done => done,
    }
}
