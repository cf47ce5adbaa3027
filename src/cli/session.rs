//! What most commands begin with: the pipeline, its project, the store, the history.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Fail;
use crate::plan::{Earlier, Plan, Request};
use crate::record::History;
use crate::spec::{Override, Pipeline, Project};
use crate::store::Store;

/// The arguments that name a pipeline and its parameters.
#[derive(Debug, Args)]
pub(super) struct PipelineArguments {
    /// The pipeline file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Stages to bring up to date, with all that they need; by default all
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    /// Replace a parameter's value (or the pipeline's `seed`); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub overrides: Vec<Override>,
    /// Run the named stages, or all, even where their results are known
    #[arg(short, long)]
    pub force: bool,
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    pub store: Option<PathBuf>,
}

/// A pipeline in its project, with the store.
pub(super) struct Session {
    pub pipeline: Pipeline,
    pub project: Project,
    pub store: Store,
    file: PathBuf,
}

impl Session {
    pub fn open(arguments: &PipelineArguments) -> Result<Self, Fail> {
        let pipeline = Pipeline::load(&arguments.file, &arguments.overrides)?;
        Self::with(pipeline, &arguments.file, arguments.store.as_deref())
    }

    /// A session for a pipeline that was read from `file`.
    pub fn with(pipeline: Pipeline, file: &Path, store: Option<&Path>) -> Result<Self, Fail> {
        // A place that is named on the command line is meant from where the user stands.
        let store = store.map(std::path::absolute).transpose();
        let store = store.map_err(Fail::io("finding the current folder"))?;
        let project = Project::find(file, store)?;
        let store = Store::open(&project.store)?;
        store.rely_on_results();
        Ok(Self {
            pipeline,
            project,
            store,
            file: file.to_owned(),
        })
    }

    /// The plan for what the arguments ask.
    pub fn plan(&self, arguments: &PipelineArguments) -> Result<Plan, Fail> {
        let forced: BTreeSet<String> = match (arguments.force, arguments.stages.is_empty()) {
            (false, _) => BTreeSet::new(),
            (true, true) => self.pipeline.stages.keys().cloned().collect(),
            (true, false) => arguments.stages.iter().cloned().collect(),
        };
        let request = Request {
            targets: arguments.stages.clone(),
            forced,
            earlier: self.earlier(),
        };
        Ok(Plan::new(
            &self.pipeline,
            &self.project.root,
            &self.store,
            request,
        )?)
    }

    /// The nearest earlier result of each stage, as far as the history knows.
    pub fn earlier(&self) -> HashMap<String, Earlier> {
        let names: Vec<&str> = self.pipeline.stages.keys().map(String::as_str).collect();
        // Without history, reasons are less telling; nothing else changes.
        let last = History::open(&self.history())
            .and_then(|history| history.last_results(&self.pipeline.name, &names))
            .unwrap_or_default();
        last.into_iter()
            .filter_map(|(stage, last)| {
                let key = serde_json::from_value(last.key).ok()?;
                Some((stage, Earlier { run: last.run, key }))
            })
            .collect()
    }

    /// The file with the history of runs.
    pub fn history(&self) -> PathBuf {
        self.project.store.join("erlen.db")
    }

    /// The pipeline file, relative to the project's root where it lies inside.
    pub fn file_in_project(&self) -> String {
        let absolute = self.file.canonicalize().unwrap_or_else(|_| self.file.clone());
        let inside = absolute.strip_prefix(&self.project.root).unwrap_or(&self.file);
        inside.display().to_string()
    }

    /// The pipeline file, as it was named.
    pub fn file(&self) -> &Path {
        &self.file
    }
}
