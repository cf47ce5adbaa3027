//! Work folders that are used again.
//!
//! A small stage spends most of its time in the file system, on making and removing the handful of
//! files and folders that it works in: ext4 looks long for a free inode where many were freed in
//! the last seconds. So a finished stage's work folder is emptied, kept under another name with its
//! lock held, and given the next fingerprint's name when that one is leased.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::lease::clear_away;
use super::object::is_named;
use super::tree;

/// What a spare folder's name begins with.
const PREFIX: &str = ".spare-";

/// No more are kept.
const MOST: usize = 16;

/// A process's spare work folders.
#[derive(Debug, Default)]
pub(super) struct Spares {
    folders: Mutex<Option<Vec<Spare>>>,
    named: AtomicU64,
}

/// An empty work folder, locked.
#[derive(Debug)]
struct Spare {
    folder: PathBuf,
    lock: File,
}

impl Spares {
    /// Gives a spare folder the name `work`, if there is one and the name is free. Gives its lock.
    pub fn take(&self, work: &Path) -> Option<File> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let folders = folders.get_or_insert_with(|| left_over(work.parent()));
        let spare = folders.pop()?;
        match fs::rename(&spare.folder, work) {
            Ok(()) => Some(spare.lock),
            Err(_) => {
                folders.push(spare);
                None
            }
        }
    }

    /// Takes back a work folder under its `lock`: empties it and keeps it, or removes it.
    pub fn keep(&self, work: &Path, lock: &File) -> io::Result<()> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let count = folders.as_ref().map_or(0, Vec::len);
        let (Some(around), Ok(lock)) = (work.parent(), lock.try_clone()) else {
            return clear_away(work);
        };
        // A program may have removed the file that the lock is on: nobody else would find it locked.
        let found = is_named(&lock, &work.join("lock")).unwrap_or(false);
        if count >= MOST || !found || empty(work).is_err() {
            return clear_away(work);
        }
        let number = self.named.fetch_add(1, Ordering::Relaxed);
        let folder = around.join(format!("{PREFIX}{}-{number}", std::process::id()));
        if fs::rename(work, &folder).is_err() {
            return clear_away(work);
        }
        folders.get_or_insert_default().push(Spare { folder, lock });
        Ok(())
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        let folders = self.folders.get_mut().unwrap_or_else(PoisonError::into_inner);
        for spare in folders.iter_mut().flatten() {
            let _ = clear_away(&spare.folder);
        }
    }
}

/// Empties a work folder: what a lease needs stays as empty folders and an empty log.
fn empty(work: &Path) -> io::Result<()> {
    for item in fs::read_dir(work)? {
        let item = item?;
        let (name, path) = (item.file_name(), item.path());
        match name.to_str() {
            Some("lock") => {}
            Some("output" | "in" | "scratch") if is_empty_folder(&path) => {}
            Some("log.txt") if item.file_type()?.is_file() => {
                OpenOptions::new().write(true).truncate(true).open(&path)?;
            }
            _ => tree::remove(&path)?,
        }
    }
    Ok(())
}

/// Whether `path` is a folder, no link to one, with nothing in it.
pub(super) fn is_empty_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
        && fs::read_dir(path).is_ok_and(|mut items| items.next().is_none())
}

/// The spare folders that processes left which were killed.
fn left_over(around: Option<&Path>) -> Vec<Spare> {
    let items = around.and_then(|around| fs::read_dir(around).ok());
    let names = items.into_iter().flatten().flatten();
    names
        .filter(|item| item.file_name().to_string_lossy().starts_with(PREFIX))
        .filter_map(|item| {
            let folder = item.path();
            let lock = File::open(folder.join("lock")).ok()?;
            lock.try_lock().ok()?;
            // A process that lives may have given it another name meanwhile.
            let still_there = folder.join("lock").exists() && empty(&folder).is_ok();
            still_there.then_some(Spare { folder, lock })
        })
        .take(MOST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_back_empty_and_go_with_the_process() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        let make = |work: &Path| {
            for folder in ["output", "in/data", "scratch"] {
                fs::create_dir_all(work.join(folder)).unwrap();
            }
            fs::write(work.join("log.txt"), "words").unwrap();
            fs::write(work.join("job.json"), "{}").unwrap();
            let lock = File::create(work.join("lock")).unwrap();
            lock.lock().unwrap();
            lock
        };
        let lock = make(&one);
        let spares = Spares::default();
        assert!(spares.take(&two).is_none());
        spares.keep(&one, &lock).unwrap();
        drop(lock);
        assert!(!one.exists());

        let lock = spares.take(&two).unwrap();
        let mut names: Vec<String> = fs::read_dir(&two)
            .unwrap()
            .map(|item| item.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["lock", "log.txt", "output", "scratch"]);
        assert_eq!(fs::read(two.join("log.txt")).unwrap(), b"");
        // Whoever wants the lock under the new name has to wait for it.
        assert!(File::open(two.join("lock")).unwrap().try_lock().is_err());
        spares.keep(&two, &lock).unwrap();
        drop((lock, spares));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_that_is_taken_keeps_its_folder_and_killed_processes_leave_theirs_to_others() {
        let root = tempfile::tempdir().unwrap();
        let left = root.path().join(".spare-1-0");
        fs::create_dir_all(left.join("output")).unwrap();
        fs::write(left.join("lock"), "").unwrap();
        let taken = root.path().join("taken");
        fs::create_dir_all(taken.join("scratch")).unwrap();
        let spares = Spares::default();
        assert!(spares.take(&taken).is_none());
        assert!(taken.join("scratch").exists());
        let free = root.path().join("free");
        assert!(spares.take(&free).is_some());
        assert!(free.join("output").exists() && !left.exists());
    }
}
