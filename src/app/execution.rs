//! Carrying a plan out: who is told, what is kept, what is sent on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::error::AppError;
use super::notice::{Notice, remote_notices};
use super::project::open_history;
use super::quota::keep_to_quota;
use super::session::Session;
use crate::event::{Event, RunStatus, Sink};
use crate::exec::{
    self, Capacity, Completion, Durations, ExecutionOptions, Executor, Feeder, InProcessExecutor,
};
use crate::http;
use crate::plan::Plan;
use crate::progress::text::counted;
use crate::record::{Recorder, RunInfo, git_commit};
use crate::spec::{Pipeline, Project, StageSpec};
use crate::stages::{
    DeviceChoice, Registry, Surroundings, adopt_orphans, environment_problem, secret_problem,
};
use crate::store::Store;

/// How stages are run.
#[derive(Clone)]
pub struct RunOptions<'a> {
    /// The most stages at once; by default as many as there are cores where they run.
    pub jobs: Option<usize>,
    /// Where to train and evaluate.
    pub device: DeviceChoice,
    /// Where stages run.
    pub executor: Arc<dyn Executor>,
    /// The command line, for the history.
    pub command: Vec<String>,
    /// Who asks for the run.
    pub front_end: &'a dyn FrontEnd,
}

impl<'a> RunOptions<'a> {
    /// All in the calling process.
    pub fn here(front_end: &'a dyn FrontEnd) -> Self {
        Self {
            jobs: None,
            device: DeviceChoice::default(),
            executor: Arc::new(InProcessExecutor::new(
                Capacity::of_this_machine(),
                Registry::built_in(),
            )),
            command: std::env::args().collect(),
            front_end,
        }
    }
}

/// Who asks for runs, such as a command line or a server.
pub trait FrontEnd {
    /// A run of the session's pipeline begins: who follows it, beside the history, and what stops it.
    /// `plan` is what is to be done; of a sweep, that is found out on the way.
    ///
    /// # Errors
    /// Why the run cannot be followed; it does not begin then.
    fn begin(&self, session: &Session, plan: Option<&Plan>) -> Result<Followers, AppError>;
}

/// Who follows a run, and what stops it.
#[derive(Default)]
pub struct Followers {
    /// Whoever shows it, keeps it or passes it on.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Once this is set, nothing new starts, and what runs saves what it needs to go on.
    pub stop: Arc<AtomicBool>,
}

/// A front end that nobody looks at: nothing is shown, and nothing stops a run.
pub struct Unattended;

impl FrontEnd for Unattended {
    fn begin(&self, _session: &Session, _plan: Option<&Plan>) -> Result<Followers, AppError> {
        Ok(Followers::default())
    }
}

/// How long to wait for the remote store before saying so.
const PATIENCE: Duration = Duration::from_secs(1);

/// A run in progress: who is told of it, and what can stop it.
pub struct Execution {
    options: ExecutionOptions,
    stop: Arc<AtomicBool>,
    /// The history first: what goes wrong with it is shown by the others.
    sinks: Vec<Box<dyn Sink>>,
    project: Project,
    store: Store,
}

impl Execution {
    /// Begins a run of the session's pipeline. `plan` is what is to be done, where that is known.
    ///
    /// # Errors
    /// There is no such device, or the front end cannot follow the run.
    pub fn start(
        session: &Session,
        options: &RunOptions<'_>,
        keep_going: bool,
        plan: Option<&Plan>,
    ) -> Result<Self, AppError> {
        let Followers { sinks, stop } = options.front_end.begin(session, plan)?;
        let device = options.device;
        device
            .check()
            .map_err(|error| AppError::Request(error.to_string()))?;
        adopt_orphans();
        let cpus = options.executor.capacity().cpus;
        let recorder = Recorder::start(session.history(), run_info(session, &options.command));
        let mut all: Vec<Box<dyn Sink>> = vec![Box::new(recorder)];
        all.extend(sinks);
        Ok(Self {
            options: ExecutionOptions {
                jobs: options.jobs.unwrap_or(cpus),
                keep_going,
                surroundings: Surroundings {
                    mirrors: session.project.mirrors.clone(),
                    secrets: secrets(session),
                    device,
                    threads: cpus,
                    ..Surroundings::of_project(&session.project.root)
                },
                executor: Arc::clone(&options.executor),
                durations: durations(session),
                source: session.pipeline.source.clone(),
            },
            stop,
            sinks: all,
            project: session.project.clone(),
            store: session.store.clone(),
        })
    }

    /// The most stages at once.
    pub fn jobs(&self) -> usize {
        self.options.jobs
    }

    /// Tells whoever shows or records the run.
    pub fn emit(&mut self, event: &Event) {
        emit_to(&mut self.sinks, event);
    }

    /// Tells something worth knowing about the run as a whole.
    pub fn notice(&mut self, notice: Notice) {
        self.emit(&notice.into());
    }

