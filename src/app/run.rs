//! Running a pipeline or a sweep, and writing its tables.

use super::error::AppError;
use super::execution::{Execution, RunOptions, check_environments, check_secrets};
use super::notice::Notice;
use super::results::results_of_plan;
use super::session::Session;
use super::sweep::run::{Swept, carry_out};
use super::sweep::setting::SweepSetting;
use super::table_output::TableOutput;
use super::tables::write_tables;
use super::warnings::{
    described_in_vain, describes_metrics, rewritten_parameters, undeclared_files, unused_parameters,
};
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

/// Brings every stage of `plan` up to date, and then the pipeline's `tables` where it is said. With
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
    tables: Option<&TableOutput>,
) -> Result<RunOutcome, AppError> {
    if let Some(tables) = tables {
        tables.check(session)?;
    }
    let nodes = plan.order().iter().map(|&index| plan.node(index));
    let may_run = nodes.filter(|node| !matches!(node.decision, Decision::Reuse(_)));
    let may_run = may_run.map(|node| (node.name().stage(), &*node.stage));
    check_secrets(may_run.clone())?;
    check_environments(may_run, &session.project.root)?;
    let mut execution = Execution::start(session, options, keep_going, Some(plan))?;
    warn(session, &mut execution);
    let summary = execution.carry_out(plan, None);
    if summary.status != RunStatus::Done {
        return end(execution, &summary, Ok(Vec::new()));
    }
    let pipeline = &session.pipeline;
    let tables = tables.filter(|_| !pipeline.tables.is_empty());
    // Of many stages, what they gave is some work to put together.
    if tables.is_none() && !describes_metrics(pipeline) {
        return end(execution, &summary, Ok(Vec::new()));
    }
    let results = results_of_plan(session, plan);
    for notice in described_in_vain(pipeline, &results) {
        execution.notice(notice);
    }
    let Some(tables) = tables else {
        return end(execution, &summary, Ok(Vec::new()));
    };
    if pipeline.sweep.is_some() {
        let file = session.file().display();
        execution.notice(Notice::info(format!(
            "the tables are those of the sweep; `erlen sweep {file}` runs it and writes them"
        )));
        return end(execution, &summary, Ok(Vec::new()));
    }
    let written = write(session, &results, tables, &mut execution);
    end(execution, &summary, written)
}

/// Runs the trials of a sweep, or goes on with them, and brings the pipeline's `tables` up to date. With
/// `retry_failed`, trials are run again that failed.
///
/// # Errors
/// As for [`run`], or the journal cannot be read or written. That trials fail is no error, but how the run
/// ended: the tables show the others all the same.
pub fn run_sweep(
    session: &Session,
    setting: &SweepSetting,
    options: &RunOptions<'_>,
    retry_failed: bool,
    tables: &TableOutput,
) -> Result<RunOutcome, AppError> {
    tables.check(session)?;
    let stages = session.pipeline.stages.iter();
    check_secrets(stages.map(|(name, stage)| (name.as_str(), &**stage)))?;
    let mut execution = Execution::start(session, options, true, None)?;
    warn(session, &mut execution);
    if let Some(fold) = setting.ranked_fold() {
        execution.notice(Notice::warning(format!(
            "`{fold}` chooses a fold and is swept, so the best trial is the best of single folds; compare the means \
             over the folds by a table with `group: all`"
        )));
    }
    let Swept {
        results,
        mut summary,
        failed,
        ..
    } = carry_out(setting, session, &mut execution, retry_failed)?;
    let written = if summary.status == RunStatus::Done {
        for notice in described_in_vain(&session.pipeline, &results) {
            execution.notice(notice);
        }
        write(session, &results, tables, &mut execution)
    } else {
        Ok(Vec::new())
    };
    if summary.status == RunStatus::Done && failed > 0 {
        summary.status = RunStatus::Failed;
    }
    end(execution, &summary, written)
}

fn warn(session: &Session, execution: &mut Execution) {
    let pipeline = &session.pipeline;
    let notices = [
        unused_parameters(pipeline),
        rewritten_parameters(pipeline),
        undeclared_files(pipeline, &session.project.root),
    ];
    for notice in notices.into_iter().flatten() {
        execution.notice(notice);
    }
}

fn write(
    session: &Session,
    results: &Results,
    tables: &TableOutput,
    execution: &mut Execution,
) -> Result<Vec<String>, AppError> {
    if let (TableOutput::Text, false) = (tables, session.pipeline.tables.is_empty()) {
        execution.notice(Notice::info(
            "the tables are of other values than the file's, so they are shown and not written; `--tables FOLDER` \
             writes them there",
        ));
    }
    write_tables(session, results, tables, &mut |event| execution.emit(event))
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
