//! `erlen sweep`: many trials of one pipeline.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::arguments::ExecutionArguments;
use super::exit::{DONE, code_of_run};
use super::terminal::TerminalFrontEnd;
use crate::app::{AppError, Session, SweepSetting, TableOutput, known_study, run_sweep};
use crate::spec::{Direction, Domain, Override, SweptParameter, counted};
use crate::stages::Registry;
use crate::sweep::TrialPhase;

#[derive(Debug, Args)]
pub(super) struct SweepArguments {
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
    /// Write the tables into this folder; by default to where the file says, or with --set nowhere
    #[arg(long, value_name = "FOLDER")]
    tables: Option<PathBuf>,
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    store: Option<PathBuf>,
    #[command(flatten)]
    execution: ExecutionArguments,
}

pub(super) fn run(arguments: &SweepArguments, registry: &Registry) -> Result<u8, AppError> {
    let setting = SweepSetting::load(&arguments.file, &arguments.overrides)?;
    let session = Session::with(setting.base.clone(), &arguments.file, arguments.store.as_deref())?;
    if arguments.dry_run {
        anstream::print!("{}", describe(&setting, &session)?);
        return Ok(DONE);
    }
    let front_end = TerminalFrontEnd::new(&arguments.execution, registry);
    let tables = TableOutput::of(arguments.tables.as_deref(), !arguments.overrides.is_empty());
    let options = front_end.options()?;
    let outcome = run_sweep(&session, &setting, &options, arguments.retry_failed, &tables)?;
    for table in outcome.tables {
        anstream::print!("{table}");
    }
    Ok(code_of_run(outcome.status))
}

/// What is swept and what is known of it, as text.
fn describe(setting: &SweepSetting, session: &Session) -> Result<String, AppError> {
    let mut replay = known_study(setting, session)?;
    let study = replay.study();
    let mut text = String::new();
    let trials = match study.wanted() {
        Some(trials) => counted(trials, "trial"),
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
    let count =
        |holds: fn(&TrialPhase) -> bool| study.trials().iter().filter(|trial| holds(&trial.state)).count();
    let _ = writeln!(
        text,
        "known: {} done, {} pruned, {} failed",
        count(|state| matches!(state, TrialPhase::Done { .. })),
        count(|state| matches!(state, TrialPhase::Paused)),
        count(|state| matches!(state, TrialPhase::Failed { .. })),
    );
    Ok(text)
}

fn domain_text(parameter: &SweptParameter) -> String {
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
