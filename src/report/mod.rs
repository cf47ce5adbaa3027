//! Results as files for people and for programs.
//!
//! In go a table's description and the metrics of the stages behind it; out come bytes: pure, so
//! the same results give the same bytes wherever and whenever they are written. [`TableData`] is
//! what every format is rendered from: rows of parameters and cells, each cell with all the values
//! (one a replicate) that it sums up. [`ReportInput`] is what [`plot`]s and the [`page`] are made of:
//! the trials, the graph, and the text of the artifacts' files. A file is replaced only when its bytes
//! change.

mod csv;
mod input;
mod markdown;
mod number;
pub mod page;
pub mod plot;
mod results;
mod table;
mod write;

pub use input::{GraphNode, NodeStatus, PageTable, ReportInput, TrialFile};
pub use results::{Replicate, Results, StageResult, Trial, TrialStatus};
pub use table::{Aggregate, Cell, Column, Row, TableData};
pub use write::write_if_changed;

use std::io;
use std::path::PathBuf;

use crate::spec::TableFormat;

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A row's parameter does not exist.
    #[error("table `{table}`: there is no parameter `{parameter}`; {known}")]
    NoParameter {
        /// The table's name.
        table: String,
        /// The parameter's name.
        parameter: String,
        /// What exists, as a sentence.
        known: String,
    },
    /// No row has a column's metric.
    #[error("table `{table}`, column `{column}`: no result has `{path}`; {known}")]
    NoMetric {
        /// The table's name.
        table: String,
        /// The column's title.
        column: String,
        /// The metric's path.
        path: String,
        /// What exists, as a sentence.
        known: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}; free space, or make its folder writable", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The number of the trial that stands for the pipeline, whose evaluations are shown: the best one,
/// or the first where none is.
pub fn shown_trial(results: &Results) -> Option<u32> {
    let input = ReportInput {
        results: results.clone(),
        ..ReportInput::default()
    };
    let place = plot::View::new(&input).best().unwrap_or(0);
    results.trials.get(place).map(|trial| trial.number)
}

/// `table` as a file of `format`.
pub fn render(table: &TableData, format: TableFormat) -> Vec<u8> {
    match format {
        TableFormat::Csv => csv::render(table),
        TableFormat::Md => markdown::render(table).into_bytes(),
    }
}
