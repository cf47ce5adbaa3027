//! The project that files lie in: its settings, its store, its history.

use std::path::{Path, PathBuf};

use super::error::AppError;
use crate::record::RunHistory;
use crate::spec::{Project, Remote};
use crate::store::{RemoteOptions, Store};

/// The folder of tables, plots and pages, in the project's root.
pub const RESULTS: &str = "results";

/// The project that `file` lies in, with its results in `store` where that is given.
///
/// # Errors
/// The project's settings have mistakes.
pub fn find_project(file: &Path, store: Option<&Path>) -> Result<Project, AppError> {
    // A place that is named is meant from where the user stands.
    let store = store.map(std::path::absolute).transpose();
    let store = store.map_err(AppError::io("finding the current folder"))?;
    Ok(Project::find(file, store)?)
}

/// The project of the current folder.
///
/// # Errors
/// As for [`find_project`].
pub fn current_project(store: Option<&Path>) -> Result<Project, AppError> {
    let here = std::env::current_dir().map_err(AppError::io("finding the current folder"))?;
    find_project(&here.join("any"), store)
}

/// The project's store, with its remote where it has one. What it is asked for stays while this process
/// runs.
///
/// # Errors
/// It cannot be opened or made.
pub fn open_store(project: &Project) -> Result<Store, AppError> {
    let store = Store::open(&project.store)?;
    store.rely_on_results();
    if let Some(remote) = &project.remote {
        store.attach(remote_options(remote));
    }
    Ok(store)
}

/// The project's store, to be looked after; there is nothing to look after where none was made.
///
/// # Errors
/// There is none, or it cannot be opened.
pub fn existing_store(project: &Project) -> Result<Store, AppError> {
    if !project.store.exists() {
        return Err(AppError::Request(format!(
            "there is no store at {}: nothing ran yet",
            project.store.display()
        )));
    }
    Ok(Store::open(&project.store)?)
}

/// The file with the history of the project's runs.
pub fn history_file(project: &Project) -> PathBuf {
    project.store.join("erlen.db")
}

/// The history of the project's runs; empty where nothing ran.
///
/// # Errors
/// It is damaged, or of a newer version.
pub fn open_history(project: &Project) -> Result<RunHistory, AppError> {
    Ok(RunHistory::open(&history_file(project))?)
}

/// What the store has to know of a remote.
fn remote_options(remote: &Remote) -> RemoteOptions {
    RemoteOptions {
        url: remote.url.clone(),
        endpoint: remote.endpoint.clone(),
        region: remote.region.clone(),
        read: remote.read,
        write: remote.write,
    }
}
