//! Running a pipeline or a sweep, and writing its tables.

use super::error::AppError;
use super::execution::{Execution, RunOptions, check_secrets};
use super::notice::Notice;
use super::results::results_of_plan;
use super::session::Session;
use super::sweep::run::{Swept, carry_out};
use super::sweep::setting::SweepSetting;
use super::tables::write_tables;
use crate::event::RunStatus;
use crate::exec::Completion;
use crate::plan::{Decision, Plan};
use crate::report::Results;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcome {
    /// How it ended.
    pub status: RunStatus,
    /// The pipeline's tables as Markdown, where the run brought them up to date.
    pub tables: Vec<String>,
}

/// Brings every stage of `plan` up to date, and then the pipeline's tables if `with_tables`. With
/// `keep_going`, what does not depend on a failed stage is run all the same.
///
/// # Errors
/// A secret is missing, the front end cannot follow the run, or a table cannot be written. That a stage
/// fails is no error, but how the run ended.
pub fn run(
    session: &Session,
    plan: &mut Plan,
    options: &RunOptions<'_>,
    keep_going: bool,
    with_tables: bool,
) -> Result<RunOutcome, AppError> {
    let nodes = plan.order().iter().map(|&index| plan.node(index));
    let may_run = nodes.filter(|node| !matches!(node.decision, Decision::Reuse(_)));
    check_secrets(may_run.map(|node| (node.name().stage(), &*node.stage)))?;
    let mut execution = Execution::start(session, options, keep_going, Some(plan))?;
    let summary = execution.carry_out(plan, None);
    if summary.status != RunStatus::Done || !with_tables || session.pipeline.tables.is_empty() {
        return end(execution, &summary, Ok(Vec::new()));
    }
    if session.pipeline.sweep.is_some() {
        let file = session.file().display();
        execution.notice(Notice::info(format!(
            "the tables are those of the sweep; `erlen sweep {file}` runs it and writes them"
        )));
        return end(execution, &summary, Ok(Vec::new()));
    }
    let results = results_of_plan(session, plan);
    let written = write(session, &results, &mut execution);
    end(execution, &summary, written)
}

/// Runs the trials of a sweep, or goes on with them, and writes the pipeline's tables. With
/// `retry_failed`, trials are run again that failed.
///
/// # Errors
/// As for [`run`], or the journal cannot be read or written. That trials fail is no error.
pub fn run_sweep(
    session: &Session,
    setting: &SweepSetting,
    options: &RunOptions<'_>,
    retry_failed: bool,
) -> Result<RunOutcome, AppError> {
    let stages = session.pipeline.stages.iter();
    check_secrets(stages.map(|(name, stage)| (name.as_str(), &**stage)))?;
    let mut execution = Execution::start(session, options, true, None)?;
    let Swept { results, summary, .. } = carry_out(setting, session, &mut execution, retry_failed)?;
    let written = if summary.status == RunStatus::Done {
        write(session, &results, &mut execution)
    } else {
        Ok(Vec::new())
    };
    end(execution, &summary, written)
}

fn write(session: &Session, results: &Results, execution: &mut Execution) -> Result<Vec<String>, AppError> {
    write_tables(session, results, &mut |event| execution.emit(event))
}

/// Ends the run, whatever became of its tables.
fn end(
    execution: Execution,
    summary: &Completion,
    written: Result<Vec<String>, AppError>,
) -> Result<RunOutcome, AppError> {
    let status = execution.finish(summary);
    Ok(RunOutcome {
        status,
        tables: written?,
    })
}
