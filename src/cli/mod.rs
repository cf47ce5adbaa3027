//! The command line: arguments, one file a subcommand, diagnostics, exit codes.
//!
//! Results go to standard output, progress and messages to standard error. Exit codes: 0 done;
//! 1 a stage failed, or a checked table is stale; 2 the command line or a file is wrong; 130 interrupted.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where Erlen speaks"
)]

mod arguments;
mod check;
mod diff;
mod exit;
mod get;
mod graph;
mod model_choice;
mod plan;
mod plan_text;
mod plot;
mod predict;
mod remote;
mod replay;
mod report;
mod run;
mod runs;
mod schema;
mod serve;
mod show;
mod show_examples;
mod show_run;
mod store;
mod sweep;
mod table;
mod terminal;
mod text;
mod why;
mod worker;

use crate::stages::Registry;
use clap::{Parser, Subcommand};

use exit::{DONE, USAGE, code_of_error, print_error};

/// Declarative experiment pipelines for machine learning.
#[derive(Debug, Parser)]
#[command(name = "erlen", version, propagate_version = true, max_term_width = 100)]
struct ProgramArguments {
    #[command(subcommand)]
    command: ProgramCommand,
}

#[derive(Debug, Subcommand)]
enum ProgramCommand {
    /// Bring stages up to date and, where none is named, the tables
    Run(run::RunArguments),
    /// Show what would run, and why
    Plan(plan::PlanArguments),
    /// Explain what would be done about a stage: its key against that of the nearest earlier result
    Why(why::WhyArguments),
    /// Run many trials of a pipeline; a second call continues the first
    Sweep(sweep::SweepArguments),
    /// Bring tables up to date with all that they need, or check that they are
    Table(table::TableArguments),
    /// List the runs so far
    Runs(runs::RunsArguments),
    /// Show a run, or the results behind a table's cell
    Show(show::ShowArguments),
    /// Show a recorded run once more
    Replay(replay::ReplayArguments),
    /// Compare two runs: parameters, inputs, figures
    Diff(diff::DiffArguments),
    /// Copy a stage's result out of the store
    Get(get::GetArguments),
    /// Ask a trained model about new images or tables
    Predict(predict::PredictArguments),
    /// Answer requests about trained models over HTTP
    Serve(serve::ServeArguments),
    /// Write a page with everything that is known: results, plots, where they come from
    Report(report::ReportArguments),
    /// Write the plots of the page as files of their own
    Plot(plot::PlotArguments),
    /// Print the graph of stages
    Graph(graph::GraphArguments),
    /// Validate pipeline files; nothing is run
    Check(check::CheckArguments),
    /// Look after the store of results
    Store(store::StoreCommandArguments),
    /// Send results to the remote store
    Push(remote::TransferArguments),
    /// Bring results here from the remote store
    Pull(remote::TransferArguments),
    /// Print the JSON Schema of pipeline files, for editors, or of the event stream
    Schema(schema::SchemaArguments),
    /// Run one job in this process
    #[command(hide = true)]
    Worker(worker::WorkerArguments),
}

/// Runs the command that the program's arguments describe; gives the exit code.
pub fn main() -> u8 {
    run(&Registry::built_in())
}

/// The same with what another crate adds to Erlen: the pipelines that the command reads, plans and runs may
/// choose anything in `registry`. The program's own `main` should do nothing else: it is started again
/// as the worker of its stages.
pub fn run(registry: &Registry) -> u8 {
    registry.vocabulary().reading(|| run_command(registry))
}

fn run_command(registry: &Registry) -> u8 {
    let arguments = match ProgramArguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where even the message cannot be written, the exit code still tells.
            let _ = error.print();
            return if error.use_stderr() { USAGE } else { DONE };
        }
    };
    let result = match arguments.command {
        ProgramCommand::Run(arguments) => run::run(&arguments, registry),
        ProgramCommand::Plan(arguments) => plan::run(&arguments),
        ProgramCommand::Why(arguments) => why::run(&arguments),
        ProgramCommand::Sweep(arguments) => sweep::run(&arguments, registry),
        ProgramCommand::Table(arguments) => table::run(&arguments, registry),
        ProgramCommand::Runs(arguments) => runs::run(&arguments),
        ProgramCommand::Show(arguments) => show::run(&arguments),
        ProgramCommand::Replay(arguments) => replay::run(&arguments),
        ProgramCommand::Diff(arguments) => diff::run(&arguments),
        ProgramCommand::Get(arguments) => get::run(&arguments),
        ProgramCommand::Predict(arguments) => predict::run(&arguments, registry),
        ProgramCommand::Serve(arguments) => serve::run(&arguments, registry),
        ProgramCommand::Report(arguments) => report::run(&arguments),
        ProgramCommand::Plot(arguments) => plot::run(&arguments),
        ProgramCommand::Graph(arguments) => graph::run(&arguments),
        ProgramCommand::Check(arguments) => check::run(&arguments, registry),
        ProgramCommand::Store(arguments) => store::run(&arguments),
        ProgramCommand::Push(arguments) => remote::push(&arguments),
        ProgramCommand::Pull(arguments) => remote::pull(&arguments),
        ProgramCommand::Schema(arguments) => schema::run(&arguments),
        ProgramCommand::Worker(arguments) => worker::run(&arguments, registry),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            code_of_error(&error)
        }
    }
}
