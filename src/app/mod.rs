//! What Erlen does for whoever asks: runs, sweeps, tables, pages, plans, and questions about the past.
//!
//! In go requests in this module's own types; out come results and an [`AppError`]. Nothing here knows
//! arguments, prints or exits: the command line is one front end, and a server or another program's own
//! are others. Who follows a run is a list of [`Sink`](crate::event::Sink)s that the [`FrontEnd`] gives.
//!
//! ```no_run
//! use erlen::app::{PipelineRequest, RunOptions, Session, TableOutput, Unattended, run};
//!
//! let request = PipelineRequest::of("pipelines/digits.yaml");
//! let session = Session::open(&request)?;
//! let mut plan = session.plan(&request)?;
//! let tables = Some(&TableOutput::Project);
//! let outcome = run(&session, &mut plan, &RunOptions::here(&Unattended), false, tables)?;
//! println!("{}: {:?}", outcome.status, outcome.tables);
//! # Ok::<(), erlen::app::AppError>(())
//! ```

mod cell;
mod check;
mod comparison;
mod copy;
mod error;
mod examples;
mod execution;
mod explanation;
mod inputs;
mod known;
mod model;
mod notice;
mod page;
mod past;
mod prediction;
mod prediction_file;
mod project;
mod provenance;
mod quota;
mod request;
mod results;
mod retention;
mod run;
mod serving;
mod session;
mod sweep;
mod table_clash;
mod table_output;
mod table_update;
mod tables;
#[cfg(test)]
mod tests;
mod transfer;
mod update;
mod warnings;

pub use cell::{find_cell, labels_text};
pub use check::{check, check_files};
pub use comparison::{RunComparison, StageComparison};
pub use copy::copy_result;
pub use error::AppError;
pub use examples::{StageView, shown_stages, view_stage};
pub use execution::{Followers, FrontEnd, RunOptions, Unattended, missing_environments};
pub use explanation::{Explanation, KeyInput};
pub use inputs::{InputProblems, input_problems};
pub use known::known_results;
pub use model::{FoundModel, FoundResult, LocatedModel, ModelDuty, ModelSource, TrialChoice};
pub use notice::{Notice, remote_notices};
pub use page::{graph_nodes, report_input};
pub use past::{find_run, names_run};
pub use prediction::{PredictionFollower, PredictionRequest, predict};
pub use prediction_file::predict_to_file;
pub use project::{RESULTS, current_project, existing_store, find_project, open_history, open_store};
pub use provenance::{made_from, provenance_of};
pub use request::PipelineRequest;
pub use results::results_of_plan;
pub use retention::{PIPELINES, RetentionRules, Unplanned, pipelines_of, retention_rules};
pub use run::{RunOutcome, run, run_sweep};
pub use serving::{ServedName, ServedSource, ServingFollower, ServingRequest, serve_models};
pub use session::Session;
pub use sweep::known::known_study;
pub use sweep::setting::{Replicates, SweepSetting};
pub use table_output::TableOutput;
pub use table_update::{BuiltTables, StaleFile, stale_files, update_tables};
pub use tables::{BuiltTable, build_table};
pub use transfer::{TransferRequest, Transferred, pull, push};
pub use update::{Updated, update_results};
pub use warnings::warnings;
