//! The tasks that there are.

use std::sync::Arc;

use super::{
    Classification, MultiLabel, Regression, Segmentation, Similarity, Task, TokenClasses, TokenPrediction,
};
use crate::data::Dataset;
use crate::spec::Model;

/// The tasks that there are, in order: without a choice, a dataset has the first that it holds the
/// targets for.
#[derive(Clone, Debug)]
pub struct Tasks(Vec<Arc<dyn Task>>);

impl Tasks {
    /// What this crate brings; without what is predicted of texts alone in a program that only asks models.
    pub fn built_in() -> Self {
        let mut tasks: Vec<Arc<dyn Task>> = vec![
            Arc::new(Classification),
            Arc::new(MultiLabel),
            Arc::new(Regression),
            Arc::new(Segmentation),
        ];
        if cfg!(feature = "full") {
            tasks.push(Arc::new(TokenClasses));
            tasks.push(Arc::new(Similarity));
            tasks.push(Arc::new(TokenPrediction::NEXT));
            tasks.push(Arc::new(TokenPrediction::MASKED));
        }
        Self(tasks)
    }

    /// With one more task, or another one of its name.
    #[must_use]
    pub fn with(mut self, task: impl Task + 'static) -> Self {
        self.0.retain(|known| known.rules().name != task.rules().name);
        self.0.push(Arc::new(task));
        self
    }

    /// The task called `name`.
    pub fn named(&self, name: &str) -> Option<&dyn Task> {
        let named = self.0.iter().find(|task| task.rules().name == name);
        named.map(Arc::as_ref)
    }

    /// The same, to be kept.
    pub fn shared(&self, name: &str) -> Option<Arc<dyn Task>> {
        self.0.iter().find(|task| task.rules().name == name).cloned()
    }

    /// The task of `dataset` where nothing else is asked for.
    pub fn of(&self, dataset: &Dataset) -> Option<&dyn Task> {
        let holds = self.0.iter().find(|task| task.outputs(dataset).is_some());
        holds.map(Arc::as_ref)
    }

    /// The task of `dataset` for `model` where nothing else is asked for: of texts, one whose head the model can have
    /// where there is one.
    pub fn fitting(&self, dataset: &Dataset, model: &Model) -> Option<&dyn Task> {
        let text = model.text();
        let fits = |task: &&Arc<dyn Task>| {
            let can_have = text.is_none_or(|text| text.can_have(task.rules().head));
            can_have && task.outputs(dataset).is_some()
        };
        let fitting = self.0.iter().find(fits).map(Arc::as_ref);
        fitting.or_else(|| self.of(dataset))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Task> {
        self.0.iter().map(Arc::as_ref)
    }
}
