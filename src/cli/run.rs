//! `erlen run`: brings stages and tables up to date.

use std::path::PathBuf;

use clap::Args;

use super::arguments::{ExecutionArguments, PipelineArguments};
use super::exit::{DONE, code_of_run};
use super::plan_text::to_text;
use super::terminal::TerminalFrontEnd;
use super::text::print_notices;
use crate::app::{self, AppError, Session, TableOutput, check_files, remote_notices};
use crate::stages::Registry;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Show what would run, and run nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Go on with what does not depend on a failed stage
    #[arg(short, long)]
    keep_going: bool,
    /// Write the tables into this folder; by default to where the file says, or with --set nowhere
    #[arg(long, value_name = "FOLDER")]
    tables: Option<PathBuf>,
    #[command(flatten)]
    execution: ExecutionArguments,
}

pub(super) fn run(arguments: &RunArguments, registry: &Registry) -> Result<u8, AppError> {
    let request = arguments.pipeline.request();
    let session = Session::open(&request)?;
    let mut plan = session.plan(&request)?;
    if arguments.dry_run {
        print_notices(&remote_notices(&session.store));
        anstream::print!("{}", to_text(&plan));
        return Ok(DONE);
    }
    check_files(&session, &plan, registry)?;
    let front_end = TerminalFrontEnd::new(&arguments.execution, registry);
    let output = TableOutput::of(arguments.tables.as_deref(), !request.overrides.is_empty());
    let tables = (!request.selection.is_partial()).then_some(&output);
    let options = front_end.options()?;
    let outcome = app::run(&session, &mut plan, &options, arguments.keep_going, tables);
    plan.leave();
    session.leave();
    let outcome = outcome?;
    for table in outcome.tables {
        anstream::print!("{table}");
    }
    Ok(code_of_run(outcome.status))
}
