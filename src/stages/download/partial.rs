//! A file that is being downloaded, and what is needed to go on with it later.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cannot;
use super::version::FileVersion;
use crate::fingerprint::Digest;
use crate::stages::StageError;

/// What a server said about the file that the bytes so far belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartialOrigin {
    /// The digest of the URL that it came from, which may hold a secret.
    pub source: Digest,
    /// Its version.
    pub version: FileVersion,
    /// The whole file's size.
    pub length: Option<u64>,
    /// What the server says to have done to it on the way: `Content-Encoding`.
    pub encoding: Option<String>,
}

/// The bytes so far, in the scratch folder.
pub(super) struct PartialFile {
    path: PathBuf,
    note: PathBuf,
    origin: Option<PartialOrigin>,
    size: u64,
}

impl PartialFile {
    /// What an earlier try left in `scratch`, if anything.
    pub fn open(scratch: &Path) -> Result<Self, StageError> {
        let (path, note) = (scratch.join("packed"), scratch.join("packed.json"));
        let origin = fs::read(&note)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(cannot("look at", &path, &error)),
        };
        Ok(Self {
            path,
            note,
            origin,
            size,
        })
    }

    /// Where the bytes lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What they belong to.
    pub fn origin(&self) -> Option<&PartialOrigin> {
        self.origin.as_ref()
    }

    /// Forgets what is there.
    pub fn clear(&mut self) -> Result<(), StageError> {
        for path in [&self.note, &self.path] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(cannot("remove", path, &error));
                }
                _ => {}
            }
        }
        (self.origin, self.size) = (None, 0);
        Ok(())
    }

    /// Begins anew with a file of this origin.
    pub fn begin(&mut self, origin: PartialOrigin) -> Result<PartialWriter<'_>, StageError> {
        self.clear()?;
        let text = serde_json::to_string(&origin).unwrap_or_default();
        fs::write(&self.note, text).map_err(|error| cannot("write", &self.note, &error))?;
        self.origin = Some(origin);
        self.resume()
    }

    /// Goes on behind the bytes that are there.
    pub fn resume(&mut self) -> Result<PartialWriter<'_>, StageError> {
        let opened = OpenOptions::new().create(true).append(true).open(&self.path);
        let file = opened.map_err(|error| cannot("write", &self.path, &error))?;
        Ok(PartialWriter { file, partial: self })
    }
}

/// Appends to the bytes so far.
pub(super) struct PartialWriter<'a> {
    file: File,
    partial: &'a mut PartialFile,
}

impl PartialWriter<'_> {
    /// Appends; gives the size so far.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, StageError> {
        self.file
            .write_all(bytes)
            .map_err(|error| cannot("write", &self.partial.path, &error))?;
        self.partial.size += bytes.len() as u64;
        Ok(self.partial.size)
    }
}
