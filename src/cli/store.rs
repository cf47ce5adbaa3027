//! `erlen store`: looking after the store of results.

mod gc;

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::Value;

use self::gc::GcArguments;
use super::arguments::StoreArguments;
use super::exit::{DONE, FAILED};
use super::text::shown_path;
use crate::app::{AppError, existing_store};
use crate::progress::text::{bytes, count, counted};
use crate::store::{Amount, Store, Usage, Verification};

#[derive(Debug, Args)]
pub(super) struct StoreCommandArguments {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Show what the store holds and how much room that takes
    Du(StoreQuery),
    /// Show which results no pipeline of the project needs; with --delete, remove them
    Gc(GcArguments),
    /// Hash every file and read every result; what is damaged is named, and is made again when needed
    Verify(StoreQuery),
}

#[derive(Debug, Args)]
struct StoreQuery {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArguments,
}

pub(super) fn run(arguments: &StoreCommandArguments) -> Result<u8, AppError> {
    match &arguments.command {
        StoreCommand::Du(show) => usage(show),
        StoreCommand::Gc(arguments) => gc::run(arguments),
        StoreCommand::Verify(show) => verify(show),
    }
}

impl StoreQuery {
    fn open(&self) -> Result<Store, AppError> {
        existing_store(&self.store.project()?)
    }
}

fn usage(show: &StoreQuery) -> Result<u8, AppError> {
    let store = show.open()?;
    let kind = |action: &crate::store::Action| {
        action
            .key
            .value()
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or("other")
            .to_owned()
    };
    let usage = store.usage(kind)?;
    if show.json {
        anstream::println!("{:#}", serde_json::to_value(&usage).unwrap_or_default());
    } else {
        anstream::print!("{}", usage_text(&store, &usage));
    }
    Ok(DONE)
}

fn usage_text(store: &Store, usage: &Usage) -> String {
    let bold = anstyle::Style::new().bold();
    let mut out = String::new();
    let files = counted(usage.objects.count as usize, "file");
    let _ = writeln!(
        out,
        "{bold}{}{bold:#}  {} in {files}",
        shown_path(store.root()),
        bytes(usage.bytes() as f64)
    );
    let mut line = |name: &str, amount: Amount, what: &str| {
        let plural = if amount.count == 1 { "" } else { "s" };
        let _ = writeln!(
            out,
            "  {name:12}  {:>10}  {} {what}{plural}",
            bytes(amount.bytes as f64),
            count(amount.count)
        );
    };
    for (kind, amount) in &usage.results {
        line(kind, *amount, "result");
    }
    line("unused", usage.unused, "file");
    line("unfinished", usage.work, "stage");
    line("quarantine", usage.quarantine, "file");
    let _ = writeln!(out, "  {:12}  {:>10}", "history", bytes(usage.database as f64));
    out
}

fn verify(show: &StoreQuery) -> Result<u8, AppError> {
    let store = show.open()?;
    let verification = store.verify()?;
    if show.json {
        anstream::println!("{:#}", serde_json::to_value(&verification).unwrap_or_default());
    } else {
        anstream::print!("{}", verification_text(&verification));
    }
    Ok(if verification.problems.is_empty() {
        DONE
    } else {
        FAILED
    })
}

fn verification_text(verification: &Verification) -> String {
    let mut out = String::new();
    let red = anstyle::Style::new().fg_color(Some(anstyle::AnsiColor::Red.into()));
    for problem in &verification.problems {
        let _ = writeln!(
            out,
            "{red}✗{red:#} {}: {}",
            shown_path(&problem.path),
            problem.what
        );
    }
    let checked = format!(
        "{} of {} and {}",
        counted(verification.objects as usize, "file"),
        bytes(verification.bytes as f64),
        counted(verification.actions as usize, "result")
    );
    let _ = match verification.problems.len() {
        0 => writeln!(out, "{checked}: all sound"),
        problems => writeln!(
            out,
            "{checked}: {}; what was damaged is in quarantine, and whatever needs it is made again",
            counted(problems, "problem")
        ),
    };
    out
}
