//! All that a program can do: what its pipelines can choose by name, and what does it.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use super::{Job, ModelWriter, ModelWriters, Outcome, StageError, StageRunner};
use crate::data::{FormatReader, Formats};
use crate::event::Monitor;
use crate::metric::MetricInfo;
use crate::models::ModelBuilder;
use crate::spec::{
    Command, Download, Evaluate, Export, ListedOptions, Preprocess, ScheduleOptions, Train, Vocabulary,
};
use crate::train::{Components, OptimizerRule, Task};

/// The lists of what can be chosen by name, each entry with what does it. What this crate brings are the
/// first entries; a program of another crate adds its own, is read, planned and run with them, and is
/// its own worker.
#[derive(Clone)]
pub struct Registry {
    runners: Arc<BTreeMap<&'static str, RunJob>>,
    formats: Formats,
    model_writers: ModelWriters,
    training: Components,
}

/// Runs the job of one kind.
type RunJob = fn(&Job, &Registry, &Monitor) -> Result<Outcome, StageError>;

impl Registry {
    /// What this crate brings.
    pub fn built_in() -> Self {
        let registry = Self {
            runners: Arc::default(),
            formats: Formats::built_in(),
            model_writers: ModelWriters::built_in(),
            training: Components::built_in(),
        };
        registry
            .with_runner::<Download>()
            .with_runner::<Preprocess>()
            .with_runner::<Train>()
            .with_runner::<Evaluate>()
            .with_runner::<Export>()
            .with_runner::<Command>()
    }

    fn with_runner<O: StageRunner>(mut self) -> Self {
        let run: RunJob = |job, registry, monitor| match job.kind.options::<O>() {
            Some(options) => options.run(job, registry, monitor),
            None => Err(unknown(job)),
        };
        Arc::make_mut(&mut self.runners).insert(O::NAME, run);
        self
    }

    /// With one more kind of stages; one of the same name gives way.
    #[must_use]
    pub fn with_kind<O: StageRunner>(mut self) -> Self {
        self.training.vocabulary = self.training.vocabulary.with_kind::<O>();
        self.with_runner::<O>()
    }

    /// With one more architecture; one of the same name gives way.
    #[must_use]
    pub fn with_model<O: ModelBuilder>(mut self) -> Self {
        self.training.vocabulary = self.training.vocabulary.with_model::<O>();
        self.training.models = self.training.models.with::<O>();
        self
    }

    /// With one more format of input files; one of the same name gives way.
    #[must_use]
    pub fn with_format<O: FormatReader>(mut self) -> Self {
        self.training.vocabulary = self.training.vocabulary.with_format::<O>();
        self.formats = self.formats.with::<O>();
        self
    }

    /// With one more file format for models; one of the same name gives way.
    #[must_use]
    pub fn with_export_format<O: ModelWriter>(mut self) -> Self {
        self.training.vocabulary = self.training.vocabulary.with_export_format::<O>();
        self.model_writers = self.model_writers.with::<O>();
        self
    }

    /// With one more optimizer; one of the same name gives way.
    #[must_use]
    pub fn with_optimizer<O: OptimizerRule>(mut self) -> Self {
        self.training.vocabulary = self.training.vocabulary.with_optimizer::<O>();
        self.training.optimizers = self.training.optimizers.with::<O>();
        self
    }

    /// With one more schedule; one of the same name gives way.
    #[must_use]
    pub fn with_schedule<O: ScheduleOptions + ListedOptions>(mut self) -> Self {
        self.training.vocabulary = self.training.vocabulary.with_schedule::<O>();
        self
    }

    /// With one more task; one of the same name gives way.
    #[must_use]
    pub fn with_task(mut self, task: impl Task + 'static) -> Self {
        self.training.vocabulary = self.training.vocabulary.with_task(task.rules());
        self.training.tasks = self.training.tasks.with(task);
        self
    }

    /// With one more metric, of which stages may report figures.
    #[must_use]
    pub fn with_metric(mut self, metric: MetricInfo) -> Self {
        self.training.vocabulary = self.training.vocabulary.with_metric(metric);
        self
    }

    /// What pipelines can choose by name.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.training.vocabulary
    }

    /// The formats that can be read.
    pub fn formats(&self) -> &Formats {
        &self.formats
    }

    /// The file formats that models can be written in.
    pub fn model_writers(&self) -> &ModelWriters {
        &self.model_writers
    }

    /// What training and evaluation choose by name.
    pub fn training(&self) -> &Components {
        &self.training
    }

    /// Does the job: fills `job.output` and gives the metrics.
    ///
    /// # Errors
    /// Those of [`StageRunner::run`], and a kind that this program does not know.
    pub fn run(&self, job: &Job, monitor: &Monitor) -> Result<Outcome, StageError> {
        match self.runners.get(job.kind.name()) {
            Some(run) => self.vocabulary().reading(|| run(job, self, monitor)),
            None => Err(unknown(job)),
        }
    }
}

impl Debug for Registry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("kinds", &self.runners.keys())
            .field("formats", &self.formats)
            .field("model_writers", &self.model_writers)
            .field("training", &self.training)
            .finish_non_exhaustive()
    }
}

fn unknown(job: &Job) -> StageError {
    StageError::failed(format!(
        "this program cannot run stages of kind `{}`",
        job.kind.name()
    ))
}
