//! Two tables of one project must not be written to the same files: the later run would take the earlier one's
//! figures away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::AppError;
use super::retention::pipelines_of;
use crate::spec::{Pipeline, Project, Template};

/// Looks whether another pipeline file of the project, in its folder for them or beside `pipeline`'s,
/// has a table in the place of one of `pipeline`'s.
///
/// # Errors
/// One has: both are named, and the pipeline's file is pointed into.
pub(super) fn check_table_places(pipeline: &Pipeline, project: &Project) -> Result<(), AppError> {
    let tables = &pipeline.tables;
    if tables.is_empty() {
        return Ok(());
    }
    let own = canonical(pipeline.source.path());
    for file in neighbours(project, &own)? {
        if canonical(&file) == own {
            continue;
        }
        // What is wrong with another file is told where that file is used.
        let Ok(template) = Template::load(&file) else {
            continue;
        };
        for (other, place) in template.table_places() {
            let clash = tables.iter().find(|(name, table)| table.place(name) == place);
            if let Some((name, _)) = clash {
                let file = file.strip_prefix(&project.root).unwrap_or(&file);
                let message = format!(
                    "the table `{name}` and the table `{other}` of {} are both written to {place}",
                    file.display()
                );
                let error = pipeline.source.mistake_at(&["tables", name], message);
                return Err(AppError::Spec(
                    error.help("give one of them another name, or a `path`"),
                ));
            }
        }
    }
    Ok(())
}

/// The pipeline files in the project's folder for them, and those beside `file`.
fn neighbours(project: &Project, file: &Path) -> Result<BTreeSet<PathBuf>, AppError> {
    let mut files: BTreeSet<PathBuf> = pipelines_of(project)?.into_iter().collect();
    let beside = file.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in beside.into_iter().flatten().flatten() {
        let path = entry.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("yaml" | "yml")) && path.is_file() {
            files.insert(path);
        }
    }
    Ok(files)
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
