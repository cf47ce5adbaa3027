//! Leases: the right to produce one fingerprint.
//!
//! A lease is a kernel file lock on `work/<fingerprint>/lock`, so it ends with the process that
//! holds it, and with every process that inherited it. The file is removed with its folder after a
//! commit; whoever got the lock of a file that no longer stands at that path tries again.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rayon::prelude::*;

use super::action::{Action, Commit};
use super::error::StoreError;
use super::manifest::Manifest;
use super::{Lookup, Store, object};
use crate::fingerprint::{Digest, Fingerprint};

/// The pause between two looks at a lease that another process holds.
const PAUSE: Duration = Duration::from_millis(20);

/// The right to produce one fingerprint, and the folders to do it in.
pub struct Lease {
    store: Store,
    fingerprint: Fingerprint,
    folder: PathBuf,
    scratch: PathBuf,
    output: PathBuf,
    inputs: PathBuf,
    lock: File,
}

/// What came of asking for a lease.
pub enum Leased {
    /// It is granted.
    Lease(Lease),
    /// The result is known already.
    Known(Action),
    /// Waiting for it was called off.
    Stopped,
}

impl Store {
    /// Asks for the right to produce `fingerprint`. Where another process has it, `waiting` is called
    /// once, and this waits until that one has committed (its result is known then), has given up
    /// (the lease is granted), or `stop` gives true.
    ///
    /// # Errors
    /// The store cannot be written to.
    pub fn lease(
        &self,
        fingerprint: &Fingerprint,
        stop: &dyn Fn() -> bool,
        waiting: &dyn Fn(),
    ) -> Result<Leased, StoreError> {
        self.lease_unless(fingerprint, stop, waiting, |_| true)
    }

    /// Like [`Store::lease`], but a result that existed before does not count.
    ///
    /// # Errors
    /// The store cannot be written to.
    pub fn lease_forced(
        &self,
        fingerprint: &Fingerprint,
        stop: &dyn Fn() -> bool,
        waiting: &dyn Fn(),
    ) -> Result<Leased, StoreError> {
        let before = match self.look_up(fingerprint)? {
            Lookup::Hit(action) => Some(action),
            _ => None,
        };
        self.lease_unless(fingerprint, stop, waiting, |action| {
            before.as_ref() != Some(action)
        })
    }

    fn lease_unless(
        &self,
        fingerprint: &Fingerprint,
        stop: &dyn Fn() -> bool,
        waiting: &dyn Fn(),
        counts: impl Fn(&Action) -> bool,
    ) -> Result<Leased, StoreError> {
        let folder = self.root().join("work").join(fingerprint.to_string());
        let path = folder.join("lock");
        let mut told = false;
        loop {
            fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
            let lock = match File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
            {
                Ok(lock) => lock,
                // The holder removed the folder in between.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io(&path)(error)),
            };
            match lock.try_lock() {
                Ok(()) if !stands_at(&lock, &path) => continue,
                Ok(()) => {
                    if let Lookup::Hit(action) = self.look_up(fingerprint)?
                        && counts(&action)
                    {
                        // Nothing but the lock is there, unless a holder was killed after its commit.
                        remove_folder(&folder)?;
                        return Ok(Leased::Known(action));
                    }
                    return Lease::begin(self, *fingerprint, folder, lock).map(Leased::Lease);
                }
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        waiting();
                        told = true;
                    }
                    if stop() {
                        return Ok(Leased::Stopped);
                    }
                    thread::sleep(PAUSE);
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::io(&path)(error)),
            }
        }
    }

    /// The files below `inputs` (laid out by [`Store::materialise`]) that are no longer what they
    /// were. Where such a file shares its content with an object, the object is quarantined.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn changed_inputs(&self, inputs: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let mut changed = Vec::new();
        for list in fs::read_dir(inputs).into_iter().flatten().filter_map(Result::ok) {
            let list = list.path();
            if list
                .extension()
                .is_none_or(|extension| extension != super::materialise::LIST)
            {
                continue;
            }
            let manifest = fs::read(&list)
                .map_err(StoreError::io(&list))
                .map(|bytes| Manifest::from_bytes(&bytes).unwrap_or_default())?;
            let root = list.with_extension("");
            for entry in &manifest.entries {
                let file = if entry.path.is_empty() {
                    root.clone()
                } else {
                    root.join(&entry.path)
                };
                let same = fs::metadata(&file).is_ok_and(|metadata| {
                    metadata.len() == entry.size
                        && metadata
                            .modified()
                            .is_ok_and(|time| time == object::mark(&entry.digest))
                });
                if !same && Digest::of_file(&file).ok() != Some(entry.digest) {
                    self.shared.objects.check(&entry.digest, Some(entry.size))?;
                    changed.push(file);
                }
            }
        }
        Ok(changed)
    }
}

