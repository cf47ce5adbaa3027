//! `erlen run`: brings stages and tables up to date.

use clap::Args;

use super::arguments::{ExecutionArguments, PipelineArguments};
use super::exit::{DONE, code_of_run};
use super::plan_text::to_text;
use super::terminal::TerminalFrontEnd;
use super::text::print_notices;
use crate::app::{self, AppError, Session, remote_notices};
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
    let front_end = TerminalFrontEnd::new(&arguments.execution, registry);
    let with_tables = !request.selection.is_partial();
    let options = front_end.options()?;
    let outcome = app::run(&session, &mut plan, &options, arguments.keep_going, with_tables);
    plan.leave();
    session.leave();
    let outcome = outcome?;
    for table in outcome.tables {
        anstream::print!("{table}");
    }
    Ok(code_of_run(outcome.status))
}
