//! What plots and pages are made of, beside the results themselves.

use super::Results;

/// Everything that a page tells.
#[derive(Clone, Debug, Default)]
pub struct ReportInput {
    /// The trials and their results.
    pub results: Results,
    /// The stages of the pipeline, each after all that it waits for.
    pub graph: Vec<GraphNode>,
    /// `history.csv` of every training, pruned ones included.
    pub histories: Vec<TrialFile>,
    /// `confusion.csv` of every evaluation that has one.
    pub confusions: Vec<TrialFile>,
    /// `classes.csv` of every evaluation that has one.
    pub classes: Vec<TrialFile>,
    /// The tables.
    pub tables: Vec<PageTable>,
    /// What the reader should know about what is missing, a sentence each.
    pub notices: Vec<String>,
}

/// A stage in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    /// Its name.
    pub name: String,
    /// What it does, such as `train`.
    pub kind: String,
    /// What it is about.
    pub description: Option<String>,
    /// The stages that it waits for.
    pub upstream: Vec<String>,
    /// What is known about it.
    pub status: NodeStatus,
}

/// What is known about a stage in the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeStatus {
    /// Its result is known.
    Known,
    /// It has to run, or waits for one that has to.
    #[default]
    Missing,
}

impl NodeStatus {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "up to date",
            Self::Missing => "not run yet",
        }
    }
}

/// A file of an artifact, with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialFile {
    /// The trial's number.
    pub trial: u32,
    /// The replicate's seed.
    pub seed: u64,
    /// The stage's name.
    pub stage: String,
    /// The file's text.
    pub text: String,
}

/// A table as it stands on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageTable {
    /// Its name.
    pub name: String,
    /// A `table` element.
    pub html: String,
}
