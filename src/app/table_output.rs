//! Where the files of tables go.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::error::AppError;
use super::session::Session;
use super::table_clash::check_table_places;

/// Where the files of a pipeline's tables go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableOutput {
    /// To where the pipeline file says. For results of the file as it is written alone: what stands there is
    /// cited.
    Project,
    /// Into a folder, under their own names.
    Folder(PathBuf),
    /// Nowhere: they are given as text.
    Text,
}

impl TableOutput {
    /// Into `folder` where one is named; else into the project, or nowhere where other values than the file's
    /// were asked for.
    pub fn of(folder: Option<&Path>, overridden: bool) -> Self {
        match (folder, overridden) {
            (Some(folder), _) => Self::Folder(folder.to_owned()),
            (None, false) => Self::Project,
            (None, true) => Self::Text,
        }
    }

    /// Looks before anything runs whether every table can have its own place.
    ///
    /// # Errors
    /// Two tables would be written to the same files.
    pub fn check(&self, session: &Session) -> Result<(), AppError> {
        match self {
            Self::Project => check_table_places(&session.pipeline, &session.project),
            Self::Folder(_) => {
                let mut taken = HashSet::new();
                for (name, table) in &session.pipeline.tables {
                    if !taken.insert(file_name(&table.place(name)).to_owned()) {
                        return Err(AppError::Request(format!(
                            "the table `{name}` would be written over another one of the same file name; write them \
                             without `--tables`, or give one another `path`"
                        )));
                    }
                }
                Ok(())
            }
            Self::Text => Ok(()),
        }
    }

    /// Where the file goes that belongs at `path` in the project: the place itself, and how it is told.
    pub(super) fn place(&self, session: &Session, path: &str) -> Option<(PathBuf, PathBuf)> {
        match self {
            Self::Project => Some((session.project.root.join(path), PathBuf::from(path))),
            Self::Folder(folder) => {
                let place = folder.join(file_name(path));
                Some((place.clone(), place))
            }
            Self::Text => None,
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
