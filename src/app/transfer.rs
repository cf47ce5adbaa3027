//! Results on their way to the remote store, and back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use super::error::AppError;
use super::project::{current_project, open_store};
use super::request::PipelineRequest;
use super::session::Session;
use crate::fingerprint::Fingerprint;
use crate::plan::{Decision, StageKey};
use crate::spec::Project;
use crate::store::{Amount, Lookup, Store};

/// Which results are to be moved.
#[derive(Clone, Debug)]
pub enum TransferRequest {
    /// Those that are known of a pipeline.
    Pipeline(PipelineRequest),
    /// All that there are in the project of the current folder, whose results may be kept elsewhere.
    All {
        /// Where they are kept, instead of in the project's own store.
        store: Option<PathBuf>,
    },
}

/// What was moved.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Transferred {
    /// Results that were moved.
    pub results: usize,
    /// Results that were there already.
    pub known: usize,
    /// Files that were moved.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What went wrong.
    pub problems: Vec<String>,
    /// The remote.
    #[serde(skip)]
    pub url: String,
}

/// Sends results to the remote store.
///
/// # Errors
/// There is no remote, or the store fails. That single results cannot be sent is among the problems.
pub fn push(request: &TransferRequest) -> Result<Transferred, AppError> {
    let (store, wanted) = open(request, |store| {
        let all = store.actions()?.into_iter();
        // A checkpoint serves who has made it.
        let results = all.filter(|action| action.key.value()["kind"] != StageKey::CHECKPOINT);
        Ok(results.map(|action| action.fingerprint).collect())
    })?;
    let mut moved = Transferred::default();
    for fingerprint in wanted {
        match store.send(&fingerprint) {
            Ok(Some(sent)) if sent.known => moved.known += 1,
            Ok(Some(sent)) => {
                moved.results += 1;
                moved.files += sent.files;
                moved.bytes += sent.bytes;
            }
            Ok(None) => break,
            Err(problem) => moved.problems.push(format!("{}: {problem}", fingerprint.short())),
        }
    }
    Ok(finish(&store, moved))
}

/// Brings results here from the remote store.
///
/// # Errors
/// There is no remote, it cannot be listed, or the store fails. That single results are not whole is among
/// the problems.
pub fn pull(request: &TransferRequest) -> Result<Transferred, AppError> {
    let (store, wanted) = open(request, |store| {
        let listed = store.remote_results().map_err(AppError::Stopped)?;
        store.look_ahead(&listed)?;
        Ok(listed.into_iter().collect())
    })?;
    let mut moved = Transferred::default();
    for fingerprint in wanted {
        let Lookup::Hit(action) = store.look_up_everywhere(&fingerprint)? else {
            moved
                .problems
                .push(format!("{}: it is not whole in the remote", fingerprint.short()));
            continue;
        };
        match store.complete(&action)? {
            Some(Amount { count: 0, .. }) => moved.known += 1,
            Some(Amount { count, bytes }) => {
                moved.results += 1;
                moved.files += count;
                moved.bytes += bytes;
            }
            None => moved.problems.push(format!(
                "{}: not all of its files could be had",
                fingerprint.short()
            )),
        }
    }
    Ok(finish(&store, moved))
}

/// The store with its remote, and the results that are meant: those of the pipeline, or what `all` gives.
fn open(
    request: &TransferRequest,
    all: impl Fn(&Store) -> Result<BTreeSet<Fingerprint>, AppError>,
) -> Result<(Store, BTreeSet<Fingerprint>), AppError> {
    match request {
        TransferRequest::Pipeline(request) => {
            let session = Session::open(request)?;
            require_remote(&session.project)?;
            let plan = session.plan(request)?;
            let nodes = plan.order().iter().map(|&index| plan.node(index));
            let known = nodes.filter_map(|node| match &node.decision {
                Decision::Reuse(action) => Some(action.fingerprint),
                _ => None,
            });
            Ok((session.store.clone(), known.collect()))
        }
        TransferRequest::All { store } => {
            let project = current_project(store.as_deref())?;
            require_remote(&project)?;
            let store = open_store(&project)?;
            let all = all(&store)?;
            Ok((store, all))
        }
    }
}

fn require_remote(project: &Project) -> Result<(), AppError> {
    if project.remote.is_some() {
        return Ok(());
    }
    Err(AppError::Request(format!(
        "no remote is named: write `remote: {{url: s3://BUCKET/PREFIX}}` (or http://, https://, a folder) into {}",
        project.root.join("erlen.yaml").display()
    )))
}

fn finish(store: &Store, mut moved: Transferred) -> Transferred {
    let report = store.remote_report();
    moved.problems.extend(report.refused);
    moved.problems.extend(report.off);
    moved.url = store.remote_url().unwrap_or_default();
    moved
}
