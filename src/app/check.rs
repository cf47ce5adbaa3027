//! Whether a pipeline file is right, as far as can be told without running it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::AppError;
use super::project::find_project;
use super::session::Session;
use super::table_clash::check_table_places;
use crate::plan::Plan;
use crate::spec::{FilePlaces, Kind, Mistake, Override, Pipeline, Template};
use crate::stages::Registry;

/// Reads a pipeline file, and looks into the files of its project that its stages take in and that are there.
///
/// # Errors
/// The file has mistakes, a table has the place of another one, its project's settings have, or a file does not fit what takes it in.
pub fn check(file: &Path, overrides: &[Override], registry: &Registry) -> Result<Pipeline, AppError> {
    let template = Template::load(file)?;
    let pipeline = template.pipeline(overrides)?;
    let project = find_project(file, None)?;
    check_table_places(&pipeline, &project)?;
    let places = project.places();
    let mut mistakes = Vec::new();
    for (name, stage) in &pipeline.stages {
        let found = look_into(&stage.kind, &places, registry);
        mistakes.extend(
            found
                .into_iter()
                .map(|mistake| placed(name, &stage.kind, mistake)),
        );
    }
    match template.in_stages(mistakes) {
        Some(error) => Err(error.into()),
        None => Ok(pipeline),
    }
}

/// Looks into the files of the project that the stages take in which `plan` is to bring up to date, so that what
/// does not fit is told before anything runs.
///
/// # Errors
/// A file does not fit what takes it in.
pub fn check_files(session: &Session, plan: &Plan, registry: &Registry) -> Result<(), AppError> {
    let places = session.project.places();
    let mut mistakes = Vec::new();
    for &index in plan.order() {
        let node = plan.node(index);
        if node.decision.action().is_none() {
            let found = look_into(&node.stage.kind, &places, registry);
            let name = node.name().stage();
            mistakes.extend(
                found
                    .into_iter()
                    .map(|mistake| placed(name, &node.stage.kind, mistake)),
            );
        }
    }
    if mistakes.is_empty() {
        return Ok(());
    }
    match Template::load(session.file())?.in_stages(mistakes) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// A mistake of a stage's, as [`Template::in_stages`] takes it.
fn placed(stage: &str, kind: &Kind, mistake: Mistake) -> (String, &'static str, Mistake) {
    (stage.to_owned(), kind.name(), mistake)
}

/// What is wrong with the files at their `places` that a stage takes in.
fn look_into(kind: &Kind, places: &FilePlaces, registry: &Registry) -> Vec<Mistake> {
    let files: BTreeMap<String, PathBuf> = kind
        .inputs()
        .into_iter()
        // A root that is not defined is told of by itself.
        .filter_map(|input| Some((input.role, places.find(&input.reference).ok()??)))
        .filter(|(_, path)| path.exists())
        .collect();
    match files.is_empty() {
        true => Vec::new(),
        false => registry.look_into(kind, &files),
    }
}
