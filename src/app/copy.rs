//! A stage's result as files of one's own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use walkdir::WalkDir;

use super::error::AppError;
use super::request::PipelineRequest;
use super::session::Session;
use crate::plan::Decision;
use crate::store::Action;

/// Copies the known result of `stage`, or what lies at the path `inside` of it, to `target`, where nothing
/// may be yet.
///
/// # Errors
/// There is no such stage, its result is not known, or `target` cannot be written.
pub fn copy_result(
    session: &Session,
    request: &PipelineRequest,
    stage: &str,
    inside: Option<&str>,
    target: &Path,
) -> Result<(), AppError> {
    let action = known_action(session, request, stage)?;
    if target.symlink_metadata().is_ok() {
        return Err(AppError::Request(format!(
            "`{}` is there already: remove it, or name another place with --output",
            target.display()
        )));
    }
    let (_shared, laid_out) = lay_out(session, &action, inside)?;
    copy(&laid_out, target).map_err(AppError::io(format!("writing `{}`", target.display())))
}

/// The known result of `stage`.
///
/// # Errors
/// There is no such stage, or its result is not known.
pub(super) fn known_action(
    session: &Session,
    request: &PipelineRequest,
    stage: &str,
) -> Result<Action, AppError> {
    session.check_stage(stage)?;
    let plan = session.plan(&request.for_stages(vec![stage.to_owned()]))?;
    match plan.find(stage).map(|node| &node.decision) {
        Some(Decision::Reuse(action)) => Ok(Action::clone(action)),
        _ => Err(AppError::Stopped(format!(
            "the result of `{stage}` is not known yet: `erlen run {} {stage}` makes it",
            session.file().display()
        ))),
    }
}

/// Lays a result out, or what lies at the path `inside` of it: a folder that holds it for as long as it is kept, and
/// the path.
///
/// # Errors
/// The store cannot lay it out.
pub(super) fn lay_out(
    session: &Session,
    action: &Action,
    inside: Option<&str>,
) -> Result<(TempDir, PathBuf), AppError> {
    // The store shares its bytes with what it lays out, so that is copied before anyone may write. One that
    // cannot be written is read all the same.
    let shared = tempfile::tempdir_in(&session.project.store)
        .or_else(|_| tempfile::tempdir())
        .map_err(AppError::io("making a folder"))?;
    let laid_out = shared.path().join("result");
    if let Err(error) = session.store.materialise(&action.artifact, inside, &laid_out) {
        if error.is_loss() {
            session.store.forsake(action)?;
        }
        return Err(error.into());
    }
    Ok((shared, laid_out))
}

/// Copies a file or a folder, readable and writable as new files are.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(around) = to.parent() {
        fs::create_dir_all(around)?;
    }
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let inside = entry.path().strip_prefix(from).unwrap_or(entry.path());
        let target = if inside.as_os_str().is_empty() {
            to.to_owned()
        } else {
            to.join(inside)
        };
        if entry.file_type().is_dir() {
            fs::create_dir(&target)?;
        } else {
            let (mut source, mut target) = (fs::File::open(entry.path())?, fs::File::create(&target)?);
            std::io::copy(&mut source, &mut target)?;
        }
    }
    Ok(())
}
