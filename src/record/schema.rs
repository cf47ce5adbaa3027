//! The tables, and how older databases become current ones.

use rusqlite::{Connection, TransactionBehavior};

/// What each format adds to the one before it; a database's `user_version` counts those applied.
///
/// 1. runs, stages, epochs, keys. Digests are 32-byte blobs, times are milliseconds since 1970 (UTC),
///    maps are JSON. A stage's key is kept once a fingerprint, however many runs reuse it. A run
///    without a status has not finished, or was killed.
/// 2. Without the index of stages by name: every run would rewrite most of its pages.
const MIGRATIONS: [&str; 3] = [
    "
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        pipeline TEXT NOT NULL,
        file TEXT NOT NULL,
        started INTEGER NOT NULL,
        finished INTEGER,
        status TEXT,
        host TEXT NOT NULL,
        version TEXT NOT NULL,
        git_commit TEXT,
        params TEXT NOT NULL,
        command TEXT NOT NULL
    ) STRICT;
    CREATE TABLE stages (
        run INTEGER NOT NULL REFERENCES runs(id),
        stage TEXT NOT NULL,
        kind TEXT,
        fingerprint BLOB,
        artifact BLOB,
        status TEXT NOT NULL,
        seconds REAL,
        peak_memory INTEGER,
        metrics TEXT NOT NULL,
        error TEXT,
        PRIMARY KEY (run, stage)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX stages_by_name ON stages (stage, run);
    CREATE TABLE epochs (
        run INTEGER NOT NULL REFERENCES runs(id),
        stage TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        metrics TEXT NOT NULL,
        PRIMARY KEY (run, stage, epoch)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE keys (
        fingerprint BLOB PRIMARY KEY,
        key TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "DROP INDEX stages_by_name",
    "CREATE TABLE printed (
        run INTEGER NOT NULL REFERENCES runs(id),
        stage TEXT NOT NULL,
        fingerprint BLOB,
        text TEXT NOT NULL,
        PRIMARY KEY (run, stage)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX printed_by_fingerprint ON printed (fingerprint, run);
",
];

/// The newest format.
pub const NEWEST: i64 = MIGRATIONS.len() as i64;

/// The database's format.
pub fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings an older database up to date. Of several processes that try, one does it and the others
/// wait for it. A newer database stays as it is.
pub fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    if version(connection)? >= NEWEST {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied = usize::try_from(version(&transaction)?).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(applied) {
        transaction.execute_batch(migration)?;
    }
    if applied < MIGRATIONS.len() {
        transaction.pragma_update(None, "user_version", NEWEST)?;
    }
    transaction.commit()
}
