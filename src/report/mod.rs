//! Results as files for people and for programs.
//!
//! In go a table's description and the metrics of the stages behind it; out come bytes: pure, so
//! the same results give the same bytes wherever and whenever they are written. [`TableData`] is
//! what every format is rendered from: rows of labels and cells, each cell with all the values (one
//! a seed) that it sums up. [`ReportInput`] is what [`plot`]s and the [`page`] are made of: the
//! trials, the graph, and the text of the artifacts' files. A file is replaced only when its bytes
//! change.

mod assemble;
mod bootstrap;
mod compare;
mod csv;
mod html;
mod input;
mod json;
mod latex;
mod markdown;
mod number;
mod order;
pub mod page;
pub mod plot;
mod preflight;
mod provenance;
mod results;
mod shown;
mod statistics;
mod student;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod write;

pub use bootstrap::{Comparison, RESAMPLES};
pub use input::{GraphNode, NodeStatus, PageTable, ReportInput, TrialFile};
pub use preflight::check_across;
pub use provenance::{CellOrigin, InputOrigin, Origin, Provenance, ProvenanceRow, StageOrigin, ValueOrigin};
pub use results::{Replicate, Results, StageResult, Trial, TrialStatus};
pub use statistics::Summary;
pub use table::{Cell, Column, Row, Sample, TableData};
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
    /// No result has a metric.
    #[error("table `{table}`, {place}: no result has `{path}`; {known}")]
    NoMetric {
        /// The table's name.
        table: String,
        /// Where in the table it is asked for.
        place: String,
        /// The metric's path.
        path: String,
        /// What exists, as a sentence.
        known: String,
    },
    /// No row is the baseline.
    #[error("table `{table}`: no row is the baseline {baseline}; the rows are {known}")]
    NoBaseline {
        /// The table's name.
        table: String,
        /// The values that it should have.
        baseline: String,
        /// The rows that there are.
        known: String,
    },
    /// A row stands for several trials, and nothing says which counts.
    #[error(
        "table `{table}`: {trials} trials that differ in {open} share a row; add {open} to the rows, fix it under \
         `where`, write group: all, or give the sweep an objective"
    )]
    OpenGroup {
        /// The table's name.
        table: String,
        /// How many trials.
        trials: usize,
        /// The parameters that they differ in.
        open: String,
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

impl ReportError {
    /// Whether the pipeline file is at fault, and not the system.
    pub fn is_mistake(&self) -> bool {
        !matches!(self, Self::Write { .. })
    }
}

/// `table` as a `<table>` element, to be put into a page.
pub fn html_table(table: &TableData) -> String {
    html::render(table)
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
        TableFormat::Tex => latex::render(table).into_bytes(),
        TableFormat::Html => html::render(table).into_bytes(),
        TableFormat::Json => json::render(table).into_bytes(),
    }
}
