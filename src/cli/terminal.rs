//! The command line as the front end of runs: it says what will be done, shows what happens, and lets
//! signals stop it.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::arguments::{ExecutionArguments, LogFormat};
use super::exit::INTERRUPTED;
use super::plan_text::{headline, to_text};
use crate::app::{AppError, Followers, FrontEnd, RunOptions, Session};
use crate::event::Sink;
use crate::exec::{Capacity, ProcessExecutor};
use crate::plan::Plan;
use crate::progress::JsonLines;
use crate::stages::Registry;

/// Whoever sits before a terminal, or reads what a command prints.
pub(super) struct TerminalFrontEnd<'a> {
    arguments: &'a ExecutionArguments,
    /// What stages are run with.
    registry: &'a Registry,
    /// The file for events, once it is open: a command may run several pipelines.
    events: RefCell<Option<File>>,
}

impl<'a> TerminalFrontEnd<'a> {
    /// The front end that `arguments` ask for.
    pub fn new(arguments: &'a ExecutionArguments, registry: &'a Registry) -> Self {
        Self {
            arguments,
            registry,
            events: RefCell::default(),
        }
    }

    /// How stages are run.
    ///
    /// # Errors
    /// This program is not found.
    pub fn options(&self) -> Result<RunOptions<'_>, AppError> {
        let program = std::env::current_exe().map_err(AppError::io("finding this program"))?;
        let executor = ProcessExecutor::new(program, Capacity::of_this_machine(), self.registry.clone());
        Ok(RunOptions {
            jobs: self.arguments.jobs.map(|jobs| jobs as usize),
            device: self.arguments.device,
            executor: Arc::new(executor),
            command: std::env::args().collect(),
            front_end: self,
        })
    }

    /// Whoever is told of what happens to the session's pipeline. Another one is one more line here.
    ///
    /// # Errors
    /// The file for the events cannot be written.
    pub fn sinks(&self, session: &Session) -> Result<Vec<Box<dyn Sink>>, AppError> {
        let names = session.pipeline.stages.keys().map(String::len);
        let longest = names.max().unwrap_or(0);
        let metrics = Arc::new(session.pipeline.metrics.clone());
        let display = self.arguments.log_format.display(longest, metrics);
        let mut sinks = vec![display];
        sinks.extend(self.event_file()?);
        Ok(sinks)
    }

    fn event_file(&self) -> Result<Option<Box<dyn Sink>>, AppError> {
        let Some(path) = &self.arguments.events else {
            return Ok(None);
        };
        let failed = || AppError::io(format!("writing {}", path.display()));
        let mut events = self.events.borrow_mut();
        let file = match &*events {
            Some(file) => file,
            None => events.insert(File::create(path).map_err(failed())?),
        };
        let file = file.try_clone().map_err(failed())?;
        Ok(Some(Box::new(JsonLines::new(file))))
    }
}

impl FrontEnd for TerminalFrontEnd<'_> {
    fn begin(&self, session: &Session, plan: Option<&Plan>) -> Result<Followers, AppError> {
        if let Some(plan) = plan
            && self.arguments.log_format != LogFormat::Json
        {
            announce(plan);
        }
        Ok(Followers {
            stop: stop_on_signals()?,
            sinks: self.sinks(session)?,
        })
    }
}

/// Says what will be done, and why.
fn announce(plan: &Plan) {
    const MOST_LINES: usize = 30;
    // Where all is up to date, what follows lists the stages.
    if plan.is_up_to_date() {
        anstream::eprintln!("{}\n", headline(plan));
        return;
    }
    let text = to_text(plan);
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

/// A flag that the first SIGINT, SIGTERM or SIGHUP sets; the second one ends the program.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>, AppError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(AppError::io("signal handlers"))?;
    }
    Ok(stop)
}
