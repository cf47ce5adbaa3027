//! Which results processes rely on, so that a collection leaves them alone.
//!
//! A process that plans with a store notes every result that it finds or makes in a file of its own in
//! `in-use/`, which it holds locked while it lives. Looking up and noting happen under a shared lock on
//! `gc.lock`, as does a commit between finding an object there and naming it in an action; a collection
//! holds that lock alone while it removes. So what it does not see noted, nobody has found yet.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Store;
use super::object::is_named;
use crate::fingerprint::Fingerprint;

/// What this process relies on.
#[derive(Debug, Default)]
pub(super) struct InUse {
    state: Mutex<UseState>,
}

#[derive(Debug, Default)]
struct UseState {
    /// Locked for as long as the store is open.
    file: Option<(PathBuf, File)>,
    noted: HashSet<Fingerprint>,
    /// Noted, but not written yet.
    unwritten: String,
    /// The shared lock, and how many hold it.
    shared: Option<File>,
    holders: usize,
}

/// Keeps collections from removing anything; see [`Store::hold`].
#[derive(Debug)]
pub struct Hold<'a> {
    store: &'a Store,
}

impl InUse {
    fn state(&self) -> MutexGuard<'_, UseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that a result is relied upon, if anything is to be noted.
    pub fn note(&self, fingerprint: &Fingerprint) {
        let mut state = self.state();
        if state.file.is_some() && state.noted.insert(*fingerprint) {
            let _ = writeln!(state.unwritten, "{fingerprint}");
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((path, _)) = &state.file {
            let _ = fs::remove_file(path);
        }
    }
}

impl Store {
    /// From now on, results that are found are relied upon as long as the store is open: no
    /// collection removes them. Where the store can only be read, nobody can collect in it either.
    pub fn rely_on_results(&self) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut state = self.inner.in_use.state();
        if state.file.is_some() {
            return;
        }
        let folder = self.root().join("in-use");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}", std::process::id()));
        let open = || -> io::Result<File> {
            fs::create_dir_all(&folder)?;
            loop {
                // A process of this number that was killed may have left its file.
                let file = OpenOptions::new()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(&path)?;
                file.lock()?;
                // A collection that saw it before it was locked took it for one of the dead.
                if is_named(&file, &path)? {
                    file.set_len(0)?;
                    return Ok(file);
                }
            }
        };
        let file = open().ok();
        state.file = file.map(|file| (path, file));
    }

    /// Keeps collections in other processes from removing anything until the hold is dropped.
    pub fn hold(&self) -> Hold<'_> {
        let mut state = self.inner.in_use.state();
        state.holders += 1;
        if state.holders == 1 {
            let lock = || -> io::Result<File> {
                let file = lock_file(self.root())?;
                file.lock_shared()?;
                Ok(file)
            };
            state.shared = lock().ok();
        }
        drop(state);
        Hold { store: self }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut state = self.store.inner.in_use.state();
        state.holders -= 1;
        if state.holders > 0 {
            return;
        }
        let UseState { file, unwritten, .. } = &mut *state;
        if let Some((_, file)) = file
            && !unwritten.is_empty()
        {
            // Where the disk is full, a collection is what is needed, and the worst that comes of it
            // is a stage that runs again.
            let _ = file.write_all(unwritten.as_bytes());
            unwritten.clear();
        }
        state.shared = None;
    }
}

fn lock_file(root: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(root.join("gc.lock"))
}

/// Waits until nobody looks up or commits, and keeps all from it while the file lives.
pub(super) fn lock_out_all(root: &Path) -> io::Result<File> {
    let file = lock_file(root)?;
    file.lock()?;
    Ok(file)
}

/// What the living rely on.
#[derive(Debug, Default)]
pub(super) struct Relied {
    pub results: HashSet<Fingerprint>,
    /// How many live.
    pub processes: usize,
}

/// What the other processes that live rely on; the files of those that were killed are removed.
pub(super) fn relied(store: &Store) -> io::Result<Relied> {
    let own = store
        .inner
        .in_use
        .state()
        .file
        .as_ref()
        .map(|(path, _)| path.clone());
    let mut relied = Relied::default();
    let items = match fs::read_dir(store.root().join("in-use")) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(relied),
        Err(error) => return Err(error),
    };
    for item in items {
        let path = item?.path();
        if own.as_ref() == Some(&path) {
            continue;
        }
        let Ok(mut file) = File::open(&path) else {
            continue;
        };
        match file.try_lock_shared() {
            Ok(()) => drop(fs::remove_file(&path)),
            Err(TryLockError::WouldBlock) => {
                // Its name may be gone by now, where its process just ended.
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                relied
                    .results
                    .extend(text.lines().filter_map(|line| line.parse::<Fingerprint>().ok()));
                relied.processes += 1;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(relied)
}
