//! `erlen sweep`: many trials of one pipeline.

mod driver;
mod known;
mod outcome;
mod setting;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use self::driver::Driver;
use self::known::known;
use self::setting::Setting;
use super::execution::{Execution, ExecutionArguments, check_secrets};
use super::results::{Effort, Gathered};
use super::session::Session;
use super::{DONE, FAILED, Fail, tables};
use crate::event::{Event, Level, RunStatus, StageId};
use crate::exec::Summary;
use crate::plan::Plan;
use crate::report::Results;
use crate::spec::{Direction, Domain, Override, Parameter, Template};
use crate::sweep::{Journal, Replay, State, Study};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace a parameter's value (or the pipeline's `seed`), or sweep it: lr=0.1,0.01 tries both,
    /// lr={log_uniform: [0.01, 1]} a range; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE[,VALUE...]")]
    overrides: Vec<Override>,
    /// Show what is swept and what is known of it, and run nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Run trials again that failed
    #[arg(long)]
    retry_failed: bool,
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    store: Option<PathBuf>,
    #[command(flatten)]
    execution: ExecutionArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let template = Template::load(&arguments.file)?;
    let setting = Setting::new(template, &arguments.overrides)?;
    let session = Session::with(setting.base.clone(), &arguments.file, arguments.store.as_deref())?;
    if arguments.dry_run {
        anstream::print!("{}", describe(&setting, &session)?);
        return Ok(DONE);
    }
    let stages = session.pipeline.stages.iter();
    check_secrets(stages.map(|(name, stage)| (name.as_str(), &**stage)))?;
    let mut execution = Execution::start(&session, &arguments.execution, true)?;
    let swept = carry_out(&setting, &session, &mut execution, arguments.retry_failed);
    let Swept { results, summary, .. } = swept?;
    let written = if summary.status == RunStatus::Done {
        tables::write_results(&session, &results, &mut |event| execution.tell(event))
    } else {
        Ok(Vec::new())
    };
    let code = execution.finish(&summary);
    for table in written? {
        anstream::print!("{table}");
    }
    Ok(code)
}

/// What is known about the trials of the session's sweep.
pub(super) fn results_of(
    session: &Session,
    overrides: &[Override],
    effort: Effort<'_>,
) -> Result<Gathered, Fail> {
    let setting = Setting::new(Template::load(session.file())?, overrides)?;
    let (results, complete) = known(&setting, session)?;
    let Effort::Run(how) = effort else {
        return Ok(Gathered::Known(results));
    };
    if complete {
        return Ok(Gathered::Known(results));
    }
    let mut execution = Execution::start(session, how, true)?;
    let Swept {
        results,
        summary,
        late,
    } = carry_out(&setting, session, &mut execution, false)?;
    let code = execution.finish(&summary);
    Ok(match summary.status {
        RunStatus::Done if late => Gathered::Ended(FAILED),
        RunStatus::Done => Gathered::Known(results),
        RunStatus::Failed | RunStatus::Interrupted => Gathered::Ended(code),
    })
}

/// What came of a call.
struct Swept {
    results: Results,
    summary: Summary,
    /// Whether time was up before the sweep's end.
    late: bool,
}

/// Runs the sweep to its end, or as far as it gets. Gives what is known of its trials then.
fn carry_out(
    setting: &Setting,
    session: &Session,
    execution: &mut Execution,
    retry_failed: bool,
) -> Result<Swept, Fail> {
    let mut plan = Plan::empty(
        &setting.base.name,
        &session.project.root,
        &session.store,
        session.earlier(),
    );
    let shared = setting.shared();
    if !shared.is_empty() {
        plan.grow(&setting.base, &shared, &StageId::shared)?;
    }
    let journal = Journal::open(&setting.folder(&session.project.root, &session.store)?)?;
    let most = setting.parallel(execution.jobs());
    let mut driver = Driver::new(setting, &session.store, journal, most, retry_failed)?;
    if let Some(change) = driver.replay().change() {
        execution.tell(&Event::Notice {
            level: Level::Info,
            message: format!(
                "the sweep changed since it began: {} of its {} trials fit it as it is now and are kept",
                change.kept,
                change.kept + change.dropped
            ),
        });
    }
    execution.tell(&started(setting, driver.replay().study()));
    let mut summary = execution.carry_out(&mut plan, &session.store, Some(&mut driver));
    driver.complete(&mut plan)?;
    let results = driver.results(session.file_in_project(), &plan);
    let trials = driver.replay().study().trials();
    let count = |holds: fn(&State) -> bool| trials.iter().filter(|trial| holds(&trial.state)).count();
    let done = count(|state| matches!(state, State::Done { .. }));
    let failed = count(|state| matches!(state, State::Failed { .. }));
    let pruned = count(|state| matches!(state, State::Paused));
    if summary.status != RunStatus::Interrupted && !summary.is_broken() {
        // What fails in one trial stops no other.
        summary.status = if done == 0 && failed > 0 {
            RunStatus::Failed
        } else {
            RunStatus::Done
        };
    }
    let first_error = trials.iter().find_map(|trial| match &trial.state {
        State::Failed { error } => Some(error.clone()),
        _ => None,
    });
    let best = driver.replay().study().best();
    execution.tell(&Event::SweepFinished {
        done,
        pruned,
        failed,
        best,
    });
    if let (RunStatus::Failed, Some(error), false) = (summary.status, first_error, summary.is_broken()) {
        execution.tell(&Event::Notice {
            level: Level::Warning,
            message: format!(
                "every trial failed; the first: {error}\nmend the cause, then run again with --retry-failed"
            ),
        });
    }
    let late = driver.is_late();
    if late {
        let wanted = match driver.replay().study().wanted() {
            Some(wanted) => format!(" of {wanted}"),
            None => String::new(),
        };
        execution.tell(&Event::Notice {
            level: Level::Warning,
            message: format!(
                "time is up after {}{wanted} trials; run again to go on",
                done + pruned + failed
            ),
        });
    }
    Ok(Swept {
        results,
        summary,
        late,
    })
}

