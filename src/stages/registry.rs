//! All that a program can do: what its pipelines can choose by name, and what does it.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Job, ModelWriter, ModelWriters, Outcome, StageError, StageRunner};
use crate::data::{FormatReader, Formats};
use crate::event::Monitor;
use crate::metric::MetricInfo;
use crate::models::ModelBuilder;
use crate::spec::{Kind, ListedOptions, Mistake, ScheduleOptions, Vocabulary, built_in_kinds};
use crate::train::{Components, OptimizerRule, Task};

/// The lists of what can be chosen by name, each entry with what does it. What this crate brings are the
/// first entries; a program of another crate adds its own, is read, planned and run with them, and is
/// its own worker.
#[derive(Clone)]
pub struct Registry {
    runners: Arc<BTreeMap<&'static str, KindRunner>>,
    formats: Formats,
    model_writers: ModelWriters,
    training: Components,
}

/// What is done with the stages of one kind.
#[derive(Clone, Copy)]
struct KindRunner {
    run: fn(&Job, &Registry, &Monitor) -> Result<Outcome, StageError>,
    look_into: fn(&Kind, &BTreeMap<String, PathBuf>, &Registry) -> Vec<Mistake>,
}

impl Registry {
    /// What this crate brings.
    pub fn built_in() -> Self {
        let registry = Self {
            runners: Arc::default(),
            formats: Formats::built_in(),
            model_writers: ModelWriters::built_in(),
            training: Components::built_in(),
        };
        macro_rules! runners {
            ($($kind:path,)*) => { registry$(.with_runner::<$kind>())* };
        }
        built_in_kinds!(runners)
    }

    fn with_runner<O: StageRunner>(mut self) -> Self {
        let runner = KindRunner {
            run: |job, registry, monitor| match job.kind.options::<O>() {
                Some(options) => options.run(job, registry, monitor),
                None => Err(unknown(job)),
            },
            look_into: |kind, files, registry| match kind.options::<O>() {
                Some(options) => options.look_into(files, registry),
                None => Vec::new(),
            },
        };
        Arc::make_mut(&mut self.runners).insert(O::NAME, runner);
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
            Some(runner) => self.vocabulary().reading(|| (runner.run)(job, self, monitor)),
            None => Err(unknown(job)),
        }
    }

    /// What is wrong with the files of the project that a stage takes in, by their roles: see
    /// [`StageRunner::look_into`].
    pub fn look_into(&self, kind: &Kind, files: &BTreeMap<String, PathBuf>) -> Vec<Mistake> {
        match self.runners.get(kind.name()) {
            Some(runner) => (runner.look_into)(kind, files, self),
            None => Vec::new(),
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
