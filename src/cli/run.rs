//! `erlen run`: brings stages and tables up to date.

use clap::Args;

use super::execution::{Execution, ExecutionArguments, LogFormat, check_secrets};
use super::session::{PipelineArguments, Session};
use super::{DONE, Fail, plan, remote, tables};
use crate::event::{Event, Level, RunStatus};
use crate::plan::{Decision, Plan};

#[derive(Debug, Args)]
pub(super) struct Arguments {
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

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let session = Session::open(&arguments.pipeline)?;
    let mut plan = session.plan(&arguments.pipeline)?;
    if arguments.dry_run {
        remote::tell_notices(&session.store);
        anstream::print!("{}", plan::to_text(&plan));
        return Ok(DONE);
    }
    let nodes = plan.order().iter().map(|&index| plan.node(index));
    let may_run = nodes.filter(|node| !matches!(node.decision, Decision::Reuse(_)));
    check_secrets(may_run.map(|node| (node.name().stage(), &*node.stage)))?;
    announce(&plan, arguments.execution.log_format);

    let mut execution = Execution::start(&session, &arguments.execution, arguments.keep_going)?;
    let summary = execution.carry_out(&mut plan, &session.store, None);
    let asks_for_tables = !arguments.pipeline.selection().is_partial() && !session.pipeline.tables.is_empty();
    let written = if summary.status != RunStatus::Done || !asks_for_tables {
        Ok(Vec::new())
    } else if session.pipeline.sweep.is_some() {
        let file = session.file().display();
        execution.tell(&Event::Notice {
            level: Level::Info,
            message: format!(
                "the tables are those of the sweep; `erlen sweep {file}` runs it and writes them"
            ),
        });
        Ok(Vec::new())
    } else {
        tables::write(&session, &plan, &mut |event| execution.tell(event))
    };
    let code = execution.finish(&summary);
    plan.leave();
    session.leave();
    for table in written? {
        anstream::print!("{table}");
    }
    Ok(code)
}

/// Says what will be done, and why.
pub(super) fn announce(plan: &Plan, format: LogFormat) {
    const MOST_LINES: usize = 30;
    if matches!(format, LogFormat::Json) {
        return;
    }
    // Where all is up to date, what follows lists the stages.
    if plan::is_idle(plan) {
        anstream::eprintln!("{}\n", plan::headline(plan));
        return;
    }
    let text = plan::to_text(plan);
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().take(MOST_LINES) {
        anstream::eprintln!("{line}");
    }
    if lines.len() > MOST_LINES {
        anstream::eprintln!(
            "  … and {} more; `erlen plan` shows all",
            lines.len() - MOST_LINES
        );
    }
    anstream::eprintln!();
}
