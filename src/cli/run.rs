//! `erlen run`: brings stages and tables up to date.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};

use super::session::{PipelineArguments, Session};
use super::{DONE, FAILED, Fail, INTERRUPTED, plan, tables};
use crate::event::{Event, Level, RunStatus};
use crate::exec::{self, Machine, Options, Placement};
use crate::plan::{Plan, StageKey};
use crate::progress::{self, Format};
use crate::record::{Recorder, RunInfo, git_commit};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Show what would run, and run nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// The most stages at once; by default as many as the machine has cores
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Go on with what does not depend on a failed stage
    #[arg(short, long)]
    keep_going: bool,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum LogFormat {
    /// A live display in a terminal, else plain lines
    #[default]
    Auto,
    /// Plain lines
    Plain,
    /// One JSON object a line
    Json,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let session = Session::open(&arguments.pipeline)?;
    let mut plan = session.plan(&arguments.pipeline)?;
    if arguments.dry_run {
        anstream::print!("{}", plan::to_text(&plan));
        return Ok(DONE);
    }
    announce(&plan, arguments.log_format);

    let stop = stop_on_signals()?;
    let machine = Machine::this();
    let options = Options {
        jobs: arguments.jobs.map_or(machine.cpus, |jobs| jobs as usize),
        machine,
        keep_going: arguments.keep_going,
        placement: Placement::Process(std::env::current_exe().map_err(Fail::io("finding this program"))?),
        project: session.project.root.clone(),
        mirrors: session.project.mirrors.clone(),
    };
    let recorder = RefCell::new(Recorder::start(session.history(), run_info(&session)));
    let mut progress = progress::for_terminal(progress::Options {
        format: match arguments.log_format {
            LogFormat::Auto => Format::Auto,
            LogFormat::Plain => Format::Plain,
            LogFormat::Json => Format::Json,
        },
        longest_name: session.pipeline.stages.keys().map(String::len).max().unwrap_or(0),
    });
    let mut tell = |event: &Event| {
        recorder.borrow_mut().event(event);
        progress.event(event);
    };
    let summary = exec::execute(&mut plan, &session.store, &options, &stop, &mut |event, key| {
        if let Some(key) = key {
            record_key(&mut recorder.borrow_mut(), key);
        }
        tell(event);
    });
    let written = if summary.status == RunStatus::Done && arguments.pipeline.stages.is_empty() {
        tables::write(&session, &plan, &mut tell)
    } else {
        Ok(Vec::new())
    };
    let finished = summary.finished();
    recorder.borrow_mut().event(&finished);
    if let Some(message) = recorder.into_inner().finish() {
        progress.event(&Event::Notice {
            level: Level::Warning,
            message,
        });
    }
    progress.event(&finished);
    for table in written? {
        anstream::print!("{table}");
    }
    Ok(match summary.status {
        RunStatus::Done => DONE,
        RunStatus::Failed => FAILED,
        RunStatus::Interrupted => INTERRUPTED,
    })
}

fn record_key(recorder: &mut Recorder, key: &StageKey) {
    if let Ok(value) = serde_json::to_value(key) {
        recorder.key(key.fingerprint(), &value);
    }
}

fn run_info(session: &Session) -> RunInfo {
    RunInfo {
        pipeline: session.pipeline.name.clone(),
        file: session.file().to_owned(),
        params: session
            .pipeline
            .params
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        command: std::env::args().collect(),
        git_commit: git_commit(&session.project.root),
    }
}

/// Says what will be done, and why.
fn announce(plan: &Plan, format: LogFormat) {
    const MOST_LINES: usize = 30;
    if matches!(format, LogFormat::Json) {
        return;
    }
    let text = plan::to_text(plan);
    let lines: Vec<&str> = text.lines().collect();
    // Where all is up to date, what follows lists the stages.
    let shown = if plan::is_idle(plan) { 1 } else { MOST_LINES };
    for line in lines.iter().take(shown) {
        anstream::eprintln!("{line}");
    }
    if lines.len() > MOST_LINES && shown > 1 {
        anstream::eprintln!(
            "  … and {} more; `erlen plan` shows all",
            lines.len() - MOST_LINES
        );
    }
    anstream::eprintln!();
}

/// A flag that the first SIGINT, SIGTERM or SIGHUP sets; the second one ends the program.
fn stop_on_signals() -> Result<Arc<AtomicBool>, Fail> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(Fail::io("signal handlers"))?;
    }
    Ok(stop)
}
