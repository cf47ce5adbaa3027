//! A remote that is a folder, on a disk that several machines see.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{TransferError, temporary};
use crate::store::error::{reading, writing};

/// The folder.
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes the folder where it is not there.
    ///
    /// # Errors
    /// It cannot be made, in words.
    pub fn new(root: &str) -> Result<Self, String> {
        fs::create_dir_all(root).map_err(|error| error.to_string())?;
        Ok(Self { root: root.into() })
    }

    /// How large a file is; nothing where it is not there.
    pub fn size(&self, name: &str) -> Result<Option<u64>, String> {
        Ok(there(fs::metadata(self.root.join(name)))?.map(|file| file.len()))
    }

    /// What a file holds.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        there(fs::read(self.root.join(name)))
    }

    /// Copies a file; says whether it is there.
    pub fn download(&self, name: &str, to: &Path) -> Result<bool, TransferError> {
        let from = there(File::open(self.root.join(name))).map_err(TransferError::Remote)?;
        let Some(mut from) = from else { return Ok(false) };
        let mut file = File::create(to).map_err(writing("write", to))?;
        io::copy(&mut from, &mut file).map_err(|error| match error.kind() {
            // Of the two ends of a copy, only the one that is written can fail so.
            ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::ReadOnlyFilesystem => writing("write", to)(error).into(),
            _ => TransferError::Remote(error.to_string()),
        })?;
        Ok(true)
    }

    /// Writes a file, which is there whole or not at all.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        self.place(name, |file| fs::write(file, bytes))
            .map_err(|error| error.to_string())
    }

    /// Copies a file to there.
    pub fn upload(&self, name: &str, from: &Path) -> Result<(), TransferError> {
        let mut bytes = File::open(from).map_err(reading("read", from))?;
        self.place(name, |file| {
            io::copy(&mut bytes, &mut File::create(file)?).map(drop)
        })
        .map_err(|error| TransferError::Remote(error.to_string()))
    }

    /// Writes a file beside its place, then puts it there.
    fn place(&self, name: &str, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let file = temporary(folder);
        let written = write(&file).and_then(|()| fs::rename(&file, &path));
        if written.is_err() {
            // It may never have been made.
            let _ = fs::remove_file(&file);
        }
        written
    }

    /// The names of all files below the folder `name`.
    pub fn list(&self, name: &str) -> Result<Vec<String>, String> {
        let folder = self.root.join(name);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in walkdir::WalkDir::new(&folder) {
            let entry = entry.map_err(|error| error.to_string())?;
            let inside = entry.path().strip_prefix(&self.root);
            if let (true, Ok(inside)) = (entry.file_type().is_file(), inside) {
                names.extend(inside.to_str().map(str::to_owned));
            }
        }
        Ok(names)
    }
}

/// What was found, nothing where there is no such file, else why it cannot be had.
fn there<T>(found: io::Result<T>) -> Result<Option<T>, String> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
