//! Carrying a plan out for a user: signals, progress, history, exit code.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::remote;
use super::session::Session;
use super::store::keep_to_quota;
use super::{DONE, FAILED, Fail, INTERRUPTED};
use crate::event::{Event, Level, RunStatus};
use crate::exec::{self, Capacity, Durations, Feeder, Options, ProcessExecutor, Summary};
use crate::plan::Plan;
use crate::progress::text::counted;
use crate::progress::{self, Format, JsonLines, Progress};
use crate::record::{History, Recorder, RunInfo, git_commit};
use crate::spec::{Kind, Project, Stage};
use crate::stages::{DeviceChoice, Surroundings, adopt_orphans, secret_problem};
use crate::store::Store;

/// The arguments that say how to run stages.
#[derive(Debug, Args)]
pub(super) struct ExecutionArguments {
    /// The most stages at once; by default as many as the machine has cores
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Where to train and evaluate: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Write the events to a file too, as JSON lines: `erlen replay` shows them again
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A live display in a terminal, else plain lines
    #[default]
    Auto,
    /// Plain lines
    Plain,
    /// One JSON object a line
    Json,
}

impl LogFormat {
    /// What shows a run whose longest stage name has so many characters.
    pub fn progress(self, longest_name: usize) -> Box<dyn Progress> {
        progress::for_terminal(progress::Options {
            format: match self {
                Self::Auto => Format::Auto,
                Self::Plain => Format::Plain,
                Self::Json => Format::Json,
            },
            longest_name,
        })
    }
}

impl ExecutionArguments {
    /// What shows a run of the session's pipeline.
    ///
    /// # Errors
    /// The file for the events cannot be written.
    pub fn progress(&self, session: &Session) -> Result<Box<dyn Progress>, Fail> {
        let names = session.pipeline.stages.keys().map(String::len);
        let shown = self.log_format.progress(names.max().unwrap_or(0));
        let Some(path) = &self.events else {
            return Ok(shown);
        };
        let file = File::create(path).map_err(Fail::io(format!("writing {}", path.display())))?;
        Ok(Box::new(progress::Both(shown, JsonLines::new(file))))
    }
}

/// How long to wait for the remote store before saying so.
const PATIENCE: Duration = Duration::from_secs(1);

/// A run in progress: who is told of it, and what can stop it.
pub(super) struct Execution {
    options: Options,
    stop: Arc<AtomicBool>,
    recorder: Recorder,
    progress: Box<dyn Progress>,
    project: Project,
    store: Store,
}

impl Execution {
    /// Begins a run of the session's pipeline.
    ///
    /// # Errors
    /// Signals cannot be caught, or this program is not found.
    pub fn start(session: &Session, arguments: &ExecutionArguments, keep_going: bool) -> Result<Self, Fail> {
        arguments
            .device
            .check()
            .map_err(|error| Fail::Usage(error.to_string()))?;
        let stop = stop_on_signals()?;
        adopt_orphans();
        let capacity = Capacity::of_this_machine();
        let program = std::env::current_exe().map_err(Fail::io("finding this program"))?;
        Ok(Self {
            options: Options {
                jobs: arguments.jobs.map_or(capacity.cpus, |jobs| jobs as usize),
                keep_going,
                surroundings: Surroundings {
                    mirrors: session.project.mirrors.clone(),
                    secrets: secrets(session),
                    device: arguments.device,
                    threads: capacity.cpus,
                    ..Surroundings::of_project(&session.project.root)
                },
                executor: Arc::new(ProcessExecutor::new(program, capacity)),
                durations: durations(session),
            },
            stop,
            recorder: Recorder::start(session.history(), run_info(session)),
            progress: arguments.progress(session)?,
            project: session.project.clone(),
            store: session.store.clone(),
        })
    }

    /// The most stages at once.
    pub fn jobs(&self) -> usize {
        self.options.jobs
    }

    /// Tells whoever shows or records the run.
    pub fn tell(&mut self, event: &Event) {
        self.recorder.event(event);
        self.progress.event(event);
    }

    /// Tells what there is to say about the remote store.
    fn tell_about_remote(&mut self) {
        for (level, message) in remote::notices(&self.store) {
            self.tell(&Event::Notice { level, message });
        }
    }

