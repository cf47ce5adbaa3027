//! Which pipeline is meant, and which of its stages.

use std::path::PathBuf;

use crate::plan::Selection;
use crate::spec::Override;

/// A pipeline, its parameters, and the stages that are asked for.
#[derive(Clone, Debug, Default)]
pub struct PipelineRequest {
    /// The pipeline file.
    pub file: PathBuf,
    /// Values that replace parameters (or the pipeline's `seed`).
    pub overrides: Vec<Override>,
    /// The stages to bring up to date, with all that they need; by default all.
    pub selection: Selection,
    /// Where results are kept, instead of `.erlen` in the project's root.
    pub store: Option<PathBuf>,
}

impl PipelineRequest {
    /// All of the pipeline in `file`.
    pub fn of(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            ..Self::default()
        }
    }

    /// The same for `stages` alone, with all that they need; for all where there are none.
    #[must_use]
    pub fn for_stages(&self, stages: Vec<String>) -> Self {
        Self {
            selection: Selection {
                targets: stages,
                ..Selection::default()
            },
            ..self.clone()
        }
    }
}
