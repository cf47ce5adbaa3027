//! Digests of a project's own files, and the cache that spares hashing those that did not change.
//!
//! The cache believes a file unchanged when size, modification time, change time, inode and device
//! are what they were when it was hashed. A file that was changed within the same tick of the
//! file system's clock would look the same, so only files that were at rest for a while before the
//! hashing are remembered. The cache only ever saves time: where the database cannot be opened, is
//! locked or damaged, files are hashed.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use rusqlite::{Connection, OptionalExtension, params};

use super::error::reading;
use super::manifest::{Entry, Manifest};
use super::object::times;
use super::tree::{self, Found, LinkReach};
use super::{Store, StoreError};
use crate::fingerprint::Digest;

/// How long a file must have been at rest: two ticks of a slow kernel clock.
const AT_REST: Duration = Duration::from_millis(20);

/// The same on a file system that keeps whole seconds only (some keep every other second).
const AT_REST_COARSE: Duration = Duration::from_secs(3);

/// Tries for a file that changes while it is being hashed.
const TRIES: u32 = 3;

/// The remembered digests, opened when first needed.
#[derive(Debug)]
pub(super) struct StatCache {
    path: PathBuf,
    connection: Mutex<Option<Option<Connection>>>,
}

impl Store {
    /// The digest of a file's content, or of the manifest of what a folder holds; links are
    /// followed wherever they lead. What programs leave in folders for themselves (`__pycache__`, `.DS_Store`,
    /// `Thumbs.db`) is no part of it.
    ///
    /// # Errors
    /// It does not exist, cannot be read, does not stop changing, or holds something that is
    /// neither file nor folder.
    pub fn input_digest(&self, path: &Path) -> Result<Digest, StoreError> {
        let mut digests = self.input_digests(&[path])?;
        digests
            .pop()
            .ok_or_else(|| reading("read", path)(io::ErrorKind::NotFound.into()))
    }

    /// As [`Store::input_digest`], for many paths at once.
    ///
    /// # Errors
    /// As there.
    pub fn input_digests(&self, paths: &[&Path]) -> Result<Vec<Digest>, StoreError> {
        // Flatten everything into one list of files, and remember whose they are.
        let mut files: Vec<Found> = Vec::new();
        let mut parts = Vec::with_capacity(paths.len());
        for path in paths {
            let start = files.len();
            let (of_path, empty_folders) = files_of(path)?;
            files.extend(of_path);
            parts.push((start..files.len(), empty_folders));
        }
        let digests = self.digests_of(&files)?;
        let digest = |(range, empty_folders): (std::ops::Range<usize>, Option<Vec<String>>)| {
            let Some(empty_folders) = empty_folders else {
                return digests[range.start];
            };
            let entry = |(file, digest): (&Found, &Digest)| Entry {
                path: file.path.clone(),
                digest: *digest,
                size: file.metadata.len(),
                executable: file.executable(),
            };
            let entries = files[range.clone()]
                .iter()
                .zip(&digests[range])
                .map(entry)
                .collect();
            Manifest::new(entries, empty_folders).digest()
        };
        Ok(parts.into_iter().map(digest).collect())
    }

    pub(super) fn digests_of(&self, files: &[Found]) -> Result<Vec<Digest>, StoreError> {
        let remembered = self.inner.cache.recall(files);
        let hashed: Vec<(Digest, Option<Metadata>)> = if remembered.iter().all(Option::is_some) {
            remembered
                .into_iter()
                .flatten()
                .map(|digest| (digest, None))
                .collect()
        } else {
            let work = |(file, known): (&Found, Option<Digest>)| match known {
                Some(digest) => Ok((digest, None)),
                None => hash_at_rest(file),
            };
            files
                .par_iter()
                .zip(remembered)
                .map(work)
                .collect::<Result<_, StoreError>>()?
        };
        let news: Vec<(&Path, &Metadata, Digest)> = files
            .iter()
            .zip(&hashed)
            .filter_map(|(file, (digest, metadata))| Some((file.real.as_path(), metadata.as_ref()?, *digest)))
            .collect();
        self.inner.cache.remember(&news);
        Ok(hashed.into_iter().map(|(digest, _)| digest).collect())
    }
}

