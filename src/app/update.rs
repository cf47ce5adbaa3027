//! Bringing what is known about a pipeline up to date.

use super::error::AppError;
use super::execution::{Execution, RunOptions};
use super::request::PipelineRequest;
use super::results::results_of_plan;
use super::session::Session;
use super::sweep::known::known_trials;
use super::sweep::run::{Swept, carry_out};
use super::sweep::setting::SweepSetting;
use crate::event::RunStatus;
use crate::report::Results;

/// What came of bringing results up to date.
pub enum Updated {
    /// All that was asked for is known.
    Known(Box<Results>),
    /// It is not: a stage failed, the run was interrupted, or a sweep's time is up.
    Ended(RunStatus),
}

/// Brings up to date what is asked for of the session's pipeline; of a sweep, all of it.
///
/// # Errors
/// An input is missing, or the store or the front end fails.
pub fn update_results(
    session: &Session,
    request: &PipelineRequest,
    options: &RunOptions<'_>,
) -> Result<Updated, AppError> {
    if session.pipeline.sweep.is_some() {
        return update_sweep(session, request, options);
    }
    let mut plan = session.plan(request)?;
    if !plan.is_up_to_date() {
        let mut execution = Execution::start(session, options, false, Some(&plan))?;
        let summary = execution.carry_out(&mut plan, None);
        let status = execution.finish(&summary);
        if status != RunStatus::Done {
            return Ok(Updated::Ended(status));
        }
    }
    Ok(Updated::Known(Box::new(results_of_plan(session, &plan))))
}

fn update_sweep(
    session: &Session,
    request: &PipelineRequest,
    options: &RunOptions<'_>,
) -> Result<Updated, AppError> {
    let setting = SweepSetting::load(session.file(), &request.overrides)?;
    let (results, complete) = known_trials(&setting, session)?;
    if complete {
        return Ok(Updated::Known(Box::new(results)));
    }
    let mut execution = Execution::start(session, options, true, None)?;
    let Swept {
        results,
        summary,
        late,
        failed: _,
    } = carry_out(&setting, session, &mut execution, false)?;
    Ok(match execution.finish(&summary) {
        RunStatus::Done if late => Updated::Ended(RunStatus::Failed),
        RunStatus::Done => Updated::Known(Box::new(results)),
        ended => Updated::Ended(ended),
    })
}
