//! What most commands begin with: the pipeline, its project, the store, the history.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;

use super::Fail;
use crate::plan::{Earlier, EarlierResults, Plan, Request, Selection};
use crate::record::History;
use crate::spec::{Override, Pipeline, Project, Remote};
use crate::store::{RemoteOptions, Store};

/// The arguments that name a pipeline and its parameters.
#[derive(Debug, Default, Args)]
pub(super) struct PipelineArguments {
    /// The pipeline file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Stages to bring up to date, with all that they need; by default all
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    /// Bring a stage up to date together with all that depends on it; may be repeated
    #[arg(long, value_name = "STAGE")]
    pub downstream: Vec<String>,
    /// Do nothing that depends on this stage; may be repeated
    #[arg(long, value_name = "STAGE")]
    pub until: Vec<String>,
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

/// What the store has to know of a remote.
pub(super) fn remote_options(remote: &Remote) -> RemoteOptions {
    RemoteOptions {
        url: remote.url.clone(),
        endpoint: remote.endpoint.clone(),
        region: remote.region.clone(),
        read: remote.read,
        write: remote.write,
    }
}

impl PipelineArguments {
    /// Which stages they ask for.
    pub fn selection(&self) -> Selection {
        Selection {
            targets: self.stages.clone(),
            downstream: self.downstream.clone(),
            until: self.until.clone(),
            force: self.force,
        }
    }
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
        if let Some(remote) = &project.remote {
            store.attach(remote_options(remote));
        }
        Ok(Self {
            pipeline,
            project,
            store,
            file: file.to_owned(),
        })
    }

    /// The plan for what the arguments ask.
    pub fn plan(&self, arguments: &PipelineArguments) -> Result<Plan, Fail> {
        let request = Request {
            selection: arguments.selection(),
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
    pub fn earlier(&self) -> EarlierResults {
        let (path, pipeline) = (self.history(), self.pipeline.name.clone());
        let history: Mutex<Option<Option<History>>> = Mutex::default();
        EarlierResults::new(move |stage| {
            // Without history, reasons are less telling; nothing else changes.
            let mut history = history.lock().ok()?;
            let history = history
                .get_or_insert_with(|| History::open(&path).ok())
                .as_ref()?;
            let last = history.last_result(&pipeline, stage).ok()??;
            Some(Earlier {
                run: last.run,
                key: serde_json::from_value(last.key).ok()?,
            })
        })
    }

    /// Ends with the session right before the program does, as [`Plan::leave`] with the plan.
    pub fn leave(self) {
        std::mem::forget(self.pipeline);
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
