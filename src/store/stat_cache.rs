//! The stat cache: digests of input files that have not changed since they were hashed.
//!
//! It only saves time: a database that cannot be read or written is as good as none.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, params};

use super::error::StoreError;
use crate::fingerprint::Digest;

/// A file that was written this shortly before it was hashed may have been written again within
/// the same tick of the file system's clock.
const TICK: Duration = Duration::from_millis(50);

/// Smaller files are hashed faster than they are looked up.
const WORTH_IT: u64 = 16 << 10;

pub(super) struct StatCache {
    path: PathBuf,
    connection: Mutex<Option<Connection>>,
}

/// What tells that a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    size: i64,
    modified: i64,
    changed: i64,
    inode: i64,
}

impl Stat {
    fn of(path: &Path) -> Result<Self, StoreError> {
        let metadata = fs::metadata(path).map_err(StoreError::io(path))?;
        let nanoseconds = |seconds: i64, rest: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest);
        Ok(Self {
            size: metadata.size() as i64,
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino() as i64,
        })
    }

    /// Whether a later change would show.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let latest = self.modified.max(self.changed);
        i64::try_from(now.as_nanos()).is_ok_and(|now| latest.saturating_add(TICK.as_nanos() as i64) < now)
    }
}

impl StatCache {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            connection: Mutex::new(None),
        }
    }

    /// The digest of a file's content.
    pub fn digest(&self, path: &Path) -> Result<Digest, StoreError> {
        let before = Stat::of(path)?;
        if before.size < WORTH_IT as i64 {
            return Digest::of_file(path).map_err(StoreError::io(path));
        }
        let absolute = std::path::absolute(path).map_err(StoreError::io(path))?;
        let name = absolute.to_string_lossy();
        if let Some(digest) = self.with(|connection| find(connection, &name, before)).flatten() {
            return Ok(digest);
        }
        let digest = Digest::of_file(path).map_err(StoreError::io(path))?;
        if before.is_settled() && Stat::of(path)? == before {
            self.with(|connection| keep(connection, &name, before, &digest));
        }
        Ok(digest)
    }

    /// Does `work` with the database; gives nothing where there is none or it fails.
    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_none() {
            *connection = open(&self.path).ok();
        }
        work(connection.as_ref()?).ok()
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_millis(500))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         CREATE TABLE IF NOT EXISTS stat_cache (
             path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER, inode INTEGER, digest TEXT
         ) WITHOUT ROWID;",
    )?;
    Ok(connection)
}

fn find(connection: &Connection, path: &str, stat: Stat) -> rusqlite::Result<Option<Digest>> {
    let digest: Option<String> = connection
        .prepare_cached(
            "SELECT digest FROM stat_cache
             WHERE path = ? AND size = ? AND modified = ? AND changed = ? AND inode = ?",
        )?
        .query_row(
            params![path, stat.size, stat.modified, stat.changed, stat.inode],
            |row| row.get(0),
        )
        .optional()?;
    Ok(digest.and_then(|digest| digest.parse().ok()))
}

fn keep(connection: &Connection, path: &str, stat: Stat, digest: &Digest) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO stat_cache VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![
            path,
            stat.size,
            stat.modified,
            stat.changed,
            stat.inode,
            digest.to_string()
        ])?;
    Ok(())
}
