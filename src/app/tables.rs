//! From results to the files of tables.

use super::error::AppError;
use super::known::known_results;
use super::notice::Notice;
use super::request::PipelineRequest;
use super::session::Session;
use super::table_output::TableOutput;
use crate::event::Event;
use crate::report::{
    Provenance, Replicate, ReportError, Results, TableData, TrialStatus, render, write_if_changed,
};
use crate::spec::{Pipeline, Table, TableFormat};

/// A table, ready to be written.
pub struct BuiltTable {
    /// Its name.
    pub name: String,
    /// Its files, relative to the project's root, and what belongs into them.
    pub files: Vec<(String, Vec<u8>)>,
    text: String,
}

/// Fills a table with the results of pipelines: that of the file that it stands in first.
///
/// # Errors
/// What the table asks for does not fit together.
pub fn build_table(
    name: &str,
    table: &Table,
    sources: &[(&Pipeline, &Results)],
) -> Result<BuiltTable, AppError> {
    let data = assemble_table(name, table, sources)?;
    let mut files: Vec<(String, Vec<u8>)> = table
        .formats
        .iter()
        .map(|&format| (table.file(name, format), render(&data, format)))
        .collect();
    let provenance = Provenance::of(&data, sources).to_text().into_bytes();
    files.push((table.provenance_file(name), provenance));
    Ok(BuiltTable {
        name: name.to_owned(),
        files,
        text: String::from_utf8_lossy(&render(&data, TableFormat::Md)).into_owned(),
    })
}

/// The content of a table, whatever else of the pipelines is known or not.
pub(super) fn assemble_table(
    name: &str,
    table: &Table,
    sources: &[(&Pipeline, &Results)],
) -> Result<TableData, ReportError> {
    let needed: Vec<Results> = sources
        .iter()
        .map(|(pipeline, results)| as_needed(table, pipeline, results))
        .collect();
    TableData::assemble(name, table, &needed.iter().collect::<Vec<_>>())
}

/// `results`, in which a trial is done once the stages that `table` needs of it are known.
fn as_needed(table: &Table, pipeline: &Pipeline, results: &Results) -> Results {
    let mut stages = table.stages();
    stages.retain(|stage| pipeline.stages.contains_key(stage));
    let mut results = results.clone();
    for trial in &mut results.trials {
        let knows = |replicate: &Replicate| stages.iter().all(|stage| replicate.stages.contains_key(stage));
        if trial.status == TrialStatus::Missing
            && !trial.replicates.is_empty()
            && trial.replicates.iter().all(knows)
        {
            trial.status = TrialStatus::Done;
        }
    }
    results
}

impl BuiltTable {
    /// The table as Markdown; behind another one, an empty line keeps them apart.
    pub fn text_after(&self, another: bool) -> String {
        format!("{}{}", if another { "\n" } else { "" }, self.text)
    }

    /// Writes the files whose bytes differ from what stands there, as `output` says.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn write(
        &self,
        session: &Session,
        output: &TableOutput,
        emit: &mut dyn FnMut(&Event),
    ) -> Result<(), AppError> {
        for (path, bytes) in &self.files {
            let Some((place, shown)) = output.place(session, path) else {
                continue;
            };
            let changed = write_if_changed(&place, bytes)?;
            emit(&Event::TableWritten {
                table: self.name.clone(),
                path: shown,
                changed,
            });
        }
        Ok(())
    }
}

/// Writes every table of the pipeline whose bytes differ from what stands there, as `output` says. Gives them
/// as Markdown. A table that needs results of other files which are not there yet is left as it is.
///
/// # Errors
/// A file has mistakes, or cannot be written.
pub(super) fn write_tables(
    session: &Session,
    results: &Results,
    output: &TableOutput,
    emit: &mut dyn FnMut(&Event),
) -> Result<Vec<String>, AppError> {
    let mut texts = Vec::new();
    for (name, table) in &session.pipeline.tables {
        let others = match others_of(session, table)? {
            Others::Known(others) => others,
            Others::Missing(path) => {
                emit(&Notice::info(needs_other(session, name, &path)).into());
                continue;
            }
        };
        let mut sources = vec![(&session.pipeline, results)];
        sources.extend(others.iter().map(|(other, results)| (&other.pipeline, results)));
        let built = build_table(name, table, &sources)?;
        built.write(session, output, emit)?;
        texts.push(built.text_after(!texts.is_empty()));
    }
    Ok(texts)
}

/// The results of other files that a table shows.
pub(super) enum Others {
    /// They are there, or none are needed.
    Known(Vec<(Session, Results)>),
    /// Those of this file are not there yet.
    Missing(String),
}

/// That a table needs results of another file, and what to do.
pub(super) fn needs_other(session: &Session, name: &str, path: &str) -> String {
    format!(
        "the table `{name}` needs results of {path}; `erlen table {} {name}` makes them",
        session.file().display()
    )
}

/// The results of other files that a table shows.
pub(super) fn others_of(session: &Session, table: &Table) -> Result<Others, AppError> {
    let mut others = Vec::new();
    for path in &table.pipelines {
        let other = open_other(session, path)?;
        match complete_results(&other, table)? {
            Some(results) => others.push((other, results)),
            None => return Ok(Others::Missing(path.clone())),
        }
    }
    Ok(Others::Known(others))
}

/// The pipeline file at `path` in the session's project, with the same store.
///
/// # Errors
/// As for [`Session::open`].
pub fn open_other(session: &Session, path: &str) -> Result<Session, AppError> {
    let inside = path.strip_prefix("./").unwrap_or(path);
    Session::open(&PipelineRequest {
        store: Some(session.project.store.clone()),
        ..PipelineRequest::of(session.project.root.join(inside))
    })
}

/// What a table needs of another file, where all of it is known.
fn complete_results(other: &Session, table: &Table) -> Result<Option<Results>, AppError> {
    let request = PipelineRequest::of(other.file()).for_stages(needed_stages(other, &[table]));
    let results = known_results(other, &request)?;
    let results = as_needed(table, &other.pipeline, &results);
    let is_done = |status: &TrialStatus| *status != TrialStatus::Missing;
    let complete = results.trials.iter().all(|trial| is_done(&trial.status));
    Ok(complete.then_some(results))
}

/// The stages of the session's pipeline that tables need.
pub fn needed_stages(session: &Session, tables: &[&Table]) -> Vec<String> {
    let stages = tables.iter().flat_map(|table| table.stages());
    let mut stages: Vec<String> = stages
        .filter(|stage| session.pipeline.stages.contains_key(stage))
        .collect();
    stages.sort();
    stages.dedup();
    stages
}