/// Whether `file` is what stands at `path`.
fn stands_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn remove_folder(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(error)
            if !matches!(
                error.kind(),
                // Someone who waits may have made it anew in between.
                std::io::ErrorKind::NotFound | std::io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(StoreError::io(folder)(error))
        }
        _ => Ok(()),
    }
}

fn fresh(folder: PathBuf) -> Result<PathBuf, StoreError> {
    remove_folder(&folder)?;
    fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
    Ok(folder)
}

impl Lease {
    fn begin(
        store: &Store,
        fingerprint: Fingerprint,
        folder: PathBuf,
        lock: File,
    ) -> Result<Self, StoreError> {
        let scratch = folder.join("scratch");
        fs::create_dir_all(&scratch).map_err(StoreError::io(&scratch))?;
        Ok(Self {
            store: store.clone(),
            fingerprint,
            scratch,
            output: fresh(folder.join("output"))?,
            inputs: fresh(folder.join("in"))?,
            folder,
            lock,
        })
    }

    /// A folder that outlives a crash or an interruption, for a resume.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// An empty folder for the output.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// An empty folder for the inputs.
    pub fn inputs(&self) -> &Path {
        &self.inputs
    }

    /// The file for what the stage prints.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log.txt")
    }

    /// The locked file. The lease lives as long as any process has it open.
    pub fn lock_file(&self) -> &File {
        &self.lock
    }

    /// Takes the output folder's files in and records the result. Ends the lease.
    ///
    /// # Errors
    /// The output holds something that cannot be kept, or the store cannot be written to; nothing is
    /// recorded then.
    pub fn commit(self, commit: Commit) -> Result<Action, StoreError> {
        let objects = &self.store.shared.objects;
        let manifest = Manifest::of_folder(&self.output, &|file| {
            Digest::of_file(file).map_err(StoreError::io(file))
        })?;
        // Links first: they are read through, and what they lead to must still be there.
        let (links, files): (Vec<_>, Vec<_>) = manifest.entries.iter().partition(|entry| {
            self.output
                .join(&entry.path)
                .symlink_metadata()
                .is_ok_and(|m| m.is_symlink())
        });
        for entry in links {
            objects.take(&self.output.join(&entry.path), &entry.digest)?;
        }
        files
            .into_par_iter()
            .try_for_each(|entry| objects.take(&self.output.join(&entry.path), &entry.digest))?;
        let artifact = manifest.digest();
        objects.put(&manifest.to_bytes(), &artifact)?;
        let action = Action {
            fingerprint: self.fingerprint,
            key: commit.key,
            artifact,
            entries: manifest.entries.len() as u64,
            bytes: manifest.size(),
            metrics: commit.metrics,
            made: commit.made,
        };
        object::write_atomically(&self.store.action_path(&self.fingerprint), &action.to_bytes())?;
        // The result is recorded; a folder that cannot be removed is removed by the next lease.
        let _ = remove_folder(&self.folder);
        Ok(action)
    }
}
