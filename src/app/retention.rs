//! Which results a project needs: those have to stay when others are removed.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::AppError;
use super::known::known_results;
use super::project::{RESULTS, open_history};
use super::request::PipelineRequest;
use super::results::results_of_plan;
use super::session::Session;
use crate::fingerprint::Fingerprint;
use crate::plan::PlanError;
use crate::report::Provenance;
use crate::spec::{ByteSize, Project, Span};
use crate::store::Retention;

/// The project's folder for pipeline files.
pub const PIPELINES: &str = "pipelines";

/// What has to stay in a project's store.
pub struct RetentionRules {
    /// What may go, and what may not.
    pub retention: Retention,
    /// Pipelines of which it cannot be told what they need; all results of their past runs stay.
    pub unplanned: Vec<Unplanned>,
}

/// A pipeline that cannot be planned since an input is missing.
pub struct Unplanned {
    /// Its file.
    pub file: PathBuf,
    /// What is missing.
    pub problem: Box<PlanError>,
}

/// What has to stay: what the pipelines `files` would reuse, what is behind committed tables, and what was
/// used within the time `keep`; beyond that, what a quota has room for.
///
/// # Errors
/// A pipeline has mistakes, or a table's file, the history or the store cannot be read.
pub fn retention_rules(
    project: &Project,
    files: &[PathBuf],
    keep: Span,
    quota: Option<ByteSize>,
) -> Result<RetentionRules, AppError> {
    // What is used from here on may be needed by what is looked at first.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let history = open_history(project)?;
    let mut needed = cited(project)?;
    let mut unplanned = Vec::new();
    for file in files {
        let session = Session::open(&PipelineRequest {
            store: Some(project.store.clone()),
            ..PipelineRequest::of(file)
        })?;
        match reused(&session) {
            Ok(results) => needed.extend(results),
            Err(AppError::Plan { problem, .. }) => {
                needed.extend(history.results_of(&session.pipeline.name)?);
                unplanned.push(Unplanned {
                    file: file.clone(),
                    problem,
                });
            }
            Err(other) => return Err(other),
        }
    }
    Ok(RetentionRules {
        retention: Retention {
            needed,
            last_used: history.last_used()?,
            since: i64::try_from(now.saturating_sub(keep.0).as_millis()).ok(),
            quota: quota.map(|ByteSize(bytes)| bytes),
        },
        unplanned,
    })
}

/// The pipeline files in the project's folder for them.
///
/// # Errors
/// The folder cannot be listed.
pub fn pipelines_of(project: &Project) -> Result<Vec<PathBuf>, AppError> {
    let mut files: Vec<PathBuf> = files_in(&project.root.join(PIPELINES))?
        .into_iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == "yaml" || ending == "yml")
        })
        .collect();
    files.sort();
    Ok(files)
}

/// The results that a pipeline would reuse as it is written now, those of its sweep's trials among them.
fn reused(session: &Session) -> Result<HashSet<Fingerprint>, AppError> {
    let request = PipelineRequest::of(session.file());
    let plan = session.plan(&request)?;
    let mut known = vec![results_of_plan(session, &plan)];
    if session.pipeline.sweep.is_some() {
        known.push(known_results(session, &request)?);
    }
    let trials = known.iter().flat_map(|results| &results.trials);
    let replicates = trials.flat_map(|trial| &trial.replicates);
    let stages = replicates.flat_map(|replicate| replicate.stages.values());
    Ok(stages.map(|stage| stage.fingerprint).collect())
}

/// What a folder holds; nothing where there is none. Not to see what is there must not read as
/// nothing being there.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, AppError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    match list() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(AppError::io(format!("listing {}", folder.display()))),
    }
}

/// The results behind the tables in the project's `results/`.
fn cited(project: &Project) -> Result<HashSet<Fingerprint>, AppError> {
    let mut needed = HashSet::new();
    for path in files_in(&project.root.join(RESULTS))? {
        if !path.to_string_lossy().ends_with(".provenance.json") {
            continue;
        }
        let text =
            std::fs::read_to_string(&path).map_err(AppError::io(format!("reading {}", path.display())))?;
        let provenance: Provenance = serde_json::from_str(&text).map_err(|error| {
            AppError::Stopped(format!(
                "{} is not what `erlen table` wrote: {error}",
                path.display()
            ))
        })?;
        needed.extend(provenance.stages.into_keys());
    }
    Ok(needed)
}