fn started(setting: &Setting, study: &Study) -> Event {
    let ended = |state: &State| !matches!(state, State::Waiting | State::Running);
    Event::SweepStarted {
        pipeline: setting.base.name.clone(),
        search: setting.sweep.search.name().to_owned(),
        trials: study.wanted(),
        known: study.trials().iter().filter(|trial| ended(&trial.state)).count(),
        replicates: setting.sweep.replicates.get(),
        objectives: setting
            .sweep
            .objective
            .0
            .iter()
            .map(|objective| {
                let path: String = objective.path().clone().into();
                (path, objective.direction() == Direction::Maximize)
            })
            .collect(),
    }
}

/// What is swept and what is known of it, as text.
fn describe(setting: &Setting, session: &Session) -> Result<String, Fail> {
    let entries = Journal::peek(&setting.folder(&session.project.root, &session.store)?)?;
    let (mut replay, _) = Replay::of(entries, &setting.definition())?;
    let study = replay.study();
    let mut text = String::new();
    let trials = match study.wanted() {
        Some(1) => "1 trial".to_owned(),
        Some(trials) => format!("{trials} trials"),
        None => "trials".to_owned(),
    };
    let seeds = match setting.sweep.replicates.get() {
        1 => String::new(),
        replicates => format!(", {replicates} seeds each"),
    };
    let _ = writeln!(
        text,
        "{}: {trials} by {}{seeds}",
        setting.base.name,
        setting.sweep.search.name()
    );
    let width = setting.sweep.params.keys().map(String::len).max().unwrap_or(0);
    for (name, parameter) in &setting.sweep.params {
        let _ = writeln!(text, "  {name:width$}  {}", domain_text(parameter));
    }
    for objective in &setting.sweep.objective.0 {
        let direction = match objective.direction() {
            Direction::Maximize => "maximize",
            Direction::Minimize => "minimize",
        };
        let _ = writeln!(text, "  {direction} {}", String::from(objective.path().clone()));
    }
    let count = |holds: fn(&State) -> bool| study.trials().iter().filter(|trial| holds(&trial.state)).count();
    let _ = writeln!(
        text,
        "known: {} done, {} pruned, {} failed",
        count(|state| matches!(state, State::Done { .. })),
        count(|state| matches!(state, State::Paused)),
        count(|state| matches!(state, State::Failed { .. })),
    );
    Ok(text)
}

fn domain_text(parameter: &Parameter) -> String {
    let mut text = match &parameter.domain {
        Domain::Choice(values) => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            values.join(", ")
        }
        Domain::Range {
            start, stop, step, ..
        } => format!("from {start} to {stop} in steps of {step}"),
        Domain::Uniform { low, high } => format!("from {low} to {high}"),
        Domain::LogUniform { low, high } => format!("from {low} to {high}, logarithmic"),
        Domain::Int { low, high } => format!("whole, from {low} to {high}"),
        Domain::LogInt { low, high } => format!("whole, from {low} to {high}, logarithmic"),
    };
    for (name, values) in &parameter.when {
        let values: Vec<String> = values.0.iter().map(ToString::to_string).collect();
        let _ = write!(text, "  when {name} is {}", values.join(" or "));
    }
    text
}
