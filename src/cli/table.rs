//! `erlen table`: brings tables up to date with all that they need, or checks that they are.

use std::path::PathBuf;

use clap::Args;
use similar::TextDiff;

use super::arguments::ExecutionArguments;
use super::exit::{DONE, FAILED, code_of_run};
use super::terminal::TerminalFrontEnd;
use crate::app::{
    AppError, BuiltTable, BuiltTables, PipelineRequest, Session, TableOutput, stale_files, update_tables,
};
use crate::event::Event;
use crate::spec::{Override, counted};
use crate::stages::Registry;

#[derive(Debug, Args)]
pub(super) struct TableArguments {
    /// The pipeline file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Tables of the file; by default all
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// Write the tables into this folder; by default to where the file says, or with --set nowhere
    #[arg(long = "tables", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Write nothing; show what differs from the files that are there, and exit with 1 where any does
    #[arg(long)]
    check: bool,
    /// Run nothing: use the results that are there, and mark what is missing
    #[arg(long)]
    no_run: bool,
    /// Replace a parameter's value (or the pipeline's `seed`); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    overrides: Vec<Override>,
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    store: Option<PathBuf>,
    #[command(flatten)]
    execution: ExecutionArguments,
}

pub(super) fn run(arguments: &TableArguments, registry: &Registry) -> Result<u8, AppError> {
    let session = Session::open(&PipelineRequest {
        overrides: arguments.overrides.clone(),
        store: arguments.store.clone(),
        ..PipelineRequest::of(&arguments.file)
    })?;
    let output = TableOutput::of(arguments.folder.as_deref(), !arguments.overrides.is_empty());
    output.check(&session)?;
    let front_end = TerminalFrontEnd::new(&arguments.execution, registry);
    let options = front_end.options()?;
    let options = (!arguments.no_run).then_some(&options);
    let built = match update_tables(&session, &arguments.tables, &arguments.overrides, options)? {
        BuiltTables::Ready(built) => built,
        BuiltTables::Ended(status) => return Ok(code_of_run(status)),
    };
    if arguments.check {
        return check(&session, &built);
    }
    let mut sinks = front_end.sinks(&session)?;
    for table in &built {
        table.write(&session, &output, &mut |event: &Event| {
            sinks.iter_mut().for_each(|sink| sink.event(event));
        })?;
    }
    drop(sinks);
    for (index, table) in built.iter().enumerate() {
        anstream::print!("{}", table.text_after(index > 0));
    }
    Ok(DONE)
}

/// Shows how the files differ from what they should be.
fn check(session: &Session, tables: &[BuiltTable]) -> Result<u8, AppError> {
    let stale = stale_files(session, tables)?;
    for file in &stale {
        if let Some(found) = &file.found {
            show_difference(&file.path, found, &file.wanted);
        }
    }
    for file in &stale {
        let what = match file.found {
            Some(_) => "is not what the results say",
            None => "is missing",
        };
        anstream::eprintln!("{} {what}", file.path);
    }
    if stale.is_empty() {
        for table in tables {
            anstream::eprintln!("the table `{}` is up to date", table.name);
        }
        return Ok(DONE);
    }
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    anstream::eprintln!(
        "`erlen table {} {}` writes them anew",
        session.file().display(),
        names.join(" ")
    );
    Ok(FAILED)
}

/// A unified difference, cut short where it is long.
fn show_difference(path: &str, found: &[u8], wanted: &[u8]) {
    const MOST_LINES: usize = 100;
    let (found, wanted) = (String::from_utf8_lossy(found), String::from_utf8_lossy(wanted));
    let difference = TextDiff::from_lines(found.as_ref(), wanted.as_ref());
    let text = difference
        .unified_diff()
        .header(path, &format!("{path} (from the results)"))
        .to_string();
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().take(MOST_LINES) {
        let color = match line.as_bytes().first() {
            Some(b'+') => Some(anstyle::AnsiColor::Green),
            Some(b'-') => Some(anstyle::AnsiColor::Red),
            _ => None,
        };
        let style = anstyle::Style::new().fg_color(color.map(Into::into));
        anstream::println!("{style}{line}{style:#}");
    }
    if lines.len() > MOST_LINES {
        anstream::println!("… and {}", counted(lines.len() - MOST_LINES, "more line"));
    }
}
