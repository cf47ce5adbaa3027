//! Remote stores: what was made elsewhere, and what others may want.
//!
//! A remote holds what a store holds, under the same names: `objects/ab/cdef...` and
//! `actions/ab/cdef....json`, in a folder, in a bucket of an S3-compatible service, or behind a web server
//! that takes GET, HEAD and PUT. A result's files are sent first, then its manifest, then its action, so what
//! has an action there is whole. On arrival everything is hashed: what is not what its name says is not
//! taken in.
//!
//! # Reading through
//!
//! Where a look-up finds nothing, the remote is asked for the action and its manifest. They are kept here,
//! marked as remote: the files follow when somebody wants them, so that a plan moves no datasets. A marked
//! result whose files are not here counts as known while the remote can be read, and as evicted else.
//!
//! # Unreachable
//!
//! The first request that fails for another reason than that there is no such thing switches the remote off
//! for the rest of the process; why is told once. Nothing else comes of it: what it could have given is made
//! here, and what it did not get, `erlen push` sends later. A file that a remote promised and cannot give is
//! made again in the same way, and takes the damaged one's place there.

mod behind;
mod bucket;
mod connection;
mod credentials;
mod folder;
mod receive;
mod requests;
mod send;
mod signature;
mod signer;
mod silence;
#[cfg(test)]
mod tests;
mod threads;
mod web;
mod xml;

use std::collections::HashSet;
use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

pub use send::Sent;

use super::Store;
use crate::fingerprint::{Digest, Fingerprint};
use crate::http;
use behind::Behind;
use connection::Connection;
use silence::Silence;

/// Where a remote is, and what it is used for.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteOptions {
    /// `s3://BUCKET/PREFIX`, `http://...`, `https://...`, or a folder's absolute path.
    pub url: String,
    /// The S3-compatible service, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// Whether results that are not known here are looked for there.
    pub read: bool,
    /// Whether new results are sent there.
    pub write: bool,
}

/// What a remote has to be told about, once each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteReport {
    /// Results that were found there.
    pub found: usize,
    /// Why it is not asked any more.
    pub off: Option<String>,
    /// What it gave that was not what it should be.
    pub refused: Vec<String>,
}

/// How long the first answer may take: all that a remote that cannot be reached costs.
const GREETING: Duration = Duration::from_secs(4);

/// How long it may take where there was none the last time.
const SECOND_GREETING: Duration = Duration::from_secs(1);

/// A remote of a store.
pub(super) struct RemoteStore {
    options: RemoteOptions,
    silence: Silence,
    connection: OnceLock<Option<Connection>>,
    /// Whether it answered at all.
    reachable: OnceLock<bool>,
    off: OnceLock<String>,
    /// What was asked for and is not there.
    asked: Mutex<HashSet<Fingerprint>>,
    /// The names of what should be there and is not, or is not what it should be: whoever makes it anew sends
    /// it again.
    unsound: Mutex<HashSet<String>>,
    found: AtomicUsize,
    refused: Mutex<Vec<String>>,
    told_off: OnceLock<()>,
    behind: Behind,
}

/// What went wrong with a transfer.
#[derive(Debug)]
enum TransferError {
    /// With the remote.
    Remote(String),
    /// With this store.
    Store(super::StoreError),
}

impl TransferError {
    /// What to tell of it.
    fn words(self) -> String {
        match self {
            Self::Remote(problem) => problem,
            Self::Store(error) => error.to_string(),
        }
    }
}

impl From<super::StoreError> for TransferError {
    fn from(error: super::StoreError) -> Self {
        Self::Store(error)
    }
}

impl Debug for RemoteStore {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStore")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl RemoteStore {
    fn new(options: RemoteOptions, store: &Path) -> Self {
        Self {
            silence: Silence::new(store, &http::without_secrets(&options.url)),
            options,
            connection: OnceLock::new(),
            reachable: OnceLock::new(),
            off: OnceLock::new(),
            asked: Mutex::default(),
            unsound: Mutex::default(),
            found: AtomicUsize::new(0),
            refused: Mutex::default(),
            told_off: OnceLock::new(),
            behind: Behind::default(),
        }
    }