/// The files of an input, links followed wherever they lead: of a folder all that is below it, and the folders that
/// hold nothing; of a file itself alone, with the path `""`.
pub(super) fn files_of(path: &Path) -> Result<(Vec<Found>, Option<Vec<String>>), StoreError> {
    let real = fs::canonicalize(path).map_err(reading("find", path))?;
    let metadata = fs::metadata(&real).map_err(reading("look at", path))?;
    if metadata.is_dir() {
        let tree = tree::list(&real, LinkReach::Anywhere)?;
        return Ok((tree.files, Some(tree.empty_folders)));
    }
    if !metadata.is_file() {
        let why = "it is neither a file nor a folder".to_owned();
        return Err(StoreError::Unkeepable {
            path: path.into(),
            why,
        });
    }
    let file = Found {
        path: String::new(),
        real,
        metadata,
    };
    Ok((vec![file], None))
}

/// Hashes a file; the metadata come along where the digest may be remembered.
fn hash_at_rest(file: &Found) -> Result<(Digest, Option<Metadata>), StoreError> {
    let path = &file.real;
    for _ in 0..TRIES {
        let begin = SystemTime::now();
        let before = fs::metadata(path).map_err(reading("look at", path))?;
        let digest = Digest::of_file(path).map_err(reading("read", path))?;
        let after = fs::metadata(path).map_err(reading("look at", path))?;
        if times(&before) == times(&after) {
            // A folder's manifest speaks of the size that was listed.
            if after.len() != file.metadata.len() {
                break;
            }
            return Ok((digest, at_rest(&before, begin).then_some(before)));
        }
    }
    Err(StoreError::Unsettled {
        path: path.as_path().into(),
    })
}

/// Whether the file was last changed well before `begin`.
fn at_rest(metadata: &Metadata, begin: SystemTime) -> bool {
    let coarse = metadata.mtime_nsec() == 0 && metadata.ctime_nsec() == 0;
    let needed = if coarse { AT_REST_COARSE } else { AT_REST };
    let since = |seconds: i64, nanoseconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
        let at = UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds));
        at.and_then(|at| begin.duration_since(at).ok())
            .is_some_and(|age| age > needed)
    };
    since(metadata.mtime(), metadata.mtime_nsec()) && since(metadata.ctime(), metadata.ctime_nsec())
}

/// What identifies a state of a file, as a row's columns.
fn state(metadata: &Metadata) -> [i64; 7] {
    [
        metadata.len().cast_signed(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
        metadata.ino().cast_signed(),
        metadata.dev().cast_signed(),
    ]
}

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS input_digests (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL,
    modified INTEGER NOT NULL, modified_nanoseconds INTEGER NOT NULL,
    changed INTEGER NOT NULL, changed_nanoseconds INTEGER NOT NULL,
    inode INTEGER NOT NULL, device INTEGER NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID";

impl StatCache {
    /// A cache in the database at `path`, which need not exist.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            connection: Mutex::new(None),
        }
    }

    /// Runs `work` on the database; nothing comes of it where there is none.
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        let mut connection = self.connection.lock().ok()?;
        connection
            .get_or_insert_with(|| open(&self.path).ok())
            .as_mut()
            .and_then(|open| work(open).ok())
    }

    /// The digests of those files that have not changed since they were remembered.
    fn recall(&self, files: &[Found]) -> Vec<Option<Digest>> {
        let recall = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let mut select = transaction.prepare_cached(
                "SELECT digest FROM input_digests WHERE path = ?1 AND size = ?2 AND modified = ?3
                 AND modified_nanoseconds = ?4 AND changed = ?5 AND changed_nanoseconds = ?6 AND inode = ?7
                 AND device = ?8",
            )?;
            let mut digests = Vec::with_capacity(files.len());
            for file in files {
                let [a, b, c, d, e, f, g] = state(&file.metadata);
                let path = file.real.as_os_str().as_bytes();
                let digest: Option<String> = select
                    .query_row(params![path, a, b, c, d, e, f, g], |row| {
                        Ok(row.get_ref(0)?.as_str().unwrap_or_default().to_owned())
                    })
                    .optional()?;
                digests.push(digest.and_then(|digest| digest.parse().ok()));
            }
            Ok(digests)
        };
        self.with(recall).unwrap_or_else(|| vec![None; files.len()])
    }

    /// Remembers digests.
    fn remember(&self, news: &[(&Path, &Metadata, Digest)]) {
        if news.is_empty() {
            return;
        }
        self.with(|connection| {
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT OR REPLACE INTO input_digests VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?;
                for (path, metadata, digest) in news {
                    let [a, b, c, d, e, f, g] = state(metadata);
                    let path = path.as_os_str().as_bytes();
                    insert.execute(params![path, a, b, c, d, e, f, g, digest.to_string()])?;
                }
            }
            transaction.commit()
        });
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // A cache is not worth waiting long for.
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}
