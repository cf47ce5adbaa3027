//! Reading past runs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::Serialize;
use serde_json::Value;

use super::{RecordError, StageStatus, database};
use crate::event::{Metrics, RunStatus};
use crate::fingerprint::{Digest, Fingerprint};

/// Past runs. Where there is no database yet, there are none.
pub struct RunHistory {
    path: PathBuf,
    connection: Option<Connection>,
}

/// The result that a stage had last.
#[derive(Clone, Debug, PartialEq)]
pub struct LastResult {
    /// The run.
    pub run: i64,
    /// The digest of the stage's key.
    pub fingerprint: Fingerprint,
    /// The key; `null` where it was not kept.
    pub key: Value,
}

/// A run, as a list shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// Its number.
    pub id: i64,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline file.
    pub file: String,
    /// When it started, in milliseconds since 1970 (UTC).
    pub started: i64,
    /// When it finished; none where it has not, or was killed.
    pub finished: Option<i64>,
    /// How it ended; none where it has not, or was killed.
    pub status: Option<RunStatus>,
    /// The machine.
    pub host: String,
    /// Erlen's version.
    pub version: String,
    /// The project's commit.
    pub git_commit: Option<String>,
    /// The parameters.
    pub params: Value,
    /// The command line.
    pub command: Vec<String>,
}

/// A run, in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    /// The run itself.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Its stages, by name.
    pub stages: Vec<StageRow>,
}

/// A stage of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageRow {
    /// Its name.
    pub stage: String,
    /// Its kind, where it ran.
    pub kind: Option<String>,
    /// Its key's digest, where it was known.
    pub fingerprint: Option<Fingerprint>,
    /// Its artifact, where there is one.
    pub artifact: Option<Digest>,
    /// What became of it.
    pub status: StageStatus,
    /// Wall time in seconds, where it ran.
    pub seconds: Option<f64>,
    /// Peak memory in bytes, where known.
    pub peak_memory: Option<u64>,
    /// Its figures.
    pub metrics: Metrics,
    /// Its key; `null` where it was not kept.
    pub key: Value,
    /// What went wrong.
    pub error: Option<String>,
    /// Its epochs, where it trained.
    pub epochs: Vec<RecordedEpoch>,
    /// What it printed: all of it, or its beginning and its end. Where its result served again, what was printed
    /// when that was made.
    pub printed: Option<String>,
}

/// An epoch of training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordedEpoch {
    /// From 1.
    pub epoch: u32,
    /// Its figures.
    pub metrics: Metrics,
}

const RUN_COLUMNS: &str =
    "id, pipeline, file, started, finished, status, host, version, git_commit, params, command";

impl RunHistory {
    /// Opens the history in the database `db`.
    ///
    /// # Errors
    /// The database is damaged, unreadable or of a newer version.
    pub fn open(db: &Path) -> Result<Self, RecordError> {
        Ok(Self {
            path: db.to_owned(),
            connection: database::open_to_read(db)?,
        })
    }

