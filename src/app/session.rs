//! What most of the work begins with: the pipeline, its project, the store, the history.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::error::AppError;
use super::project::{find_project, history_file, open_store};
use super::request::PipelineRequest;
use crate::plan::{Earlier, EarlierResults, Plan, PlanError, PlanRequest};
use crate::record::RunHistory;
use crate::spec::{Pipeline, Project, Template, suggest};
use crate::store::Store;

/// A pipeline in its project, with the store.
pub struct Session {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The project that its file lies in.
    pub project: Project,
    /// The project's store.
    pub store: Store,
    file: PathBuf,
}

impl Session {
    /// Reads the pipeline and opens its project.
    ///
    /// # Errors
    /// The file has mistakes, the project's settings have, or its store cannot be opened.
    pub fn open(request: &PipelineRequest) -> Result<Self, AppError> {
        let pipeline = Pipeline::load(&request.file, &request.overrides)?;
        Self::with(pipeline, &request.file, request.store.as_deref())
    }

    /// A session for a pipeline that was read from `file`.
    ///
    /// # Errors
    /// As for [`Session::open`].
    pub fn with(pipeline: Pipeline, file: &Path, store: Option<&Path>) -> Result<Self, AppError> {
        let project = find_project(file, store)?;
        let store = open_store(&project)?;
        Ok(Self {
            pipeline,
            project,
            store,
            file: file.to_owned(),
        })
    }

    /// The plan for what is asked.
    ///
    /// # Errors
    /// A stage that there is not, an input that is missing, or a store that fails.
    pub fn plan(&self, request: &PipelineRequest) -> Result<Plan, AppError> {
        let request = PlanRequest {
            selection: request.selection.clone(),
            earlier: self.earlier(),
        };
        let places = self.project.places();
        let plan = Plan::new(&self.pipeline, &places, &self.store, request);
        plan.map_err(|error| self.placed(error))
    }

    /// The same error, with the place in the file where it is about one.
    pub(super) fn placed(&self, error: PlanError) -> AppError {
        match Template::load(&self.file) {
            Ok(template) => placed(&template, &self.pipeline, error),
            Err(_) => error.into(),
        }
    }

    /// The nearest earlier result of each stage, as far as the history knows.
    pub fn earlier(&self) -> EarlierResults {
        let (path, pipeline) = (self.history(), self.pipeline.name.clone());
        let history: Mutex<Option<Option<RunHistory>>> = Mutex::default();
        EarlierResults::new(move |stage| {
            // Without history, reasons are less telling; nothing else changes.
            let mut history = history.lock().ok()?;
            let history = history
                .get_or_insert_with(|| RunHistory::open(&path).ok())
                .as_ref()?;
            let last = history.last_result(&pipeline, stage).ok()??;
            Some(Earlier {
                run: last.run,
                key: serde_json::from_value(last.key).ok()?,
            })
        })
    }

    /// Says whether the pipeline has a stage of this name.
    ///
    /// # Errors
    /// It has not: what may have been meant.
    pub fn check_stage(&self, name: &str) -> Result<(), AppError> {
        let stages = &self.pipeline.stages;
        if stages.contains_key(name) {
            return Ok(());
        }
        let help = suggest(name, "stages", stages.keys().map(String::as_str));
        Err(AppError::Request(format!("there is no stage `{name}`; {help}")))
    }

    /// Ends with the session right before the program does, as [`Plan::leave`] with the plan.
    pub fn leave(self) {
        std::mem::forget(self.pipeline);
    }

    /// The file with the history of runs.
    pub fn history(&self) -> PathBuf {
        history_file(&self.project)
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

/// The same error, with the place in the file where it is about one: `pipeline` was read from `template`.
pub(super) fn placed(template: &Template, pipeline: &Pipeline, error: PlanError) -> AppError {
    let (PlanError::Unreadable { stage, reference, .. } | PlanError::UnknownRoot { stage, reference, .. }) =
        &error
    else {
        return error.into();
    };
    let place = template.input_error(pipeline, stage, reference, error.to_string());
    AppError::Plan {
        problem: Box::new(error),
        place: Some(Box::new(place)),
    }
}