    /// Tells what there is to say about the remote store.
    fn report_remote(&mut self) {
        for notice in remote_notices(&self.store) {
            self.notice(notice);
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
                self.notice(Notice::info(message));
            }
        };
        self.report_remote();
        if unsent > 0 {
            let message = format!(
                "{} did not get to the remote; `erlen push` sends what is missing there",
                counted(unsent, "result")
            );
            self.notice(Notice::warning(message));
        }
    }

    /// Brings every stage of `plan` up to date, or what `feeder` asks for.
    pub fn carry_out(&mut self, plan: &mut Plan, feeder: Option<&mut dyn Feeder>) -> Completion {
        self.report_remote();
        let Self {
            options,
            stop,
            sinks,
            store,
            ..
        } = self;
        let mut emit = |event: &Event| emit_to(sinks, event);
        let summary = exec::execute(plan, feeder, store, options, stop, &mut emit);
        // The recorder tidies the history up when nobody else reads it.
        plan.forget_earlier();
        summary
    }

    /// Ends the run: nothing is told after this. Says how it ended.
    pub fn finish(mut self, summary: &Completion) -> RunStatus {
        self.finish_sending();
        let problems: Vec<String> = self
            .sinks
            .iter_mut()
            .filter_map(|sink| sink.close(summary.status))
            .collect();
        for message in problems {
            self.notice(Notice::warning(message));
        }
        if summary.made_results() {
            for notice in keep_to_quota(&self.project, &self.store) {
                self.notice(notice);
            }
        }
        self.emit(&summary.finished());
        summary.status
    }
}

/// Tells all of `sinks`.
fn emit_to(sinks: &mut [Box<dyn Sink>], event: &Event) {
    for sink in sinks {
        sink.event(event);
    }
}

/// Looks for the secrets of stages before any of them runs.
///
/// # Errors
/// One is missing: which, and of which stage.
pub fn check_secrets<'a>(stages: impl Iterator<Item = (&'a str, &'a StageSpec)>) -> Result<(), AppError> {
    for (name, stage) in stages {
        if let Some(problem) = secret_problem(&stage.kind) {
            return Err(AppError::Request(format!(
                "the stage `{name}` cannot run: {problem}"
            )));
        }
    }
    Ok(())
}

/// Looks for the environments that commands declare before any of them runs.
///
/// # Errors
/// One is not there: which, and of which stage.
pub fn check_environments<'a>(
    mut stages: impl Iterator<Item = (&'a str, &'a StageSpec)>,
    project: &Path,
) -> Result<(), AppError> {
    let problem = stages.find_map(|(name, stage)| missing_environment(name, stage, project));
    problem.map_or(Ok(()), |problem| Err(AppError::Request(problem)))
}

/// Warnings of the environments that stages declare and that are not there.
pub fn missing_environments(pipeline: &Pipeline, project: &Path) -> Vec<Notice> {
    let stages = pipeline.stages.iter();
    let problems = stages.filter_map(|(name, stage)| missing_environment(name, stage, project));
    problems.map(Notice::warning).collect()
}

fn missing_environment(name: &str, stage: &StageSpec, project: &Path) -> Option<String> {
    let problem = environment_problem(&stage.kind, project)?;
    Some(format!("the stage `{name}` cannot run: {problem}"))
}

/// The environment variables that hold secrets of the session's pipeline.
fn secrets(session: &Session) -> Vec<String> {
    let mut names = Vec::new();
    for stage in session.pipeline.stages.values() {
        names.extend(stage.kind.secrets().into_iter().map(str::to_owned));
    }
    names.sort();
    names.dedup();
    names
}

/// How long the pipeline's stages took when they last ran, as far as the history knows.
fn durations(session: &Session) -> Durations {
    let (project, pipeline) = (session.project.clone(), session.pipeline.name.clone());
    Durations::new(move || {
        // Without history, the order is only less clever.
        open_history(&project)
            .and_then(|history| Ok(history.durations(&pipeline)?))
            .unwrap_or_default()
    })
}

fn run_info(session: &Session, command: &[String]) -> RunInfo {
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
        command: command
            .iter()
            .map(|word| without_secrets(word, &session.pipeline.secret_params))
            .collect(),
        git_commit: git_commit(&session.project.root),
    }
}

/// A word of the command line as it may be kept: without the values of parameters that are secrets, and
/// without those in web addresses.
fn without_secrets(word: &str, secret_params: &BTreeSet<String>) -> String {
    let setting = word.strip_prefix("--set=").unwrap_or(word);
    let secret = setting
        .split_once('=')
        .is_some_and(|(name, _)| secret_params.contains(name.trim()));
    if secret {
        let value = setting.find('=').map_or(setting.len(), |at| at + 1);
        let kept = word.len() - setting.len() + value;
        return format!("{}***", &word[..kept]);
    }
    http::without_secrets(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_command_line_are_not_kept() {
        let secret = BTreeSet::from(["tok".to_owned()]);
        for (word, kept) in [
            ("tok=hush", "tok=***"),
            ("--set=tok=hush=a", "--set=tok=***"),
            ("lr=0.1", "lr=0.1"),
            ("base=http://me:hush@a.b", "base=http://***@a.b"),
            ("--set", "--set"),
        ] {
            assert_eq!(without_secrets(word, &secret), kept);
        }
    }
}
