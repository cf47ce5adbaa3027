//! Leases: the right to make a fingerprint.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::action::{Action, Commit, Lookup, PARALLEL_FROM, decode, encode};
use super::error::{reading, writing, writing_bytes};
use super::manifest::{Entry, Manifest};
use super::object::{is_named, rename_making_folders, times};
use super::spare::is_empty_folder;
use super::tree::{self, Found, LinkReach};
use super::{Store, StoreError, boot};
use crate::fingerprint::{Digest, Fingerprint};

/// A result whose lease was held this long is flushed to the disk: see the module's documentation.
const FLUSH_FROM: Duration = Duration::from_secs(1);

/// Up to this many files are flushed one by one; for more, the whole file system is.
const FLUSH_SINGLY: usize = 8;

/// What asking for a lease gave.
#[derive(Debug)]
pub enum Leased {
    /// The right to make it.
    Lease(Lease),
    /// It is known: it was all along, or another process made it meanwhile.
    Known(Action),
    /// It was asked to stop while another process held the lease.
    Stopped,
}

/// The right to make one fingerprint; it ends with a commit, when dropped, or with the process.
///
/// Dropped without a commit, the scratch folder and the log stay for the next lease.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    fingerprint: Fingerprint,
    work: PathBuf,
    scratch: PathBuf,
    output: PathBuf,
    inputs: PathBuf,
    since: Instant,
    lock: File,
    committed: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.committed {
            // Of no use to anybody, and perhaps large. The next lease clears what cannot be removed now.
            let _ = tree::remove(&self.output);
            let _ = tree::remove(&self.inputs);
        }
    }
}

/// What an action file looked like, so that a new one is told from it.
type Seen = Option<(u64, (u64, (i64, i64), (i64, i64)))>;

impl Store {
    /// The right to make `fingerprint`, or its result where that is known.
    ///
    /// While another thread or process holds the lease, `waiting` is called once and `stop` asked
    /// several times a second.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn lease(
        &self,
        fingerprint: &Fingerprint,
        stop: &dyn Fn() -> bool,
        waiting: &dyn Fn(),
    ) -> Result<Leased, StoreError> {
        self.lease_unless(fingerprint, stop, waiting, |store| {
            match store.look_up_everywhere(fingerprint)? {
                Lookup::Hit(action) => Ok(Some(*action)),
                _ => Ok(None),
            }
        })
    }

    /// As [`Store::lease`], but a result that is known at the time of the call does not count.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn lease_forced(
        &self,
        fingerprint: &Fingerprint,
        stop: &dyn Fn() -> bool,
        waiting: &dyn Fn(),
    ) -> Result<Leased, StoreError> {
        let path = self.action_path(fingerprint);
        let look = || -> Seen {
            fs::metadata(&path)
                .ok()
                .map(|metadata| (metadata.ino(), times(&metadata)))
        };
        let before = look();
        self.lease_unless(fingerprint, stop, waiting, |store| {
            if look() == before {
                return Ok(None);
            }
            match store.look_up(fingerprint)? {
                Lookup::Hit(action) => Ok(Some(*action)),
                _ => Ok(None),
            }
        })
    }

    /// Clears away what processes left that were killed between a commit and its clean-up: work on results
    /// that are known, which nobody may lease again. Best effort.
    pub fn tidy(&self) {
        for item in fs::read_dir(self.root().join("work"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = item.file_name();
            let Some(fingerprint) = name.to_str().and_then(|name| name.parse::<Fingerprint>().ok()) else {
                continue;
            };
            let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
            // What began after the result was made is another try, which may be gone on with.
            let is_done = || {
                let (action, scratch) = (self.action_path(&fingerprint), item.path().join("scratch"));
                changed(&action).is_some_and(|made| changed(&scratch).is_none_or(|begun| begun <= made))
            };
            if is_done()
                && let Ok(Some(_lock)) = self.try_lock(&fingerprint)
                // Whoever had the lock until now may have begun anew.
                && is_done()
            {
                let _ = clear_away(&item.path());
            }
        }
    }

    fn lease_unless(
        &self,
        fingerprint: &Fingerprint,
        stop: &dyn Fn() -> bool,
        waiting: &dyn Fn(),
        known: impl Fn(&Self) -> Result<Option<Action>, StoreError>,
    ) -> Result<Leased, StoreError> {
        if let Some(action) = known(self)? {
            return Ok(Leased::Known(action));
        }
        let mut pause = Duration::ZERO;
        let lock = loop {
            if let Some(lock) = self.try_lock(fingerprint)? {
                break lock;
            }
            if pause.is_zero() {
                waiting();
            }
            if stop() {
                return Ok(Leased::Stopped);
            }
            pause = (pause * 2).clamp(Duration::from_millis(1), Duration::from_millis(50));
            std::thread::sleep(pause);
        };
        let work = self.work_path(fingerprint);
        if let Some(action) = known(self)? {
            // A process that was killed between commit and clean-up, or this one's own lock file.
            let _ = self.inner.spares.keep(&work, &lock);
            return Ok(Leased::Known(action));
        }
        let lease = Lease {
            store: self.clone(),
            fingerprint: *fingerprint,
            scratch: work.join("scratch"),
            output: work.join("output"),
            inputs: work.join("in"),
            work,
            since: Instant::now(),
            lock,
            committed: false,
        };
        for folder in [&lease.output, &lease.inputs] {
            if fs::create_dir(folder).is_err() && !is_empty_folder(folder) {
                tree::remove(folder).map_err(writing("clear", folder))?;
                fs::create_dir(folder).map_err(writing("make the folder", folder))?;
            }
        }
        if let Err(error) = fs::create_dir(&lease.scratch)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(writing("make the folder", &lease.scratch)(error));
        }
        Ok(Leased::Lease(lease))
    }

    /// The lock on the work folder of `fingerprint`, unless it is held.
    pub(super) fn try_lock(&self, fingerprint: &Fingerprint) -> Result<Option<File>, StoreError> {
        let work = self.work_path(fingerprint);
        if let Some(lock) = self.inner.spares.take(&work) {
            return Ok(Some(lock));
        }
        let path = work.join("lock");
        // Whoever finishes removes the folder and the lock file: another round when that happens
        // between two of these steps.
        loop {
            match fs::create_dir(&work) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&work).map_err(writing("make the folder", &work))?;
                }
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(writing("make the folder", &work)(error));
                }
                _ => {}
            }
            let lock = match OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
            {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(writing("open", &path)(error)),
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(writing("lock", &path)(error)),
            }
            if is_named(&lock, &path).map_err(reading("look at", &path))? {
                return Ok(Some(lock));
            }
        }
    }
}

