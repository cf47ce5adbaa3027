//! The thread that writes rows, many a transaction.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::recorder::{RunInfo, StageOutcome};
use super::{RecordError, database};
use crate::event::{Metrics, RunStatus};
use crate::fingerprint::{Digest, Fingerprint};

/// How long rows gather before they are written.
const GATHER: Duration = Duration::from_millis(200);

/// How many rows are written at once at most.
const MOST_ROWS: usize = 4096;

/// Something to write.
pub(super) enum HistoryRow {
    /// A stage's key.
    Key { fingerprint: Fingerprint, key: Arc<str> },
    /// What became of a stage.
    Stage(StageOutcome),
    /// An epoch of training.
    Epoch {
        stage: String,
        epoch: u32,
        metrics: Metrics,
    },
    /// What a stage printed.
    Printed {
        stage: String,
        fingerprint: Option<Fingerprint>,
        text: String,
    },
    /// The run is over.
    Finished(RunStatus),
}

impl HistoryRow {
    /// Where it goes: the table, and the row's key there as far as it matters.
    fn place(&self) -> (u8, &[u8]) {
        match self {
            Self::Key { fingerprint, .. } => (0, fingerprint.as_bytes()),
            Self::Stage(result) => (1, result.stage.as_bytes()),
            Self::Epoch { stage, .. } => (2, stage.as_bytes()),
            Self::Printed { stage, .. } => (3, stage.as_bytes()),
            Self::Finished(_) => (4, &[]),
        }
    }
}

/// The sending end of the writing thread.
pub(super) struct HistoryWriter {
    rows: Option<Sender<HistoryRow>>,
    thread: Option<JoinHandle<()>>,
    warning: Arc<Mutex<Option<String>>>,
}

impl HistoryWriter {
    /// Starts to write a run to the database `path`.
    pub fn start(path: PathBuf, info: RunInfo) -> Self {
        let warning = Arc::new(Mutex::new(None));
        let (rows, received) = mpsc::channel();
        let told = Arc::clone(&warning);
        let started = Timestamp::now().as_millisecond();
        let thread = thread::Builder::new().name("record".to_owned()).spawn(move || {
            if let Err(error) = write_all(&path, &info, started, &received) {
                keep_warning(&told, &error.to_string());
            }
        });
        if let Err(error) = &thread {
            keep_warning(&warning, &format!("no thread can be started ({error})"));
        }
        Self {
            rows: Some(rows),
            thread: thread.ok(),
            warning,
        }
    }

    /// Hands over a row. After a failure nobody takes it, and that is all right.
    pub fn send(&self, row: HistoryRow) {
        if let Some(rows) = &self.rows {
            let _ = rows.send(row);
        }
    }

    /// Waits until everything is written.
    pub fn close(&mut self) {
        self.rows.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            keep_warning(&self.warning, "the recording thread panicked");
        }
    }

    /// What went wrong, told once.
    pub fn take_warning(&self) -> Option<String> {
        self.warning.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for HistoryWriter {
    fn drop(&mut self) {
        self.close();
    }
}

fn keep_warning(warning: &Mutex<Option<String>>, what: &str) {
    let text = format!("the history of this run is not kept: {what}");
    *warning.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
}

fn write_all(
    path: &Path,
    info: &RunInfo,
    started: i64,
    rows: &Receiver<HistoryRow>,
) -> Result<(), RecordError> {
    let failed = |source| RecordError::Database {
        path: path.to_owned(),
        source,
    };
    let mut connection = database::open_to_write(path)?;
    let run = insert_run(&connection, info, started).map_err(failed)?;
    let known = known_keys(&connection, run, &info.pipeline).map_err(failed)?;
    let mut gathered = Vec::new();
    loop {
        let open = gather(rows, &mut gathered);
        gathered.retain(
            |row| !matches!(row, HistoryRow::Key { fingerprint, .. } if known.contains(fingerprint.as_bytes())),
        );
        write(&mut connection, run, &mut gathered).map_err(failed)?;
        if !open {
            return Ok(());
        }
    }
}

/// Waits for a row, then for more for a while; whether further ones can come.
fn gather(rows: &Receiver<HistoryRow>, gathered: &mut Vec<HistoryRow>) -> bool {
    let Ok(first) = rows.recv() else {
        return false;
    };
    gathered.push(first);
    let until = Instant::now() + GATHER;
    while gathered.len() < MOST_ROWS {
        match rows.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(row) => gathered.push(row),
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

fn insert_run(connection: &Connection, info: &RunInfo, started: i64) -> rusqlite::Result<i64> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    connection.execute(
        "INSERT INTO runs (pipeline, file, started, host, version, git_commit, params, command)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            info.pipeline,
            info.file.to_string_lossy(),
            started,
            host,
            env!("CARGO_PKG_VERSION"),
            info.git_commit,
            info.params.to_string(),
            serde_json::Value::from(info.command.clone()).to_string(),
        ],
    )?;
    Ok(connection.last_insert_rowid())
}

/// The fingerprints whose keys were kept when the pipeline ran last: where nothing changed, none has to be
/// looked for.
fn known_keys(connection: &Connection, run: i64, pipeline: &str) -> rusqlite::Result<HashSet<[u8; 32]>> {
    connection
        .prepare(
            "SELECT fingerprint FROM stages WHERE fingerprint IS NOT NULL AND run =
             (SELECT max(id) FROM runs WHERE pipeline = ?1 AND id < ?2 AND status IS NOT NULL)",
        )?
        .query_map(params![pipeline, run], |row| row.get(0))?
        .collect()
}

fn write(connection: &mut Connection, run: i64, rows: &mut Vec<HistoryRow>) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // In the order of the tables' keys: a thousand rows at random places would touch as many pages. What
    // speaks of the same row stays in its order.
    rows.sort_by(|left, right| left.place().cmp(&right.place()));
    for row in rows.drain(..) {
        write_row(&transaction, run, row)?;
    }
    transaction.commit()
}

fn write_row(transaction: &Transaction<'_>, run: i64, row: HistoryRow) -> rusqlite::Result<()> {
    match row {
        HistoryRow::Key { fingerprint, key } => transaction
            .prepare_cached("INSERT OR IGNORE INTO keys (fingerprint, key) VALUES (?1, ?2)")?
            .execute(params![fingerprint.as_bytes(), key.as_ref()]),
        HistoryRow::Stage(result) => transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO stages
                 (run, stage, kind, fingerprint, artifact, status, seconds, peak_memory, metrics, error)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                run,
                result.stage,
                result.kind,
                result.fingerprint.as_ref().map(Digest::as_bytes),
                result.artifact.as_ref().map(Digest::as_bytes),
                result.status.as_str(),
                result.seconds,
                result
                    .peak_memory
                    .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
                metrics_json(&result.metrics),
                result.error,
            ]),
        HistoryRow::Epoch {
            stage,
            epoch,
            metrics,
        } => transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO epochs (run, stage, epoch, metrics) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![run, stage, epoch, metrics_json(&metrics)]),
        HistoryRow::Printed {
            stage,
            fingerprint,
            text,
        } => transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO printed (run, stage, fingerprint, text) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                run,
                stage,
                fingerprint.as_ref().map(Digest::as_bytes),
                text
            ]),
        HistoryRow::Finished(status) => transaction.execute(
            "UPDATE runs SET finished = ?2, status = ?3 WHERE id = ?1",
            params![run, Timestamp::now().as_millisecond(), status.to_string()],
        ),
    }?;
    Ok(())
}

/// Metrics as a JSON object.
fn metrics_json(metrics: &Metrics) -> String {
    serde_json::json!(metrics).to_string()
}