    /// The connection, unless the remote is switched off.
    fn connection(&self) -> Option<&Connection> {
        if self.off.get().is_some() {
            return None;
        }
        let connect = || match Connection::new(&self.options) {
            Ok(connection) => Some(connection),
            Err(problem) => {
                self.switch_off(problem);
                None
            }
        };
        self.connection.get_or_init(connect).as_ref()
    }

    /// Asks it no more.
    fn switch_off(&self, why: String) {
        let _ = self.off.set(why);
    }

    /// Whether something may be found there; finds out whether it answers, once.
    fn is_readable(&self) -> bool {
        let Some(connection) = self.connection().filter(|_| self.options.read) else {
            return false;
        };
        self.answers(connection) && self.off.get().is_none()
    }

    /// Whether it answers; finds that out once.
    fn answers(&self, connection: &Connection) -> bool {
        let ask = || {
            let limit = if self.silence.is_recent() {
                SECOND_GREETING
            } else {
                GREETING
            };
            match connection.greet(limit) {
                Ok(()) => {
                    self.silence.end();
                    true
                }
                Err(problem) => {
                    self.silence.begin();
                    self.switch_off(problem);
                    false
                }
            }
        };
        *self.reachable.get_or_init(ask)
    }

    /// Takes a result of a transfer: trouble with the remote switches it off and leaves `none`.
    fn unless_off<T>(&self, result: Result<T, TransferError>, none: T) -> Result<T, super::StoreError> {
        match result {
            Ok(value) => Ok(value),
            Err(TransferError::Remote(problem)) => {
                self.switch_off(problem);
                Ok(none)
            }
            Err(TransferError::Store(error)) => Err(error),
        }
    }

    /// Takes note of something there that is not what it should be.
    fn refuse(&self, name: String, what: String) {
        lock(&self.refused).push(what);
        lock(&self.unsound).insert(name);
    }

    /// Whether it is known that what has this name there is of no use.
    fn is_unsound(&self, name: &str) -> bool {
        lock(&self.unsound).contains(name)
    }
}

impl Store {
    /// From now on, results that are not known here are looked for in a remote, and new ones sent there, as
    /// `options` say. Nothing is asked of it yet. A store has one remote at most: a second is ignored.
    pub fn attach(&self, options: RemoteOptions) {
        let _ = self.inner.remote.set(RemoteStore::new(options, self.root()));
    }

    /// The remote, where there is one.
    pub(super) fn remote(&self) -> Option<&RemoteStore> {
        self.inner.remote.get()
    }

    /// Whether there is a remote and it can be read.
    pub(super) fn remote_is_readable(&self) -> bool {
        self.remote().is_some_and(RemoteStore::is_readable)
    }

    /// The remote's place, where there is one, as it may be shown.
    pub fn remote_url(&self) -> Option<String> {
        self.remote()
            .map(|remote| http::without_secrets(&remote.options.url))
    }

    /// What has to be told about the remote since this was last asked.
    pub fn remote_report(&self) -> RemoteReport {
        let Some(remote) = self.remote() else {
            return RemoteReport::default();
        };
        let off = remote.off.get().filter(|_| remote.told_off.set(()).is_ok());
        RemoteReport {
            found: remote.found.swap(0, Ordering::Relaxed),
            off: off.cloned(),
            refused: std::mem::take(&mut *lock(&remote.refused)),
        }
    }
}

/// The name of an object there.
fn object_name(digest: &Digest) -> String {
    let name = digest.to_string();
    format!("objects/{}/{}", &name[..2], &name[2..])
}

/// The name of an action there.
fn action_name(fingerprint: &Fingerprint) -> String {
    let name = fingerprint.to_string();
    format!("actions/{}/{}.json", &name[..2], &name[2..])
}

/// A temporary file's path beside what will take its place.
fn temporary(folder: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    folder.join(format!(".new-{}-{number}", std::process::id()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