impl Lease {
    /// The fingerprint that may be made.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// A folder that outlives a crash or an interruption, for what a resume needs.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The folder to fill; empty when the lease begins.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// A folder for the stage's inputs; empty when the lease begins.
    pub fn inputs(&self) -> &Path {
        &self.inputs
    }

    /// Where the stage's log belongs; it outlives a failure.
    pub fn log(&self) -> PathBuf {
        self.work.join("log.txt")
    }

    /// The locked file: a child that inherits it keeps the lease for as long as it lives.
    pub fn lock_file(&self) -> &File {
        &self.lock
    }

    /// Empties the output and input folders, for another try under the same lease.
    ///
    /// # Errors
    /// They cannot be removed or made anew.
    pub fn clear(&self) -> Result<(), StoreError> {
        for folder in [&self.output, &self.inputs] {
            tree::remove(folder).map_err(writing("clear", folder))?;
            fs::create_dir(folder).map_err(writing("make the folder", folder))?;
        }
        Ok(())
    }

    /// Keeps what is in the output folder as the fingerprint's result, and ends the lease.
    ///
    /// # Errors
    /// The output holds something that cannot be kept, or the store cannot be written; then there
    /// is no result, and scratch folder and log stay.
    pub fn commit(mut self, commit: Commit) -> Result<Action, StoreError> {
        let _hold = self.store.hold();
        let action = self.keep(&self.fingerprint, &self.output, commit)?;
        self.committed = true;
        self.store.send_behind(&self.fingerprint);
        // The result stands; what is left of the work folder is cleared by whoever asks next.
        let _ = self.store.inner.spares.keep(&self.work, &self.lock);
        Ok(action)
    }

    /// Keeps a file of the scratch folder, which moves, as the only file of another fingerprint's result;
    /// under its own name. The lease goes on.
    ///
    /// # Errors
    /// It cannot be moved, or the store cannot be written.
    pub fn keep_beside(
        &self,
        fingerprint: &Fingerprint,
        file: &Path,
        commit: Commit,
    ) -> Result<Action, StoreError> {
        let _hold = self.store.hold();
        let folder = self.work.join("beside");
        tree::remove(&folder).map_err(writing("clear", &folder))?;
        fs::create_dir(&folder).map_err(writing("make the folder", &folder))?;
        let moved = folder.join(file.file_name().unwrap_or_default());
        fs::rename(file, &moved).map_err(writing("move", &moved))?;
        let kept = self.keep(fingerprint, &folder, commit);
        if kept.is_err() {
            // A resume may still need it.
            let _ = fs::rename(&moved, file);
        }
        kept
    }

