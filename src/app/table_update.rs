//! Bringing tables up to date with all that they need, and comparing them with what is written.

use std::io::ErrorKind;

use indexmap::IndexMap;

use super::error::AppError;
use super::execution::RunOptions;
use super::known::known_results;
use super::request::PipelineRequest;
use super::session::Session;
use super::tables::{BuiltTable, build_table, needed_stages, open_other};
use super::update::{Updated, update_results};
use crate::event::RunStatus;
use crate::report::{Results, check_across};
use crate::spec::{Override, Pipeline, Table, suggest};

/// What came of bringing tables up to date.
pub enum BuiltTables {
    /// The tables, ready to be written.
    Ready(Vec<BuiltTable>),
    /// What they need is not there: a stage failed, the run was interrupted, or a sweep's time is up.
    Ended(RunStatus),
}

/// Builds the named tables of the session's pipeline, or all. What they need of it (with parameters
/// replaced as `overrides` say) and of other files is brought up to date as `options` say; without
/// options nothing is run, and what is missing stays missing.
///
/// # Errors
/// There is no such table, a table's columns do not fit together, or what it needs cannot be run.
pub fn update_tables(
    session: &Session,
    names: &[String],
    overrides: &[Override],
    options: Option<&RunOptions<'_>>,
) -> Result<BuiltTables, AppError> {
    let tables = chosen(session, names)?;
    let mut others: IndexMap<&str, Session> = IndexMap::new();
    for path in tables.iter().flat_map(|(_, table)| &table.pipelines) {
        if !others.contains_key(path.as_str()) {
            others.insert(path, open_other(session, path)?);
        }
    }
    for (name, table) in tables.iter().filter(|(_, table)| !table.pipelines.is_empty()) {
        let mut pipelines = vec![&session.pipeline];
        pipelines.extend(table.pipelines.iter().map(|path| &others[path.as_str()].pipeline));
        check_across(name, table, &pipelines)?;
    }

    let all: Vec<&Table> = tables.iter().map(|(_, table)| *table).collect();
    let own = match gather(session, &all, overrides, options)? {
        Updated::Known(results) => *results,
        Updated::Ended(status) => return Ok(BuiltTables::Ended(status)),
    };
    let mut known: IndexMap<&str, Results> = IndexMap::new();
    for (path, other) in &others {
        let interested: Vec<&Table> = all
            .iter()
            .copied()
            .filter(|table| table.pipelines.iter().any(|one| one == path))
            .collect();
        match gather(other, &interested, &[], options)? {
            Updated::Known(results) => known.insert(path, *results),
            Updated::Ended(status) => return Ok(BuiltTables::Ended(status)),
        };
    }

    let mut built = Vec::new();
    for (name, table) in &tables {
        let mut sources: Vec<(&Pipeline, &Results)> = vec![(&session.pipeline, &own)];
        sources.extend(table.pipelines.iter().map(|path| {
            let path = path.as_str();
            (&others[path].pipeline, &known[path])
        }));
        built.push(build_table(name, table, &sources)?);
    }
    Ok(BuiltTables::Ready(built))
}

/// The named tables of the pipeline, or all.
fn chosen<'a>(session: &'a Session, names: &[String]) -> Result<Vec<(&'a str, &'a Table)>, AppError> {
    let (file, tables) = (session.file().display(), &session.pipeline.tables);
    if tables.is_empty() {
        return Err(AppError::Request(format!(
            "{file} has no tables; add a section `tables`"
        )));
    }
    if names.is_empty() {
        return Ok(tables
            .iter()
            .map(|(name, table)| (name.as_str(), table))
            .collect());
    }
    let find = |name: &String| {
        let found = tables.get_key_value(name);
        found.map(|(name, table)| (name.as_str(), table)).ok_or_else(|| {
            let help = suggest(name, "tables", tables.keys().map(String::as_str));
            AppError::Request(format!("{file} has no table `{name}`; {help}"))
        })
    };
    names.iter().map(find).collect()
}

/// What `tables` need of the session's pipeline.
fn gather(
    session: &Session,
    tables: &[&Table],
    overrides: &[Override],
    options: Option<&RunOptions<'_>>,
) -> Result<Updated, AppError> {
    let stages = needed_stages(session, tables);
    // No stages would mean all of them; what is shown is of other files.
    let options = options.filter(|_| !stages.is_empty());
    let request = PipelineRequest {
        overrides: overrides.to_vec(),
        ..PipelineRequest::of(session.file()).for_stages(stages)
    };
    match options {
        Some(options) => update_results(session, &request, options),
        None => Ok(Updated::Known(Box::new(known_results(session, &request)?))),
    }
}

/// A table's file that is not what the results say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleFile {
    /// The file, relative to the project's root.
    pub path: String,
    /// What it holds; nothing where it is missing.
    pub found: Option<Vec<u8>>,
    /// What belongs into it.
    pub wanted: Vec<u8>,
}

/// The files of `tables` that are not what the results say.
///
/// # Errors
/// One cannot be read.
pub fn stale_files(session: &Session, tables: &[BuiltTable]) -> Result<Vec<StaleFile>, AppError> {
    let mut stale = Vec::new();
    for (path, wanted) in tables.iter().flat_map(|table| &table.files) {
        let place = session.project.root.join(path);
        let found = match std::fs::read(&place) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(AppError::io(format!("reading {}", place.display()))(error)),
        };
        if found.as_ref() != Some(wanted) {
            stale.push(StaleFile {
                path: path.clone(),
                found,
                wanted: wanted.clone(),
            });
        }
    }
    Ok(stale)
}
