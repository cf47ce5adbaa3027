//! What is known about a pipeline without running anything.

use super::error::AppError;
use super::request::PipelineRequest;
use super::results::results_of_plan;
use super::session::Session;
use super::sweep::known::known_trials;
use super::sweep::setting::SweepSetting;
use crate::report::Results;

/// What is known about the session's pipeline, as far as the stages that are asked for are concerned;
/// of a sweep, all that is known of its trials.
///
/// # Errors
/// An input is missing, or the store fails.
pub fn known_results(session: &Session, request: &PipelineRequest) -> Result<Results, AppError> {
    if session.pipeline.sweep.is_some() {
        let setting = SweepSetting::load(session.file(), &request.overrides)?;
        let (results, _) = known_trials(&setting, session)?;
        return Ok(results);
    }
    Ok(results_of_plan(session, &session.plan(request)?))
}
