//! Opening the database.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{RecordError, schema};

/// How long to wait for other processes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the database at `path` for writing; makes it, and its folder, where there is none.
pub fn open_to_write(path: &Path) -> Result<Connection, RecordError> {
    let failed = |source| RecordError::Database {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        // Where this fails, opening fails too, and says why.
        let _ = std::fs::create_dir_all(folder);
    }
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    use_write_ahead_log(&connection).map_err(failed)?;
    connection
        .pragma_update(None, "synchronous", "NORMAL")
        .map_err(failed)?;
    schema::migrate(&mut connection).map_err(failed)?;
    refuse_newer(path, &connection)?;
    Ok(connection)
}

/// Opens the database at `path` for reading; none where there is no database yet.
pub fn open_to_read(path: &Path) -> Result<Option<Connection>, RecordError> {
    if !path.exists() {
        return Ok(None);
    }
    let failed = |source| RecordError::Database {
        path: path.to_owned(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    refuse_newer(path, &connection)?;
    // Another process is about to make the tables.
    let empty = schema::version(&connection).map_err(failed)? == 0;
    Ok((!empty).then_some(connection))
}

/// Readers and one writer then go side by side. SQLite does not wait for a lock while it changes
/// the mode, so this does. File systems that cannot have the log keep the mode that they have.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    let start = Instant::now();
    loop {
        let changed = connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
        match changed {
            Err(rusqlite::Error::SqliteFailure(error, _))
                if matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                    && start.elapsed() < PATIENCE =>
            {
                sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

fn refuse_newer(path: &Path, connection: &Connection) -> Result<(), RecordError> {
    let found = schema::version(connection).map_err(|source| RecordError::Database {
        path: path.to_owned(),
        source,
    })?;
    if found > schema::NEWEST {
        return Err(RecordError::TooNew {
            path: path.to_owned(),
            found,
            known: schema::NEWEST,
        });
    }
    Ok(())
}