    /// Keeps what is in `folder` as the result of `fingerprint`.
    fn keep(&self, fingerprint: &Fingerprint, folder: &Path, commit: Commit) -> Result<Action, StoreError> {
        let durable = self.since.elapsed() >= FLUSH_FROM || boot().is_none();
        let manifest = self.keep_files(folder)?;
        let artifact = self
            .store
            .put(manifest.to_text().as_bytes(), &self.work.join("manifest"))?;
        if durable {
            self.flush(&manifest, &artifact)?;
        }
        let action = Action {
            fingerprint: *fingerprint,
            artifact,
            entries: manifest.entries.len() as u64,
            bytes: manifest.bytes(),
            metrics: commit.metrics,
            made: (&commit.made).into(),
            key: (&commit.key).into(),
            boot: boot().filter(|_| !durable).map(str::to_owned),
            remote: false,
        };
        let text = encode(&action);
        let (temporary, path) = (self.work.join("action"), self.store.action_path(fingerprint));
        fs::write(&temporary, &text).map_err(writing_bytes("write", &temporary, text.len() as u64))?;
        if durable {
            flush(&temporary)?;
        }
        rename_making_folders(&temporary, &path).map_err(writing("write", &path))?;
        if durable {
            path.parent().map_or(Ok(()), flush)?;
        }
        self.store.inner.in_use.note(fingerprint);
        // As it will be read from now on, to the last digit of every number.
        Ok(decode(text.as_bytes()).unwrap_or(action))
    }

    /// Moves a folder's files into the store.
    fn keep_files(&self, folder: &Path) -> Result<Manifest, StoreError> {
        let top = fs::symlink_metadata(folder).map_err(reading("look at", folder))?;
        if !top.is_dir() {
            let why = "the output folder was replaced by something else; write into it instead".to_owned();
            return Err(StoreError::Unkeepable {
                path: folder.into(),
                why,
            });
        }
        let tree = tree::list(folder, LinkReach::Inside)?;
        // Everything is hashed before anything moves: through links, two paths may share a file.
        let hashed = each(&tree.files, |file| {
            let digest = Digest::of_file(&file.real).map_err(reading("read", &file.real))?;
            let now = fs::symlink_metadata(&file.real).map_err(reading("look at", &file.real))?;
            // Not the change time: another link to the file would set it.
            let ((size, modified, _), (size_then, modified_then, _)) = (times(&now), times(&file.metadata));
            if (size, modified) != (size_then, modified_then) {
                return Err(StoreError::Unsettled {
                    path: file.real.as_path().into(),
                });
            }
            Ok(digest)
        })?;
        let pairs: Vec<(&Found, Digest)> = tree.files.iter().zip(hashed).collect();
        let mut moved = HashSet::with_capacity(pairs.len());
        let once: Vec<_> = pairs
            .iter()
            .filter(|(file, _)| moved.insert(&file.real))
            .collect();
        each(&once, |(file, digest)| {
            self.store.adopt(&file.real, digest, &file.metadata)
        })?;
        let entry = |(file, digest): &(&Found, Digest)| Entry {
            path: file.path.clone(),
            digest: *digest,
            size: file.metadata.len(),
            executable: file.executable(),
        };
        let entries = pairs.iter().map(entry).collect();
        Ok(Manifest::new(entries, tree.empty_folders))
    }

    /// Flushes the artifact's objects to the disk.
    fn flush(&self, manifest: &Manifest, artifact: &Digest) -> Result<(), StoreError> {
        if manifest.entries.len() > FLUSH_SINGLY {
            return rustix::fs::syncfs(&self.lock)
                .map_err(|error| writing("flush", self.store.root())(error.into()));
        }
        for digest in manifest
            .entries
            .iter()
            .map(|entry| &entry.digest)
            .chain([artifact])
        {
            let path = self.store.object_path(digest);
            flush(&path)?;
            path.parent().map_or(Ok(()), flush)?;
        }
        Ok(())
    }
}

/// Does `work` for each item, on all cores where there are many or they are large.
fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, StoreError> + Sync + Send,
) -> Result<Vec<R>, StoreError> {
    if items.len() < PARALLEL_FROM {
        items.iter().map(work).collect()
    } else {
        items.par_iter().map(work).collect()
    }
}

/// Flushes a file or a folder to the disk.
fn flush(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(writing("flush", path))
}

/// Removes a work folder under its lock; the lock file goes last, so that nobody who locks a new
/// one finds leftovers.
pub(super) fn clear_away(work: &Path) -> io::Result<()> {
    for item in fs::read_dir(work)? {
        let item = item?;
        if item.file_name() != "lock" {
            tree::remove(&item.path())?;
        }
    }
    fs::remove_file(work.join("lock"))?;
    fs::remove_dir(work)
}