    /// Waits for what is on its way to the remote store.
    fn finish_sending(&mut self) {
        if self.store.remote_url().is_none() {
            return;
        }
        let begun = Instant::now();
        let mut told = false;
        let unsent = loop {
            let (stop, waiting) = (Arc::clone(&self.stop), Instant::now());
            let stopped = || stop.load(Ordering::Relaxed);
            let unsent = self
                .store
                .finish_sending(&|| stopped() || waiting.elapsed() >= PATIENCE);
            let left = self.store.results_on_their_way();
            if left == 0 || stopped() {
                break unsent;
            }
            if !told && begun.elapsed() >= PATIENCE {
                told = true;
                let message = format!(
                    "{} on the way to the remote; Ctrl-C leaves them to `erlen push`",
                    counted(left, "result")
                );
                let level = Level::Info;
                self.tell(&Event::Notice { level, message });
            }
        };
        self.tell_about_remote();
        if unsent > 0 {
            let message = format!(
                "{} did not get to the remote; `erlen push` sends what is missing there",
                counted(unsent, "result")
            );
            let level = Level::Warning;
            self.tell(&Event::Notice { level, message });
        }
    }

    /// Brings every stage of `plan` up to date, or what `feeder` asks for.
    pub fn carry_out(&mut self, plan: &mut Plan, store: &Store, feeder: Option<&mut dyn Feeder>) -> Summary {
        self.tell_about_remote();
        let Self {
            options,
            stop,
            recorder,
            progress,
            ..
        } = self;
        let mut emit = |event: &Event| {
            recorder.event(event);
            progress.event(event);
        };
        let summary = exec::execute(plan, feeder, store, options, stop, &mut emit);
        // The recorder tidies the history up when nobody else reads it.
        plan.forget_earlier();
        summary
    }

    /// Ends the run: nothing is told after this. Gives the exit code.
    pub fn finish(mut self, summary: &Summary) -> u8 {
        self.finish_sending();
        let Self {
            mut recorder,
            mut progress,
            project,
            store,
            ..
        } = self;
        let finished = summary.finished();
        recorder.event(&finished);
        if let Some(message) = recorder.finish() {
            progress.event(&Event::Notice {
                level: Level::Warning,
                message,
            });
        }
        if summary.made_results()
            && let Some((level, message)) = keep_to_quota(&project, &store)
        {
            progress.event(&Event::Notice { level, message });
        }
        progress.event(&finished);
        match summary.status {
            RunStatus::Done => DONE,
            RunStatus::Failed => FAILED,
            RunStatus::Interrupted => INTERRUPTED,
        }
    }
}

/// Looks for the secrets of stages before any of them runs.
pub(super) fn check_secrets<'a>(stages: impl Iterator<Item = (&'a str, &'a Stage)>) -> Result<(), Fail> {
    for (name, stage) in stages {
        if let Kind::Command(command) = &stage.kind
            && let Some(problem) = secret_problem(command)
        {
            return Err(Fail::Usage(format!("the stage `{name}` cannot run: {problem}")));
        }
    }
    Ok(())
}

/// The environment variables that hold secrets of the session's pipeline.
fn secrets(session: &Session) -> Vec<String> {
    let mut names = Vec::new();
    for stage in session.pipeline.stages.values() {
        if let Kind::Command(command) = &stage.kind {
            names.extend(command.secrets().map(str::to_owned));
        }
    }
    names.sort();
    names.dedup();
    names
}

/// How long the pipeline's stages took when they last ran, as far as the history knows.
fn durations(session: &Session) -> Durations {
    let (history, pipeline) = (session.history(), session.pipeline.name.clone());
    Durations::new(move || {
        // Without history, the order is only less clever.
        History::open(&history)
            .and_then(|history| history.durations(&pipeline))
            .unwrap_or_default()
    })
}

fn run_info(session: &Session) -> RunInfo {
    RunInfo {
        pipeline: session.pipeline.name.clone(),
        file: PathBuf::from(session.file()),
        params: session
            .pipeline
            .params
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<serde_json::Map<String, Value>>()
            .into(),
        command: std::env::args().collect(),
        git_commit: git_commit(&session.project.root),
    }
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
