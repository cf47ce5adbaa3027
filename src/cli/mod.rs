//! The command line: arguments, one file a subcommand, diagnostics, exit codes.
//!
//! Results go to standard output, progress and messages to standard error. Exit codes: 0 done;
//! 1 a stage failed, or a checked table is stale; 2 the command line or a file is wrong; 130 interrupted.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where Erlen speaks"
)]

mod cell;
mod check;
mod diff;
mod execution;
mod fail;
mod gather;
mod get;
mod graph;
mod past;
mod plan;
mod plot;
mod remote;
mod replay;
mod report;
mod results;
mod run;
mod runs;
mod schema;
mod session;
mod show;
mod show_run;
mod store;
mod sweep;
mod table;
mod tables;
mod why;
mod worker;

use clap::{Parser, Subcommand};

pub use fail::Fail;

/// Everything went well.
const DONE: u8 = 0;
/// A stage failed.
const FAILED: u8 = 1;
/// The command line or a file is wrong.
const USAGE: u8 = 2;
/// Interrupted; everything committed so far is kept.
const INTERRUPTED: u8 = 130;

/// Declarative experiment pipelines for machine learning.
#[derive(Debug, Parser)]
#[command(name = "erlen", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring stages up to date and, where none is named, the tables
    Run(run::Arguments),
    /// Show what would run, and why
    Plan(plan::Arguments),
    /// Explain what would be done about a stage: its key against that of the nearest earlier result
    Why(why::Arguments),
    /// Run many trials of a pipeline; a second call continues the first
    Sweep(sweep::Arguments),
    /// Bring tables up to date with all that they need, or check that they are
    Table(table::Arguments),
    /// List the runs so far
    Runs(runs::Arguments),
    /// Show a run, or the results behind a table's cell
    Show(show::Arguments),
    /// Show a recorded run once more
    Replay(replay::Arguments),
    /// Compare two runs: parameters, inputs, figures
    Diff(diff::Arguments),
    /// Copy a stage's result out of the store
    Get(get::Arguments),
    /// Write a page with everything that is known: results, plots, where they come from
    Report(report::Arguments),
    /// Write the plots of the page as files of their own
    Plot(plot::Arguments),
    /// Print the graph of stages
    Graph(graph::Arguments),
    /// Validate pipeline files; nothing is run
    Check(check::Arguments),
    /// Look after the store of results
    Store(store::Arguments),
    /// Send results to the remote store
    Push(remote::Arguments),
    /// Bring results here from the remote store
    Pull(remote::Arguments),
    /// Print the JSON Schema of pipeline files, for editors, or of the event stream
    Schema(schema::Arguments),
    /// Run one job in this process
    #[command(hide = true)]
    Worker(worker::Arguments),
}

/// Runs the command that the program's arguments describe; gives the exit code.
pub fn main() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where even the message cannot be written, the exit code still tells.
            let _ = error.print();
            return if error.use_stderr() { USAGE } else { DONE };
        }
    };
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Table(arguments) => table::run(&arguments),
        Command::Runs(arguments) => runs::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Get(arguments) => get::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Plot(arguments) => plot::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Store(arguments) => store::run(&arguments),
        Command::Push(arguments) => remote::push(&arguments),
        Command::Pull(arguments) => remote::pull(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Worker(arguments) => worker::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(fail) => {
            fail.print();
            fail.code()
        }
    }
}