    /// The latest result that a stage of `pipeline` had, if it ever had one.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn last_result(&self, pipeline: &str, stage: &str) -> Result<Option<LastResult>, RecordError> {
        let Some(connection) = &self.connection else {
            return Ok(None);
        };
        // From the latest run back: the stage is most likely in the first that is looked at.
        let sql = "SELECT stages.run, stages.fingerprint, keys.key
                   FROM runs CROSS JOIN stages ON stages.run = runs.id AND stages.stage = ?1
                   LEFT JOIN keys ON keys.fingerprint = stages.fingerprint
                   WHERE runs.pipeline = ?2
                     AND stages.artifact IS NOT NULL AND stages.fingerprint IS NOT NULL
                   ORDER BY runs.id DESC LIMIT 1";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, [u8; 32]>(1)?, row.get(2)?));
        let found = connection
            .prepare_cached(sql)
            .and_then(|mut query| query.query_row(params![stage, pipeline], read).optional());
        let Some((run, fingerprint, key)) = found.map_err(|source| self.failed(source))? else {
            return Ok(None);
        };
        Ok(Some(LastResult {
            run,
            fingerprint: self.digest(fingerprint)?,
            key: self.json(key)?,
        }))
    }

    /// The latest runs, of `pipeline` alone where one is named, newest first, at most `limit`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn runs(&self, pipeline: Option<&str>, limit: usize) -> Result<Vec<RunSummary>, RecordError> {
        let sql = format!(
            "SELECT {RUN_COLUMNS} FROM runs WHERE ?2 IS NULL OR pipeline = ?2 ORDER BY id DESC LIMIT ?1"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.summaries(&sql, params![limit, pipeline])
    }

    /// When each result was last used or made by a run: the start of that run, in milliseconds since 1970.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn last_used(&self) -> Result<HashMap<Fingerprint, i64>, RecordError> {
        let sql = "SELECT stages.fingerprint, max(runs.started) FROM stages JOIN runs ON runs.id = stages.run
                   WHERE stages.fingerprint IS NOT NULL GROUP BY stages.fingerprint";
        let rows = self.rows(sql, [], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?)))?;
        rows.into_iter()
            .map(|(fingerprint, started)| Ok((self.digest(fingerprint)?, started)))
            .collect()
    }

    /// How many seconds each stage of a pipeline took when it last ran, of those that ran in its latest
    /// runs.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn durations(&self, pipeline: &str) -> Result<HashMap<String, f64>, RecordError> {
        // With `max`, SQLite gives the other columns of the row that has it.
        let sql = "SELECT stage, seconds, max(run) FROM stages
                   WHERE run IN (SELECT id FROM runs WHERE pipeline = ?1 ORDER BY id DESC LIMIT 20)
                   AND seconds IS NOT NULL GROUP BY stage";
        let rows = self.rows(sql, [pipeline], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.into_iter().collect())
    }

    /// The results that the runs of a pipeline ever used or made.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn results_of(&self, pipeline: &str) -> Result<HashSet<Fingerprint>, RecordError> {
        let sql = "SELECT DISTINCT stages.fingerprint FROM stages JOIN runs ON runs.id = stages.run
                   WHERE runs.pipeline = ?1 AND stages.fingerprint IS NOT NULL";
        let rows = self.rows(sql, [pipeline], |row| row.get::<_, [u8; 32]>(0))?;
        rows.into_iter()
            .map(|fingerprint| self.digest(fingerprint))
            .collect()
    }

    /// How many stages of a run met which fate.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn counts(&self, run: i64) -> Result<Vec<(StageStatus, u32)>, RecordError> {
        let sql = "SELECT status, count(*) FROM stages WHERE run = ?1 GROUP BY status";
        let rows = self.rows(sql, [run], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let mut counts = rows
            .into_iter()
            .map(|(status, count)| Ok((self.status(&status)?, count)))
            .collect::<Result<Vec<_>, RecordError>>()?;
        counts.sort_unstable();
        Ok(counts)
    }

    /// The run number `id`, with its stages and their epochs.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn run(&self, id: i64) -> Result<Option<RunRow>, RecordError> {
        let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE id = ?1");
        let Some(summary) = self.summaries(&sql, [id])?.pop() else {
            return Ok(None);
        };
        let mut epochs = self.epochs(id)?;
        let mut printed = self.printed(id)?;
        let mut stages = self.stages(id)?;
        for stage in &mut stages {
            stage.printed = printed.remove(&stage.stage);
            stage.epochs = epochs.remove(&stage.stage).unwrap_or_default();
        }
        Ok(Some(RunRow { summary, stages }))
    }

    fn summaries(&self, sql: &str, parameters: impl Params) -> Result<Vec<RunSummary>, RecordError> {
        let read = |row: &Row<'_>| {
            let summary = RunSummary {
                id: row.get(0)?,
                pipeline: row.get(1)?,
                file: row.get(2)?,
                started: row.get(3)?,
                finished: row.get(4)?,
                status: None,
                host: row.get(6)?,
                version: row.get(7)?,
                git_commit: row.get(8)?,
                params: Value::Null,
                command: Vec::new(),
            };
            Ok((
                summary,
                row.get::<_, Option<String>>(5)?,
                row.get(9)?,
                row.get(10)?,
            ))
        };
        let rows = self.rows(sql, parameters, read)?;
        rows.into_iter()
            .map(
                |(summary, status, params, command): (RunSummary, _, String, String)| {
                    Ok(RunSummary {
                        status: self.typed(status.map(Value::String).unwrap_or_default())?,
                        params: self.json(Some(params))?,
                        command: self.typed(self.json(Some(command))?)?,
                        ..summary
                    })
                },
            )
            .collect()
    }

    fn stages(&self, run: i64) -> Result<Vec<StageRow>, RecordError> {
        let sql = "SELECT stages.stage, kind, stages.fingerprint, artifact, status, seconds, peak_memory,
                          metrics, keys.key, error
                   FROM stages LEFT JOIN keys ON keys.fingerprint = stages.fingerprint
                   WHERE run = ?1 ORDER BY stages.stage";
        let read = |row: &Row<'_>| {
            let stage = StageRow {
                stage: row.get(0)?,
                kind: row.get(1)?,
                fingerprint: None,
                artifact: None,
                status: StageStatus::Ran,
                seconds: row.get(5)?,
                peak_memory: row
                    .get::<_, Option<i64>>(6)?
                    .and_then(|bytes| u64::try_from(bytes).ok()),
                metrics: Metrics::new(),
                key: Value::Null,
                error: row.get(9)?,
                epochs: Vec::new(),
                printed: None,
            };
            let digests: [Option<[u8; 32]>; 2] = [row.get(2)?, row.get(3)?];
            let texts: [Option<String>; 3] = [row.get(4)?, row.get(7)?, row.get(8)?];
            Ok((stage, digests, texts))
        };
        let rows = self.rows(sql, [run], read)?;
        rows.into_iter()
            .map(|(stage, [fingerprint, artifact], [status, metrics, key])| {
                let status = status.unwrap_or_default();
                Ok(StageRow {
                    fingerprint: fingerprint.map(|bytes| self.digest(bytes)).transpose()?,
                    artifact: artifact.map(|bytes| self.digest(bytes)).transpose()?,
                    status: self.status(&status)?,
                    metrics: self.metrics(metrics)?,
                    key: self.json(key)?,
                    ..stage
                })
            })
            .collect()
    }

    /// What the stages of a run printed, by their names.
    fn printed(&self, run: i64) -> Result<BTreeMap<String, String>, RecordError> {
        // A database that nothing was written into since it was of an older format.
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'printed'";
        if self.rows(tables, [], |_| Ok(()))?.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = "SELECT stages.stage, coalesce(
                       (SELECT text FROM printed WHERE printed.run = ?1 AND printed.stage = stages.stage),
                       (SELECT text FROM printed WHERE status = 'reused' AND printed.fingerprint = stages.fingerprint
                        ORDER BY printed.run DESC LIMIT 1)) AS text
                   FROM stages WHERE run = ?1 AND text IS NOT NULL";
        let rows = self.rows(sql, [run], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.into_iter().collect())
    }

    fn epochs(&self, run: i64) -> Result<BTreeMap<String, Vec<RecordedEpoch>>, RecordError> {
        let sql = "SELECT stage, epoch, metrics FROM epochs WHERE run = ?1 ORDER BY stage, epoch";
        let rows = self.rows(sql, [run], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
        })?;
        let mut epochs: BTreeMap<String, Vec<RecordedEpoch>> = BTreeMap::new();
        for (stage, epoch, metrics) in rows {
            let metrics = self.metrics(Some(metrics))?;
            epochs
                .entry(stage)
                .or_default()
                .push(RecordedEpoch { epoch, metrics });
        }
        Ok(epochs)
    }

    fn rows<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, RecordError> {
        let Some(connection) = &self.connection else {
            return Ok(Vec::new());
        };
        let rows = || -> rusqlite::Result<Vec<T>> {
            connection
                .prepare(sql)?
                .query_map(parameters, |row| read(row))?
                .collect()
        };
        rows().map_err(|source| self.failed(source))
    }

    fn status(&self, text: &str) -> Result<StageStatus, RecordError> {
        StageStatus::parse(text).ok_or_else(|| self.malformed(format!("`{text}` is no status of a stage")))
    }

    fn metrics(&self, text: Option<String>) -> Result<Metrics, RecordError> {
        self.typed(self.json(text)?)
    }

    fn json(&self, text: Option<String>) -> Result<Value, RecordError> {
        self.parsed(text.map_or(Ok(Value::Null), |text| serde_json::from_str(&text)))
    }

    fn typed<T: serde::de::DeserializeOwned>(&self, value: Value) -> Result<T, RecordError> {
        self.parsed(serde_json::from_value(value))
    }

    fn parsed<T>(&self, result: Result<T, serde_json::Error>) -> Result<T, RecordError> {
        result.map_err(|error| self.malformed(error.to_string()))
    }

    fn digest(&self, bytes: [u8; 32]) -> Result<Digest, RecordError> {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        digits
            .parse()
            .map_err(|error: crate::fingerprint::ParseDigestError| self.malformed(error.to_string()))
    }

    fn failed(&self, source: rusqlite::Error) -> RecordError {
        RecordError::Database {
            path: self.path.clone(),
            source,
        }
    }

    fn malformed(&self, what: String) -> RecordError {
        RecordError::Malformed {
            path: self.path.clone(),
            what,
        }
    }
}
